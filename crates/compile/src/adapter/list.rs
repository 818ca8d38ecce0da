//! Lists.
//!
//! A range that was checked stays within its memory: memories do not shrink. Where a memory begins can change whenever
//! `realloc` runs, so places in it are computed anew after that.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use tombolo_types::component::TypeRef;

use super::memory::MAX_BYTE_LENGTH;
use super::{Builder, Party, Result, Source, Target, Unsupported};
use crate::vmctx::{Failure, Helper};

impl Builder<'_, '_> {
    /// A list without a fixed length.
    pub(super) fn list(&mut self, element: TypeRef, from: Source<'_>, to: &mut Target<'_>) -> Result<()> {
        let (source, target) = (self.source(), self.target());
        let (source_abi, target_abi) =
            (self.abi(element, self.width(source)), self.abi(element, self.width(target)));
        let (size, target_size) = (source_abi.size.max(1), target_abi.size.max(1));
        let (address, count) = self.read_pair(from)?;
        let most = MAX_BYTE_LENGTH / size;
        let too_long = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, count, most as i64);
        let (size_value, max, zero) =
            (self.constant(source_abi.size), self.constant(MAX_BYTE_LENGTH), self.constant(0));
        self.fail_if(too_long, source, Failure::ListLength, [count, size_value, max, zero]);
        let bytes = self.b.ins().imul_imm_u(count, size as i64);
        self.check_range(source, address, bytes, source_abi.align, Failure::List);
        // At most twice as much, so below what a `realloc` is ever asked for.
        let room_bytes = self.b.ins().imul_imm_u(count, target_size as i64);
        let room = self.allocate(target_abi.align, room_bytes)?;
        if source_abi.plain && source_abi.size == target_abi.size {
            self.copy((source, address), (target, room), bytes);
        } else {
            let end = self.b.ins().iadd(address, bytes);
            self.elements(element, (address, size), (room, target_size), end)?;
        }
        self.write_pair(to, room, count)
    }

    pub(super) fn fixed_list(
        &mut self,
        element: TypeRef,
        length: u32,
        from: Source<'_>,
        to: &mut Target<'_>,
    ) -> Result<()> {
        /// Longer ones are left to the interpreter: they would make too much code.
        const MOST: u32 = 64;
        if length > MOST {
            return Err(Unsupported);
        }
        let (source, target) = (self.width(self.source()), self.width(self.target()));
        let (source, target) = (self.abi(element, source).size, self.abi(element, target).size);
        let offsets = |size: u64| (0..u64::from(length)).map(|i| i.saturating_mul(size)).collect::<Vec<_>>();
        let elements = std::iter::repeat_n(element, length as usize);
        self.sequence(elements, &offsets(source), &offsets(target), from, to)
    }

    /// Carries elements from one address, up to `end`, to another; each comes with the size of an element.
    fn elements(&mut self, element: TypeRef, from: (Value, u64), to: (Value, u64), end: Value) -> Result<()> {
        let (head, body, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let [address, room] = [(); 2].map(|()| self.b.append_block_param(head, types::I64));
        self.b.ins().jump(head, &[from.0.into(), to.0.into()]);
        self.switch_to(head);
        let more = self.b.ins().icmp(IntCC::NotEqual, address, end);
        self.b.ins().brif(more, body, &[], done, &[]);
        self.go_on_in(body);
        self.value(element, Source::Memory(address, 0), &mut Target::Memory(room, 0))?;
        let next = self.b.ins().iadd_imm_u(address, from.1 as i64);
        let next_room = self.b.ins().iadd_imm_u(room, to.1 as i64);
        self.b.ins().jump(head, &[next.into(), next_room.into()]);
        self.b.seal_block(head);
        self.go_on_in(done);
        Ok(())
    }

    /// Copies bytes between checked addresses.
    fn copy(&mut self, from: (Party, Value), to: (Party, Value), len: Value) {
        let (from, to) = (self.place(from.0, from.1), self.place(to.0, to.1));
        self.helper(Helper::Copy, &[to, from, len], false);
    }
}
