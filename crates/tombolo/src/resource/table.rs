//! The table in which a host keeps what its resources stand for.

use std::any::{Any, type_name};

use super::Resource;

/// Why a [`ResourceTable`] refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceTableError {
    /// The table is at its limit.
    #[error("the resource table is full: it holds {0} resources")]
    Full(u32),
    /// There is no resource with this number.
    #[error("no resource has the number {0}")]
    NotPresent(u32),
    /// The number stands for something of another type.
    #[error("resource {rep} is not a `{expected}`")]
    WrongType {
        /// The number.
        rep: u32,
        /// The Rust type asked for.
        expected: &'static str,
    },
    /// A borrowed resource was to be deleted.
    #[error("resource {0} is borrowed; only its owner can delete it")]
    NotOwned(u32),
}

/// Maps the numbers that represent resources to the host's objects.
///
/// Numbers start at 1 and are used again after [`delete`](Self::delete).
#[derive(Default)]
pub struct ResourceTable {
    slots: Vec<Slot>,
    /// The first free slot, plus one; 0 if there is none.
    free: u32,
    len: u32,
    limit: Option<u32>,
}

enum Slot {
    Used(Box<dyn Any + Send>),
    /// With the next free slot, plus one.
    Free(u32),
}

impl ResourceTable {
    /// How many resources a table holds at most, unless it was made with another limit.
    pub const DEFAULT_LIMIT: u32 = 1 << 20;

    /// Makes an empty table for up to [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) resources.
    pub fn new() -> Self {
        ResourceTable::default()
    }

    /// Makes an empty table for up to `limit` resources.
    pub fn with_limit(limit: u32) -> Self {
        ResourceTable { limit: Some(limit), ..ResourceTable::default() }
    }

    /// How many resources there are.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are no resources.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an object and returns the resource that stands for it.
    ///
    /// # Errors
    /// [`ResourceTableError::Full`] if the table is at its limit.
    #[inline]
    pub fn push<R: Any + Send>(&mut self, value: R) -> Result<Resource<R>, ResourceTableError> {
        self.add(Box::new(value)).map(Resource::new_own)
    }

    fn add(&mut self, value: Box<dyn Any + Send>) -> Result<u32, ResourceTableError> {
        let limit = self.limit.unwrap_or(Self::DEFAULT_LIMIT);
        if self.len >= limit {
            return Err(ResourceTableError::Full(limit));
        }
        let value = Slot::Used(value);
        let free = self.free;
        let rep = match self.slot_mut(free) {
            Some(slot) => {
                if let Slot::Free(next) = std::mem::replace(slot, value) {
                    self.free = next;
                }
                free
            }
            None => {
                self.slots.push(value);
                // No more than the limit.
                self.slots.len() as u32
            }
        };
        self.len += 1;
        Ok(rep)
    }

    /// The object that a resource stands for.
    ///
    /// # Errors
    /// If there is none, or one of another type.
    pub fn get<R: Any + Send>(&self, resource: &Resource<R>) -> Result<&R, ResourceTableError> {
        let rep = resource.rep();
        match rep.checked_sub(1).and_then(|index| self.slots.get(index as usize)) {
            Some(Slot::Used(value)) => value.downcast_ref().ok_or_else(|| wrong_type::<R>(rep)),
            _ => Err(ResourceTableError::NotPresent(rep)),
        }
    }

    /// The object that a resource stands for, to change it.
    ///
    /// # Errors
    /// If there is none, or one of another type.
    pub fn get_mut<R: Any + Send>(&mut self, resource: &Resource<R>) -> Result<&mut R, ResourceTableError> {
        let rep = resource.rep();
        match self.slot_mut(rep) {
            Some(Slot::Used(value)) => value.downcast_mut().ok_or_else(|| wrong_type::<R>(rep)),
            _ => Err(ResourceTableError::NotPresent(rep)),
        }
    }

    /// Takes the object of an owned resource out of the table.
    ///
    /// # Errors
    /// If there is none, or one of another type, or if the resource is a `borrow`; the table is unchanged then.
    #[inline]
    pub fn delete<R: Any + Send>(&mut self, resource: Resource<R>) -> Result<R, ResourceTableError> {
        self.take(resource).map(|value| *value)
    }

    /// Takes the object of an owned resource out of the table in the box that it lies in, as [`delete`](Self::delete) does
    /// without.
    ///
    /// # Errors
    /// As there.
    pub fn take<R: Any + Send>(&mut self, resource: Resource<R>) -> Result<Box<R>, ResourceTableError> {
        let rep = resource.rep();
        if !resource.is_owned() {
            return Err(ResourceTableError::NotOwned(rep));
        }
        let free = self.free;
        let slot = self.slot_mut(rep).ok_or(ResourceTableError::NotPresent(rep))?;
        match std::mem::replace(slot, Slot::Free(free)) {
            Slot::Used(value) => match value.downcast() {
                Ok(value) => {
                    self.free = rep;
                    self.len -= 1;
                    Ok(value)
                }
                Err(value) => {
                    *slot = Slot::Used(value);
                    Err(wrong_type::<R>(rep))
                }
            },
            Slot::Free(next) => {
                *slot = Slot::Free(next);
                Err(ResourceTableError::NotPresent(rep))
            }
        }
    }

    fn slot_mut(&mut self, rep: u32) -> Option<&mut Slot> {
        self.slots.get_mut(rep.checked_sub(1)? as usize)
    }
}

fn wrong_type<R>(rep: u32) -> ResourceTableError {
    ResourceTableError::WrongType { rep, expected: type_name::<R>() }
}

impl std::fmt::Debug for ResourceTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResourceTable").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_and_go() {
        let mut table = ResourceTable::new();
        let a = table.push("a".to_owned()).unwrap();
        let b = table.push(5_u32).unwrap();
        assert_eq!((a.rep(), b.rep(), table.len()), (1, 2, 2));
        table.get_mut(&a).unwrap().push('!');
        assert_eq!(table.get(&a).unwrap(), "a!");
        assert_eq!(table.delete(Resource::<String>::new_own(1)), Ok("a!".to_owned()));
        assert_eq!(table.get(&a), Err(ResourceTableError::NotPresent(1)));
        assert_eq!(table.delete(a), Err(ResourceTableError::NotPresent(1)));
        assert_eq!(table.push(1_u8).unwrap().rep(), 1, "the slot is used again");
        assert_eq!(table.push(2_u8).unwrap().rep(), 3);
        assert_eq!(table.delete(b), Ok(5));
    }

    #[test]
    fn a_table_refuses_what_it_must() {
        let mut table = ResourceTable::with_limit(1);
        table.push(5_u32).unwrap();
        assert!(matches!(table.push(6_u32), Err(ResourceTableError::Full(1))));
        assert!(matches!(
            table.delete(Resource::<String>::new_own(1)),
            Err(ResourceTableError::WrongType { rep: 1, .. })
        ));
        assert!(matches!(table.delete(Resource::<u32>::new_borrow(1)), Err(ResourceTableError::NotOwned(1))));
        for rep in [0, 2, u32::MAX] {
            assert_eq!(table.get(&Resource::<u32>::new_own(rep)), Err(ResourceTableError::NotPresent(rep)));
        }
        assert_eq!((table.len(), table.delete(Resource::<u32>::new_own(1))), (1, Ok(5)));
        assert!(table.is_empty());
    }
}
