//! The ends of streams and futures (CanonicalABI.md, "Stream and Future State").
//!
//! Invariants, where X is an end:
//! - `X.other` is the end that X is paired with, whose `other` is X; `None` once that was dropped. X then has a
//!   pending `DROPPED` event, or is done.
//! - `X.active` is the specification's `buffer is not None`: the other end may copy from or to `X.buffer`. It
//!   implies that X is copying. A buffer stays in X after it stops being active, until X's event is delivered,
//!   so that a host can have it back.
//! - Of two paired ends, at most one is active, but for the time between [`CopyStep::Transfer`] and
//!   [`Store::finish_transfer`].
//! - X has an index if and only if it has an owner; else it is the host's, or on its way between instances.
//!
//! [`CopyStep::Transfer`]: crate::CopyStep::Transfer

use crate::embedder::{Buffer, Element, Embedder};
use crate::event::{CopyEvent, CopyResult, EventCode};
use crate::handle_table::Handle;
use crate::id::{EndId, InstanceId};
use crate::instance::{Cost, Instance};
use crate::slab::Slab;
use crate::store::Store;
use crate::trap::{EndAction, HandleKind, Trap};
use crate::waitable::Waitable;

/// One end of a stream or future.
pub(crate) struct End<E: Embedder> {
    pub(crate) waitable: Waitable,
    pub(crate) kind: EndKind,
    pub(crate) element: E::Element,
    pub(crate) state: EndState,
    pub(crate) other: Option<EndId>,
    pub(crate) owner: Option<InstanceId>,
    /// The handle; 0 without an owner.
    pub(crate) index: u32,
    pub(crate) buffer: Option<E::Buffer>,
    pub(crate) active: bool,
    /// How many elements the pending event reports.
    pub(crate) progress: u32,
    /// Whether the host works on the other end's buffer in the background: see [`Store::begin_direct`].
    pub(crate) direct: bool,
}

/// The four kinds of end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndKind {
    /// Where a stream is read.
    StreamReadable,
    /// Where a stream is written.
    StreamWritable,
    /// Where a future is read.
    FutureReadable,
    /// Where a future is written.
    FutureWritable,
}

impl EndKind {
    /// Says whether elements come out of this end.
    #[inline]
    pub fn is_readable(self) -> bool {
        matches!(self, EndKind::StreamReadable | EndKind::FutureReadable)
    }

    /// Says whether this is an end of a stream, not of a future.
    #[inline]
    pub fn is_stream(self) -> bool {
        matches!(self, EndKind::StreamReadable | EndKind::StreamWritable)
    }

    /// Returns the code of this end's events (`End.event_code`).
    #[inline]
    pub fn event_code(self) -> EventCode {
        match self {
            EndKind::StreamReadable => EventCode::StreamRead,
            EndKind::StreamWritable => EventCode::StreamWrite,
            EndKind::FutureReadable => EventCode::FutureRead,
            EndKind::FutureWritable => EventCode::FutureWrite,
        }
    }

    #[inline]
    pub(crate) fn handle_kind(self) -> HandleKind {
        match self {
            EndKind::StreamReadable => HandleKind::StreamReadable,
            EndKind::StreamWritable => HandleKind::StreamWritable,
            EndKind::FutureReadable => HandleKind::FutureReadable,
            EndKind::FutureWritable => HandleKind::FutureWritable,
        }
    }

    #[inline]
    fn copy_action(self) -> EndAction {
        if self.is_readable() { EndAction::Read } else { EndAction::Write }
    }
}

/// What an end is doing (`End.State`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndState {
    /// Nothing.
    Idle,
    /// A read or write is in progress.
    Copying,
    /// A read or write is in progress and was asked to cancel.
    CancellingCopy,
    /// The stream or future has ended, and the owner knows.
    Done,
}

/// An end's event, with the buffer of the copy that it ends.
pub struct Delivered<E: Embedder> {
    /// What happened.
    pub event: CopyEvent,
    /// The copy's buffer; `None` if the end was idle.
    pub buffer: Option<E::Buffer>,
}

