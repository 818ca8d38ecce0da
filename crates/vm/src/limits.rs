//! What a store, or a group in it, may hold.

use std::cell::Cell;

/// How much a store or a [group](crate::GroupHandle) may hold, all of it together.
///
/// Asked before anything is made or grown: a refused growth is the instruction's failure value, a refused creation a
/// [`LimitExceeded`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of memories.
    pub memory_bytes: u64,
    /// Elements of tables.
    pub table_elements: u64,
    /// Memories.
    pub memories: u64,
    /// Tables.
    pub tables: u64,
    /// Instances.
    pub instances: u64,
}

impl Default for Limits {
    /// No limits.
    fn default() -> Self {
        let most = u64::MAX;
        Limits { memory_bytes: most, table_elements: most, memories: most, tables: most, instances: most }
    }
}

/// Something that [`Limits`] limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields of `Limits` say it")]
pub enum LimitKind {
    MemoryBytes,
    TableElements,
    Memories,
    Tables,
    Instances,
}

/// Guests asked for more than the limits of their store or group let them have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limit of {limit} {kind} exceeded: {wanted} would be needed")]
pub struct LimitExceeded {
    /// What there would be too much of.
    pub kind: LimitKind,
    /// How much there may be.
    pub limit: u64,
    /// How much there would be.
    pub wanted: u64,
}

impl std::fmt::Display for LimitKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            LimitKind::MemoryBytes => "bytes of memory",
            LimitKind::TableElements => "table elements",
            LimitKind::Memories => "memories",
            LimitKind::Tables => "tables",
            LimitKind::Instances => "instances",
        })
    }
}

/// Limits, and what is used of them.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    used: [Cell<u64>; 5],
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Budget { limits, used: Default::default() }
    }

    /// Takes account of something that is about to be made.
    pub(crate) fn spend(&self, kind: LimitKind, amount: u64) -> Result<(), LimitExceeded> {
        let Limits { memory_bytes, table_elements, memories, tables, instances } = self.limits;
        let limit = match kind {
            LimitKind::MemoryBytes => memory_bytes,
            LimitKind::TableElements => table_elements,
            LimitKind::Memories => memories,
            LimitKind::Tables => tables,
            LimitKind::Instances => instances,
        };
        let used = self.used_of(kind);
        let wanted = used.get().saturating_add(amount);
        if wanted > limit {
            return Err(LimitExceeded { kind, limit, wanted });
        }
        used.set(wanted);
        Ok(())
    }

    /// Takes back what was not made after all.
    pub(crate) fn unspend(&self, kind: LimitKind, amount: u64) {
        let used = self.used_of(kind);
        used.set(used.get().saturating_sub(amount));
    }

    /// Takes back all that another budget has spent, which this one has spent too.
    pub(crate) fn unspend_all(&self, other: &Budget) {
        for (used, freed) in self.used.iter().zip(&other.used) {
            used.set(used.get().saturating_sub(freed.get()));
        }
    }

    fn used_of(&self, kind: LimitKind) -> &Cell<u64> {
        let [memory_bytes, table_elements, memories, tables, instances] = &self.used;
        match kind {
            LimitKind::MemoryBytes => memory_bytes,
            LimitKind::TableElements => table_elements,
            LimitKind::Memories => memories,
            LimitKind::Tables => tables,
            LimitKind::Instances => instances,
        }
    }
}
