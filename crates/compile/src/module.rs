//! What a core module declares, as the runtime needs it after compilation: the module without its bytes.

use std::collections::HashMap;

use tombolo_types::TypeId;
use tombolo_types::core::{ExternType, GlobalType, MemoryType, RefType, TableType};

/// A core module's declarations. Index spaces list imports first, as in the binary format.
#[derive(Clone, Debug, Default)]
pub struct ModuleInfo {
    /// The module's name from its name section.
    pub name: Option<String>,
    /// Engine-wide number of each type in the type section.
    pub types: Vec<TypeId>,
    /// Imports in order.
    pub imports: Vec<Import>,
    /// Type of each function, imported ones first.
    pub functions: Vec<TypeId>,
    /// How many of `functions` are imported; likewise below.
    pub imported_functions: u32,
    /// Type of each table.
    pub tables: Vec<TableType>,
    /// How many tables are imported.
    pub imported_tables: u32,
    /// Initial value of the elements of each table that the module defines; `None` is null.
    pub table_inits: Vec<Option<ConstExpr>>,
    /// Type of each memory.
    pub memories: Vec<MemoryType>,
    /// How many memories are imported.
    pub imported_memories: u32,
    /// Type of each global.
    pub globals: Vec<GlobalType>,
    /// How many globals are imported.
    pub imported_globals: u32,
    /// Initial value of each global that the module defines.
    pub global_inits: Vec<ConstExpr>,
    /// Type of each tag.
    pub tags: Vec<TypeId>,
    /// How many tags are imported.
    pub imported_tags: u32,
    /// Exports in order.
    pub exports: Vec<Export>,
    /// Position in `exports` of each name.
    pub export_index: HashMap<String, usize>,
    /// The start function.
    pub start: Option<u32>,
    /// Element segments.
    pub elements: Vec<ElementSegment>,
    /// Data segments; the bytes themselves are ranges of the module's bytes.
    pub data: Vec<DataSegment>,
    /// Functions that can become values (exported, in an element segment, or named by `ref.func`), ascending.
    /// Each has a `FuncRef` in the instance's context, in this order.
    pub escaping: Vec<u32>,
    /// Function names from the name section, by function index.
    pub function_names: HashMap<u32, String>,
    /// What debuggers know of its source, if it has that and it was asked for.
    pub debug: Option<Box<DebugSections>>,
}

/// The DWARF of a module, as far as it says what an instruction's source is. Nothing of it has been looked at.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each is the custom section of its name behind `.debug_`")]
pub struct DebugSections {
    /// Where the contents of the code section begin in the file: what DWARF counts addresses from.
    pub code_section: u32,
    pub abbrev: Box<[u8]>,
    pub addr: Box<[u8]>,
    pub info: Box<[u8]>,
    pub line: Box<[u8]>,
    pub line_str: Box<[u8]>,
    pub ranges: Box<[u8]>,
    pub rnglists: Box<[u8]>,
    pub str: Box<[u8]>,
    pub str_offsets: Box<[u8]>,
}

/// An import of a module.
#[derive(Clone, Debug)]
pub struct Import {
    /// First name.
    pub module: String,
    /// Second name.
    pub name: String,
    /// What is imported.
    pub ty: ExternType,
}

/// An export of a module.
#[derive(Clone, Debug)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// What it refers to.
    pub item: Item,
}

/// An item of one of a module's index spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A function.
    Func(u32),
    /// A table.
    Table(u32),
    /// A memory.
    Memory(u32),
    /// A global.
    Global(u32),
    /// An exception tag.
    Tag(u32),
}

/// A constant expression, as postfix operations (extended constant expressions included).
pub type ConstExpr = Vec<ConstOp>;

/// An operation of a constant expression.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the instruction of its name")]
pub enum ConstOp {
    I32Const(i32),
    I64Const(i64),
    /// The bits of the float.
    F32Const(u32),
    /// The bits of the float.
    F64Const(u64),
    V128Const(u128),
    GlobalGet(u32),
    RefNull,
    RefFunc(u32),
    I32Add,
    I32Sub,
    I32Mul,
    I64Add,
    I64Sub,
    I64Mul,
}

/// An element segment.
#[derive(Clone, Debug)]
pub struct ElementSegment {
    /// What is done with it at instantiation.
    pub mode: SegmentMode,
    /// Type of its elements.
    pub ty: RefType,
    /// The elements.
    pub items: ElementItems,
}

/// The elements of a segment.
#[derive(Clone, Debug)]
pub enum ElementItems {
    /// Functions, by index.
    Functions(Box<[u32]>),
    /// Anything else.
    Expressions(Box<[ConstExpr]>),
}

/// A data segment.
#[derive(Clone, Debug)]
pub struct DataSegment {
    /// What is done with it at instantiation.
    pub mode: SegmentMode,
    /// Where its bytes are in the module's bytes.
    pub range: std::ops::Range<usize>,
}

/// What is done with a segment at instantiation.
#[derive(Clone, Debug)]
pub enum SegmentMode {
    /// Nothing: the module's instructions use it.
    Passive,
    /// It is copied into a table or memory, at an offset.
    Active {
        /// The table or memory.
        index: u32,
        /// Where to.
        offset: ConstExpr,
    },
    /// Element segments only: its functions may be named by `ref.func`.
    Declared,
}