/// How far a cancellation got: see [`Store::cancel`].
pub enum CancelStep<E: Embedder> {
    /// The copy has ended; the event says how.
    Done(Delivered<E>),
    /// The host works on the buffer; the end's event comes when it is done.
    Blocked,
}

impl<E: Embedder> Store<E> {
    /// Creates a pair of the host's ends, readable and writable.
    #[inline]
    pub(crate) fn new_pair(
        &mut self,
        kinds: [EndKind; 2],
        element: E::Element,
    ) -> Result<(EndId, EndId), Trap> {
        let [(reader, _), (writer, _)] = insert_pair(&mut self.ends, kinds, element)?;
        Ok((reader, writer))
    }

    /// Creates a pair of an instance's ends and returns their handles.
    pub(crate) fn new_owned_pair(
        &mut self,
        inst: InstanceId,
        kinds: [EndKind; 2],
        element: E::Element,
    ) -> Result<(u32, u32), Trap> {
        let instance = self.instances.get_mut(inst)?;
        if !instance.door.may_leave() {
            return Err(Trap::CannotLeave);
        }
        let [(reader, readable), (writer, writable)] = insert_pair(&mut self.ends, kinds, element)?;
        let owned = match readable.own(reader, inst, instance) {
            Ok(index) => writable.own(writer, inst, instance).map(|other| (index, other)),
            Err(trap) => Err(trap),
        };
        if owned.is_err() {
            self.remove_end(reader)?;
            self.remove_end(writer)?;
        }
        owned
    }

    #[cfg(test)]
    pub(crate) fn end_handle<T>(
        &self,
        inst: InstanceId,
        index: u32,
        kind: EndKind,
        element: &T,
    ) -> Result<EndId, Trap>
    where
        E::Element: PartialEq<T>,
    {
        let instance = self.instances.get(inst)?;
        Ok(self.end_in(instance, index, kind, element)?.0)
    }

    /// Finds the end that a built-in is called for, by its handle; traps unless the instance may be left.
    #[inline]
    fn guest_end(
        &self,
        inst: InstanceId,
        index: u32,
        kind: EndKind,
        element: &E::Element,
    ) -> Result<(EndId, &End<E>), Trap> {
        let instance = self.instances.get(inst)?;
        if !instance.door.may_leave() {
            return Err(Trap::CannotLeave);
        }
        self.end_in(instance, index, kind, element)
    }

    /// Finds an end by its handle, which must be of this kind and carry this element type.
    #[inline]
    pub(crate) fn end_in<T>(
        &self,
        instance: &Instance<E>,
        index: u32,
        kind: EndKind,
        element: &T,
    ) -> Result<(EndId, &End<E>), Trap>
    where
        E::Element: PartialEq<T>,
    {
        let handle = instance.handles.get(index).ok_or(Trap::UnknownHandle(index))?;
        if let Handle::End(id) = handle {
            let end = self.ends.get(*id)?;
            if end.kind == kind {
                return if end.element == *element { Ok((*id, end)) } else { Err(Trap::WrongElement(index)) };
            }
        }
        Err(self.wrong_kind(handle, index, kind))
    }

    #[cold]
    fn wrong_kind(&self, handle: &Handle<E>, index: u32, kind: EndKind) -> Trap {
        match self.kind_of(handle) {
            Ok(found) => Trap::WrongHandle { index, expected: kind.handle_kind(), found },
            Err(trap) => trap,
        }
    }

    /// Finds the end that a guest reads from or writes to, with the checks that precede the buffer's (the
    /// start of `copy` in CanonicalABI.md, "canon {stream,future}.{read,write}").
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, the handle is not such an end, the end is busy or done, or it is
    /// in a waitable set and the built-in not async.
    #[inline]
    pub fn end_to_copy(
        &self,
        inst: InstanceId,
        index: u32,
        kind: EndKind,
        element: &E::Element,
        is_async: bool,
    ) -> Result<EndId, Trap> {
        let (id, end) = self.guest_end(inst, index, kind, element)?;
        end.check_idle(kind.copy_action())?;
        if end.waitable.set.is_some() && !is_async {
            return Err(Trap::SyncAndSet(index));
        }
        Ok(id)
    }

