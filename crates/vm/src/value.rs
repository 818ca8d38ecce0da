//! Values as they cross between host and compiled code.

use crate::FuncHandle;

/// A value of any core type in the 16 bytes that trampolines and globals use for it.
///
/// The value's bits are the low ones; every bit pattern is a `RawVal`, and reading a value as another type than the one
/// it was made from gives other bits, nothing worse. References are machine words: a function reference is the address
/// of a [`FuncRef`](crate::FuncRef), a host reference is whatever the host says, and 0 is null.
#[repr(C, align(16))]
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RawVal {
    low: u64,
    high: u64,
}

impl RawVal {
    /// All bits zero: zero of every number type, and the null reference.
    pub const ZERO: RawVal = RawVal { low: 0, high: 0 };

    /// From an `i32`.
    pub const fn from_i32(value: i32) -> Self {
        Self::from_u32(value as u32)
    }
    /// From the bits of an `i32`.
    pub const fn from_u32(value: u32) -> Self {
        Self::from_u64(value as u64)
    }
    /// From an `i64`.
    pub const fn from_i64(value: i64) -> Self {
        Self::from_u64(value as u64)
    }
    /// From the bits of an `i64`.
    pub const fn from_u64(value: u64) -> Self {
        RawVal { low: value, high: 0 }
    }
    /// From an `f32`.
    pub const fn from_f32(value: f32) -> Self {
        Self::from_u32(value.to_bits())
    }
    /// From an `f64`.
    pub const fn from_f64(value: f64) -> Self {
        Self::from_u64(value.to_bits())
    }
    /// From the bits of a `v128`, lane 0 lowest.
    pub const fn from_v128(value: u128) -> Self {
        RawVal { low: value as u64, high: (value >> 64) as u64 }
    }
    /// From a reference's word.
    pub const fn from_usize(value: usize) -> Self {
        Self::from_u64(value as u64)
    }

    /// As an `i32`.
    pub const fn i32(self) -> i32 {
        self.low as i32
    }
    /// As the bits of an `i32`.
    pub const fn u32(self) -> u32 {
        self.low as u32
    }
    /// As an `i64`.
    pub const fn i64(self) -> i64 {
        self.low as i64
    }
    /// As the bits of an `i64`.
    pub const fn u64(self) -> u64 {
        self.low
    }
    /// As an `f32`.
    pub const fn f32(self) -> f32 {
        f32::from_bits(self.low as u32)
    }
    /// As an `f64`.
    pub const fn f64(self) -> f64 {
        f64::from_bits(self.low)
    }
    /// As the bits of a `v128`.
    pub const fn v128(self) -> u128 {
        self.low as u128 | (self.high as u128) << 64
    }
    /// As a reference's word.
    pub const fn usize(self) -> usize {
        self.low as usize
    }
}

impl std::fmt::Debug for RawVal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawVal({:#x})", self.v128())
    }
}

/// A value with its type, for the calls and accesses that check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Val {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// The bits of a 32-bit float.
    F32(u32),
    /// The bits of a 64-bit float.
    F64(u64),
    /// The bits of a vector.
    V128(u128),
    /// A function, or null.
    FuncRef(Option<FuncHandle>),
    /// A host reference's word; 0 is null.
    ExternRef(u64),
    /// An exception reference's word; 0 is null.
    ExnRef(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        assert_eq!(RawVal::from_i32(-5).i32(), -5);
        assert_eq!(RawVal::from_i32(-5).u64(), 0xffff_fffb);
        assert_eq!(RawVal::from_i64(-5).i64(), -5);
        assert_eq!(RawVal::from_f32(1.5).f32(), 1.5);
        assert_eq!(RawVal::from_f64(-1.5).f64(), -1.5);
        assert_eq!(RawVal::from_v128(1 << 100 | 7).v128(), 1 << 100 | 7);
        assert_eq!(size_of::<RawVal>(), tombolo_compile::vmctx::VALUE_SIZE as usize);
    }
}
