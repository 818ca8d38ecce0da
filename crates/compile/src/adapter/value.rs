//! Values by their types.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use tombolo_types::component::{Abi, Def, FlatType, PtrWidth, TypeRef};

use super::{Builder, Result, Source, Target, Unsupported};
use crate::signature::value_type;
use crate::vmctx::{Failure, Helper};

/// The machine type of a flat value.
pub(super) fn flat_type(flat: FlatType) -> Type {
    value_type(flat.into())
}

/// A static offset, if it is small enough for an instruction.
pub(super) fn offset(base: i32, more: u64) -> Result<i32> {
    i32::try_from(more).ok().and_then(|more| base.checked_add(more)).ok_or(Unsupported)
}

impl<'v> Source<'v> {
    /// What lies at an offset of a value in memory, or the next flat values.
    pub(super) fn part(self, at: u64, flat: &mut usize, count: usize) -> Result<Source<'v>> {
        Ok(match self {
            Source::Memory(address, base) => Source::Memory(address, offset(base, at)?),
            Source::Flat(values) => {
                let start = *flat;
                *flat = start + count;
                Source::Flat(values.get(start..start + count).ok_or(Unsupported)?)
            }
        })
    }

    fn one(self) -> Result<Value> {
        match self {
            Source::Flat([value, ..]) => Ok(*value),
            _ => Err(Unsupported),
        }
    }
}

impl Target<'_> {
    pub(super) fn part(&mut self, at: u64) -> Result<Target<'_>> {
        Ok(match self {
            Target::Memory(address, base) => Target::Memory(*address, offset(*base, at)?),
            Target::Flat(values) => Target::Flat(values),
        })
    }
}

