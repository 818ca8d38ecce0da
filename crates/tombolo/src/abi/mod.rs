//! The Canonical ABI's values: lifting them out of a guest, lowering them into one, and carrying them from one guest
//! to another (CanonicalABI.md, "Loading" to "Lifting and Lowering Values").
//!
//! This room knows bytes and types. Whose memory it is, how `realloc` is called and what a handle means are behind
//! the traits of [`side`], which the runtime implements.
//!
//! What holds everywhere: `load` and `store` get a pointer whose range and alignment somebody checked, against the
//! memory as it was then; every single access is checked again, so that a memory which changed ends in a trap.
//! Nothing is allocated for a guest-chosen length before that length was checked and charged.

mod context;
mod failure;
mod flat;
mod layout;
mod lift;
mod lower;
mod memory;
mod side;
mod string;
mod translate;
mod typed;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod test_shape;
#[cfg(test)]
mod test_side;

pub use context::{LiftContext, LowerContext};
pub use flat::{FlatSink, FlatSource};
pub use layout::{Case, Fields};
pub use typed::{ComponentParams, ComponentType, Lift, LiftParams, Lower, LowerParams, Mismatch};

pub(crate) use failure::{check_realloc, failure};
pub(crate) use layout::TypeList;
pub(crate) use lift::lift_values;
pub(crate) use lower::lower_values;
pub(crate) use side::{Bridge, Encoding, Handle, LiftSide, LowerSide};
pub(crate) use string::{load_string, store_string};
pub(crate) use translate::{Elements, Signature, translate_elements, translate_flat, translate_string};
pub(crate) use typed::{check_result, lift_result, lower_result};

/// What the code that the derive macros write refers to.
#[doc(hidden)]
pub mod derive {
    pub use tombolo_types::component::{TypeRef, Types};

    pub use super::typed::derived::{Check, check_enum, check_flags, check_record, check_variant};
    pub use super::{Case, Fields, FlatSink, FlatSource, LiftContext, LowerContext};
}
