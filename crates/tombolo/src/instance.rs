//! Instances of components.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::func::{Func, TypedFunc};
use crate::linker::lookup;
use crate::runtime::{ExportItem, InstanceValue};
use crate::store::AsStoreMut;
use crate::{Lift, LowerParams};

/// An instance of a component, or an interface that one exports.
///
/// Cheap to clone; it names things in a store and keeps nothing alive.
#[derive(Clone)]
pub struct Instance {
    value: Arc<InstanceValue>,
    store: u64,
}

impl Instance {
    pub(crate) fn new(value: Arc<InstanceValue>, store: u64) -> Self {
        Instance { value, store }
    }

    pub(crate) fn value(&self) -> &Arc<InstanceValue> {
        &self.value
    }

    /// The names of the exports, in order.
    pub fn exports(&self) -> impl Iterator<Item = &str> {
        self.value.exports.keys().map(String::as_str)
    }

    /// An exported interface. `name@1.2.3` finds a compatible version too.
    pub fn instance(&self, name: &str) -> Option<Instance> {
        match lookup(&self.value.exports, name)? {
            ExportItem::Instance(value) => Some(Instance::new(value.clone(), self.store)),
            _ => None,
        }
    }

    /// An exported function, to be called with values whose types are known only at run time.
    pub fn func(&self, name: &str) -> Option<Func> {
        match self.value.exports.get(name)? {
            ExportItem::Func(func) => Some(Func::new(func.clone(), name, self.store)),
            _ => None,
        }
    }

    /// An exported function with the parameters `P`, a tuple, and the result `R`, or `()` for none.
    ///
    /// # Errors
    /// [`ErrorKind::MissingImport`] if there is no such function, [`ErrorKind::TypeMismatch`] if it has another type.
    pub fn typed_func<P, R>(&self, store: impl AsStoreMut, name: &str) -> Result<TypedFunc<P, R>>
    where
        P: LowerParams + Send + 'static,
        R: Lift + Send + 'static,
    {
        let func = self.func(name).ok_or_else(|| {
            Error::new(ErrorKind::MissingImport { kind: "exported function", name: name.to_owned() })
        })?;
        func.typed(store)
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.value.exports.keys()).finish()
    }
}
