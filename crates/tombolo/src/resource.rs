//! Resources as the host holds them.

use std::any::{TypeId, type_name};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use crate::error::{Error, Result};
use crate::store::AsStoreMut;

mod table;

pub use table::{ResourceTable, ResourceTableError};

/// The identity of a resource type at run time. It has two words, and so is passed in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ResourceType {
    /// Defined by the host.
    Host(HostType),
    /// Defined by a component instance.
    Guest(GuestType),
}

/// A resource type of the host's, whose representation is a `Resource` of a Rust type: a function that tells which.
#[derive(Clone, Copy)]
pub(crate) struct HostType(fn() -> TypeId);

/// A resource type of a guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GuestType(u64);

impl ResourceType {
    /// The one that the host represents by `R`.
    #[inline]
    pub fn host<R: 'static>() -> Self {
        ResourceType::Host(HostType(TypeId::of::<R>))
    }
}

impl PartialEq for HostType {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        // There may be copies of a function.
        std::ptr::fn_addr_eq(self.0, other.0) || (self.0)() == (other.0)()
    }
}

impl Eq for HostType {}

impl Hash for HostType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0)().hash(state);
    }
}

impl fmt::Debug for HostType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)().fmt(f)
    }
}

impl GuestType {
    /// Makes it of its place in its store and of which type it is of those that had this place, in any store.
    pub fn new(slot: u32, generation: u32) -> Self {
        GuestType(u64::from(generation) << 32 | u64::from(slot))
    }

    #[inline]
    pub fn slot(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// A resource of any type: a representation and the type that says what it means.
///
/// An owned one that comes out of a guest belongs to the host until it is passed on; dropping this value does not
/// run the guest's destructor, [`ResourceAny::destroy`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceAny {
    pub(crate) ty: ResourceType,
    pub(crate) rep: u64,
    pub(crate) owned: bool,
}

impl ResourceAny {
    /// Whether this is an `own`; else it is a `borrow`, good for the length of the call it came with.
    pub fn is_owned(&self) -> bool {
        self.owned
    }

    /// Drops a resource that the host owns and does not pass on: its destructor runs, that of a guest or
    /// [the host's own](crate::LinkerInstance::resource). Does nothing for a borrow, or if the guest that defines it has
    /// ended.
    ///
    /// # Errors
    /// If the destructor fails; then the root instance ends that it belongs to.
    pub fn destroy(self, mut store: impl AsStoreMut) -> Result<()> {
        let store = store.as_store_mut();
        let core = store.core();
        if !self.owned {
            return Ok(());
        }
        core.check_running()?;
        let destroyed = core.destroy_resource(self.ty, self.rep);
        core.clear_away();
        destroyed
    }

    /// What represents a resource that the host defined: those of guests may take 64 bits.
    fn host_rep(&self) -> u32 {
        self.rep as u32
    }

    /// Whether this is a resource that the host defined and represents by `R`.
    #[inline]
    pub fn is<R: 'static>(&self) -> bool {
        self.ty == ResourceType::host::<R>()
    }

    /// Sees it as the resource that the host defined and represents by `R`.
    ///
    /// # Errors
    /// If it is another resource.
    #[inline]
    pub fn downcast<R: 'static>(self) -> Result<Resource<R>> {
        if !self.is::<R>() {
            return Err(self.is_no(type_name::<R>()));
        }
        Ok(Resource { rep: self.host_rep(), owned: self.owned, marker: PhantomData })
    }
}

impl ResourceAny {
    #[cold]
    fn is_no(self, expected: &str) -> Error {
        Error::mismatch("resource", format!("expected a `{expected}`, found {self}"))
    }
}

impl fmt::Display for ResourceAny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.owned { "own" } else { "borrow" };
        let definer = match self.ty {
            ResourceType::Host(_) => "host",
            ResourceType::Guest(_) => "guest",
        };
        write!(f, "{kind} {definer} resource {}", self.rep)
    }
}

/// A resource that the host defines, represented by the Rust type `R` and a number that the host chose
/// (usually its place in a [`ResourceTable`](crate::ResourceTable)).
pub struct Resource<R> {
    rep: u32,
    owned: bool,
    marker: PhantomData<fn() -> R>,
}

impl<R: 'static> Resource<R> {
    /// Makes a resource that whoever receives it owns.
    pub fn new_own(rep: u32) -> Self {
        Resource { rep, owned: true, marker: PhantomData }
    }

    /// Makes a resource that is lent for the length of a call.
    pub fn new_borrow(rep: u32) -> Self {
        Resource { rep, owned: false, marker: PhantomData }
    }

    /// The number that represents it.
    pub fn rep(&self) -> u32 {
        self.rep
    }

    /// Whether this is an `own`; else it is a `borrow`.
    pub fn is_owned(&self) -> bool {
        self.owned
    }

    /// The same resource without its type.
    pub fn to_any(&self) -> ResourceAny {
        ResourceAny { ty: ResourceType::host::<R>(), rep: self.rep.into(), owned: self.owned }
    }
}

impl<R> fmt::Debug for Resource<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.owned { "own" } else { "borrow" };
        write!(f, "Resource<{}>({kind} {})", type_name::<R>(), self.rep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct File;
    struct Socket;

    #[test]
    fn a_resource_keeps_its_type() {
        let any = Resource::<File>::new_own(7).to_any();
        assert!(any.is::<File>() && !any.is::<Socket>() && any.is_owned());
        assert_eq!(any.downcast::<File>().unwrap().rep(), 7);
        assert!(any.downcast::<Socket>().is_err());
        assert!(!Resource::<File>::new_borrow(7).to_any().downcast::<File>().unwrap().is_owned());
    }
}
