//! Doubly linked lists through entities that live in slabs.
//!
//! Queues of threads and of waitables hold ids, and each member carries its neighbours' ids, so joining and
//! leaving a queue anywhere is O(1) and allocates nothing. An entity belongs to at most one list per
//! [`Link`]; it leaves all its lists before it leaves its slab.

/// A member's place in a list.
pub(crate) struct Link<I> {
    prev: Option<I>,
    next: Option<I>,
    linked: bool,
}

impl<I> Link<I> {
    #[inline]
    pub(crate) const fn new() -> Self {
        Link { prev: None, next: None, linked: false }
    }

    #[inline]
    pub(crate) fn linked(&self) -> bool {
        self.linked
    }
}

/// Where the links of a list's members are found.
pub(crate) trait Links<I> {
    fn link(&mut self, id: I) -> Option<&mut Link<I>>;
}

/// A first-in, first-out list.
#[derive(Debug)]
pub(crate) struct List<I> {
    head: Option<I>,
    tail: Option<I>,
}

impl<I: Copy> List<I> {
    pub(crate) const fn new() -> Self {
        List { head: None, tail: None }
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<I> {
        self.head
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Appends `id`, unless it is in a list already.
    #[inline]
    pub(crate) fn push_back(&mut self, links: &mut impl Links<I>, id: I) {
        match links.link(id) {
            Some(link) if !link.linked => *link = Link { prev: self.tail, next: None, linked: true },
            _ => return,
        }
        match self.tail.and_then(|tail| links.link(tail)) {
            Some(tail) => tail.next = Some(id),
            None => self.head = Some(id),
        }
        self.tail = Some(id);
    }

    /// Prepends `id`, unless it is in a list already.
    #[inline]
    pub(crate) fn push_front(&mut self, links: &mut impl Links<I>, id: I) {
        match links.link(id) {
            Some(link) if !link.linked => *link = Link { prev: None, next: self.head, linked: true },
            _ => return,
        }
        match self.head.and_then(|head| links.link(head)) {
            Some(head) => head.prev = Some(id),
            None => self.tail = Some(id),
        }
        self.head = Some(id);
    }

    /// Takes the first member out.
    #[inline]
    pub(crate) fn pop_front(&mut self, links: &mut impl Links<I>) -> Option<I> {
        let id = self.head?;
        let next = links.link(id).and_then(|link| {
            link.linked = false;
            link.next.take()
        });
        match next.and_then(|next| links.link(next)) {
            Some(link) => link.prev = None,
            None => self.tail = None,
        }
        self.head = next;
        Some(id)
    }

    /// Takes `id` out, if it is in; it must not be in another list of the same links.
    #[inline]
    pub(crate) fn unlink(&mut self, links: &mut impl Links<I>, id: I) {
        let (prev, next) = match links.link(id) {
            Some(link) if link.linked => {
                let place = (link.prev, link.next);
                *link = Link::new();
                place
            }
            _ => return,
        };
        match prev.and_then(|prev| links.link(prev)) {
            Some(prev) => prev.next = next,
            None => self.head = next,
        }
        match next.and_then(|next| links.link(next)) {
            Some(next) => next.prev = prev,
            None => self.tail = prev,
        }
    }

    #[cfg(test)]
    pub(crate) fn collect(&self, links: &mut impl Links<I>) -> Vec<I>
    where
        I: PartialEq + std::fmt::Debug,
    {
        let mut ids = Vec::new();
        let mut prev = None;
        let mut at = self.head;
        while let Some(id) = at {
            let link = links.link(id).expect("a list names only live entities");
            assert!(link.linked && link.prev == prev, "broken list at {id:?}");
            assert!(!ids.contains(&id), "a list is not a circle");
            ids.push(id);
            prev = Some(id);
            at = link.next;
        }
        assert_eq!(self.tail, prev);
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Links<usize> for Vec<Link<usize>> {
        fn link(&mut self, id: usize) -> Option<&mut Link<usize>> {
            self.get_mut(id)
        }
    }

    #[test]
    fn members_leave_from_anywhere() {
        let mut links: Vec<Link<usize>> = (0..5).map(|_| Link::new()).collect();
        let mut list = List::new();
        for id in [1, 2, 3] {
            list.push_back(&mut links, id);
        }
        list.push_front(&mut links, 0);
        list.push_back(&mut links, 2);
        assert_eq!(list.collect(&mut links), [0, 1, 2, 3]);
        list.unlink(&mut links, 2);
        list.unlink(&mut links, 4);
        assert_eq!(list.collect(&mut links), [0, 1, 3]);
        list.unlink(&mut links, 3);
        list.unlink(&mut links, 0);
        assert_eq!(list.collect(&mut links), [1]);
        list.push_back(&mut links, 4);
        assert_eq!(list.pop_front(&mut links), Some(1));
        assert_eq!(list.collect(&mut links), [4]);
        assert_eq!(list.pop_front(&mut links), Some(4));
        assert_eq!(list.pop_front(&mut links), None);
        assert!(list.is_empty());
        assert_eq!(list.collect(&mut links), []);
    }
}