    /// Finds the end whose copy a guest cancels, with the checks of `cancel_copy` (CanonicalABI.md, "canon
    /// {stream,future}.cancel-{read,write}").
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, the handle is not such an end, no asynchronous copy is in
    /// progress, or the end is in a waitable set and the built-in not async.
    pub fn end_to_cancel(
        &self,
        inst: InstanceId,
        index: u32,
        kind: EndKind,
        element: &E::Element,
        is_async: bool,
    ) -> Result<EndId, Trap> {
        let (id, end) = self.guest_end(inst, index, kind, element)?;
        if end.state != EndState::Copying {
            return Err(Trap::NotCopying(index));
        }
        if end.waitable.has_sync_waiter {
            return Err(Trap::HasSyncWaiter(index));
        }
        if end.waitable.set.is_some() && !is_async {
            return Err(Trap::SyncAndSet(index));
        }
        Ok(id)
    }

    /// Asks an end's copy to end (`End.cancel`).
    ///
    /// # Errors
    ///
    /// Traps when no copy is in progress.
    pub fn cancel(&mut self, id: EndId) -> Result<CancelStep<E>, Trap> {
        let end = self.ends.get_mut(id)?;
        if end.state != EndState::Copying {
            return Err(Trap::NotCopying(end.index));
        }
        end.state = EndState::CancellingCopy;
        if !end.waitable.pending
            && let Some(other) = end.other
            && self.ends.get(other)?.direct
        {
            self.tell_host(other);
            return Ok(CancelStep::Blocked);
        }
        Ok(CancelStep::Done(self.deliver_end(id)?))
    }

    /// Takes the pending event of a guest's end, if it has one: of a copy that ended within a synchronous wait, or at once.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the end was dropped.
    #[inline]
    pub fn take_copy_event(&mut self, id: EndId) -> Result<Option<CopyEvent>, Trap> {
        if !self.ends.get(id)?.waitable.pending {
            return Ok(None);
        }
        let (event, end) = self.end_copy(id)?;
        end.buffer = None;
        Ok(Some(event))
    }

    /// Takes an end's pending event, if it has one, with the buffer of its copy.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the end was dropped.
    #[inline]
    pub fn take_end_event(&mut self, id: EndId) -> Result<Option<Delivered<E>>, Trap> {
        if self.ends.get(id)?.waitable.pending { self.deliver_end(id).map(Some) } else { Ok(None) }
    }

    /// Delivers an end's event, with the buffer of its copy.
    #[inline]
    pub(crate) fn deliver_end(&mut self, id: EndId) -> Result<Delivered<E>, Trap> {
        let (event, end) = self.end_copy(id)?;
        Ok(Delivered { event, buffer: end.buffer.take() })
    }

    /// Ends a copy and delivers its event (`stream_event`, `future_event`). The buffer is still in the end.
    #[inline]
    pub(crate) fn end_copy(&mut self, id: EndId) -> Result<(CopyEvent, &mut End<E>), Trap> {
        let waitable = &mut self.ends.get_mut(id)?.waitable;
        if std::mem::take(&mut waitable.pending) && waitable.link.linked() {
            self.unlink_waitable(id.into());
        }
        let end = self.ends.get_mut(id)?;
        let progress = std::mem::take(&mut end.progress);
        Ok((end.conclude(progress), end))
    }

    /// Sets an end's event pending (`End.notify`).
    #[inline]
    pub(crate) fn notify(&mut self, id: EndId, progress: u32) {
        if let Some(end) = self.ends.find_mut(id)
            && end.set_pending(progress)
        {
            self.announce(id.into());
        }
    }

    /// Drops a guest's end (`canon_{stream,future}_drop_{readable,writable}`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, the handle is not such an end, a copy is in progress, or a
    /// future was not written.
    pub fn end_drop(
        &mut self,
        inst: InstanceId,
        index: u32,
        kind: EndKind,
        element: &E::Element,
    ) -> Result<(), Trap> {
        let (id, end) = self.guest_end(inst, index, kind, element)?;
        end.check_drop()?;
        self.remove_end(id)
    }

