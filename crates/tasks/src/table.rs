//! The tables of guest-visible indices (CanonicalABI.md, "Table State").
//!
//! Invariants: index 0 is never used; removed indices are reused last in, first out, as the specification's
//! `Table` does; no index exceeds [`Table::MAX_LENGTH`] and no more than `limit` entries are live at once.

pub(crate) struct Table<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    len: u32,
    limit: u32,
}

enum Entry<T> {
    Full(T),
    /// The index that was removed before this one; 0 ends the list.
    Free(u32),
}

impl<T> Table<T> {
    /// The greatest index (`Table.MAX_LENGTH`): it fits beside four bits of state in an `i32`.
    pub(crate) const MAX_LENGTH: u32 = (1 << 28) - 1;

    pub(crate) fn new(limit: u32) -> Self {
        Table { entries: Vec::new(), free: 0, len: 0, limit: limit.min(Self::MAX_LENGTH) }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match self.entries.get(position(index)?) {
            Some(Entry::Full(value)) => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.entries.get_mut(position(index)?) {
            Some(Entry::Full(value)) => Some(value),
            _ => None,
        }
    }

    /// Adds an entry and returns its index, or `None` when the limit is reached.
    // Always inlined: a value is made in its place then, instead of copied there in other pieces than it was made in, for
    // which the processor waits.
    #[inline(always)]
    pub(crate) fn add(&mut self, value: T) -> Option<u32> {
        if self.len >= self.limit {
            return None;
        }
        if let Some(entry) = position(self.free).and_then(|at| self.entries.get_mut(at))
            && let Entry::Free(next) = *entry
        {
            let index = self.free;
            *entry = Entry::Full(value);
            self.free = next;
            self.len = self.len.saturating_add(1);
            return Some(index);
        }
        self.grow(value)
    }

    #[cold]
    fn grow(&mut self, value: T) -> Option<u32> {
        let index = u32::try_from(self.entries.len()).ok()?.checked_add(1)?;
        if index > Self::MAX_LENGTH {
            return None;
        }
        self.entries.push(Entry::Full(value));
        self.len = self.len.saturating_add(1);
        Some(index)
    }

    #[inline]
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let entry = self.entries.get_mut(position(index)?)?;
        if matches!(entry, Entry::Free(_)) {
            return None;
        }
        match std::mem::replace(entry, Entry::Free(self.free)) {
            Entry::Full(value) => {
                self.free = index;
                self.len = self.len.saturating_sub(1);
                Some(value)
            }
            Entry::Free(_) => None,
        }
    }

    /// Removes an entry and drops it where it is. Says whether there was one.
    #[inline]
    pub(crate) fn discard(&mut self, index: u32) -> bool {
        match position(index).and_then(|at| self.entries.get_mut(at)) {
            Some(entry @ Entry::Full(_)) => {
                *entry = Entry::Free(self.free);
                self.free = index;
                self.len = self.len.saturating_sub(1);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries.iter().zip(1..).filter_map(|(entry, index)| match entry {
            Entry::Full(value) => Some((index, value)),
            Entry::Free(_) => None,
        })
    }

    /// Lists the entries that fit.
    pub(crate) fn indices_of(&self, fits: impl Fn(&T) -> bool) -> Vec<u32> {
        let entries = self.entries.iter().zip(1..);
        entries
            .filter(|(entry, _)| matches!(entry, Entry::Full(value) if fits(value)))
            .map(|(_, i)| i)
            .collect()
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = (u32, T)> {
        self.entries.into_iter().zip(1..).filter_map(|(entry, index)| match entry {
            Entry::Full(value) => Some((index, value)),
            Entry::Free(_) => None,
        })
    }
}

#[inline]
fn position(index: u32) -> Option<usize> {
    Some(index.checked_sub(1)? as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_start_at_one_and_are_reused_last_in_first_out() {
        let mut table = Table::new(100);
        let indices: Vec<_> = (0..4).map(|n| table.add(n).unwrap()).collect();
        assert_eq!(indices, [1, 2, 3, 4]);
        assert_eq!(table.remove(2), Some(1));
        assert_eq!(table.remove(4), Some(3));
        assert_eq!(table.remove(4), None);
        assert_eq!(table.add(10), Some(4));
        assert_eq!(table.add(11), Some(2));
        assert_eq!(table.add(12), Some(5));
        assert_eq!(table.get(0), None);
        assert_eq!(table.get(6), None);
        assert_eq!(table.get(u32::MAX), None);
        assert_eq!(table.get(2), Some(&11));
    }

    #[test]
    fn the_limit_counts_live_entries() {
        let mut table = Table::new(2);
        assert_eq!(table.add('a'), Some(1));
        assert_eq!(table.add('b'), Some(2));
        assert_eq!(table.add('c'), None);
        assert_eq!(table.remove(1), Some('a'));
        assert_eq!(table.add('c'), Some(1));
        assert_eq!(table.len(), 2);
    }
}
