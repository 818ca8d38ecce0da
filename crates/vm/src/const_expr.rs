//! Constant expressions (core specification, section 3.4.14): initial values and segment offsets.

use tombolo_compile::module::ConstOp;

use crate::RawVal;

/// What constant expressions can name.
pub(crate) trait Names {
    /// The value of a global that is initialised already.
    fn global(&self, index: u32) -> Option<RawVal>;
    /// The reference to a function.
    fn func(&self, index: u32) -> Option<RawVal>;
}

/// The value of an expression; `None` if it is not one that validation lets pass.
pub(crate) fn evaluate(expression: &[ConstOp], names: &impl Names) -> Option<RawVal> {
    // Nearly all are a single operation.
    if let [operation] = expression {
        return leaf(operation, names);
    }
    let mut stack = Vec::new();
    for operation in expression {
        let value = match operation {
            ConstOp::I32Add | ConstOp::I32Sub | ConstOp::I32Mul => {
                let (right, left) = (stack.pop()?, stack.pop()?);
                let (left, right): (i32, i32) = (RawVal::i32(left), RawVal::i32(right));
                RawVal::from_i32(match operation {
                    ConstOp::I32Add => left.wrapping_add(right),
                    ConstOp::I32Sub => left.wrapping_sub(right),
                    _ => left.wrapping_mul(right),
                })
            }
            ConstOp::I64Add | ConstOp::I64Sub | ConstOp::I64Mul => {
                let (right, left) = (stack.pop()?, stack.pop()?);
                let (left, right): (i64, i64) = (RawVal::i64(left), RawVal::i64(right));
                RawVal::from_i64(match operation {
                    ConstOp::I64Add => left.wrapping_add(right),
                    ConstOp::I64Sub => left.wrapping_sub(right),
                    _ => left.wrapping_mul(right),
                })
            }
            operation => leaf(operation, names)?,
        };
        stack.push(value);
    }
    stack.pop()
}

fn leaf(operation: &ConstOp, names: &impl Names) -> Option<RawVal> {
    Some(match *operation {
        ConstOp::I32Const(value) => RawVal::from_i32(value),
        ConstOp::I64Const(value) => RawVal::from_i64(value),
        ConstOp::F32Const(bits) => RawVal::from_u32(bits),
        ConstOp::F64Const(bits) => RawVal::from_u64(bits),
        ConstOp::V128Const(bits) => RawVal::from_v128(bits),
        ConstOp::GlobalGet(index) => names.global(index)?,
        ConstOp::RefNull => RawVal::ZERO,
        ConstOp::RefFunc(index) => names.func(index)?,
        ConstOp::I32Add
        | ConstOp::I32Sub
        | ConstOp::I32Mul
        | ConstOp::I64Add
        | ConstOp::I64Sub
        | ConstOp::I64Mul => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct None;

    impl Names for None {
        fn global(&self, index: u32) -> Option<RawVal> {
            (index == 0).then_some(RawVal::from_i32(100))
        }
        fn func(&self, _: u32) -> Option<RawVal> {
            Option::None
        }
    }

    #[test]
    fn extended_expressions_are_postfix() {
        use ConstOp::*;
        let offset = [GlobalGet(0), I32Const(3), I32Sub, I32Const(2), I32Mul];
        assert_eq!(evaluate(&offset, &None).map(RawVal::i32), Some(194));
        assert_eq!(
            evaluate(&[I64Const(i64::MAX), I64Const(1), I64Add], &None).map(RawVal::i64),
            Some(i64::MIN)
        );
        assert_eq!(evaluate(&[I32Add], &None), Option::None);
        assert_eq!(evaluate(&[RefFunc(0)], &None), Option::None);
        assert_eq!(evaluate(&[], &None), Option::None);
    }
}
