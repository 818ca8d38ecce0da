//! Instantiation: carrying out a component's plan.

mod builtin;

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;
use tombolo_tasks::{Door, InstanceId};
use tombolo_types::component::{FlatType, ResourceIdx};
use tombolo_vm::{Extern, FuncHandle, LimitKind, Module};

use super::blocking::CoreCode;
use super::core::StoreCore;
use super::env::Env;
use super::func::{FuncSig, FuncValue, LiftedFunc, LoweredFunc};
use super::guest::Guest;
use super::island::Island;
use super::resource_type::GuestResource;
use super::same_func;
use super::thread::Code;
use crate::component::{
    ComponentInner, ComponentPlan, CoreItem, InstanceType, Item, ItemType, Kind, Options, Step,
};
use crate::error::{Error, ErrorKind, Result};
use crate::resource::ResourceType;

/// An instance as its importers see it: names and what they stand for.
#[derive(Clone, Default)]
pub(crate) struct InstanceValue {
    pub exports: IndexMap<String, ExportItem>,
}

/// Something that a component exports.
#[derive(Clone)]
pub(crate) enum ExportItem {
    /// A function and its type in the environment of whoever exports it.
    Func(FuncValue),
    Instance(Arc<InstanceValue>),
    Component(ComponentValue),
    Module(Arc<Module>),
    Resource(ResourceType),
    /// A type that says nothing at run time.
    Type,
}

/// A component that can be instantiated: its plan and the definitions of enclosing components that it refers to.
#[derive(Clone)]
pub(crate) struct ComponentValue {
    pub file: Arc<ComponentInner>,
    pub plan: Arc<ComponentPlan>,
    outer: Option<Arc<Scope>>,
}

impl ComponentValue {
    /// The outermost component of a file.
    pub fn root(file: Arc<ComponentInner>) -> Self {
        ComponentValue { plan: file.plan.clone(), file, outer: None }
    }
}

/// Modules and components of an enclosing component, as they were where a nested one was defined.
struct Scope {
    modules: Vec<Arc<Module>>,
    components: Vec<ComponentValue>,
    outer: Option<Arc<Scope>>,
}

/// Instantiates a component with its imports, found by `import`.
pub(crate) fn instantiate(
    core: &StoreCore,
    island: &Arc<Island>,
    component: &ComponentValue,
    import: &mut dyn FnMut(&str, &ItemType, &Env) -> Result<ExportItem>,
) -> Result<InstanceValue> {
    core.add_part(island, |parts| parts.components.push(component.file.clone()));
    let code = Arc::new(CoreCode::new(component.plan.blocks));
    let spent = core.vm.within(island.group).spend(LimitKind::Instances, 1);
    spent.map_err(|exceeded| Error::new(ErrorKind::Limit(exceeded)))?;
    let limits = tombolo_tasks::Limits::default();
    let instance =
        core.tasks.borrow_mut().new_instance_sharing(island.clone(), limits, island.budget.clone())?;
    core.add_part(island, |parts| parts.instances.push(instance));
    let door = core.tasks.borrow().instance(instance)?.door().clone();
    let mut instantiator = Instantiator {
        core,
        island,
        component,
        instance,
        door,
        code,
        env: Arc::new(Env::new(component.file.types.clone())),
        funcs: Vec::new(),
        instances: Vec::new(),
        components: Vec::new(),
        modules: Vec::new(),
        core_funcs: Vec::new(),
        core_tables: Vec::new(),
        core_memories: Vec::new(),
        core_globals: Vec::new(),
        core_tags: Vec::new(),
        core_instances: Vec::new(),
        exports: InstanceValue::default(),
    };
    for step in &component.plan.steps {
        instantiator.step(step, import)?;
        // It may have called what had it ended, or taken too long.
        if let Some(error) = island.error() {
            return Err(error);
        }
    }
    instantiator.code.complete();
    Ok(instantiator.exports)
}

/// A core instance: one that was instantiated, or names put together.
enum CoreInstance {
    Module(tombolo_vm::InstanceHandle),
    Names(IndexMap<String, Extern>),
}

struct Instantiator<'a> {
    core: &'a StoreCore,
    island: &'a Arc<Island>,
    component: &'a ComponentValue,
    instance: InstanceId,
    door: Door,
    code: Arc<CoreCode>,
    env: Arc<Env>,
    funcs: Vec<FuncValue>,
    instances: Vec<Arc<InstanceValue>>,
    components: Vec<ComponentValue>,
    modules: Vec<Arc<Module>>,
    core_funcs: Vec<FuncHandle>,
    core_tables: Vec<Extern>,
    core_memories: Vec<tombolo_vm::MemoryHandle>,
    core_globals: Vec<Extern>,
    core_tags: Vec<Extern>,
    core_instances: Vec<CoreInstance>,
    exports: InstanceValue,
}

