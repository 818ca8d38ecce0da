//! Components, as an embedder of Tombolo runs them.

use tombolo::{Component, Engine, Error, ErrorKind, Instance, Linker, Store, Val};
use wast::{WastArg, WastRet};

use crate::block_on::block_on;
use crate::machine::{Cause, Machine, Refusal};
use crate::value::{same, value};

/// Runs a script's components, each instance in a store of its own, so that a trap ends nothing but the instance.
///
/// Once a script registers an instance, it and later ones share a store.
pub struct Components {
    engine: Engine,
    linker: Linker<()>,
    stores: Vec<Store<()>>,
    /// The store of those that are registered.
    shared: Option<usize>,
}

/// An instance of a component: which store it is in, and itself.
#[derive(Debug)]
pub struct Placed {
    store: usize,
    instance: Instance,
}

impl Components {
    /// Makes an empty place.
    pub fn new(engine: &Engine) -> Self {
        Components { engine: engine.clone(), linker: Linker::new(engine), stores: Vec::new(), shared: None }
    }
}

impl Machine for Components {
    type Definition = Component;
    type Instance = Placed;
    type Results = Option<Val>;

    fn define(&mut self, binary: &[u8]) -> Result<Component, Refusal> {
        Component::new(&self.engine, binary).map_err(refusal)
    }

    fn instantiate(&mut self, definition: &Component) -> Result<Placed, Refusal> {
        let place = self.shared.unwrap_or_else(|| {
            self.stores.push(Store::new(&self.engine, ()));
            self.stores.len() - 1
        });
        let store = self.stores.get_mut(place).ok_or_else(lost)?;
        let instance = self.linker.instantiate(store, definition).map_err(refusal)?;
        Ok(Placed { store: place, instance })
    }

    fn register(&mut self, name: &str, instance: &Placed) -> Result<(), Refusal> {
        if *self.shared.get_or_insert(instance.store) != instance.store {
            let message =
                "an instance from before the first `register` shares no store with the registered ones";
            return Err(Refusal::new(Cause::Misuse, message));
        }
        self.linker.remove(name);
        self.linker.define_instance(name, &instance.instance).map(|_| ()).map_err(refusal)
    }

    fn invoke(&mut self, placed: &Placed, name: &str, args: &[WastArg<'_>]) -> Result<Option<Val>, Refusal> {
        let func = placed
            .instance
            .func(name)
            .ok_or_else(|| Refusal::new(Cause::Misuse, format!("no function `{name}` is exported")))?;
        let args = args
            .iter()
            .map(|arg| match arg {
                WastArg::Component(written) => Ok(value(written)),
                other => Err(format!("{other:?} is not a component value")),
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|message| Refusal::new(Cause::Misuse, message))?;
        let store = self.stores.get_mut(placed.store).ok_or_else(lost)?;
        block_on(func.call_async(store, &args)).map_err(refusal)
    }

    fn global(&mut self, _: &Placed, name: &str) -> Result<Option<Val>, Refusal> {
        Err(Refusal::new(Cause::Misuse, format!("components export no globals, so not `{name}`")))
    }

    fn compare(&self, results: &Option<Val>, expected: &[WastRet<'_>]) -> Result<(), String> {
        if usize::from(results.is_some()) != expected.len() {
            return Err(format!(
                "the function returned {} values, not {}",
                usize::from(results.is_some()),
                expected.len()
            ));
        }
        match (results, expected) {
            (Some(found), [WastRet::Component(written)]) => {
                let expected = value(written);
                if same(found, &expected) {
                    Ok(())
                } else {
                    Err(format!("the result is {found}, not {expected}"))
                }
            }
            (Some(_), [other]) => Err(format!("{other:?} is not a component value")),
            _ => Ok(()),
        }
    }
}

fn lost() -> Refusal {
    Refusal::new(Cause::Misuse, "the instance's store is gone")
}

fn refusal(error: Error) -> Refusal {
    let message = error.to_string();
    let cause = match error.kind() {
        ErrorKind::Malformed { .. } | ErrorKind::Text(_) | ErrorKind::NotAComponent => Cause::Invalid,
        ErrorKind::Unsupported { .. } | ErrorKind::Compile(_) => Cause::Unsupported,
        ErrorKind::MissingImport { .. } | ErrorKind::TypeMismatch { .. } => Cause::Unlinkable,
        ErrorKind::Trap(_) if message.contains("call stack exhausted") => Cause::Exhausted,
        ErrorKind::Trap(_) => Cause::Trap,
        _ => Cause::Misuse,
    };
    Refusal::new(cause, message)
}
