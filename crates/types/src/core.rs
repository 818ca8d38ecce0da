//! Core WebAssembly types (core specification, section 2.3).

use crate::TypeId;

/// A value type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit vector.
    V128,
    /// A reference.
    Ref(RefType),
}

/// A reference type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefType {
    /// Whether null is a value of this type.
    pub nullable: bool,
    /// What is referred to.
    pub heap: HeapType,
}

impl RefType {
    /// `(ref null func)`, which the text format calls `funcref`.
    pub const FUNCREF: RefType = RefType { nullable: true, heap: HeapType::Func };
    /// `(ref null extern)`, which the text format calls `externref`.
    pub const EXTERNREF: RefType = RefType { nullable: true, heap: HeapType::Extern };
}

/// What a reference refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeapType {
    /// Any function.
    Func,
    /// A function of one type.
    Concrete(TypeId),
    /// No function: only null.
    NoFunc,
    /// A value of the host.
    Extern,
    /// No value of the host: only null.
    NoExtern,
    /// An exception.
    Exn,
    /// No exception: only null.
    NoExn,
}

impl HeapType {
    /// Whether references of this type are pointers to function references in compiled code.
    pub fn is_func(self) -> bool {
        matches!(self, HeapType::Func | HeapType::Concrete(_) | HeapType::NoFunc)
    }
}

impl ValType {
    /// Whether values of this type are references to exceptions.
    pub fn is_exception(self) -> bool {
        matches!(self, ValType::Ref(RefType { heap: HeapType::Exn | HeapType::NoExn, .. }))
    }
}

/// A function type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FuncType {
    /// Parameter types.
    pub params: Box<[ValType]>,
    /// Result types.
    pub results: Box<[ValType]>,
}

impl FuncType {
    /// Makes a function type of its parameters and results.
    pub fn new(params: impl Into<Box<[ValType]>>, results: impl Into<Box<[ValType]>>) -> Self {
        FuncType { params: params.into(), results: results.into() }
    }
}

/// A memory type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryType {
    /// Whether addresses are 64 bits wide.
    pub memory64: bool,
    /// Whether the memory may be shared between threads.
    pub shared: bool,
    /// Initial size in pages.
    pub minimum: u64,
    /// Largest size in pages.
    pub maximum: Option<u64>,
    /// Base-2 logarithm of the page size: 16, or 0 with custom page sizes.
    pub page_size_log2: u32,
}

impl MemoryType {
    /// The largest size in pages that addresses of this type can reach.
    pub fn addressable_pages(&self) -> u64 {
        let bits = if self.memory64 { 64 } else { 32 };
        if self.page_size_log2 == 0 && bits == 64 { u64::MAX } else { 1 << (bits - self.page_size_log2) }
    }
}

/// A table type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableType {
    /// What its elements are.
    pub element: RefType,
    /// Whether indices are 64 bits wide.
    pub table64: bool,
    /// Initial number of elements.
    pub minimum: u64,
    /// Largest number of elements.
    pub maximum: Option<u64>,
}

/// A global type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalType {
    /// What it holds.
    pub value: ValType,
    /// Whether it can be set.
    pub mutable: bool,
}

/// The type of something that a module imports or exports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ExternType {
    /// A function of an interned type.
    Func(TypeId),
    /// A table.
    Table(TableType),
    /// A memory.
    Memory(MemoryType),
    /// A global.
    Global(GlobalType),
    /// An exception tag, whose type has no results.
    Tag(TypeId),
}