/// An entry of an index space. Validation proved that it is there; a hole would be a defect of this runtime.
fn at<T>(space: &[T], index: u32) -> Result<&T> {
    space
        .get(index as usize)
        .ok_or_else(|| Error::usage(format!("index {index} is missing from an index space")))
}

impl Instantiator<'_> {
    fn step(
        &mut self,
        step: &Step,
        import: &mut dyn FnMut(&str, &ItemType, &Env) -> Result<ExportItem>,
    ) -> Result<()> {
        match step {
            Step::Import(index) => {
                let declared = at(&self.component.plan.imports, *index)?;
                let item = import(&declared.name, &declared.ty, &self.env)?;
                self.bind(&item, &declared.ty, &declared.name)?;
                self.define(item);
            }
            Step::Module(index) => self.modules.push(at(&self.component.file.modules, *index)?.clone()),
            Step::Component(plan) => {
                let outer = plan.captures.then(|| {
                    Arc::new(Scope {
                        modules: self.modules.clone(),
                        components: self.components.clone(),
                        outer: self.component.outer.clone(),
                    })
                });
                let file = self.component.file.clone();
                self.components.push(ComponentValue { file, plan: plan.clone(), outer });
            }
            Step::OuterModule { count, index } => {
                let module = match count {
                    0 => at(&self.modules, *index)?.clone(),
                    count => at(&self.scope(*count)?.modules, *index)?.clone(),
                };
                self.modules.push(module);
            }
            Step::OuterComponent { count, index } => {
                let component = match count {
                    0 => at(&self.components, *index)?.clone(),
                    count => at(&self.scope(*count)?.components, *index)?.clone(),
                };
                self.components.push(component);
            }
            Step::CoreInstantiate { module, args } => self.core_instantiate(*module, args)?,
            Step::CoreInstanceOf(items) => {
                let names = items
                    .iter()
                    .map(|(name, item)| Ok((name.clone(), self.core_item(*item)?)))
                    .collect::<Result<_>>()?;
                self.core_instances.push(CoreInstance::Names(names));
            }
            Step::CoreAlias { instance, name } => {
                match self.core_export(*instance, name)? {
                    Extern::Func(func) => self.core_funcs.push(func),
                    Extern::Memory(memory) => self.core_memories.push(memory),
                    table @ Extern::Table(_) => self.core_tables.push(table),
                    global @ Extern::Global(_) => self.core_globals.push(global),
                    tag @ Extern::Tag(_) => self.core_tags.push(tag),
                };
            }
            Step::Instantiate { component, args, ty } => self.instantiate(*component, args, ty)?,
            Step::InstanceOf(items) => {
                let exports = items
                    .iter()
                    .map(|(name, item)| Ok((name.clone(), self.item(*item)?)))
                    .collect::<Result<_>>()?;
                self.instances.push(Arc::new(InstanceValue { exports }));
            }
            Step::Alias { instance, name, kind, binding } => self.alias(*instance, name, *kind, *binding)?,
            Step::Resource { id, dtor } => {
                let dtor = dtor.map(|index| self.core.callable(*at(&self.core_funcs, index)?)).transpose()?;
                let ty = self.core.resources.borrow_mut().add(GuestResource {
                    code: self.code.clone(),
                    instance: self.instance,
                    dtor,
                    known_to_block: OnceLock::new(),
                });
                self.core.add_part(self.island, |parts| parts.resources.push(ty));
                self.env.bind(*id, ty);
            }
            Step::Lift { core, ty, options } => {
                let lifted = self.lift(*core, *ty, options)?;
                self.funcs.push(FuncValue::Guest(Arc::new(lifted)));
            }
            Step::Lower { func, ty, options, core_type } => {
                let lowered = self.lower(*func, *ty, options)?;
                let waits = !lowered.is_async && lowered.sig.is_async;
                let func = self.core.lower_to_core(lowered, *core_type)?;
                self.host_func(func, waits);
            }
            Step::Builtin { builtin, core_type } => {
                let func = self.builtin(builtin, *core_type)?;
                self.host_func(func, builtin.blocks());
            }
            Step::Export { name, item, ty } => {
                let item = self.item(*item)?;
                self.bind(&item, ty, name)?;
                self.exports.exports.insert(name.clone(), item.clone());
                self.define(item);
            }
        }
        Ok(())
    }

    /// Adds a core function of the host, which may block its caller or not.
    fn host_func(&mut self, func: FuncHandle, waits: bool) {
        if waits {
            self.code.note_waiting(self.core, func);
        }
        self.core_funcs.push(func);
    }

    fn scope(&self, count: u32) -> Result<&Scope> {
        let mut scope = self.component.outer.as_deref();
        for _ in 1..count {
            scope = scope.and_then(|scope| scope.outer.as_deref());
        }
        scope.ok_or_else(|| Error::usage("an enclosing component is missing"))
    }

    /// Adds an item to the index space of its kind.
    fn define(&mut self, item: ExportItem) {
        match item {
            ExportItem::Func(func) => self.funcs.push(func),
            ExportItem::Instance(instance) => self.instances.push(instance),
            ExportItem::Component(component) => self.components.push(component),
            ExportItem::Module(module) => self.modules.push(module),
            ExportItem::Resource(_) | ExportItem::Type => {}
        }
    }

    /// Binds the resource types that a type names to what the item has there, and checks functions.
    fn bind(&self, item: &ExportItem, ty: &ItemType, name: &str) -> Result<()> {
        match (item, ty) {
            (ExportItem::Resource(resource), ItemType::Resource(id)) => self.env.bind(*id, *resource),
            (ExportItem::Instance(value), ItemType::Instance(ty)) => {
                for (name, ty) in &ty.exports {
                    match (value.exports.get(name), ty) {
                        (Some(item), _) => self.bind(item, ty, name)?,
                        (None, ItemType::OtherType) => {}
                        (None, _) => {
                            let name = name.clone();
                            return Err(Error::new(ErrorKind::MissingImport { kind: "export", name }));
                        }
                    }
                }
            }
            (ExportItem::Func(FuncValue::Guest(func)), ItemType::Func(id))
                if !same_func(&self.env, *id, &func.guest.env, func.sig.ty) =>
            {
                return Err(Error::mismatch(
                    format!("function `{name}`"),
                    "its type differs from the import",
                ));
            }
            (ExportItem::Func(FuncValue::Host(func)), ItemType::Func(id)) => {
                func.check(&self.env.types, *id).map_err(|error| error.inside(name))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn item(&self, item: Item) -> Result<ExportItem> {
        Ok(match item {
            Item::Func(index) => ExportItem::Func(at(&self.funcs, index)?.clone()),
            Item::Instance(index) => ExportItem::Instance(at(&self.instances, index)?.clone()),
            Item::Component(index) => ExportItem::Component(at(&self.components, index)?.clone()),
            Item::Module(index) => ExportItem::Module(at(&self.modules, index)?.clone()),
            Item::Resource(id) => ExportItem::Resource(self.env.resource(id)?),
            Item::OtherType => ExportItem::Type,
        })
    }

    fn alias(&mut self, instance: u32, name: &str, kind: Kind, binding: Option<ResourceIdx>) -> Result<()> {
        let item = at(&self.instances, instance)?.exports.get(name).cloned();
        match (kind, item) {
            (Kind::Type, Some(ExportItem::Resource(resource))) => {
                if let Some(id) = binding {
                    self.env.bind(id, resource);
                }
            }
            (Kind::Type, _) => {}
            (_, Some(item)) => self.define(item),
            (_, None) => {
                let name = name.to_owned();
                return Err(Error::new(ErrorKind::MissingImport { kind: "export", name }));
            }
        }
        Ok(())
    }

    fn instantiate(&mut self, component: u32, args: &[(String, Item)], ty: &Arc<InstanceType>) -> Result<()> {
        let component = at(&self.components, component)?.clone();
        let args: IndexMap<&str, ExportItem> =
            args.iter().map(|(name, item)| Ok((name.as_str(), self.item(*item)?))).collect::<Result<_>>()?;
        let instance =
            instantiate(self.core, self.island, &component, &mut |name, ty, _| match (args.get(name), ty) {
                (Some(item), _) => Ok(item.clone()),
                (None, ItemType::OtherType) => Ok(ExportItem::Type),
                (None, _) => {
                    let name = name.to_owned();
                    Err(Error::new(ErrorKind::MissingImport { kind: "argument", name }))
                }
            })?;
        let instance = Arc::new(instance);
        self.bind(&ExportItem::Instance(instance.clone()), &ItemType::Instance(ty.clone()), "")?;
        self.instances.push(instance);
        Ok(())
    }

    fn core_instantiate(&mut self, module: u32, args: &[(String, u32)]) -> Result<()> {
        let module = at(&self.modules, module)?.clone();
        let imports = module
            .info()
            .imports
            .iter()
            .map(|import| {
                let instance = args.iter().find(|(name, _)| *name == import.module).map(|(_, index)| *index);
                match instance {
                    Some(instance) => self.core_export(instance, &import.name),
                    None => Err(Error::new(ErrorKind::MissingImport {
                        kind: "core module",
                        name: format!("{}#{}", import.module, import.name),
                    })),
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let group = self.core.vm.within(self.island.group);
        let instance = group.instantiate(&module, &imports).map_err(Error::instantiation)?;
        self.code.add(instance);
        if module.info().start.is_some() {
            self.core.run_in_instance(self.instance, Code::Start(instance), self.code.waits())?;
        }
        self.core_instances.push(CoreInstance::Module(instance));
        Ok(())
    }

    fn core_item(&self, item: CoreItem) -> Result<Extern> {
        Ok(match item {
            CoreItem::Func(index) => Extern::Func(*at(&self.core_funcs, index)?),
            CoreItem::Memory(index) => Extern::Memory(*at(&self.core_memories, index)?),
            CoreItem::Table(index) => *at(&self.core_tables, index)?,
            CoreItem::Global(index) => *at(&self.core_globals, index)?,
            CoreItem::Tag(index) => *at(&self.core_tags, index)?,
        })
    }

    fn core_export(&self, instance: u32, name: &str) -> Result<Extern> {
        let export = match at(&self.core_instances, instance)? {
            CoreInstance::Module(instance) => instance.export(&self.core.vm, name),
            CoreInstance::Names(names) => names.get(name).copied(),
        };
        export.ok_or_else(|| {
            Error::new(ErrorKind::MissingImport { kind: "core export", name: name.to_owned() })
        })
    }

    fn guest(&self, options: &Options) -> Result<Guest> {
        Ok(Guest {
            island: self.island.clone(),
            instance: self.instance,
            door: self.door.clone(),
            env: self.env.clone(),
            encoding: options.encoding,
            width: options.width,
            memory: options.memory.map(|index| at(&self.core_memories, index).copied()).transpose()?,
            realloc: self.callable(options.realloc)?,
        })
    }

    fn callable(&self, index: Option<u32>) -> Result<Option<super::guest::Callable>> {
        index.map(|index| self.core.callable(*at(&self.core_funcs, index)?)).transpose()
    }

    fn lift(
        &self,
        core: u32,
        ty: tombolo_types::component::FuncTypeId,
        options: &Options,
    ) -> Result<LiftedFunc> {
        let core = self.core.callable(*at(&self.core_funcs, core)?)?;
        let core_type = self.core.engine.registry().get(core.func.type_id(&self.core.vm));
        let sig = FuncSig::new(&self.env, ty);
        Ok(LiftedFunc {
            guest: self.guest(options)?,
            code: self.code.clone(),
            known_to_block: OnceLock::new(),
            sig,
            callback: self.callable(options.callback)?,
            post_return: self.callable(options.post_return)?,
            is_async: options.is_async,
            has_result: core_type.is_some_and(|ty| !ty.results.is_empty()),
            core,
        })
    }

    fn lower(
        &self,
        func: u32,
        ty: tombolo_types::component::FuncTypeId,
        options: &Options,
    ) -> Result<LoweredFunc> {
        let callee = at(&self.funcs, func)?.clone();
        if let FuncValue::Guest(func) = &callee {
            func.guest.check_alive()?;
        }
        let sig = FuncSig::new(&self.env, ty);
        let types = &self.env.types;
        let mut lowered = LoweredFunc {
            guest: self.guest(options)?,
            callee,
            is_async: options.is_async,
            core_params: 0,
            core_results: 0,
            has_out_pointer: false,
            calls: AtomicU32::new(0),
            sig,
        };
        let params = types.params_abi(ty, options.width).flat.as_deref();
        let result = match sig.result {
            Some(ty) => types.abi(ty, options.width).flat.as_deref(),
            None => Some([].as_slice()),
        };
        let (fits, count) = fitting(params, lowered.max_flat_params());
        lowered.core_params = if fits { count } else { 1 };
        let (fits, count) = fitting(result, lowered.max_flat_results());
        lowered.has_out_pointer = !fits;
        lowered.core_params += usize::from(!fits);
        lowered.core_results = if options.is_async {
            1
        } else if fits {
            count
        } else {
            0
        };
        Ok(lowered)
    }
}

/// Whether flat values stay within a limit, and how many they are.
fn fitting(flat: Option<&[FlatType]>, max: usize) -> (bool, usize) {
    match flat {
        Some(flat) => (flat.len() <= max, flat.len()),
        None => (false, 0),
    }
}
