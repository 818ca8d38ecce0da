//! Linking: what the host provides to components.

use std::marker::PhantomData;
use std::sync::Arc;

use indexmap::IndexMap;
use semver::Version;

use crate::component::{Component, ItemType};
use crate::ended::EndCause;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::host_func::{AsyncHostFunc, DynamicHostFunc, SyncHostFunc};
use crate::instance::Instance;
use crate::resource::{Resource, ResourceType};
use crate::runtime::{
    ComponentValue, Env, ExportItem, FuncValue, HostDrop, HostFunction, InstanceValue, Job, StoreCore,
    instantiate,
};
use crate::slot::Slot;
use crate::store::{Accessor, AsStoreMut, Limits, Pending, Started, Store, StoreMut, host_drop};
use crate::value::{Type, Val};
use crate::{LiftParams, Lower};

/// Functions, resources and interfaces of the host, by the names under which components import them.
///
/// An import `name@1.2.3` is also satisfied by a definition of a compatible version: of the same major version, or the
/// same minor version below 1.0.
pub struct Linker<T: 'static> {
    engine: Engine,
    /// Shared with the instantiations that are under way.
    root: Arc<Definitions>,
    /// Of each root instance that it makes, if not those of its store.
    limits: Option<Arc<Limits>>,
    data: PhantomData<fn() -> T>,
}

type Definitions = IndexMap<String, Definition>;

#[derive(Clone)]
enum Definition {
    Instance(Definitions),
    Func(Arc<dyn HostFunction>),
    Resource(ResourceType, HostDrop),
    /// Something that another component exports.
    Export(ExportItem),
}

/// A place in a [`Linker`] where things are defined: its root or an interface.
pub struct LinkerInstance<'a, T: 'static> {
    definitions: &'a mut Definitions,
    data: PhantomData<fn() -> T>,
}

impl<T: 'static> Clone for Linker<T> {
    fn clone(&self) -> Self {
        let Linker { engine, root, limits, .. } = self;
        Linker { engine: engine.clone(), root: root.clone(), limits: limits.clone(), data: PhantomData }
    }
}

