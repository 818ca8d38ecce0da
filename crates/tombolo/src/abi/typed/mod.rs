//! Rust types that stand for component types.
//!
//! [`ComponentType::check`] compares a Rust type with a component type once, when a function is bound. After that
//! [`Lift`] and [`Lower`] carry values without a [`Val`](crate::Val) in between and take all layouts from the table.

use std::fmt;

use std::sync::Arc;

use tombolo_types::component::{TypeRef, Types};

use super::context::{LiftContext, LowerContext};
use super::flat::{FlatSink, FlatSource};
use super::memory::offset;
use crate::error::{Error, Result};

pub(super) mod derived;
mod handle;
mod list;
mod map;
mod number;
mod params;
mod string;
mod tuple;
mod variant;

pub use params::{ComponentParams, LiftParams, LowerParams};
pub(crate) use params::{check_result, lift_result, lower_result};

/// Why a Rust type does not stand for a component type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch(String);

impl Mismatch {
    /// Says what is wrong.
    pub fn new(message: impl Into<String>) -> Self {
        Mismatch(message.into())
    }

    /// Reports that another type was found than the Rust type stands for.
    #[doc(hidden)]
    pub fn expected(expected: &str, types: &Types, found: TypeRef) -> Self {
        Mismatch(format!("expected {expected}, found {}", types.display(found)))
    }

    /// Adds where it is wrong: a field, a case, a parameter.
    #[doc(hidden)]
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        Mismatch(format!("{place}: {}", self.0))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

/// A Rust type that stands for a component type.
///
/// Implemented by `#[derive(ComponentType)]` for records, variants and enums, by [`flags!`](crate::flags), and here for
/// the others: numbers, `bool`, `char`, strings, `Vec` and slices for lists, `Option`, `Result` (with `()` for a
/// payload that is absent), tuples, resources.
pub trait ComponentType {
    /// Checks that values of this Rust type are values of `ty`.
    ///
    /// # Errors
    /// What was expected and what was found.
    fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch>;

    /// Checks against a type that may be absent, as payloads and results are.
    #[doc(hidden)]
    fn check_payload(types: &Types, ty: Option<TypeRef>) -> Result<(), Mismatch> {
        match ty {
            Some(ty) => Self::check(types, ty),
            None => {
                Err(Mismatch::new(format!("expected a {}, found nothing", std::any::type_name::<Self>())))
            }
        }
    }
}

/// A Rust type whose values can be lifted out of a guest.
pub trait Lift: ComponentType + Sized {
    /// Lifts a value from flat values.
    #[doc(hidden)]
    fn lift_flat(cx: &mut LiftContext<'_>, ty: TypeRef, src: &mut FlatSource<'_>) -> Result<Self>;

    /// Loads a value from memory. The caller has checked its range and alignment.
    #[doc(hidden)]
    fn load(cx: &mut LiftContext<'_>, ty: TypeRef, ptr: u64) -> Result<Self>;

    /// Loads `count` values from memory whose range was checked.
    #[doc(hidden)]
    fn load_list(cx: &mut LiftContext<'_>, element: TypeRef, ptr: u64, count: usize) -> Result<Vec<Self>> {
        cx.charge(count, size_of::<Self>())?;
        let size = cx.abi(element).size;
        let mut list = Vec::with_capacity(count);
        for i in 0..count as u64 {
            cx.check_interrupt(i)?;
            list.push(Self::load(cx, element, offset(ptr, size.saturating_mul(i)))?);
        }
        Ok(list)
    }

    /// The value where a payload or result is absent.
    #[doc(hidden)]
    fn absent() -> Result<Self> {
        Err(Error::mismatch("value", format!("no value for a `{}`", std::any::type_name::<Self>())))
    }
}

/// A Rust type whose values can be lowered into a guest.
pub trait Lower: ComponentType {
    /// Lowers the value to flat values.
    #[doc(hidden)]
    fn lower_flat(&self, cx: &mut LowerContext<'_>, ty: TypeRef, dst: &mut FlatSink) -> Result<()>;

    /// Stores the value in memory. The caller has checked its range and alignment.
    #[doc(hidden)]
    fn store(&self, cx: &mut LowerContext<'_>, ty: TypeRef, ptr: u64) -> Result<()>;

    /// Stores values one after another in memory whose range was checked.
    #[doc(hidden)]
    fn store_list(list: &[Self], cx: &mut LowerContext<'_>, element: TypeRef, ptr: u64) -> Result<()>
    where
        Self: Sized,
    {
        let size = cx.abi(element).size;
        (0..).zip(list).try_for_each(|(i, value)| {
            cx.check_interrupt(i)?;
            value.store(cx, element, offset(ptr, size.saturating_mul(i)))
        })
    }
}

impl<T: ComponentType + ?Sized> ComponentType for &T {
    fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
        T::check(types, ty)
    }

    fn check_payload(types: &Types, ty: Option<TypeRef>) -> Result<(), Mismatch> {
        T::check_payload(types, ty)
    }
}

impl<T: Lower + ?Sized> Lower for &T {
    fn lower_flat(&self, cx: &mut LowerContext<'_>, ty: TypeRef, dst: &mut FlatSink) -> Result<()> {
        T::lower_flat(self, cx, ty, dst)
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: TypeRef, ptr: u64) -> Result<()> {
        T::store(self, cx, ty, ptr)
    }
}

impl<T: ComponentType + ?Sized> ComponentType for Arc<T> {
    fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
        T::check(types, ty)
    }

    fn check_payload(types: &Types, ty: Option<TypeRef>) -> Result<(), Mismatch> {
        T::check_payload(types, ty)
    }
}

/// What the host keeps, and passes often.
impl<T: Lower + ?Sized> Lower for Arc<T> {
    fn lower_flat(&self, cx: &mut LowerContext<'_>, ty: TypeRef, dst: &mut FlatSink) -> Result<()> {
        T::lower_flat(self, cx, ty, dst)
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: TypeRef, ptr: u64) -> Result<()> {
        T::store(self, cx, ty, ptr)
    }
}

#[cfg(test)]
mod tests;
