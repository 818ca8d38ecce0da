//! Component-level types, with what the Canonical ABI derives from them: alignment, size and flattening
//! (CanonicalABI.md, "Alignment", "Element Size", "Flattening").
//!
//! A [`Types`] table belongs to one component file. Equal types have equal [`TypeRef`]s, because definitions are
//! interned. Resource types are the exception to structure: a [`ResourceIdx`] is a name that each instance binds to
//! a resource type of its own when it is instantiated.

use std::collections::HashMap;

mod abi;

pub use abi::{
    Abi, FlatType, MAX_FLAT_ASYNC_PARAMS, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, PtrWidth, Size, flatten_all,
};

/// A value type: a primitive or a reference to a definition in a [`Types`] table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the specification's names")]
pub enum TypeRef {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    Char,
    String,
    ErrorContext,
    /// A type that the table defines.
    Def(DefId),
}

impl TypeRef {
    /// Whether values of this type are numbers (`none_or_number_type` of the reference definitions).
    #[inline]
    pub fn is_number(self) -> bool {
        use TypeRef::*;
        matches!(self, S8 | U8 | S16 | U16 | S32 | U32 | S64 | U64 | F32 | F64)
    }

    /// Whether every bit pattern of the right size is a value, so that a list of them is copied as bytes.
    /// Floats count: the specification lets a NaN's payload change or stay.
    #[inline]
    pub fn is_plain(self) -> bool {
        self.is_number()
    }
}

/// The number of a definition in its [`Types`] table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DefId(pub u32);

/// The number of a resource type's name in its [`Types`] table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceIdx(pub u32);

/// The number of a function type in its [`Types`] table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FuncTypeId(pub u32);

/// A definition of a value type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Def {
    /// `list<element>`, of a fixed length if there is one.
    List {
        /// What it holds.
        element: TypeRef,
        /// Its length when the type fixes one.
        length: Option<u32>,
    },
    /// `map<key, value>`.
    Map {
        /// Type of the keys.
        key: TypeRef,
        /// Type of the values.
        value: TypeRef,
    },
    /// `record { name: type, … }`.
    Record(Box<[Field]>),
    /// `tuple<…>`.
    Tuple(Box<[TypeRef]>),
    /// `variant { name(type), … }`.
    Variant(Box<[Case]>),
    /// `enum { name, … }`.
    Enum(Box<[String]>),
    /// `option<type>`.
    Option(TypeRef),
    /// `result<ok, err>`.
    Result {
        /// Payload of `ok`.
        ok: Option<TypeRef>,
        /// Payload of `err`.
        err: Option<TypeRef>,
    },
    /// `flags { name, … }`.
    Flags(Box<[String]>),
    /// `own<resource>`.
    Own(ResourceIdx),
    /// `borrow<resource>`.
    Borrow(ResourceIdx),
    /// `stream<type>`, or `stream` without a type.
    Stream(Option<TypeRef>),
    /// `future<type>`, or `future` without a type.
    Future(Option<TypeRef>),
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// Its label.
    pub name: String,
    /// Its type.
    pub ty: TypeRef,
}

/// A case of a variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    /// Its label.
    pub name: String,
    /// Its payload.
    pub ty: Option<TypeRef>,
}

/// A function type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FuncType {
    /// Parameter names and types.
    pub params: Box<[Field]>,
    /// Result type.
    pub result: Option<TypeRef>,
    /// Whether it is an `async` function: one that may block before it returns.
    pub is_async: bool,
}

/// The types of a component file.
#[derive(Clone, Debug, Default)]
pub struct Types {
    defs: Vec<DefEntry>,
    by_def: HashMap<Def, DefId>,
    funcs: Vec<FuncEntry>,
    by_func: HashMap<FuncType, FuncTypeId>,
    resources: Vec<String>,
}

#[derive(Clone, Debug)]
struct DefEntry {
    def: Def,
    /// One for each [`PtrWidth`].
    abi: [Abi; 2],
    /// Of a map: the tuple of key and value that it is a list of.
    entry: Option<TypeRef>,
}

