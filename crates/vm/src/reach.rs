//! Which functions a function can lead to.
//!
//! What a function calls and does not return from does not count: see [`CallGraph`](tombolo_compile::CallGraph). Apart
//! from that, answers are safe, not exact: a call through a table counts as a call of everything of its type that the table can
//! hold. What it can hold is known from the segments that initialise it, unless an instruction writes it; then it can
//! hold whatever is a value anywhere in the given instances. References do not come from elsewhere: the instances
//! given are all that share tables or pass references to each other.

use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::ptr::NonNull;

use tombolo_compile::Call;
use tombolo_compile::module::{ConstExpr, ConstOp, ElementItems, SegmentMode};
use tombolo_types::TypeId;

use crate::context::{FuncRef, ImportedFunction};
use crate::instance::InstanceRecord;
use crate::table::TableEntity;
use crate::{FuncHandle, InstanceHandle, Store};

impl Store {
    /// Whether a call of `from` can lead to a function that is none of the instances' own and that `stops` accepts, by
    /// its callee context. `instances` are all that share tables or functions with the one that defines `from`.
    pub fn leads_to(
        &self,
        from: FuncHandle,
        instances: &[InstanceHandle],
        stops: &dyn Fn(*mut c_void) -> bool,
    ) -> bool {
        let records: Vec<&InstanceRecord> = instances.iter().map(|instance| instance.entity(self)).collect();
        let mut search = Search { records: &records, tables: None, seen: HashSet::new(), open: Vec::new() };
        search.reference(from.entity(self));
        search.run(stops)
    }
}

/// A function: one that an instance defines, by the instance's number and the function's index, or one of the host, by
/// its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    Guest(usize, u32),
    Host(*mut c_void),
}

struct Search<'a> {
    records: &'a [&'a InstanceRecord],
    tables: Option<Tables>,
    seen: HashSet<Node>,
    open: Vec<Node>,
}

/// What can be called through tables and references.
#[derive(Default)]
struct Tables {
    contents: HashMap<NonNull<TableEntity>, Vec<(TypeId, Node)>>,
    written: HashSet<NonNull<TableEntity>>,
    /// Every function that is a value somewhere.
    values: Vec<(TypeId, Node)>,
}

impl Search<'_> {
    fn run(&mut self, stops: &dyn Fn(*mut c_void) -> bool) -> bool {
        while let Some(node) = self.open.pop() {
            match node {
                Node::Host(context) if stops(context) => return true,
                Node::Host(_) => {}
                Node::Guest(number, function) => self.follow(number, function),
            }
        }
        false
    }

    fn visit(&mut self, node: Node) {
        if self.seen.insert(node) {
            self.open.push(node);
        }
    }

    fn follow(&mut self, number: usize, function: u32) {
        let Some(record) = self.records.get(number).copied() else { return };
        let info = record.module.info();
        let Some(defined) = function.checked_sub(info.imported_functions) else { return };
        for call in record.module.calls().calls(defined) {
            match *call {
                Call::Direct(function) => {
                    let node = self.node(number, function);
                    self.visit(node);
                }
                Call::Table { table, ty } => {
                    let Some(ty) = info.types.get(ty as usize) else { continue };
                    let Some(table) = record.tables.get(table as usize) else { continue };
                    let tables = self.tables.get_or_insert_with(|| Tables::of(self.records));
                    let held = match tables.written.contains(table) {
                        true => Some(&tables.values),
                        false => tables.contents.get(table),
                    };
                    let nodes: Vec<Node> =
                        held.into_iter().flatten().filter(|(t, _)| t == ty).map(|(_, n)| *n).collect();
                    nodes.into_iter().for_each(|node| self.visit(node));
                }
                Call::Reference => {
                    let tables = self.tables.get_or_insert_with(|| Tables::of(self.records));
                    let nodes: Vec<Node> = tables.values.iter().map(|(_, node)| *node).collect();
                    nodes.into_iter().for_each(|node| self.visit(node));
                }
            }
        }
    }

    fn node(&self, number: usize, function: u32) -> Node {
        node(self.records, number, function)
    }

    fn reference(&mut self, func: &FuncRef) {
        let node = resolve(self.records, func.code, func.vmctx);
        self.visit(node);
    }
}

/// The function that an instance knows by an index.
fn node(records: &[&InstanceRecord], number: usize, function: u32) -> Node {
    let Some(record) = records.get(number) else { return Node::Host(std::ptr::null_mut()) };
    if function >= record.module.info().imported_functions {
        return Node::Guest(number, function);
    }
    let imported: NonNull<ImportedFunction> =
        record.context.array(record.module.layout().imported_functions, function, 16);
    // SAFETY: the instance has so many imported functions, which were filled in.
    let ImportedFunction { code, vmctx } = unsafe { imported.read() };
    resolve(records, code, vmctx)
}

/// The function with this code and context.
fn resolve(records: &[&InstanceRecord], code: *const u8, vmctx: *mut c_void) -> Node {
    let owner = records.iter().position(|record| record.context.base().as_ptr().cast() == vmctx);
    let Some((number, record)) = owner.and_then(|number| Some((number, records.get(number)?))) else {
        return Node::Host(vmctx);
    };
    match record.module.code().function_at(code as usize) {
        Some(defined) => Node::Guest(number, record.module.info().imported_functions + defined),
        None => Node::Host(vmctx),
    }
}

impl Tables {
    fn of(records: &[&InstanceRecord]) -> Tables {
        let mut tables = Tables::default();
        for (number, record) in records.iter().enumerate() {
            tables.add(records, number, record);
        }
        tables
    }

    fn add(&mut self, records: &[&InstanceRecord], number: usize, record: &InstanceRecord) {
        let info = record.module.info();
        let value =
            |function: u32| Some((*info.functions.get(function as usize)?, node(records, number, function)));
        let of_expr = |expr: &ConstExpr| {
            expr.iter()
                .filter_map(|op| if let ConstOp::RefFunc(f) = op { value(*f) } else { None })
                .collect::<Vec<_>>()
        };
        for (index, table) in (0..).zip(&record.tables) {
            if record.module.calls().writes(index) {
                self.written.insert(*table);
            }
        }
        for (table, init) in record.tables.iter().skip(info.imported_tables as usize).zip(&info.table_inits) {
            let held: Vec<_> = init.iter().flat_map(of_expr).collect();
            self.values.extend(&held);
            self.contents.entry(*table).or_default().extend(held);
        }
        for segment in &info.elements {
            let held: Vec<_> = match &segment.items {
                ElementItems::Functions(functions) => functions.iter().filter_map(|f| value(*f)).collect(),
                ElementItems::Expressions(list) => {
                    // A global may hold a function that came from another instance.
                    if list.iter().flatten().any(|op| matches!(op, ConstOp::GlobalGet(_)))
                        && let SegmentMode::Active { index, .. } = segment.mode
                    {
                        self.written.extend(record.tables.get(index as usize));
                    }
                    list.iter().flat_map(of_expr).collect()
                }
            };
            self.values.extend(&held);
            if let SegmentMode::Active { index, .. } = segment.mode
                && let Some(table) = record.tables.get(index as usize)
            {
                self.contents.entry(*table).or_default().extend(held);
            }
        }
        self.values.extend(info.global_inits.iter().flat_map(of_expr));
        self.values.extend(record.module.calls().referred().iter().filter_map(|f| value(*f)));
    }
}