    /// Drops an end (`End.drop`): a guest's, the host's, or one on its way between instances.
    ///
    /// The host may do so during a copy of its own, which is cancelled; and it may drop a writable future end
    /// without a value: the reader sees `DROPPED`, which guests are not prepared for.
    ///
    /// # Errors
    ///
    /// Traps when a guest's copy is in progress, or a guest's future was not written. [`Trap::Misuse`] while
    /// the host works in the background: [`Store::end_direct`] comes first.
    #[inline]
    pub fn drop_end(&mut self, id: EndId) -> Result<(), Trap> {
        self.ends.get(id)?.check_drop()?;
        self.remove_end(id)
    }

    /// Removes an end in whatever state it is, with its handle, and tells its peer.
    #[inline]
    pub(crate) fn remove_end(&mut self, id: EndId) -> Result<(), Trap> {
        let end = self.ends.get(id)?;
        let &End { owner, index, other: peer, .. } = end;
        if end.waitable.in_queues() {
            self.join(id.into(), None);
        }
        if let Some(inst) = owner {
            self.instances.get_mut(inst)?.discard_handle_of(index, Cost::<E>::END);
        }
        self.ends.discard(id)?;
        if let Some(peer) = peer
            && let Some(other) = self.ends.find_mut(peer)
        {
            other.other = None;
            other.direct = false;
            if other.state != EndState::Done && !other.waitable.pending && other.set_pending(0) {
                self.announce(peer.into());
            }
        }
        Ok(())
    }

    /// Returns the instance that owns an end; `None` for the host.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the end was dropped.
    #[inline]
    pub fn end_owner(&self, end: EndId) -> Result<Option<InstanceId>, Trap> {
        Ok(self.ends.get(end)?.owner)
    }

    /// Says what an end is doing.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the end was dropped.
    #[inline]
    pub fn end_state(&self, end: EndId) -> Result<EndState, Trap> {
        Ok(self.ends.get(end)?.state)
    }

    /// Returns an end's kind and element type.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the end was dropped.
    #[inline]
    pub fn end_type(&self, end: EndId) -> Result<(EndKind, &E::Element), Trap> {
        let end = self.ends.get(end)?;
        Ok((end.kind, &end.element))
    }

    /// Decides the element type of a stream or future that the host made without one, at both ends.
    ///
    /// # Errors
    ///
    /// [`Trap::Misuse`] when a guest has one of the ends, and relies on its type; [`Trap::Gone`] when the end
    /// was dropped.
    pub fn set_element(&mut self, id: EndId, element: E::Element) -> Result<(), Trap> {
        let end = self.ends.get_mut(id)?;
        let (end, other) = match end.other {
            Some(other) => self.ends.get_two_mut(id, other).map(|(end, other)| (end, Some(other)))?,
            None => (end, None),
        };
        if end.owner.is_some() || other.as_ref().is_some_and(|other| other.owner.is_some()) {
            return Err(Trap::Misuse("the element type of a guest's stream or future is fixed"));
        }
        if let Some(other) = other {
            other.element = element.clone();
        }
        end.element = element;
        Ok(())
    }

    /// Returns the end that an end is paired with; `None` once that was dropped.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the end itself was dropped.
    #[inline]
    pub fn other_end(&self, end: EndId) -> Result<Option<EndId>, Trap> {
        Ok(self.ends.get(end)?.other)
    }
}

/// Adds a pair of the host's ends, readable and writable.
#[inline(always)]
fn insert_pair<E: Embedder>(
    ends: &mut Slab<EndId, End<E>>,
    [readable, writable]: [EndKind; 2],
    element: E::Element,
) -> Result<[(EndId, &mut End<E>); 2], Trap> {
    let reader = ends.insert(End::new(readable, element.clone(), None))?;
    let writer = ends.insert(End::new(writable, element, Some(reader)))?;
    let (readable, writable) = ends.get_two_mut(reader, writer)?;
    readable.other = Some(writer);
    Ok([(reader, readable), (writer, writable)])
}

