//! Who calls whom in a module: what tells which of its functions can block.
//!
//! A call with `unreachable` right behind it is left out: the function does not return from it. So compilers write calls
//! of what ends the program, such as Rust's panics, which otherwise lead from everywhere to everywhere.

use wasmparser::{BinaryReaderError, FunctionBody, Operator, Parser, Payload};

/// The calls in a module's functions.
#[derive(Clone, Debug, Default)]
pub struct CallGraph {
    /// Where the calls of each function that the module defines end in `calls`.
    ends: Vec<u32>,
    calls: Vec<Call>,
    /// Functions that instructions make values of, ascending.
    referred: Vec<u32>,
    /// Tables that instructions write, ascending.
    written: Vec<u32>,
}

/// A call in a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Of the function with this index.
    Direct(u32),
    /// Of an element of a table that has this type, an index of the type section.
    Table {
        /// The table.
        table: u32,
        /// The type.
        ty: u32,
    },
    /// Of a reference.
    Reference,
}

impl CallGraph {
    /// Reads the calls out of a valid module.
    ///
    /// # Errors
    /// If the module is malformed.
    pub(crate) fn new(wasm: &[u8]) -> Result<CallGraph, BinaryReaderError> {
        let mut graph = CallGraph::default();
        for payload in Parser::new(0).parse_all(wasm) {
            if let Payload::CodeSectionEntry(body) = payload? {
                graph.add(&body)?;
            }
        }
        graph.referred.sort_unstable();
        graph.referred.dedup();
        graph.written.sort_unstable();
        graph.written.dedup();
        Ok(graph)
    }

    fn add(&mut self, body: &FunctionBody<'_>) -> Result<(), BinaryReaderError> {
        let mut calls = Vec::new();
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let op = reader.read()?;
            if let Operator::Call { .. } | Operator::CallIndirect { .. } | Operator::CallRef { .. } = op
                && matches!(reader.clone().read(), Ok(Operator::Unreachable))
            {
                continue;
            }
            match op {
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    calls.push(Call::Direct(function_index));
                }
                Operator::CallIndirect { type_index, table_index }
                | Operator::ReturnCallIndirect { type_index, table_index } => {
                    calls.push(Call::Table { table: table_index, ty: type_index });
                }
                Operator::CallRef { .. } | Operator::ReturnCallRef { .. } => calls.push(Call::Reference),
                Operator::RefFunc { function_index } => self.referred.push(function_index),
                Operator::TableSet { table }
                | Operator::TableGrow { table }
                | Operator::TableFill { table }
                | Operator::TableInit { table, .. }
                | Operator::TableCopy { dst_table: table, .. } => self.written.push(table),
                _ => {}
            }
        }
        calls.sort_unstable();
        calls.dedup();
        self.calls.extend(calls);
        self.ends.push(self.calls.len() as u32);
        Ok(())
    }

    /// What a function calls; `defined` does not count imported functions.
    pub fn calls(&self, defined: u32) -> &[Call] {
        let end = |index: u32| self.ends.get(index as usize).copied();
        let start = defined.checked_sub(1).map_or(Some(0), end);
        match (start, end(defined)) {
            (Some(start), Some(end)) => self.calls.get(start as usize..end as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Functions that instructions make values of.
    pub fn referred(&self) -> &[u32] {
        &self.referred
    }

    /// Whether an instruction writes a table.
    pub fn writes(&self, table: u32) -> bool {
        self.written.binary_search(&table).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found() {
        let wasm = wat::parse_str(
            "(module (import \"\" \"f\" (func)) (table 2 funcref) (table $t 2 funcref) (type $v (func))
               (func (call 0) (call 2) (call 0) (if (i32.const 0) (then (call 3) unreachable)))
               (func (call_indirect $t (type $v) (i32.const 0)))
               (func)
               (func (table.set $t (i32.const 0) (ref.func 1)))
               (export \"e\" (func 1)))",
        )
        .unwrap();
        let graph = CallGraph::new(&wasm).unwrap();
        assert_eq!(graph.calls(0), [Call::Direct(0), Call::Direct(2)]);
        assert_eq!(graph.calls(1), [Call::Table { table: 1, ty: 0 }]);
        assert_eq!(graph.calls(2), []);
        assert_eq!(graph.calls(9), []);
        assert_eq!(graph.referred(), [1]);
        assert!(graph.writes(1) && !graph.writes(0));
    }
}
