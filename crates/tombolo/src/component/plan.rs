//! What is done to instantiate a component: its definitions in order, with every type resolved.
//!
//! A component's binary is a list of definitions, each adding to an index space. A [`ComponentPlan`] is that list
//! without the types, which live in the file's [`Types`](tombolo_types::component::Types) table. The instantiator
//! carries it out step by step; the index spaces it fills have the numbering of the binary.

use std::sync::Arc;

use tombolo_types::TypeId;
use tombolo_types::component::{DefId, FuncTypeId, PtrWidth, ResourceIdx, TypeRef};

use crate::abi::Encoding;

/// One component definition of a file.
#[derive(Debug, Default)]
pub(crate) struct ComponentPlan {
    pub steps: Vec<Step>,
    pub imports: Vec<ComponentImport>,
    pub exports: Vec<ComponentExport>,
    /// Whether core code of an instance can block: it has a built-in or lowered a function that waits.
    pub blocks: bool,
    /// Whether a step, here or in a component nested inside, refers to an enclosing component's definitions.
    pub captures: bool,
}

/// An import of a component.
#[derive(Debug)]
pub(crate) struct ComponentImport {
    pub name: String,
    pub ty: ItemType,
}

/// An export of a component, in order.
#[derive(Debug)]
pub(crate) struct ComponentExport {
    pub name: String,
}

/// The type of something that a component imports or exports.
#[derive(Clone, Debug)]
pub(crate) enum ItemType {
    Func(FuncTypeId),
    Instance(Arc<InstanceType>),
    /// A resource type.
    Resource(ResourceIdx),
    /// A type that says nothing at run time: of a value, a function, an instance or a component.
    OtherType,
    Module,
    Component,
}

/// The exports of an instance, in order.
#[derive(Debug, Default)]
pub(crate) struct InstanceType {
    pub exports: Vec<(String, ItemType)>,
}

/// An item of a component's index spaces.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item {
    Func(u32),
    Instance(u32),
    Component(u32),
    Module(u32),
    Resource(ResourceIdx),
    OtherType,
}

/// An item of a component's core index spaces.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CoreItem {
    Func(u32),
    Table(u32),
    Memory(u32),
    Global(u32),
    Tag(u32),
}

/// The kind of something that is aliased from an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Func,
    Instance,
    Component,
    Module,
    Type,
}

/// A definition.
#[derive(Debug)]
pub(crate) enum Step {
    /// Takes import number `0` of the plan.
    Import(u32),
    /// A core module that the file contains.
    Module(u32),
    /// A component nested in this one.
    Component(Arc<ComponentPlan>),
    /// A module or component of an enclosing component, `count` levels out.
    OuterModule {
        count: u32,
        index: u32,
    },
    OuterComponent {
        count: u32,
        index: u32,
    },
    CoreInstantiate {
        module: u32,
        args: Vec<(String, u32)>,
    },
    CoreInstanceOf(Vec<(String, CoreItem)>),
    CoreAlias {
        instance: u32,
        name: String,
    },
    Instantiate {
        component: u32,
        args: Vec<(String, Item)>,
        ty: Arc<InstanceType>,
    },
    InstanceOf(Vec<(String, Item)>),
    /// `binding` is the resource type that the alias names.
    Alias {
        instance: u32,
        name: String,
        kind: Kind,
        binding: Option<ResourceIdx>,
    },
    Resource {
        id: ResourceIdx,
        dtor: Option<u32>,
    },
    Lift {
        core: u32,
        ty: FuncTypeId,
        options: Options,
    },
    Lower {
        func: u32,
        ty: FuncTypeId,
        options: Options,
        core_type: TypeId,
    },
    Builtin {
        builtin: Builtin,
        core_type: TypeId,
    },
    /// Exports an item, which adds it to its index space again.
    Export {
        name: String,
        item: Item,
        ty: ItemType,
    },
}

/// Canonical options (CanonicalABI.md, "Canonical ABI Options"); memories and functions by core index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub encoding: Encoding,
    pub width: PtrWidth,
    pub memory: Option<u32>,
    pub realloc: Option<u32>,
    pub post_return: Option<u32>,
    pub callback: Option<u32>,
    pub is_async: bool,
}

/// Which end of a stream or future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Readable,
    Writable,
}

/// A canonical built-in. `DefId`s are stream and future types, which carry their element.
#[derive(Clone, Debug)]
pub(crate) enum Builtin {
    ResourceNew(ResourceIdx),
    ResourceRep(ResourceIdx),
    ResourceDrop(ResourceIdx),
    BackpressureInc,
    BackpressureDec,
    TaskReturn {
        result: Option<TypeRef>,
        options: Options,
    },
    TaskCancel,
    ContextGet(u32),
    ContextSet(u32),
    ThreadYield,
    SubtaskDrop,
    SubtaskCancel {
        is_async: bool,
    },
    New(DefId),
    /// `stream.read`, `stream.write`, `future.read`, `future.write`.
    Copy {
        ty: DefId,
        side: Side,
        options: Options,
    },
    CancelCopy {
        ty: DefId,
        side: Side,
        is_async: bool,
    },
    DropEnd {
        ty: DefId,
        side: Side,
    },
    /// `stream.forward`, `future.forward`.
    Forward {
        ty: DefId,
    },
    WaitableSetNew,
    WaitableSetWait {
        options: Options,
    },
    WaitableSetPoll {
        options: Options,
    },
    WaitableSetDrop,
    WaitableJoin,
    ThreadIndex,
    /// The core type of the functions in the table, which is named by its core index.
    ThreadNewIndirect {
        ty: TypeId,
        table: u32,
    },
    ThreadResumeLater,
    ThreadSuspend,
    ThreadSwitch(Switch),
    ErrorContextNew {
        options: Options,
    },
    ErrorContextDebugMessage {
        options: Options,
    },
    ErrorContextDrop,
}

/// The built-ins by which a thread hands over to another one of its instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    SuspendThenResume,
    YieldThenResume,
    SuspendThenPromote,
    YieldThenPromote,
}

impl Builtin {
    /// Whether core code that calls it may have to wait.
    pub fn blocks(&self) -> bool {
        match self {
            Builtin::ThreadYield
            | Builtin::WaitableSetWait { .. }
            | Builtin::ThreadSuspend
            | Builtin::ThreadSwitch(_) => true,
            Builtin::SubtaskCancel { is_async } | Builtin::CancelCopy { is_async, .. } => !is_async,
            Builtin::Copy { options, .. } => !options.is_async,
            _ => false,
        }
    }
}