#[derive(Clone, Debug)]
struct FuncEntry {
    func: FuncType,
    /// Of the parameters as a tuple, one for each [`PtrWidth`].
    params: [Abi; 2],
}

impl Types {
    /// Makes an empty table.
    pub fn new() -> Self {
        Types::default()
    }

    /// Adds a definition whose parts are in the table already, or finds it.
    pub fn intern(&mut self, def: Def) -> TypeRef {
        if let Some(id) = self.by_def.get(&def) {
            return TypeRef::Def(*id);
        }
        let entry = match def {
            Def::Map { key, value } => Some(self.intern(Def::Tuple([key, value].into()))),
            _ => None,
        };
        let abi = [PtrWidth::Bits32, PtrWidth::Bits64].map(|ptr| Abi::of_def(self, &def, ptr));
        let id = DefId(self.defs.len() as u32);
        self.defs.push(DefEntry { def: def.clone(), abi, entry });
        self.by_def.insert(def, id);
        TypeRef::Def(id)
    }

    /// Adds a function type, or finds it.
    pub fn intern_func(&mut self, func: FuncType) -> FuncTypeId {
        if let Some(id) = self.by_func.get(&func) {
            return *id;
        }
        let params = [PtrWidth::Bits32, PtrWidth::Bits64]
            .map(|ptr| Abi::of_fields(self, func.params.iter().map(|param| param.ty), ptr));
        let id = FuncTypeId(self.funcs.len() as u32);
        self.funcs.push(FuncEntry { func: func.clone(), params });
        self.by_func.insert(func, id);
        id
    }

    /// Adds a resource type's name; `description` is for messages.
    pub fn add_resource(&mut self, description: impl Into<String>) -> ResourceIdx {
        self.resources.push(description.into());
        ResourceIdx((self.resources.len() - 1) as u32)
    }

    /// How many resource names there are: the length of an instance's bindings.
    pub fn resource_count(&self) -> usize {
        self.resources.len()
    }

    /// The name of a resource type, for messages.
    pub fn resource_name(&self, resource: ResourceIdx) -> &str {
        self.resources.get(resource.0 as usize).map_or("resource", String::as_str)
    }

    /// Says better what a resource type is called, for messages.
    pub fn describe_resource(&mut self, resource: ResourceIdx, description: &str) {
        if let Some(name) = self.resources.get_mut(resource.0 as usize) {
            *name = description.to_owned();
        }
    }

    /// The definition with this number.
    ///
    /// # Panics
    /// If the number came from another table.
    #[inline]
    pub fn def(&self, id: DefId) -> &Def {
        &self.defs[id.0 as usize].def
    }

    /// The definition a type refers to; `None` for a primitive.
    #[inline]
    pub fn get(&self, ty: TypeRef) -> Option<&Def> {
        match ty {
            TypeRef::Def(id) => Some(self.def(id)),
            _ => None,
        }
    }

    /// The function type with this number.
    ///
    /// # Panics
    /// If the number came from another table.
    #[inline]
    pub fn func(&self, id: FuncTypeId) -> &FuncType {
        &self.funcs[id.0 as usize].func
    }

    /// Layout and flattening of a function's parameters as a tuple.
    ///
    /// # Panics
    /// If the number came from another table.
    #[inline]
    pub fn params_abi(&self, id: FuncTypeId, ptr: PtrWidth) -> &Abi {
        &self.funcs[id.0 as usize].params[ptr as usize]
    }

    /// The `tuple<key, value>` that a `map<key, value>` is a list of; `None` if the type is not a map.
    pub fn map_entry(&self, ty: TypeRef) -> Option<TypeRef> {
        match ty {
            TypeRef::Def(id) => self.defs.get(id.0 as usize)?.entry,
            _ => None,
        }
    }

    /// Size, alignment and flattening of a type in a memory of the given pointer width.
    #[inline]
    pub fn abi(&self, ty: TypeRef, ptr: PtrWidth) -> &Abi {
        match ty {
            TypeRef::Def(id) => &self.defs[id.0 as usize].abi[ptr as usize],
            primitive => Abi::of_primitive(primitive, ptr),
        }
    }

