//! Blocks and branches.
//!
//! The operands of a branch become arguments of the block it goes to. A frame is pushed for each `block`, `loop` and
//! `if` that can be reached; one for the function itself lies at the bottom.

use std::collections::HashMap;

use cranelift_codegen::ir::{Block, BlockArg, BlockCall, Inst, InstBuilder, JumpTableData, Type, Value};
use smallvec::SmallVec;
use tombolo_types::core::FuncType;
use wasmparser::{BlockType, BrTable, Catch, Operator};

use super::{Translator, machine_types, trap};
use crate::CompileError;
use crate::signature::POINTER;
use crate::vmctx::TrapCode;

/// A `block`, `loop`, `if` or function that the instruction at hand lies in.
pub(super) struct Frame {
    kind: FrameKind,
    /// Where a branch to this frame goes.
    target: Block,
    /// How many operands a branch to it passes.
    arity: usize,
    /// How many operands it leaves.
    results: usize,
    /// Height of the operand stack below its parameters.
    height: usize,
    /// Whether anything goes to `target`.
    branched_to: bool,
}

enum FrameKind {
    Function,
    Block,
    Loop,
    If {
        /// Chooses between the branches.
        branch: Inst,
        /// Where the condition is false; not written yet.
        otherwise: Block,
        /// The parameters, for the other branch.
        params: SmallVec<[Value; 2]>,
    },
    Else,
    Try {
        catches: Box<[Catch]>,
        /// Where exceptions arrive, if any can.
        landing: Option<Block>,
    },
}

type Types = SmallVec<[Type; 4]>;

