//! Ends that the host owns (`End.owner is None`).
//!
//! The host copies like a guest ([`Store::copy`]), or works on its peer's buffer itself: at once
//! ([`Store::peer`], [`Store::advance_peer`]) or in the background ([`Store::begin_direct`],
//! [`Store::end_direct`]), while the peer's owner must leave the buffer alone. What the host must look at
//! comes from [`Store::next_host_notification`] instead of a waitable set.
//!
//! Invariants: only host-owned ends are in `Store::host`, each at most once, and each whose copy has a pending
//! event is; an end is `direct` only while its peer has an active buffer.

use crate::embedder::{Buffer, Embedder};
use crate::end::{Delivered, EndState};
use crate::id::EndId;
use crate::store::Store;
use crate::trap::Trap;
use crate::waitable::{WaitableId, WaitableLinks};

/// What the host is told about an end of its own.
///
/// The fields are the state at the time of the telling; a change that came and went is told too.
pub struct HostNotification<E: Embedder> {
    /// The end.
    pub end: EndId,
    /// The event of the end's copy, now delivered. An idle end whose peer was dropped keeps its event, so that
    /// it can still be passed on; a copy would return it at once.
    pub delivered: Option<Delivered<E>>,
    /// How many elements the peer's pending copy can still take or give; `None` if there is none.
    pub peer_remain: Option<u32>,
    /// Whether the peer wants its buffer back: [`Store::end_direct`] is due.
    pub peer_cancelling: bool,
    /// Whether the peer was dropped.
    pub peer_dropped: bool,
}

/// What the peer of an end that the host owns is doing.
#[derive(Debug, PartialEq, Eq)]
pub enum Peer<B> {
    /// It was dropped.
    Dropped,
    /// Nothing that the host could take part in.
    Idle,
    /// It reads into this buffer, or writes from it.
    Copying(B),
}

impl<E: Embedder> Store<E> {
    /// Takes the next notification about a host-owned end.
    ///
    /// A peer that was already waiting when the host received the end is not notified of: see
    /// [`Store::catch_up`].
    pub fn next_host_notification(&mut self) -> Option<HostNotification<E>> {
        while let Some(end) = self.next_host_end() {
            let Some(state) = self.ends.find(end) else { continue };
            let delivered = match state.copying() {
                true => self.take_end_event(end).ok().flatten(),
                false => None,
            };
            let Some(state) = self.ends.find(end) else { continue };
            let peer = state.other.and_then(|other| self.ends.find(other));
            return Some(HostNotification {
                end,
                delivered,
                peer_remain: peer.and_then(|peer| peer.remain()),
                peer_cancelling: peer.is_some_and(|peer| peer.state == EndState::CancellingCopy),
                peer_dropped: peer.is_none(),
            });
        }
        None
    }

    /// Has a notification be due about an end that the host has received, if its peer was waiting or gone before.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the end was dropped.
    pub fn catch_up(&mut self, id: EndId) -> Result<(), Trap> {
        let peer = self.ends.get(id)?.other.and_then(|peer| self.ends.find(peer));
        if peer.is_none_or(|peer| peer.remain().is_some()) {
            self.tell_host(id);
        }
        Ok(())
    }

    /// Takes the next notification, for a host that looks at its end's peer itself and never copies.
    #[inline]
    pub fn next_host_end(&mut self) -> Option<EndId> {
        let links = &mut WaitableLinks { subtasks: &mut self.subtasks, ends: &mut self.ends };
        while let Some(id) = self.host.pop_front(links) {
            if let WaitableId::End(end) = id {
                return Some(end);
            }
        }
        None
    }

    /// Says whether a notification is due, without taking it.
    #[inline]
    pub fn has_host_notification(&self) -> bool {
        !self.host.is_empty()
    }

    /// Puts an end into the host's list, if the host owns it.
    pub(crate) fn tell_host(&mut self, end: EndId) {
        if self.ends.find(end).is_some_and(|end| end.owner.is_none()) {
            self.queue_for_host(end);
        }
    }

    /// Puts an end of the host's into its list.
    #[inline]
    pub(crate) fn queue_for_host(&mut self, end: EndId) {
        let links = &mut WaitableLinks { subtasks: &mut self.subtasks, ends: &mut self.ends };
        self.host.push_back(links, end.into());
    }

    /// Says how many elements the peer's pending copy can still take or give; `None` if it has none.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the end was dropped.
    pub fn peer_remain(&self, end: EndId) -> Result<Option<u32>, Trap> {
        let peer = self.ends.get(end)?.other;
        Ok(peer.and_then(|peer| self.ends.find(peer)).and_then(|peer| peer.remain()))
    }

