//! Strings.
//!
//! Most are short: so many bytes are checked and copied here, and only longer ones by helpers.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, StackSlotData, StackSlotKind, Type, Value, types};

use super::memory::MAX_BYTE_LENGTH;
use super::{Builder, Result, Source, Target, Unsupported};
use crate::signature::{POINTER, V128};
use crate::trampoline::record_exit;
use crate::vmctx::{Failure, Helper};

/// What a short string is read and written as: its first and its last bytes, which overlap.
const HALVES: [(i64, Type); 4] = [(16, V128), (8, types::I64), (4, types::I32), (2, types::I16)];

/// Bytes of a short string: twice the first of [`HALVES`].
const SHORT: i64 = 32;

impl Builder<'_, '_> {
    pub(super) fn string(&mut self, from: Source<'_>, to: &mut Target<'_>) -> Result<()> {
        let (source, target) = (self.source(), self.target());
        let (address, length) = self.read_pair(from)?;
        if !self.side(source).utf8 || !self.side(target).utf8 {
            return self.transcode(address, length, to);
        }
        let zero = self.constant(0);
        let too_long = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, length, MAX_BYTE_LENGTH as i64);
        self.fail_if(too_long, source, Failure::StringLength, [length, zero, zero, zero]);
        self.check_range(source, address, length, 1, Failure::String);
        let place = self.place(source, address);
        self.check_utf8(place, length);
        let room = self.allocate(1, length)?;
        let (place, to_place) = (self.place(source, address), self.place(target, room));
        self.copy_string(to_place, place, length);
        self.write_pair(to, room, length)
    }

    /// A string that is encoded differently on the two sides, or not in UTF-8.
    fn transcode(&mut self, address: Value, length: Value, to: &mut Target<'_>) -> Result<()> {
        if !self.side(self.target()).realloc {
            return Err(Unsupported);
        }
        let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, 16, 3);
        let slot = self.b.create_sized_stack_slot(slot);
        let out = self.b.ins().stack_addr(POINTER, slot, 0);
        let result = self.b.ins().iconst(types::I32, i64::from(self.returning));
        let (flags, store) = (self.flags(), self.store);
        record_exit(&mut self.b, store);
        let failed = self.helper(Helper::Transcode, &[result, address, length, out], true);
        self.raise_if(failed);
        self.bases = [None; 2];
        let address = self.b.ins().load(types::I64, flags, out, 0);
        let length = self.b.ins().load(types::I64, flags, out, 8);
        self.write_pair(to, address, length)
    }

    /// Fails unless bytes are UTF-8. Short ones that are ASCII are seen to be so here.
    fn check_utf8(&mut self, place: Value, length: Value) {
        let (bases, flags) = (self.bases, self.loose());
        let (decide, slow, go_on) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let bits = self.b.append_block_param(decide, types::I64);
        let zero = self.constant(0);
        self.by_length(length, slow, (decide, &[zero.into()]), |this, half| {
            let bits = match half {
                Half::Byte => {
                    let first = this.b.ins().uload8(types::I64, flags, place, 0);
                    this.b.ins().band_imm_u(first, 0x80)
                }
                Half::Of(size, ty) => {
                    let last = this.last_half(place, length, size);
                    let first = this.b.ins().load(ty, flags, place, 0);
                    let last = this.b.ins().load(ty, flags, last, 0);
                    let both = this.b.ins().bor(first, last);
                    if ty == V128 {
                        let high = this.b.ins().vhigh_bits(types::I32, both);
                        this.b.ins().uextend(types::I64, high)
                    } else {
                        let both =
                            if ty == types::I64 { both } else { this.b.ins().uextend(types::I64, both) };
                        this.b.ins().band_imm_u(both, 0x8080_8080_8080_8080_u64 as i64)
                    }
                }
            };
            this.b.ins().jump(decide, &[bits.into()]);
        });
        self.go_on_in(decide);
        self.b.ins().brif(bits, slow, &[], go_on, &[]);
        self.go_on_in(slow);
        let wrong = self.helper(Helper::CheckUtf8, &[place, length], true);
        self.fail_if(wrong, self.source(), Failure::Utf8, [place, length, zero, zero]);
        self.b.ins().jump(go_on, &[]);
        self.go_on_in(go_on);
        self.bases = bases;
    }

    /// Copies bytes, whose places were checked.
    fn copy_string(&mut self, to: Value, from: Value, length: Value) {
        let (bases, flags) = (self.bases, self.loose());
        let (slow, go_on) = (self.b.create_block(), self.b.create_block());
        self.by_length(length, slow, (go_on, &[]), |this, half| {
            match half {
                Half::Byte => {
                    let byte = this.b.ins().load(types::I8, flags, from, 0);
                    this.b.ins().store(flags, byte, to, 0);
                }
                Half::Of(size, ty) => {
                    let (last_from, last_to) =
                        (this.last_half(from, length, size), this.last_half(to, length, size));
                    let first = this.b.ins().load(ty, flags, from, 0);
                    let last = this.b.ins().load(ty, flags, last_from, 0);
                    this.b.ins().store(flags, first, to, 0);
                    this.b.ins().store(flags, last, last_to, 0);
                }
            }
            this.b.ins().jump(go_on, &[]);
        });
        self.go_on_in(slow);
        self.helper(Helper::Copy, &[to, from, length], false);
        self.b.ins().jump(go_on, &[]);
        self.go_on_in(go_on);
        self.bases = bases;
    }

    /// Has a block of its own for each way to read a string: for the sizes of [`HALVES`] and for a single byte what `with`
    /// says, which ends the block. Longer strings go to `long`, and the empty one to `empty`.
    fn by_length(
        &mut self,
        length: Value,
        long: Block,
        empty: (Block, &[BlockArg]),
        mut with: impl FnMut(&mut Self, Half),
    ) {
        let short = self.b.create_block();
        let is_long = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, length, SHORT);
        self.b.ins().brif(is_long, long, &[], short, &[]);
        self.go_on_in(short);
        for (size, ty) in HALVES {
            let (this, smaller) = (self.b.create_block(), self.b.create_block());
            let fits = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, length, size);
            self.b.ins().brif(fits, this, &[], smaller, &[]);
            self.go_on_in(this);
            with(self, Half::Of(size, ty));
            self.go_on_in(smaller);
        }
        let byte = self.b.create_block();
        self.b.ins().brif(length, byte, &[], empty.0, empty.1);
        self.go_on_in(byte);
        with(self, Half::Byte);
    }

    /// Where the last so many bytes of a string are.
    fn last_half(&mut self, place: Value, length: Value, size: i64) -> Value {
        let end = self.b.ins().iadd(place, length);
        self.b.ins().iadd_imm_s(end, -size)
    }
}

/// How a short string is read.
#[derive(Clone, Copy)]
enum Half {
    /// It is one byte.
    Byte,
    /// As its first and its last so many bytes, of this type.
    Of(i64, Type),
}