impl Translator<'_, '_> {
    pub(super) fn control_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        match op {
            Operator::Block { blockty } => self.block(*blockty)?,
            Operator::Loop { blockty } => self.loop_(*blockty)?,
            Operator::If { blockty } => self.if_(*blockty)?,
            Operator::Else => self.else_()?,
            Operator::End => self.end()?,
            Operator::Br { relative_depth } => self.br(*relative_depth)?,
            Operator::BrIf { relative_depth } => {
                let condition = self.pop()?;
                self.br_if(condition, *relative_depth)?;
            }
            Operator::BrTable { targets } => self.br_table(targets)?,
            Operator::Return => self.return_()?,
            Operator::Unreachable => {
                self.save_fuel();
                self.builder.ins().trap(trap(TrapCode::Unreachable));
                self.reachable = false;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Follows the nesting of blocks in code that cannot be reached.
    pub(super) fn unreachable_op(&mut self, op: &Operator<'_>) -> Result<(), CompileError> {
        match op {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. } => {
                self.dead_frames += 1;
            }
            Operator::Else if self.dead_frames == 0 => self.else_()?,
            Operator::End if self.dead_frames == 0 => self.end()?,
            Operator::End => self.dead_frames -= 1,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn push_function_frame(&mut self, ty: &FuncType) -> Result<(), CompileError> {
        let target = self.block_with_params(&machine_types(&ty.results));
        self.push_frame(FrameKind::Function, target, ty.results.len(), ty.results.len(), 0)
    }

    fn push_frame(
        &mut self,
        kind: FrameKind,
        target: Block,
        arity: usize,
        results: usize,
        params: usize,
    ) -> Result<(), CompileError> {
        let Some(height) = self.stack.len().checked_sub(params) else {
            return Err(self.internal("the operand stack is too low"));
        };
        self.frames.push(Frame { kind, target, arity, results, height, branched_to: false });
        Ok(())
    }

    fn block(&mut self, ty: BlockType) -> Result<(), CompileError> {
        let (params, results) = self.block_type(ty)?;
        let target = self.block_with_params(&results);
        self.push_frame(FrameKind::Block, target, results.len(), results.len(), params.len())
    }

    pub(super) fn try_table(&mut self, ty: BlockType, catches: &[Catch]) -> Result<(), CompileError> {
        let (params, results) = self.block_type(ty)?;
        if catches.iter().any(|catch| matches!(catch, Catch::OneRef { .. } | Catch::AllRef { .. })) {
            self.exception_refs.expect();
        }
        let target = self.block_with_params(&results);
        self.try_frames.push(self.frames.len());
        let kind = FrameKind::Try { catches: catches.into(), landing: None };
        self.push_frame(kind, target, results.len(), results.len(), params.len())
    }

    /// Where an exception arrives that is thrown here: the landing of the innermost `try_table`.
    pub(super) fn landing(&mut self) -> Result<Option<Block>, CompileError> {
        let Some(index) = self.try_frames.last() else { return Ok(None) };
        match self.frames.get(*index).map(|frame| &frame.kind) {
            Some(FrameKind::Try { landing: Some(landing), .. }) => return Ok(Some(*landing)),
            Some(FrameKind::Try { .. }) => {}
            _ => return Err(self.internal("no such `try_table`")),
        }
        let index = *index;
        let block = self.block_with_params(&[POINTER]);
        if let Some(Frame { kind: FrameKind::Try { landing, .. }, .. }) = self.frames.get_mut(index) {
            *landing = Some(block);
        }
        Ok(Some(block))
    }

    fn loop_(&mut self, ty: BlockType) -> Result<(), CompileError> {
        let (params, results) = self.block_type(ty)?;
        let header = self.block_with_params(&params);
        let args = self.args(params.len())?;
        self.builder.ins().jump(header, &args);
        self.push_frame(FrameKind::Loop, header, params.len(), results.len(), params.len())?;
        self.truncate(self.stack.len() - params.len());
        self.builder.switch_to_block(header);
        self.stack.extend_from_slice(self.builder.block_params(header));
        self.interrupt_at_loop()
    }

    fn if_(&mut self, ty: BlockType) -> Result<(), CompileError> {
        let (params, results) = self.block_type(ty)?;
        let condition = self.pop()?;
        // Made canonical here, where both branches can see it.
        let kept = self.top(params.len())?.into();
        let then = self.builder.create_block();
        let otherwise = self.builder.create_block();
        let branch = self.builder.ins().brif(condition, then, &[], otherwise, &[]);
        let target = self.block_with_params(&results);
        let kind = FrameKind::If { branch, otherwise, params: kept };
        self.push_frame(kind, target, results.len(), results.len(), params.len())?;
        self.builder.switch_to_block(then);
        self.builder.seal_block(then);
        Ok(())
    }

    fn else_(&mut self) -> Result<(), CompileError> {
        if self.reachable {
            self.leave_to_end()?;
        }
        let Some(frame) = self.frames.last_mut() else {
            return Err(self.internal("`else` outside a block"));
        };
        let FrameKind::If { otherwise, params, .. } = std::mem::replace(&mut frame.kind, FrameKind::Else)
        else {
            return Err(self.internal("`else` outside an `if`"));
        };
        let height = frame.height;
        self.truncate(height);
        self.stack.extend(params);
        self.continue_in(otherwise);
        Ok(())
    }

    fn end(&mut self) -> Result<(), CompileError> {
        let Some(frame) = self.frames.last() else {
            return Err(self.internal("`end` outside a block"));
        };
        match &frame.kind {
            FrameKind::Loop => {
                self.builder.seal_block(frame.target);
                self.frames.pop();
                // What a loop leaves, it leaves by falling out of it: the operands are where they should be.
                return Ok(());
            }
            FrameKind::If { branch, otherwise, params } if params.is_empty() => {
                // No `else`, nothing to pass on: the condition's other branch goes to the end.
                let (branch, otherwise, target) = (*branch, *otherwise, frame.target);
                if self.reachable {
                    self.leave_to_end()?;
                }
                self.builder.change_jump_destination(branch, otherwise, target);
                if let Some(frame) = self.frames.last_mut() {
                    frame.branched_to = true;
                }
                self.reachable = false;
            }
            FrameKind::If { .. } => {
                self.else_()?;
            }
            FrameKind::Function if self.reachable && !frame.branched_to => {
                self.frames.pop();
                return self.return_();
            }
            _ => {}
        }
        if self.reachable {
            self.leave_to_end()?;
        }
        let Some(frame) = self.frames.pop() else {
            return Err(self.internal("`end` outside a block"));
        };
        self.truncate(frame.height);
        if let FrameKind::Try { catches, landing } = &frame.kind {
            self.try_frames.pop();
            if let Some(landing) = landing {
                self.write_landing(*landing, catches)?;
            }
        }
        if frame.branched_to {
            self.continue_in(frame.target);
            self.stack.extend_from_slice(self.builder.block_params(frame.target));
            if matches!(frame.kind, FrameKind::Function) {
                return self.return_();
            }
        }
        Ok(())
    }

    /// Goes on from the end of the innermost frame's code to what follows it.
    fn leave_to_end(&mut self) -> Result<(), CompileError> {
        let Some(frame) = self.frames.last_mut() else {
            return Err(self.internal("no frame to leave"));
        };
        frame.branched_to = true;
        let (target, results) = (frame.target, frame.results);
        let args = self.args(results)?;
        self.builder.ins().jump(target, &args);
        self.reachable = false;
        Ok(())
    }

    /// Goes on in a block to which nothing more will branch.
    pub(super) fn continue_in(&mut self, block: Block) {
        self.builder.switch_to_block(block);
        self.builder.seal_block(block);
        self.reachable = true;
    }

    pub(super) fn br(&mut self, depth: u32) -> Result<(), CompileError> {
        if depth as usize + 1 == self.frames.len() {
            return self.return_();
        }
        let (target, arity) = self.label(depth)?;
        let args = self.args(arity)?;
        self.builder.ins().jump(target, &args);
        self.reachable = false;
        Ok(())
    }

    /// Branches if a condition is not zero; the label's operands stay.
    pub(super) fn br_if(&mut self, condition: Value, depth: u32) -> Result<(), CompileError> {
        let (target, arity) = self.label(depth)?;
        let args = self.args(arity)?;
        let next = self.builder.create_block();
        self.builder.ins().brif(condition, target, &args, next, &[]);
        self.continue_in(next);
        Ok(())
    }

    fn br_table(&mut self, table: &BrTable<'_>) -> Result<(), CompileError> {
        let index = self.pop()?;
        let (_, arity) = self.label(table.default())?;
        // Made canonical here, where all branches can see it.
        self.top(arity)?;
        // One block for each label that passes operands: the operands are passed once, not once per entry.
        let mut hops: HashMap<u32, Block> = HashMap::new();
        let mut calls = Vec::with_capacity(table.len() as usize);
        let mut default = None;
        for depth in table.targets().chain([Ok(table.default())]) {
            let depth = depth?;
            let block = match hops.get(&depth) {
                Some(block) => *block,
                None => {
                    let (target, _) = self.label(depth)?;
                    let block = if arity == 0 { target } else { self.builder.create_block() };
                    hops.insert(depth, block);
                    block
                }
            };
            let call = BlockCall::new(block, [], &mut self.builder.func.dfg.value_lists);
            default = Some(call);
            calls.push(call);
        }
        calls.pop();
        let Some(default) = default else {
            return Err(self.internal("a branch table without a default"));
        };
        let table = self.builder.create_jump_table(JumpTableData::new(default, &calls));
        self.builder.ins().br_table(index, table);
        if arity != 0 {
            let mut hops: Vec<_> = hops.into_iter().collect();
            hops.sort_unstable();
            for (depth, hop) in hops {
                let (target, arity) = self.label(depth)?;
                self.continue_in(hop);
                let args = self.args(arity)?;
                self.builder.ins().jump(target, &args);
            }
        }
        self.reachable = false;
        Ok(())
    }

    pub(super) fn return_(&mut self) -> Result<(), CompileError> {
        let results = self.builder.func.signature.returns.len();
        self.save_fuel();
        let values: SmallVec<[Value; 4]> = self.top(results)?.into();
        self.builder.ins().return_(&values);
        self.reachable = false;
        Ok(())
    }

    /// Where a branch goes and how many operands it takes there.
    fn label(&mut self, depth: u32) -> Result<(Block, usize), CompileError> {
        let index = self.frames.len().checked_sub(depth as usize + 1);
        match index.and_then(|index| self.frames.get_mut(index)) {
            Some(frame) => {
                frame.branched_to = true;
                Ok((frame.target, frame.arity))
            }
            None => Err(self.internal("no such label")),
        }
    }

    /// The topmost operands as a block takes them. They stay on the stack.
    fn args(&mut self, count: usize) -> Result<SmallVec<[BlockArg; 4]>, CompileError> {
        Ok(self.top(count)?.iter().map(|value| BlockArg::Value(*value)).collect())
    }

    fn block_type(&self, ty: BlockType) -> Result<(Types, Types), CompileError> {
        Ok(match ty {
            BlockType::Empty => (Types::new(), Types::new()),
            BlockType::Type(ty) => (Types::new(), Types::from_slice(&[self.body_type(ty)?])),
            BlockType::FuncType(index) => {
                let ty = self.function_type(index)?;
                (machine_types(&ty.params), machine_types(&ty.results))
            }
        })
    }
}