impl<'a> Builder<'a, '_> {
    pub(super) fn abi(&self, ty: TypeRef, width: PtrWidth) -> &'a Abi {
        self.adapter.types.abi(ty, width)
    }

    /// How many flat values a type has.
    pub(super) fn flat_count(&self, ty: TypeRef) -> Result<usize> {
        let width = self.width(self.source());
        self.abi(ty, width).flat.as_ref().map(|flat| flat.len()).ok_or(Unsupported)
    }

    /// Carries a value.
    pub(super) fn value(&mut self, ty: TypeRef, from: Source<'_>, to: &mut Target<'_>) -> Result<()> {
        let types = self.adapter.types;
        let Some(def) = types.get(ty) else { return self.primitive(ty, from, to) };
        match def {
            Def::List { element, length: Some(length) } => self.fixed_list(*element, *length, from, to),
            Def::List { element, length: None } => self.list(*element, from, to),
            Def::Map { .. } => self.list(types.map_entry(ty).ok_or(Unsupported)?, from, to),
            Def::Record(fields) => self.fields(ty, fields.iter().map(|field| field.ty), from, to),
            Def::Tuple(list) => self.fields(ty, list.iter().copied(), from, to),
            Def::Variant(cases) => {
                self.variant(ty, &cases.iter().map(|case| case.ty).collect::<Vec<_>>(), from, to)
            }
            Def::Enum(names) => self.variant(ty, &vec![None; names.len()], from, to),
            Def::Option(some) => self.variant(ty, &[None, Some(*some)], from, to),
            Def::Result { ok, err } => self.variant(ty, &[*ok, *err], from, to),
            Def::Flags(names) => {
                let size = self.abi(ty, PtrWidth::Bits32).discriminant;
                let bits = self.read(from, size, false)?;
                let mask = if names.len() < 32 { (1_i64 << names.len()) - 1 } else { i64::from(u32::MAX) };
                let bits = self.b.ins().band_imm_u(bits, mask);
                self.write(to, size, bits)
            }
            Def::Own(resource) => self.handle(Helper::PassOwn, resource.0, from, to),
            Def::Borrow(resource) => self.handle(Helper::Lend, resource.0, from, to),
            Def::Stream(_) | Def::Future(_) => {
                let TypeRef::Def(id) = ty else { return Err(Unsupported) };
                self.handle(Helper::PassEnd, id.0, from, to)
            }
        }
    }

    /// Carries values that lie one after another, as `ty`'s fields do.
    fn fields(
        &mut self,
        ty: TypeRef,
        fields: impl Iterator<Item = TypeRef>,
        from: Source<'_>,
        to: &mut Target<'_>,
    ) -> Result<()> {
        let (source, target) = (self.width(self.source()), self.width(self.target()));
        let (source, target) = (self.abi(ty, source), self.abi(ty, target));
        self.sequence(fields, &source.offsets, &target.offsets, from, to)
    }

    /// Carries values to and from these offsets.
    pub(super) fn sequence(
        &mut self,
        fields: impl Iterator<Item = TypeRef>,
        source: &[u64],
        target: &[u64],
        from: Source<'_>,
        to: &mut Target<'_>,
    ) -> Result<()> {
        let mut flat = 0;
        for ((field, source), target) in fields.zip(source).zip(target) {
            let count = if let Source::Flat(_) = from { self.flat_count(field)? } else { 0 };
            let from = from.part(*source, &mut flat, count)?;
            self.value(field, from, &mut to.part(*target)?)?;
        }
        Ok(())
    }

    fn primitive(&mut self, ty: TypeRef, from: Source<'_>, to: &mut Target<'_>) -> Result<()> {
        match ty {
            TypeRef::Bool => {
                let value = match from {
                    Source::Flat(_) => from.one()?,
                    Source::Memory(..) => self.read(from, 1, false)?,
                };
                let truth = self.b.ins().icmp_imm_s(IntCC::NotEqual, value, 0);
                let value = self.b.ins().uextend(types::I32, truth);
                self.write(to, 1, value)
            }
            TypeRef::S8 | TypeRef::U8 => self.integer(1, ty == TypeRef::S8, from, to),
            TypeRef::S16 | TypeRef::U16 => self.integer(2, ty == TypeRef::S16, from, to),
            TypeRef::S32 | TypeRef::U32 => self.integer(4, false, from, to),
            TypeRef::F32 => self.number(types::F32, from, to),
            TypeRef::F64 => self.number(types::F64, from, to),
            TypeRef::S64 | TypeRef::U64 => self.number(types::I64, from, to),
            TypeRef::Char => {
                let value = self.read(from, 4, false)?;
                // Surrogates and what is beyond the last code point.
                let moved = self.b.ins().bxor_imm_u(value, 0xd800);
                let moved = self.b.ins().iadd_imm_s(moved, -0x800);
                let most = i64::from(0x10_ffff_u32 - 0x800 + 1);
                let wrong = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, moved, most);
                let (bits, zero) = (self.extend(value), self.constant(0));
                self.fail_if(wrong, self.source(), Failure::Char, [bits, zero, zero, zero]);
                self.write(to, 4, value)
            }
            TypeRef::String => self.string(from, to),
            TypeRef::ErrorContext => {
                let index = self.read(from, 4, false)?;
                let result = self.b.ins().iconst(types::I32, i64::from(self.returning));
                let passed = self.helper(Helper::PassErrorContext, &[result, index], true);
                self.passed(passed, to)
            }
            TypeRef::Def(_) => Err(Unsupported),
        }
    }

    fn integer(&mut self, size: u32, signed: bool, from: Source<'_>, to: &mut Target<'_>) -> Result<()> {
        let value = self.read(from, size, signed)?;
        self.write(to, size, value)
    }

    fn number(&mut self, ty: Type, from: Source<'_>, to: &mut Target<'_>) -> Result<()> {
        let flags = self.flags();
        let value = match from {
            Source::Flat(_) => from.one()?,
            Source::Memory(address, at) => {
                let place = self.place(self.source(), address);
                self.b.ins().load(ty, flags, place, at)
            }
        };
        match to {
            Target::Flat(values) => values.push(value),
            Target::Memory(address, at) => {
                let place = self.place(self.target(), *address);
                self.b.ins().store(flags, value, place, *at);
            }
        }
        Ok(())
    }

    /// Reads an `i32` of which only `size` bytes count.
    pub(super) fn read(&mut self, from: Source<'_>, size: u32, signed: bool) -> Result<Value> {
        let flags = self.flags();
        let (address, at) = match from {
            Source::Memory(address, at) => (address, at),
            Source::Flat(_) if size == 4 => return from.one(),
            Source::Flat(_) => {
                let value = from.one()?;
                let low = self.b.ins().ireduce(if size == 1 { types::I8 } else { types::I16 }, value);
                return Ok(match signed {
                    true => self.b.ins().sextend(types::I32, low),
                    false => self.b.ins().uextend(types::I32, low),
                });
            }
        };
        let place = self.place(self.source(), address);
        Ok(match (size, signed) {
            (1, false) => self.b.ins().uload8(types::I32, flags, place, at),
            (1, true) => self.b.ins().sload8(types::I32, flags, place, at),
            (2, false) => self.b.ins().uload16(types::I32, flags, place, at),
            (2, true) => self.b.ins().sload16(types::I32, flags, place, at),
            _ => self.b.ins().load(types::I32, flags, place, at),
        })
    }

    /// Writes an `i32` of which only `size` bytes go to memory.
    pub(super) fn write(&mut self, to: &mut Target<'_>, size: u32, value: Value) -> Result<()> {
        let flags = self.flags();
        match to {
            Target::Flat(values) => values.push(value),
            Target::Memory(address, at) => {
                let place = self.place(self.target(), *address);
                match size {
                    1 => self.b.ins().istore8(flags, value, place, *at),
                    2 => self.b.ins().istore16(flags, value, place, *at),
                    _ => self.b.ins().store(flags, value, place, *at),
                };
            }
        }
        Ok(())
    }

    /// Reads the pointer and length of a list or string, as 64 bits.
    pub(super) fn read_pair(&mut self, from: Source<'_>) -> Result<(Value, Value)> {
        let party = self.source();
        let bytes = self.width(party).bytes();
        Ok(match from {
            Source::Flat([pointer, length, ..]) => (self.extend(*pointer), self.extend(*length)),
            Source::Flat(_) => return Err(Unsupported),
            Source::Memory(address, at) => {
                let second = offset(at, bytes.into())?;
                (self.load_pointer(party, address, at), self.load_pointer(party, address, second))
            }
        })
    }

    /// Writes them.
    pub(super) fn write_pair(&mut self, to: &mut Target<'_>, pointer: Value, length: Value) -> Result<()> {
        let party = self.target();
        let (pointer, length) = (self.narrow(party, pointer), self.narrow(party, length));
        match to {
            Target::Flat(values) => values.extend([pointer, length]),
            Target::Memory(address, at) => {
                let second = offset(*at, self.width(party).bytes().into())?;
                let flags = self.flags();
                let place = self.place(party, *address);
                self.b.ins().store(flags, pointer, place, *at);
                self.b.ins().store(flags, length, place, second);
            }
        }
        Ok(())
    }

    /// Passes a handle on; `of` is its resource or its type.
    fn handle(&mut self, how: Helper, of: u32, from: Source<'_>, to: &mut Target<'_>) -> Result<()> {
        let index = self.read(from, 4, false)?;
        let of = self.b.ins().iconst(types::I32, i64::from(of));
        let passed = if how == Helper::Lend {
            if self.returning {
                return Err(Unsupported);
            }
            let at = i32::try_from(self.lends).ok().and_then(|n| n.checked_mul(4)).ok_or(Unsupported)?;
            self.lends += 1;
            let activation = self.activation_address();
            let lent = self.lent_at(at);
            self.helper(how, &[of, index, activation, lent], true)
        } else {
            let result = self.b.ins().iconst(types::I32, i64::from(self.returning));
            self.helper(how, &[result, of, index], true)
        };
        self.passed(passed, to)
    }

    /// Writes the new index of what a helper has passed on, if it has.
    fn passed(&mut self, passed: Value, to: &mut Target<'_>) -> Result<()> {
        let failed = self.b.ins().icmp_imm_s(IntCC::Equal, passed, -1);
        self.raise_if(failed);
        let passed = self.b.ins().ireduce(types::I32, passed);
        self.write(to, 4, passed)
    }

    /// Raises the trap that a helper has set, if it did.
    pub(super) fn raise_if(&mut self, failed: Value) {
        let bases = self.bases;
        let (raise, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(raise);
        self.b.ins().brif(failed, raise, &[], go_on, &[]);
        self.go_on_in(raise);
        self.raise();
        self.go_on_in(go_on);
        self.bases = bases;
    }
}