impl<T: Send + 'static> Linker<T> {
    /// Makes an empty linker.
    pub fn new(engine: &Engine) -> Self {
        Linker { engine: engine.clone(), root: Arc::default(), limits: None, data: PhantomData }
    }

    /// Where functions that a component imports by their plain names are defined.
    pub fn root(&mut self) -> LinkerInstance<'_, T> {
        LinkerInstance { definitions: Arc::make_mut(&mut self.root), data: PhantomData }
    }

    /// The interface called `name`, made if it is not there yet.
    ///
    /// # Errors
    /// If something else has this name.
    pub fn instance(&mut self, name: &str) -> Result<LinkerInstance<'_, T>> {
        interface(Arc::make_mut(&mut self.root), name)
    }

    /// Defines `name` as an instance of another component in the same store, or an interface that one exports: calls
    /// go from component to component.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn define_instance(&mut self, name: &str, instance: &Instance) -> Result<&mut Self> {
        self.root().define(name, Definition::Export(ExportItem::Instance(instance.value().clone())))?;
        Ok(self)
    }

    /// Takes a definition away, so that components that need it are refused. Returns whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        Arc::make_mut(&mut self.root).shift_remove(name).is_some()
    }

    /// This linker, for components of which each may take up no more than its own limits allow, beside those of its store:
    /// over either it traps alone. Each has the [fuel](Limits::fuel) of the limits for itself, and
    /// ends at their [deadline](Limits::deadline).
    ///
    /// Of the limits, those say nothing that are counted for the store alone: [`Limits::stack_bytes`] and
    /// [`Limits::exception_bytes`].
    #[must_use]
    pub fn within(&self, limits: &Limits) -> Self {
        Linker { limits: Some(Arc::new(limits.clone())), ..self.clone() }
    }

    /// What a component imports that is not defined here, as `name` or `interface#name`.
    pub fn missing(&self, component: &Component) -> Vec<String> {
        let inner = component.inner();
        let env = Env::new(inner.types.clone());
        inner
            .plan
            .imports
            .iter()
            .filter_map(|import| match self.resolve(&import.name, &import.ty, &env, None).err()?.kind() {
                ErrorKind::MissingImport { name, .. } => Some(name.clone()),
                _ => None,
            })
            .collect()
    }

    /// Instantiates a component. Its start functions run to their ends, if neither it nor the store has a deadline.
    ///
    /// # Errors
    /// [`ErrorKind::MissingImport`] or [`ErrorKind::TypeMismatch`] when the component needs what is not defined here,
    /// and whatever its start functions end with.
    pub fn instantiate(
        &self,
        mut store: impl AsStoreMut<Data = T>,
        component: &Component,
    ) -> Result<Instance> {
        let store = store.as_store_mut();
        self.instantiate_in(store.core(), component, None)
    }

    /// Instantiates a component in turns with whatever else the executor has to do: see [`Store::set_time_slice`].
    ///
    /// # Errors
    /// As for [`instantiate`](Linker::instantiate).
    ///
    /// # Cancel safety
    /// Dropping the future ends what it has made, as [`Instance::end`] does, when the store is driven next.
    pub async fn instantiate_async(&self, store: &mut Store<T>, component: &Component) -> Result<Instance> {
        let (slot, cancel) = self.start_instantiating(store.core(), component);
        let instance = StoreCore::drive(store, || slot.take()).await?;
        cancel.done();
        instance
    }

    /// Instantiates a component inside [`Store::run_concurrent`], while other calls go on.
    ///
    /// # Errors
    /// As for [`instantiate`](Linker::instantiate).
    ///
    /// # Cancel safety
    /// As for [`instantiate_async`](Linker::instantiate_async).
    pub async fn instantiate_concurrent(
        &self,
        store: &Accessor<T>,
        component: &Component,
    ) -> Result<Instance> {
        let (slot, cancel) = store.with(|store| self.start_instantiating(store.core(), component));
        let instance = std::future::poll_fn(|cx| slot.poll(cx.waker())).await;
        cancel.done();
        instance
    }

    /// Has the event loop instantiate a component, unless what comes with the result is dropped.
    fn start_instantiating(&self, core: &StoreCore, component: &Component) -> Started<Instance> {
        let (slot, pending) = (Arc::new(Slot::default()), Arc::new(Pending::default()));
        let cancel = core.cancel_on_drop(&pending);
        let (linker, component, result) = (self.clone(), component.clone(), slot.clone());
        let job = move |core: &StoreCore| {
            if !pending.is_dropped() {
                result.set(linker.instantiate_in(core, &component, Some(&pending)));
            }
        };
        core.jobs.borrow_mut().push_back(Job::new(job));
        (slot, cancel)
    }

    fn instantiate_in(
        &self,
        core: &StoreCore,
        component: &Component,
        pending: Option<&Pending>,
    ) -> Result<Instance> {
        if !core.engine.same(&self.engine) || !core.engine.same(&component.inner().engine) {
            return Err(Error::usage("store, linker and component belong to different engines"));
        }
        core.check_running()?;
        core.clear_away();
        let island = core.new_island(component.inner(), self.limits.as_deref().unwrap_or(&core.limits))?;
        if let Some(pending) = pending {
            pending.begun_instance(&island);
        }
        let component = ComponentValue::root(component.inner().clone());
        let value = instantiate(core, &island, &component, &mut |name, ty, env| {
            self.resolve(name, ty, env, Some(core))
        });
        match value {
            Ok(value) => Ok(Instance::new(Arc::new(value), island, core.id)),
            Err(error) => {
                core.end_island(&island, EndCause::Failed(error.clone()));
                core.clear_away();
                Err(error)
            }
        }
    }

    fn resolve(&self, name: &str, ty: &ItemType, env: &Env, core: Option<&StoreCore>) -> Result<ExportItem> {
        resolve(lookup(&self.root, name), name, name, ty, env, core)
    }
}

/// The interface called `name` among `definitions`, made if it is not there yet.
fn interface<'a, T>(definitions: &'a mut Definitions, name: &str) -> Result<LinkerInstance<'a, T>> {
    let definition =
        definitions.entry(name.to_owned()).or_insert_with(|| Definition::Instance(Definitions::new()));
    match definition {
        Definition::Instance(definitions) => Ok(LinkerInstance { definitions, data: PhantomData }),
        _ => Err(Error::usage(format!("`{name}` is defined already, and not as an interface"))),
    }
}

/// Finds a definition by name, or by another version that is compatible.
pub(crate) fn lookup<'a, V>(items: &'a IndexMap<String, V>, name: &str) -> Option<&'a V> {
    if let Some(item) = items.get(name) {
        return Some(item);
    }
    let track = track(name)?;
    items
        .iter()
        .filter(|(name, _)| self::track(name).as_ref() == Some(&track))
        .map(|(_, item)| item)
        .next_back()
}

/// A name with the part of its version that compatible versions share.
fn track(name: &str) -> Option<(&str, u64, u64)> {
    let (name, version) = name.split_once('@')?;
    let version = Version::parse(version).ok().filter(|version| version.pre.is_empty())?;
    match (version.major, version.minor) {
        (0, 0) => None,
        (0, minor) => Some((name, 0, minor)),
        (major, _) => Some((name, major, 0)),
    }
}

