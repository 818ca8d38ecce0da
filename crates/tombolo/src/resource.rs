//! Resources as the host holds them.

use std::any::TypeId;
use std::marker::PhantomData;

/// The identity of a resource type at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ResourceType {
    /// Defined by the host; the host's representation is a `Resource` of that Rust type.
    Host(TypeId),
    /// Defined by the host without a Rust type; the number tells them apart.
    HostDynamic(u32),
    /// Defined by a component instance of a store: instance and position.
    Guest {
        /// The store's number for the type.
        id: u32,
    },
}

/// A resource of any type: a representation and the type that says what it means.
///
/// An owned one that comes out of a guest belongs to the host until it is passed on; dropping this value does not
/// run the guest's destructor, [`ResourceAny::drop`](crate::ResourceAny) on a store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceAny {
    pub(crate) ty: ResourceType,
    pub(crate) rep: u32,
    pub(crate) owned: bool,
}

/// A resource that the host defines, represented by the Rust type `R` and a number that the host chose
/// (usually its place in a [`ResourceTable`](crate::ResourceTable)).
pub struct Resource<R> {
    rep: u32,
    owned: bool,
    marker: PhantomData<fn() -> R>,
}
