//! Runs reference test scripts (`.wast`): definitions of components and modules, calls, and what must come of them.
//!
//! ```
//! use tombolo_wast::{Components, ModuleEngine, Modules, run};
//!
//! let engine = tombolo::Engine::new(&tombolo::Config::new())?;
//! let mut modules = Modules::new(&ModuleEngine::new(true)?)?;
//! let script = r#"
//!     (component
//!         (core module $m (func (export "one") (result i32) (i32.const 1)))
//!         (core instance $i (instantiate $m))
//!         (func (export "one") (result u32) (canon lift (core func $i "one"))))
//!     (assert_return (invoke "one") (u32.const 1))
//!     (assert_return (invoke "one") (u32.const 2))
//! "#;
//! let report = run("example.wast", script, &mut Components::new(&engine), &mut modules);
//! assert_eq!(report.passed, 2);
//! assert_eq!(report.failures[0].to_string(), "example.wast:7:6: assert_return: the result is 1, not 2");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod block_on;
mod components;
mod core_value;
mod machine;
mod modules;
mod named;
mod report;
mod script;
mod spectest;
mod value;
mod wording;

pub use components::{Components, Placed};
pub use machine::{Cause, Machine, Refusal};
pub use modules::{ModuleEngine, Modules};
pub use report::{Failure, Report};
pub use script::run;
pub use tombolo_compile::WasmFeatures;
