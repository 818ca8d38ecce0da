//! The Canonical ABI's values: lifting them out of a guest, lowering them into one, and carrying them from one guest
//! to another (CanonicalABI.md, "Loading" to "Lifting and Lowering Values").
//!
//! This room knows bytes and types. Whose memory it is, how `realloc` is called and what a handle means are behind
//! the traits of [`side`], which the runtime implements.

mod side;

pub(crate) use side::{Bridge, Encoding, Handle, LiftSide, LowerSide};
