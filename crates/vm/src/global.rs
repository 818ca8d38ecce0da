//! Globals and exception tags.

use std::ptr::NonNull;
use std::sync::Arc;

use tombolo_compile::module::{Item, ModuleInfo};
use tombolo_types::TypeId;
use tombolo_types::core::GlobalType;

use crate::handle::handle;
use crate::{RawVal, SetError, Store, Val};

handle! {
    /// A global of a store.
    GlobalHandle => GlobalEntity
}

handle! {
    /// An exception tag of a store.
    TagHandle => TagEntity
}

/// A global as the runtime sees it.
#[derive(Debug)]
pub(crate) struct GlobalEntity {
    pub(crate) cell: NonNull<RawVal>,
    pub(crate) ty: GlobalType,
}

/// A tag as the runtime sees it.
#[derive(Debug)]
pub(crate) struct TagEntity {
    /// Its address is the tag's identity in compiled code. It holds this entity's.
    pub(crate) cell: NonNull<*const TagEntity>,
    pub(crate) ty: TypeId,
    pub(crate) name: TagName,
}

/// What people know a tag by.
#[derive(Clone, Debug)]
pub(crate) enum TagName {
    /// The tag of an index, among those that a module has.
    Index(Arc<ModuleInfo>, u32),
    /// What the host said.
    Host(Arc<str>),
}

impl std::fmt::Display for TagName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TagName::Index(info, index) => {
                match info.exports.iter().find(|export| export.item == Item::Tag(*index)) {
                    Some(export) => f.write_str(&export.name),
                    None => write!(f, "{index}"),
                }
            }
            TagName::Host(name) => f.write_str(name),
        }
    }
}

impl GlobalHandle {
    /// The global's type.
    pub fn ty(self, store: &Store) -> GlobalType {
        self.entity(store).ty
    }

    /// Where its value is, for compiled code. Valid while the store lives.
    pub fn cell(self, store: &Store) -> NonNull<RawVal> {
        self.entity(store).cell
    }

    /// Its value.
    pub fn get(self, store: &Store) -> Val {
        let global = self.entity(store);
        // SAFETY: the cell lives as long as the store, the guest does not write it meanwhile, and it holds a value of
        // the global's type.
        unsafe { store.val(global.ty.value, global.cell.read()) }
    }

    /// Sets it.
    ///
    /// # Errors
    /// When it is immutable, or the value is of another type.
    pub fn set(self, store: &Store, value: Val) -> Result<(), SetError> {
        let global = self.entity(store);
        if !global.ty.mutable {
            return Err(SetError::Immutable);
        }
        let value = store.raw(global.ty.value, value).ok_or(SetError::Type)?;
        // SAFETY: the cell lives as long as the store, and the guest does not look at it meanwhile.
        unsafe { global.cell.write(value) };
        Ok(())
    }
}

impl TagHandle {
    /// The tag's type.
    pub fn ty(self, store: &Store) -> TypeId {
        self.entity(store).ty
    }
}
