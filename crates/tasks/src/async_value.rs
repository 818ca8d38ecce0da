//! Passing streams and futures between instances (CanonicalABI.md, `lift_async_value`, `lower_async_value`).
//!
//! What is passed is the readable end, and only while nothing happens at it: idle and in no waitable set. In
//! between it has no owner, as an end of the host's. A pending event (the peer was dropped) travels along.

use crate::embedder::Embedder;
use crate::end::{End, EndKind, EndState};
use crate::id::{EndId, InstanceId};
use crate::instance::Cost;
use crate::store::Store;
use crate::trap::{EndAction, Trap};

impl<E: Embedder> Store<E> {
    /// Takes a readable end out of an instance, to pass it on (`lift_async_value`). The runtime owes it to
    /// another instance ([`Store::lower_readable`]), to the host, or to [`Store::drop_end`].
    ///
    /// # Errors
    ///
    /// Traps when the handle is not a readable end of this kind and type, or the end is busy, done or in a
    /// waitable set.
    pub fn lift_readable<T>(
        &mut self,
        inst: InstanceId,
        index: u32,
        kind: EndKind,
        element: &T,
    ) -> Result<EndId, Trap>
    where
        E::Element: PartialEq<T>,
    {
        if !kind.is_readable() {
            return Err(Trap::Misuse("only readable ends are passed on"));
        }
        let (id, end) = self.end_in(self.instances.get(inst)?, index, kind, element)?;
        end.check_transfer(EndAction::Lift)?;
        if self.disown_end(id)?.waitable.pending {
            self.tell_host(id);
        }
        Ok(id)
    }

    /// Gives an end to an instance and returns its handle (`lower_async_value`).
    ///
    /// # Errors
    ///
    /// Traps when the instance holds too much; the end is the runtime's still.
    pub fn lower_readable(&mut self, inst: InstanceId, id: EndId) -> Result<u32, Trap> {
        let end = self.ends.get(id)?;
        if end.owner.is_some() || !end.kind.is_readable() || end.state != EndState::Idle || end.direct {
            return Err(Trap::Misuse("only an idle readable end without owner can be passed on"));
        }
        let linked = end.waitable.link.linked();
        let index = self.ends.get_mut(id)?.own(id, inst, self.instances.get_mut(inst)?)?;
        if linked {
            self.unlink_waitable(id.into());
        }
        Ok(index)
    }

    /// Takes an end's handle away.
    #[inline]
    pub(crate) fn disown_end(&mut self, id: EndId) -> Result<&mut End<E>, Trap> {
        let end = self.ends.get_mut(id)?;
        if let Some(inst) = end.owner.take() {
            let index = std::mem::take(&mut end.index);
            self.instances.get_mut(inst)?.discard_handle_of(index, Cost::<E>::END);
        }
        Ok(end)
    }
}

impl<E: Embedder> End<E> {
    /// The checks that precede lifting and forwarding.
    #[inline]
    pub(crate) fn check_transfer(&self, action: EndAction) -> Result<(), Trap> {
        self.check_idle(action)?;
        if self.waitable.set.is_some() {
            return Err(Trap::InWaitableSet { index: self.index, action, kind: self.kind.handle_kind() });
        }
        Ok(())
    }
}
