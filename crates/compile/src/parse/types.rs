//! Types as the runtime knows them.

use tombolo_types::TypeId;
use tombolo_types::core::{FuncType, HeapType, MemoryType, RefType, TableType, ValType};
use wasmparser::{AbstractHeapType, CompositeInnerType, RecGroup, UnpackedIndex};

use super::Reader;
use crate::CompileError;

impl Reader<'_> {
    /// Adds the types of a recursion group. Without the types of the GC proposal there are only function types, each
    /// in a group of its own, which refer to earlier ones: equal structure is equal type.
    pub(super) fn type_group(&mut self, group: &RecGroup, offset: u64) -> Result<(), CompileError> {
        let mut types = group.types();
        let (Some(ty), None) = (types.next(), types.next()) else {
            return Err(CompileError::unsupported("recursion groups of types (GC proposal)", offset));
        };
        if !ty.is_final || !ty.supertype_idxs.is_empty() {
            return Err(CompileError::unsupported("subtypes (GC proposal)", offset));
        }
        let ty = match &ty.composite_type.inner {
            CompositeInnerType::Func(_) if ty.composite_type.shared => {
                return Err(CompileError::unsupported("shared types (shared-everything-threads)", offset));
            }
            CompositeInnerType::Func(ty) => ty,
            CompositeInnerType::Struct(_) => {
                return Err(CompileError::unsupported("struct types (GC proposal)", offset));
            }
            CompositeInnerType::Array(_) => {
                return Err(CompileError::unsupported("array types (GC proposal)", offset));
            }
            CompositeInnerType::Cont(_) => {
                return Err(CompileError::unsupported("continuation types", offset));
            }
        };
        let values = |types: &[wasmparser::ValType]| {
            types.iter().map(|ty| self.value_type(*ty, offset)).collect::<Result<Box<[ValType]>, _>>()
        };
        let ty = FuncType { params: values(ty.params())?, results: values(ty.results())? };
        let id = self.registry.intern(ty);
        let Some(ty) = self.registry.get(id) else {
            return Err(CompileError::internal("the type registry lost a type", offset));
        };
        self.info.types.push(id);
        self.types.push(ty);
        Ok(())
    }

    pub(super) fn type_id(&self, index: u32, offset: u64) -> Result<TypeId, CompileError> {
        let id = self.info.types.get(index as usize).copied();
        id.ok_or_else(|| CompileError::unsupported("recursive types (GC proposal)", offset))
    }

    pub(super) fn table_type(
        &self,
        ty: &wasmparser::TableType,
        offset: u64,
    ) -> Result<TableType, CompileError> {
        if ty.shared {
            return Err(CompileError::unsupported("shared tables (shared-everything-threads)", offset));
        }
        Ok(TableType {
            element: self.ref_type(ty.element_type, offset)?,
            table64: ty.table64,
            minimum: ty.initial,
            maximum: ty.maximum,
        })
    }

    pub(super) fn value_type(&self, ty: wasmparser::ValType, offset: u64) -> Result<ValType, CompileError> {
        Ok(match ty {
            wasmparser::ValType::I32 => ValType::I32,
            wasmparser::ValType::I64 => ValType::I64,
            wasmparser::ValType::F32 => ValType::F32,
            wasmparser::ValType::F64 => ValType::F64,
            wasmparser::ValType::V128 => ValType::V128,
            wasmparser::ValType::Ref(ty) => ValType::Ref(self.ref_type(ty, offset)?),
        })
    }

    pub(super) fn ref_type(&self, ty: wasmparser::RefType, offset: u64) -> Result<RefType, CompileError> {
        let heap = match heap_type(ty.heap_type(), offset)? {
            Heap::Abstract(heap) => heap,
            Heap::Concrete(index) => HeapType::Concrete(self.type_id(index, offset)?),
        };
        Ok(RefType { nullable: ty.is_nullable(), heap })
    }
}

/// A heap type that is supported.
pub(crate) enum Heap {
    Abstract(HeapType),
    /// A function type, by its type index.
    Concrete(u32),
}

/// Sorts out the heap types that are not supported.
pub(crate) fn heap_type(ty: wasmparser::HeapType, offset: u64) -> Result<Heap, CompileError> {
    match ty {
        wasmparser::HeapType::Abstract { shared: true, .. } => {
            Err(CompileError::unsupported("shared references (shared-everything-threads)", offset))
        }
        wasmparser::HeapType::Abstract { shared: false, ty } => Ok(Heap::Abstract(match ty {
            AbstractHeapType::Func => HeapType::Func,
            AbstractHeapType::NoFunc => HeapType::NoFunc,
            AbstractHeapType::Extern => HeapType::Extern,
            AbstractHeapType::NoExtern => HeapType::NoExtern,
            AbstractHeapType::Exn => HeapType::Exn,
            AbstractHeapType::NoExn => HeapType::NoExn,
            other => {
                let what = format!("references to {} (GC proposal)", format!("{other:?}").to_lowercase());
                return Err(CompileError::unsupported(what, offset));
            }
        })),
        wasmparser::HeapType::Concrete(UnpackedIndex::Module(index)) => Ok(Heap::Concrete(index)),
        wasmparser::HeapType::Concrete(_) => {
            Err(CompileError::unsupported("recursive types (GC proposal)", offset))
        }
        wasmparser::HeapType::Exact(_) => {
            Err(CompileError::unsupported("references to exact types (custom-descriptors)", offset))
        }
    }
}

pub(super) fn memory(ty: &wasmparser::MemoryType, offset: u64) -> Result<MemoryType, CompileError> {
    let page_size_log2 = ty.page_size_log2.unwrap_or(16);
    if page_size_log2 != 16 && page_size_log2 != 0 {
        return Err(CompileError::unsupported(format!("pages of 2^{page_size_log2} bytes"), offset));
    }
    Ok(MemoryType {
        memory64: ty.memory64,
        shared: ty.shared,
        minimum: ty.initial,
        maximum: ty.maximum,
        page_size_log2,
    })
}
