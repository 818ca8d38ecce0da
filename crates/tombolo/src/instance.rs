//! Instances of components.

use std::sync::Arc;
use std::time::Instant;

use crate::ended::{EndCause, Ended};
use crate::error::{Error, ErrorKind, Result};
use crate::func::{Func, TypedFunc};
use crate::linker::lookup;
use crate::runtime::{ExportItem, InstanceValue, Island, StoreCore};
use crate::store::AsStoreMut;
use crate::{Lift, LowerParams};

/// An instance of a component, or an interface that one exports.
///
/// Cheap to clone; it names things in a store and keeps nothing alive.
#[derive(Clone)]
pub struct Instance {
    value: Arc<InstanceValue>,
    island: Arc<Island>,
    store: u64,
}

impl Instance {
    pub(crate) fn new(value: Arc<InstanceValue>, island: Arc<Island>, store: u64) -> Self {
        Instance { value, island, store }
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
            ExportItem::Instance(value) => {
                Some(Instance::new(value.clone(), self.island.clone(), self.store))
            }
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

impl Instance {
    /// Ends the root instance that this is, or is exported by, and frees what it has.
    ///
    /// Nothing enters it any more: calls that are under way fail with [`TrapReason::Ended`](crate::TrapReason::Ended), and
    /// later ones with [`TrapReason::CannotEnter`](crate::TrapReason::CannotEnter). The other ends of its streams and
    /// futures see that they were dropped, calls that it had made are cancelled, and the destructors of resources that it
    /// owned run. Other root instances that wait for one of its functions end too; all others go on, and its component
    /// can be instantiated again. Does nothing if it has ended.
    ///
    /// A function of the host may do this to the guest that called it, which then ends when the function returns. Memory is
    /// freed when no guest of the store is running.
    ///
    /// # Errors
    /// If it belongs to another store.
    pub fn end(&self, mut store: impl AsStoreMut) -> Result<()> {
        let store = store.as_store_mut();
        let core = self.core(store.core())?;
        core.end_island(&self.island, EndCause::Removed);
        core.clear_away();
        Ok(())
    }

    /// How much fuel the root instance that this is, or is exported by, has left of its own; 0 once it ran out, `None` if it
    /// goes by its store's ([`Store::fuel`](crate::Store::fuel)).
    ///
    /// # Errors
    /// If it has ended or belongs to another store, or the engine does not count fuel.
    pub fn fuel(&self, mut store: impl AsStoreMut) -> Result<Option<u64>> {
        let store = store.as_store_mut();
        self.core(store.core())?.island_fuel(&self.island)
    }

    /// Gives the root instance that this is, or is exported by, so much fuel of its own, at most `i64::MAX`; or has it go by
    /// its store's with all others (`None`, the default).
    ///
    /// What its own code does is spent from that alone, whoever calls it; code of others that it calls spends theirs. When it
    /// is used up, the root instance ends with a trap ([`TrapCode::OutOfFuel`](crate::TrapCode::OutOfFuel)), as after any
    /// other. [`Limits::fuel`](crate::Limits::fuel) gives it from the beginning. May be done at any time, by a function of
    /// the host that the instance has called too.
    ///
    /// # Errors
    /// If it has ended or belongs to another store, or the engine does not count fuel
    /// ([`Config::fuel`](crate::Config::fuel)).
    pub fn set_fuel(&self, mut store: impl AsStoreMut, fuel: Option<u64>) -> Result<()> {
        let store = store.as_store_mut();
        self.core(store.core())?.set_island_fuel(&self.island, fuel)
    }

    /// Sets the time at which the root instance that this is, or is exported by, is ended; `None`, the default, for never.
    ///
    /// It ends as after a trap, [`TrapCode::Interrupted`](crate::TrapCode::Interrupted), whether it runs, waits, is suspended
    /// at the end of a time slice or does nothing, as soon as its store is driven or a guest of the store runs. One that
    /// runs is stopped where [`Store::set_deadline`](crate::Store::set_deadline) says. With it end those that wait for it,
    /// as always; all others go on, also those that it has called and that have not returned. Before, the time can be moved
    /// or taken away, by a function of the host that the instance has called too.
    /// [`Limits::deadline`](crate::Limits::deadline) sets it from the beginning.
    ///
    /// # Errors
    /// If it has ended or belongs to another store, and as for [`Store::set_deadline`](crate::Store::set_deadline).
    pub fn set_deadline(&self, mut store: impl AsStoreMut, deadline: Option<Instant>) -> Result<()> {
        let store = store.as_store_mut();
        self.core(store.core())?.set_island_deadline(&self.island, deadline)
    }

    /// The store's core, if it is the instance's store.
    fn core<'a>(&self, core: &'a StoreCore) -> Result<&'a StoreCore> {
        if core.id == self.store {
            Ok(core)
        } else {
            Err(Error::usage("the instance belongs to another store"))
        }
    }

    /// Why the root instance that this is, or is exported by, has ended; `None` as long as it lives.
    pub fn ended(&self) -> Option<Ended> {
        self.island.ended().cloned()
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.value.exports.keys()).finish()
    }
}
