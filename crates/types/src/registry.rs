//! One number for each distinct function type of an engine, so that compiled code compares types by number.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::core::FuncType;

/// The number of a function type in its engine's [`TypeRegistry`]. Two types are equal exactly when their
/// numbers in the same registry are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// The distinct function types of an engine. Grows only; a type is a few dozen bytes.
#[derive(Debug, Default)]
pub struct TypeRegistry {
    types: RwLock<Types>,
}

#[derive(Debug, Default)]
struct Types {
    by_type: HashMap<Arc<FuncType>, TypeId>,
    by_id: Vec<Arc<FuncType>>,
}

impl TypeRegistry {
    /// Returns the number of `ty`, giving it one if it has none yet.
    pub fn intern(&self, ty: FuncType) -> TypeId {
        if let Some(id) = self.types.read().unwrap_or_else(PoisonError::into_inner).by_type.get(&ty) {
            return *id;
        }
        let mut types = self.types.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = types.by_type.get(&ty) {
            return *id;
        }
        let id = TypeId(types.by_id.len() as u32);
        let ty = Arc::new(ty);
        types.by_id.push(ty.clone());
        types.by_type.insert(ty, id);
        id
    }

    /// The type that a number stands for; `None` if this registry did not give it.
    pub fn get(&self, id: TypeId) -> Option<Arc<FuncType>> {
        self.types.read().unwrap_or_else(PoisonError::into_inner).by_id.get(id.0 as usize).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ValType;

    #[test]
    fn equal_types_have_one_number() {
        let registry = TypeRegistry::default();
        let a = registry.intern(FuncType::new([ValType::I32], []));
        let b = registry.intern(FuncType::new([ValType::I64], []));
        assert_ne!(a, b);
        assert_eq!(a, registry.intern(FuncType::new([ValType::I32], [])));
        assert_eq!(registry.get(b).as_deref(), Some(&FuncType::new([ValType::I64], [])));
        assert_eq!(registry.get(TypeId(2)), None);
    }
}