    /// Says what the peer is doing, with the buffer of its pending copy for the host to fill or empty.
    ///
    /// # Errors
    ///
    /// [`Trap::Misuse`] when the end is not the host's or not idle, [`Trap::Gone`] when it was dropped.
    #[inline]
    pub fn peer(&mut self, id: EndId) -> Result<Peer<&mut E::Buffer>, Trap> {
        let Some(peer) = self.host_peer(id)? else { return Ok(Peer::Dropped) };
        let peer = self.ends.get_mut(peer)?;
        Ok(match &mut peer.buffer {
            Some(buffer) if peer.active => Peer::Copying(buffer),
            _ => Peer::Idle,
        })
    }

    /// Accounts for `count` elements that the host has copied from or to the peer's buffer, and notifies the
    /// peer: what [`Store::copy`] with a buffer of that length would do.
    ///
    /// With a `count` of 0, a peer that asks with a zero-length copy whether the host is ready learns that it
    /// is; for other peers nothing happens. A future is done after its one element.
    ///
    /// # Errors
    ///
    /// [`Trap::Misuse`] when the end is not the host's or not idle, or the peer has no such buffer;
    /// [`Trap::Gone`] when the end was dropped.
    pub fn advance_peer(&mut self, id: EndId, count: u32) -> Result<(), Trap> {
        let Some(peer) = self.host_peer(id)? else { return Err(Trap::Misuse("the peer was dropped")) };
        let (end, other) = self.ends.get_two_mut(id, peer)?;
        let (Some(remain), Some(buffer)) = (other.remain(), other.buffer.as_mut()) else {
            return Err(Trap::Misuse("the peer has no copy in progress"));
        };
        if count > remain {
            return Err(Trap::Misuse("the host copied more than the peer's buffer holds"));
        }
        if count == 0 && remain > 0 {
            return Ok(());
        }
        buffer.advance(count);
        let progress = buffer.progress();
        other.active = count < remain;
        if !end.kind.is_stream() {
            end.state = EndState::Done;
        }
        if other.set_pending(progress) {
            self.announce(peer.into());
        }
        Ok(())
    }

    /// Starts work on the peer's buffer in the background: until [`Store::end_direct`], the peer's owner
    /// cannot have it back, and a cancellation blocks (the nondeterministic choice in `End.cancel`).
    ///
    /// The peer's instance may still be removed. The runtime must then see to it that the memory stays until
    /// the work has ended.
    ///
    /// # Errors
    ///
    /// [`Trap::Misuse`] when the end is not the host's or not idle, or the peer has no copy in progress, or
    /// one that has an event to deliver; [`Trap::Gone`] when the end was dropped.
    pub fn begin_direct(&mut self, id: EndId) -> Result<(), Trap> {
        let peer = self.host_peer(id)?.map(|peer| self.ends.get(peer)).transpose()?;
        match peer {
            Some(peer) if peer.active && !peer.waitable.pending => {
                self.ends.get_mut(id)?.direct = true;
                Ok(())
            }
            _ => Err(Trap::Misuse("the peer has no copy in progress, or one that has made progress")),
        }
    }

    /// Ends work in the background, with `count` elements copied.
    ///
    /// If the peer was asked to cancel, it is notified even of no progress. Does nothing if the peer was
    /// dropped meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Store::advance_peer`].
    pub fn end_direct(&mut self, id: EndId, count: u32) -> Result<(), Trap> {
        let end = self.ends.get_mut(id)?;
        if end.other.is_none() {
            return Ok(());
        }
        if !std::mem::take(&mut end.direct) {
            return Err(Trap::Misuse("no work in the background was under way"));
        }
        let peer = end.other;
        self.advance_peer(id, count)?;
        if let Some(peer) = peer
            && let Some(other) = self.ends.find(peer)
            && other.state == EndState::CancellingCopy
            && !other.waitable.pending
        {
            self.notify(peer, 0);
        }
        Ok(())
    }

    /// Returns the peer of an idle end that the host owns.
    #[inline]
    fn host_peer(&self, id: EndId) -> Result<Option<EndId>, Trap> {
        let end = self.ends.get(id)?;
        if end.owner.is_some() || end.direct {
            return Err(Trap::Misuse("the end is not the host's, or busy in the background"));
        }
        if end.copying() {
            return Err(Trap::Misuse("the host has a copy in progress"));
        }
        Ok(end.other)
    }
}