fn resolve(
    definition: Option<&Definition>,
    name: &str,
    path: &str,
    ty: &ItemType,
    env: &Env,
    core: Option<&StoreCore>,
) -> Result<ExportItem> {
    let missing = |kind| Err(Error::new(ErrorKind::MissingImport { kind, name: path.to_owned() }));
    match (definition, ty) {
        (Some(Definition::Export(item)), _) => Ok(item.clone()),
        (Some(Definition::Func(func)), ItemType::Func(id)) => {
            func.check(&env.types, *id).map_err(|error| error.inside(path))?;
            Ok(ExportItem::Func(FuncValue::Host(func.clone())))
        }
        (Some(Definition::Resource(ty, drop)), ItemType::Resource(id)) => {
            env.bind(*id, *ty);
            if let Some(core) = core {
                core.host_drops.borrow_mut().entry(*ty).or_insert_with(|| drop.clone());
            }
            Ok(ExportItem::Resource(*ty))
        }
        (definition, ItemType::Instance(instance)) => {
            let empty = Definitions::new();
            let members = match definition {
                Some(Definition::Instance(members)) => members,
                Some(_) => return missing("instance"),
                None => &empty,
            };
            let needs_definition = |(_, ty): &(String, ItemType)| !matches!(ty, ItemType::OtherType);
            if definition.is_none() && instance.exports.iter().any(needs_definition) {
                return missing("instance");
            }
            let mut value = InstanceValue::default();
            for (member, ty) in &instance.exports {
                let path = format!("{name}#{member}");
                let item = resolve(members.get(member), member, &path, ty, env, core)?;
                value.exports.insert(member.clone(), item);
            }
            Ok(ExportItem::Instance(Arc::new(value)))
        }
        (_, ItemType::OtherType) => Ok(ExportItem::Type),
        (_, ItemType::Func(_)) => missing("function"),
        // Interfaces name the resource types of others that they use; those were bound when the others were.
        (None, ItemType::Resource(id)) if let Some(resource) = env.bound(*id) => {
            Ok(ExportItem::Resource(resource))
        }
        (_, ItemType::Resource(_)) => missing("resource"),
        (_, ItemType::Module) => missing("core module"),
        (_, ItemType::Component) => missing("component"),
    }
}

impl<T: Send + 'static> LinkerInstance<'_, T> {
    fn define(&mut self, name: &str, definition: Definition) -> Result<&mut Self> {
        if self.definitions.contains_key(name) {
            return Err(Error::usage(format!("`{name}` is defined already")));
        }
        self.definitions.insert(name.to_owned(), definition);
        Ok(self)
    }

    /// Defines a function that answers at once. Components may import it as `async` or not.
    ///
    /// Its parameters are a tuple `P`; its result is one value, or `()` for none. An error ends the guest.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn func<P, R>(
        &mut self,
        name: &str,
        f: impl Fn(StoreMut<'_, T>, P) -> Result<R> + Send + Sync + 'static,
    ) -> Result<&mut Self>
    where
        P: LiftParams + 'static,
        R: Lower + 'static,
    {
        self.define(name, Definition::Func(Arc::new(SyncHostFunc::new(f))))
    }

    /// Defines a function that may wait before it answers. While it does, guests go on where they can.
    ///
    /// # Errors
    /// If the name is taken.
    ///
    /// # Cancel safety
    /// When the guest cancels the call, the future is dropped.
    pub fn func_async<P, R, F>(
        &mut self,
        name: &str,
        f: impl Fn(Accessor<T>, P) -> F + Send + Sync + 'static,
    ) -> Result<&mut Self>
    where
        P: LiftParams + 'static,
        R: Lower + Send + 'static,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        self.define(name, Definition::Func(Arc::new(AsyncHostFunc::new(f))))
    }

    /// Defines a function whose type is whatever the component imports it with.
    ///
    /// `f` receives the result's type, if the function has a result.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn func_dynamic(
        &mut self,
        name: &str,
        f: impl Fn(StoreMut<'_, T>, &[Val], Option<&Type>) -> Result<Option<Val>> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        self.define(name, Definition::Func(Arc::new(DynamicHostFunc::new(f))))
    }

    /// Defines a resource type whose handles stand for a [`Resource<R>`]; `drop` runs when an owned handle is dropped.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn resource<R: 'static>(
        &mut self,
        name: &str,
        drop: impl Fn(StoreMut<'_, T>, Resource<R>) -> Result<()> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        let drop = host_drop(move |store: StoreMut<'_, T>, rep| drop(store, Resource::new_own(rep)));
        self.define(name, Definition::Resource(ResourceType::host::<R>(), drop))
    }

    /// An interface inside this one, made if it is not there yet.
    ///
    /// # Errors
    /// If something else has this name.
    pub fn instance(&mut self, name: &str) -> Result<LinkerInstance<'_, T>> {
        interface(self.definitions, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compatible_versions_match() {
        let items: IndexMap<String, u32> =
            [("a:b/c@0.3.2".to_owned(), 1), ("a:b/d@1.4.0".to_owned(), 2)].into();
        for (name, expected) in [
            ("a:b/c@0.3.2", Some(1)),
            ("a:b/c@0.3.0", Some(1)),
            ("a:b/c@0.2.9", None),
            ("a:b/c@0.3.0-rc-1", None),
            ("a:b/d@1.0.0", Some(2)),
            ("a:b/d@2.0.0", None),
            ("a:b/c", None),
        ] {
            assert_eq!(lookup(&items, name).copied(), expected, "{name}");
        }
    }
}