impl<E: Embedder> End<E> {
    #[inline(always)]
    fn new(kind: EndKind, element: E::Element, other: Option<EndId>) -> Self {
        End {
            waitable: Waitable::new(),
            kind,
            element,
            state: EndState::Idle,
            other,
            owner: None,
            index: 0,
            buffer: None,
            active: false,
            progress: 0,
            direct: false,
        }
    }

    /// Gives the end, which has this id, a handle in an instance.
    #[inline(always)]
    pub(crate) fn own(
        &mut self,
        id: EndId,
        inst: InstanceId,
        instance: &mut Instance<E>,
    ) -> Result<u32, Trap> {
        let index = instance.add_handle_of(Handle::End(id), Cost::<E>::END)?;
        self.owner = Some(inst);
        self.index = index;
        Ok(index)
    }

    /// How many elements the active buffer can still copy; `None` without one.
    #[inline]
    pub(crate) fn remain(&self) -> Option<u32> {
        match &self.buffer {
            Some(buffer) if self.active => Some(buffer.remain()),
            _ => None,
        }
    }

    /// Traps if elements would be copied within one instance that are not plain numbers.
    #[inline]
    pub(crate) fn check_same_instance(
        &self,
        other: &Self,
        mine: Option<u32>,
        theirs: Option<u32>,
    ) -> Result<(), Trap> {
        let copies = mine.is_some_and(|n| n > 0) && theirs.is_some_and(|n| n > 0);
        if copies && self.owner.is_some() && self.owner == other.owner && !self.element.is_none_or_number() {
            return Err(Trap::SameInstance);
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn copying(&self) -> bool {
        matches!(self.state, EndState::Copying | EndState::CancellingCopy)
    }

    #[inline]
    pub(crate) fn check_idle(&self, action: EndAction) -> Result<(), Trap> {
        let (index, kind) = (self.index, self.kind.handle_kind());
        match self.state {
            EndState::Idle => Ok(()),
            EndState::Copying | EndState::CancellingCopy => Err(Trap::EndBusy { index, action, kind }),
            EndState::Done => Err(Trap::EndDone { index, action, kind }),
        }
    }

    /// The checks that precede dropping.
    #[inline]
    fn check_drop(&self) -> Result<(), Trap> {
        let index = self.index;
        if self.direct {
            return Err(Trap::Misuse("the host drops an end while it works on the other end's buffer"));
        }
        if self.owner.is_none() {
            return Ok(());
        }
        match self.state {
            EndState::Copying | EndState::CancellingCopy => {
                Err(Trap::EndBusy { index, action: EndAction::Drop, kind: self.kind.handle_kind() })
            }
            EndState::Idle if self.kind == EndKind::FutureWritable => Err(Trap::FutureNotWritten(index)),
            EndState::Idle | EndState::Done => Ok(()),
        }
    }

    /// Sets the event pending. Says whether this is to be announced.
    #[inline]
    pub(crate) fn set_pending(&mut self, progress: u32) -> bool {
        self.progress = progress;
        self.waitable.set_pending() && (self.waitable.is_awaited() || self.owner.is_none())
    }

    /// Ends a copy, and returns its event.
    #[inline]
    pub(crate) fn conclude(&mut self, progress: u32) -> CopyEvent {
        let (result, state) =
            if self.kind.is_stream() { self.stream_result() } else { self.future_result(progress) };
        self.state = state;
        self.active = false;
        CopyEvent { code: self.kind.event_code(), result, progress }
    }

    /// The result and the next state of a stream's event, in the order of precedence.
    #[inline]
    fn stream_result(&self) -> (CopyResult, EndState) {
        if self.other.is_none() {
            (CopyResult::Dropped, EndState::Done)
        } else if self.state == EndState::CancellingCopy {
            (CopyResult::Cancelled, EndState::Idle)
        } else {
            (CopyResult::Completed, EndState::Idle)
        }
    }

    /// The result and the next state of a future's event, in the order of precedence.
    #[inline]
    fn future_result(&self, progress: u32) -> (CopyResult, EndState) {
        if progress > 0 {
            (CopyResult::Completed, EndState::Done)
        } else if self.other.is_none() {
            (CopyResult::Dropped, EndState::Done)
        } else {
            (CopyResult::Cancelled, EndState::Idle)
        }
    }
}