    /// Whether a type contains one that `p` accepts, itself included.
    pub fn contains(&self, ty: TypeRef, p: &dyn Fn(&Def) -> bool) -> bool {
        let Some(def) = self.get(ty) else { return false };
        p(def) || def.parts().any(|part| self.contains(part, p))
    }

    /// The type as WIT would write it, for messages.
    pub fn display(&self, ty: TypeRef) -> String {
        let opt = |ty: &Option<TypeRef>| ty.map_or("_".to_owned(), |ty| self.display(ty));
        let of = |name: &str, ty: &Option<TypeRef>| match ty {
            Some(ty) => format!("{name}<{}>", self.display(*ty)),
            None => name.to_owned(),
        };
        match self.get(ty) {
            None => format!("{ty:?}").to_lowercase().replace("errorcontext", "error-context"),
            Some(Def::List { element, length: None }) => format!("list<{}>", self.display(*element)),
            Some(Def::List { element, length: Some(n) }) => format!("list<{}, {n}>", self.display(*element)),
            Some(Def::Map { key, value }) => format!("map<{}, {}>", self.display(*key), self.display(*value)),
            Some(Def::Record(fields)) => {
                let fields: Vec<_> =
                    fields.iter().map(|f| format!("{}: {}", f.name, self.display(f.ty))).collect();
                format!("record {{ {} }}", fields.join(", "))
            }
            Some(Def::Tuple(types)) => {
                format!("tuple<{}>", types.iter().map(|t| self.display(*t)).collect::<Vec<_>>().join(", "))
            }
            Some(Def::Variant(cases)) => {
                let cases: Vec<_> = cases
                    .iter()
                    .map(|c| c.ty.map_or(c.name.clone(), |ty| format!("{}({})", c.name, self.display(ty))))
                    .collect();
                format!("variant {{ {} }}", cases.join(", "))
            }
            Some(Def::Enum(names)) => format!("enum {{ {} }}", names.join(", ")),
            Some(Def::Option(ty)) => format!("option<{}>", self.display(*ty)),
            Some(Def::Result { ok: None, err: None }) => "result".to_owned(),
            Some(Def::Result { ok, err: None }) => of("result", ok),
            Some(Def::Result { ok, err }) => format!("result<{}, {}>", opt(ok), opt(err)),
            Some(Def::Flags(names)) => format!("flags {{ {} }}", names.join(", ")),
            Some(Def::Own(r)) => self.resource_name(*r).to_owned(),
            Some(Def::Borrow(r)) => format!("borrow<{}>", self.resource_name(*r)),
            Some(Def::Stream(ty)) => of("stream", ty),
            Some(Def::Future(ty)) => of("future", ty),
        }
    }
}

impl Def {
    /// The types that this definition names, in order.
    pub fn parts(&self) -> impl Iterator<Item = TypeRef> + '_ {
        let (list, two): (Vec<TypeRef>, [Option<TypeRef>; 2]) = match self {
            Def::Record(fields) => (fields.iter().map(|f| f.ty).collect(), [None; 2]),
            Def::Tuple(types) => (types.to_vec(), [None; 2]),
            Def::Variant(cases) => (cases.iter().filter_map(|c| c.ty).collect(), [None; 2]),
            Def::List { element, .. } => (vec![], [Some(*element), None]),
            Def::Map { key, value } => (vec![], [Some(*key), Some(*value)]),
            Def::Option(ty) => (vec![], [Some(*ty), None]),
            Def::Result { ok, err } => (vec![], [*ok, *err]),
            Def::Stream(ty) | Def::Future(ty) => (vec![], [*ty, None]),
            Def::Enum(_) | Def::Flags(_) | Def::Own(_) | Def::Borrow(_) => (vec![], [None; 2]),
        };
        list.into_iter().chain(two.into_iter().flatten())
    }
}
