//! What a store may hold.

/// Decides whether a memory or table of a store may grow. Asked before each creation (with a current size of 0) and
/// each growth, in bytes and elements; a refused growth is the instruction's failure value, a refused creation an
/// [`InstantiationError`](crate::InstantiationError).
///
/// It must not panic, and is asked while the store is in use, so it has no way to reach it.
pub trait Limiter: Send {
    /// May a memory grow from `current` to `desired` bytes, of at most `maximum` that its type names?
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool;

    /// May a table grow from `current` to `desired` elements, of at most `maximum` that its type names?
    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool;
}

/// Limits on the totals of a store; a [`Limiter`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that may still be added to memories.
    pub memory_bytes: usize,
    /// Elements that may still be added to tables.
    pub table_elements: usize,
}

impl Limiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> bool {
        spend(&mut self.memory_bytes, current, desired)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> bool {
        spend(&mut self.table_elements, current, desired)
    }
}

fn spend(left: &mut usize, current: usize, desired: usize) -> bool {
    match left.checked_sub(desired.saturating_sub(current)) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}
