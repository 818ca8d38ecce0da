//! Variants, enums, options and results.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, MemFlagsData, Type, Value, types};
use tombolo_types::component::{FlatType, TypeRef};

use super::value::{flat_type, offset};
use super::{Builder, Result, Source, Target, Unsupported};
use crate::vmctx::Failure;

impl Builder<'_, '_> {
    pub(super) fn variant(
        &mut self,
        ty: TypeRef,
        cases: &[Option<TypeRef>],
        from: Source<'_>,
        to: &mut Target<'_>,
    ) -> Result<()> {
        let (source, target) = (self.width(self.source()), self.width(self.target()));
        let (source_abi, target_abi) = (self.abi(ty, source), self.abi(ty, target));
        let index = match from {
            Source::Flat([index, ..]) => *index,
            _ => self.read(from, source_abi.discriminant, false)?,
        };
        let count = i64::try_from(cases.len()).map_err(|_| Unsupported)?;
        let unknown = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, index, count);
        let (found, count, zero) = (self.extend(index), self.constant(count as u64), self.constant(0));
        self.fail_if(unknown, self.source(), Failure::Discriminant, [found, count, zero, zero]);
        self.write(to, target_abi.discriminant, index)?;
        if cases.iter().all(Option::is_none) {
            return Ok(());
        }

        // What follows the discriminant, and which case it is, are the parameters of the block where all cases meet.
        let joined: &[FlatType] = match to {
            Target::Flat(_) => {
                target_abi.flat.as_deref().and_then(|flat| flat.get(1..)).ok_or(Unsupported)?
            }
            Target::Memory(..) => &[],
        };
        let source_joined = source_abi.flat.as_deref().and_then(|flat| flat.get(1..)).unwrap_or_default();
        let done = self.b.create_block();
        for flat in joined {
            self.b.append_block_param(done, flat_type(*flat));
        }
        for (number, payload) in cases.iter().enumerate() {
            // What is none of the others is the last.
            let next = (number + 1 < cases.len()).then(|| self.b.create_block());
            if let Some(next) = next {
                let this = self.b.create_block();
                let is_this = self.b.ins().icmp_imm_u(IntCC::Equal, index, number as i64);
                self.b.ins().brif(is_this, this, &[], next, &[]);
                self.go_on_in(this);
            }
            let mut values = Vec::new();
            if let Some(payload) = payload {
                let flat = self.case_source(*payload, from, source_joined)?;
                let from = match from {
                    Source::Flat(_) => Source::Flat(&flat),
                    Source::Memory(address, at) => {
                        let payload = source_abi.offsets.first().copied().unwrap_or(0);
                        Source::Memory(address, offset(at, payload)?)
                    }
                };
                match to {
                    Target::Flat(_) => self.value(*payload, from, &mut Target::Flat(&mut values))?,
                    Target::Memory(address, at) => {
                        let payload_at = target_abi.offsets.first().copied().unwrap_or(0);
                        let mut to = Target::Memory(*address, offset(*at, payload_at)?);
                        self.value(*payload, from, &mut to)?;
                    }
                }
            }
            let args = self.join(&values, joined);
            self.b.ins().jump(done, &args);
            if let Some(next) = next {
                self.go_on_in(next);
            }
        }
        self.go_on_in(done);
        let values = self.b.block_params(done).to_vec();
        if let Target::Flat(flat) = to {
            flat.extend(values);
        }
        Ok(())
    }

    /// A case's own flat values out of those of all cases.
    fn case_source(&mut self, payload: TypeRef, from: Source<'_>, joined: &[FlatType]) -> Result<Vec<Value>> {
        let Source::Flat(values) = from else { return Ok(Vec::new()) };
        let width = self.width(self.source());
        let own = self.abi(payload, width).flat.as_deref().ok_or(Unsupported)?;
        let values = values.iter().skip(1).zip(joined).zip(own);
        Ok(values.map(|((value, joined), own)| self.part_from(*value, *joined, *own)).collect())
    }

    /// A case's flat values as those of all cases, filled up with zeros.
    fn join(&mut self, values: &[Value], joined: &[FlatType]) -> Vec<BlockArg> {
        let mut args = Vec::with_capacity(joined.len());
        for (number, joined) in joined.iter().enumerate() {
            let ty = flat_type(*joined);
            let value = match values.get(number) {
                Some(value) => self.join_one(*value, ty),
                None => self.zero(ty),
            };
            args.push(value.into());
        }
        args
    }

    fn zero(&mut self, ty: Type) -> Value {
        match ty {
            types::F32 => self.b.ins().f32const(0.0),
            types::F64 => self.b.ins().f64const(0.0),
            ty => self.b.ins().iconst(ty, 0),
        }
    }

    fn join_one(&mut self, value: Value, ty: Type) -> Value {
        let flags = MemFlagsData::new();
        match (self.type_of(value), ty) {
            (a, b) if a == b => value,
            (types::F32, types::I64) => {
                let bits = self.b.ins().bitcast(types::I32, flags, value);
                self.b.ins().uextend(types::I64, bits)
            }
            (types::I32, types::I64) => self.b.ins().uextend(types::I64, value),
            _ => self.b.ins().bitcast(ty, flags, value),
        }
    }

    fn part_from(&mut self, value: Value, joined: FlatType, own: FlatType) -> Value {
        let flags = MemFlagsData::new();
        match (joined, own) {
            (a, b) if a == b => value,
            (FlatType::I64, FlatType::I32) => self.b.ins().ireduce(types::I32, value),
            (FlatType::I64, FlatType::F32) => {
                let low = self.b.ins().ireduce(types::I32, value);
                self.b.ins().bitcast(types::F32, flags, low)
            }
            (_, own) => self.b.ins().bitcast(flat_type(own), flags, value),
        }
    }
}
