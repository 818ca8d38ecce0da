//! Parts of the Component Model that can be switched on and off.

use std::fmt;
use std::str::FromStr;

use wasmparser::WasmFeatures;

use crate::error::{Error, Result};

/// A part of the Component Model that components may use only if [`Config::feature`](crate::Config::feature) says so.
///
/// Those that WASI 0.3 or today's tools need are on by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// 🗺️ The type `map`. On by default.
    Map,
    /// 🏷️ Names with the attributes `implements` and `external-id`. On by default.
    Implements,
    /// 🚝 Synchronous reads and writes of streams and futures, asynchronous cancellation.
    MoreAsyncBuiltins,
    /// 🚟 Functions that are lifted with `async` and without a callback.
    AsyncStackful,
    /// 🧵 Cooperative threads.
    Threading,
    /// ➡️ Handing a stream or future on to another one.
    Forward,
    /// 🔧 Lists whose type fixes their length.
    FixedLengthLists,
    /// 📝 The type `error-context`.
    ErrorContext,
    /// 🐘 64-bit memories and tables at the boundary of a component.
    Memory64,
}

impl Feature {
    /// All of them.
    pub const ALL: &'static [Feature] = &[
        Feature::Map,
        Feature::Implements,
        Feature::MoreAsyncBuiltins,
        Feature::AsyncStackful,
        Feature::Threading,
        Feature::Forward,
        Feature::FixedLengthLists,
        Feature::ErrorContext,
        Feature::Memory64,
    ];

    /// Its name on a command line: `more-async-builtins`.
    pub fn name(self) -> &'static str {
        match self {
            Feature::Map => "map",
            Feature::Implements => "implements",
            Feature::MoreAsyncBuiltins => "more-async-builtins",
            Feature::AsyncStackful => "async-stackful",
            Feature::Threading => "threading",
            Feature::Forward => "forward",
            Feature::FixedLengthLists => "fixed-length-lists",
            Feature::ErrorContext => "error-context",
            Feature::Memory64 => "memory64",
        }
    }

    /// The validator's word for it.
    pub(crate) fn flag(self) -> WasmFeatures {
        match self {
            Feature::Map => WasmFeatures::CM_MAP,
            Feature::Implements => WasmFeatures::CM_IMPLEMENTS,
            Feature::MoreAsyncBuiltins => WasmFeatures::CM_MORE_ASYNC_BUILTINS,
            Feature::AsyncStackful => WasmFeatures::CM_ASYNC_STACKFUL,
            Feature::Threading => WasmFeatures::CM_THREADING,
            Feature::Forward => WasmFeatures::CM_FORWARD,
            Feature::FixedLengthLists => WasmFeatures::CM_FIXED_LENGTH_LISTS,
            Feature::ErrorContext => WasmFeatures::CM_ERROR_CONTEXT,
            Feature::Memory64 => WasmFeatures::CM64,
        }
    }

    /// What components may use unless the embedder says otherwise.
    pub(crate) const DEFAULT: WasmFeatures = WasmFeatures::COMPONENT_MODEL
        .union(WasmFeatures::CM_ASYNC)
        .union(WasmFeatures::CM_MAP)
        .union(WasmFeatures::CM_IMPLEMENTS);
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Feature {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let feature = Feature::ALL.iter().find(|feature| feature.name() == name);
        feature.copied().ok_or_else(|| Error::usage(format!("there is no feature called `{name}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for feature in Feature::ALL {
            assert_eq!(feature.name().parse::<Feature>().unwrap(), *feature);
        }
        assert!("maps".parse::<Feature>().is_err());
    }
}
