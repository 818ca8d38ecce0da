//! Copying between the two ends of a stream or future (`End.copy` and `End.forward`).
//!
//! The elements themselves are copied by the runtime: when both ends have a buffer, [`Store::copy`] returns
//! [`CopyStep::Transfer`], the runtime copies `count` elements from the writer's buffer to the reader's, and
//! [`Store::finish_transfer`] does the rest. In between, guest code may run (the reader's `realloc`) but not
//! leave its instance, so nothing can happen to the ends unless an instance ends.

use crate::embedder::{Buffer, Embedder, MAX_BUFFER_LENGTH};
use crate::end::{Delivered, EndKind, EndState};
use crate::event::CopyEvent;
use crate::id::{EndId, InstanceId};
use crate::store::Store;
use crate::trap::{EndAction, Trap};

/// How far a copy got.
pub enum CopyStep<E: Embedder> {
    /// The runtime copies the elements, then calls [`Store::finish_transfer`].
    Transfer(Transfer),
    /// The other end is not ready: the event comes later.
    Pending,
    /// The copy has ended; for a guest, the event's payload is what the built-in returns.
    Done(Delivered<E>),
}

/// Elements to be copied from one end's buffer to the other's.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "both ends wait until the transfer is finished"]
pub struct Transfer {
    /// The readable end, whose buffer receives the elements.
    pub reader: EndId,
    /// The writable end, whose buffer provides them.
    pub writer: EndId,
    /// How many.
    pub count: u32,
    by_reader: bool,
    /// Whether the initiator receives its event at once, not as a waitable.
    eager: bool,
}

/// Who takes part in a copy at once, so that its end needs no buffer: see [`Store::immediate_copy`].
#[derive(Debug, PartialEq, Eq)]
pub enum Partner<'a, B> {
    /// Nobody does.
    Nobody,
    /// Whoever waits at the other end, with this buffer.
    Waiting(ImmediateCopy, &'a mut B),
    /// Perhaps the host, which has the other end, this one: [`Store::finish_offer`] is due.
    Host(EndId),
}

/// A copy from or to a buffer that waits.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the other end waits until the copy is finished"]
pub struct ImmediateCopy {
    /// How many elements are copied.
    pub count: u32,
    end: EndId,
    peer: EndId,
}

impl<E: Embedder> Store<E> {
    /// Says with whom an idle guest's end from [`Store::end_to_copy`] could copy at once, if it copied so many elements. If
    /// that is somebody, this is [`Store::copy`] without a buffer of its own: the runtime has the elements copied, then calls
    /// [`Store::finish_immediate`] or [`Store::finish_offer`]. But if elements cannot be copied from or to a buffer that waits
    /// without running guests, [`Store::copy`] is what it calls instead.
    ///
    /// # Errors
    ///
    /// Traps when the elements would be copied within one instance and are not plain numbers.
    #[inline]
    pub fn immediate_copy(&mut self, id: EndId, length: u32) -> Result<Partner<'_, E::Buffer>, Trap> {
        let Some(peer) = self.ends.get(id)?.other else { return Ok(Partner::Nobody) };
        let (end, other) = self.ends.get_two_mut(id, peer)?;
        let remain = other.remain();
        end.check_same_instance(other, Some(length), remain)?;
        if length == 0 || length > MAX_BUFFER_LENGTH || end.state != EndState::Idle {
            return Ok(Partner::Nobody);
        }
        Ok(match (remain, &mut other.buffer) {
            (Some(remain), Some(buffer)) if remain > 0 => {
                Partner::Waiting(ImmediateCopy { count: length.min(remain), end: id, peer }, buffer)
            }
            (None, _) if other.owner.is_none() && other.state == EndState::Idle && !other.direct => {
                end.state = EndState::Copying;
                Partner::Host(peer)
            }
            _ => Partner::Nobody,
        })
    }

    /// Accounts for the elements that the runtime has copied, notifies the other end, and returns this one's event.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when an end was dropped.
    #[inline]
    pub fn finish_immediate(&mut self, copy: ImmediateCopy) -> Result<CopyEvent, Trap> {
        let ImmediateCopy { count, end: id, peer } = copy;
        let (end, other) = self.ends.get_two_mut(id, peer)?;
        let Some(theirs) = &mut other.buffer else {
            return Err(Trap::Misuse("an end has no buffer"));
        };
        theirs.advance(count.min(theirs.remain()));
        let progress = theirs.progress();
        other.active = theirs.remain() > 0;
        let event = end.conclude(count);
        if other.set_pending(progress) {
            self.announce(peer.into());
        }
        Ok(event)
    }

    /// Ends a copy that was [offered](Partner::Host) to the host, which has copied so many elements; returns its event. If
    /// there were none, the end is idle again.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the end was dropped meanwhile, [`Trap::Misuse`] when its copy was ended.
    #[inline]
    pub fn finish_offer(&mut self, id: EndId, count: u32) -> Result<Option<CopyEvent>, Trap> {
        let end = self.ends.get_mut(id)?;
        if end.state != EndState::Copying || end.buffer.is_some() {
            return Err(Trap::Misuse("no copy was offered to the host"));
        }
        if count == 0 {
            end.state = EndState::Idle;
            return Ok(None);
        }
        if !end.waitable.pending {
            return Ok(Some(end.conclude(count)));
        }
        // The host has dropped its end.
        end.progress = count;
        Ok(Some(self.end_copy(id)?.0))
    }

    /// Reads into or writes from a buffer (`End.copy`).
    ///
    /// A guest's end comes from [`Store::end_to_copy`]. After [`CopyStep::Pending`], a synchronous built-in
    /// waits for [`WaitFor::End`] and then takes the event with [`Store::take_end_event`].
    ///
    /// [`WaitFor::End`]: crate::WaitFor::End
    ///
    /// # Errors
    ///
    /// Traps when the end is busy or done, the buffer is too long, or both ends are in the same instance and
    /// the elements are not plain numbers.
    #[inline]
    pub fn copy(&mut self, id: EndId, buffer: E::Buffer) -> Result<CopyStep<E>, Trap> {
        let end = self.ends.get(id)?;
        let is_read = end.kind.is_readable();
        end.check_idle(if is_read { EndAction::Read } else { EndAction::Write })?;
        if end.direct {
            return Err(Trap::Misuse("the host copies while it works on the other end's buffer"));
        }
        if buffer.remain() > MAX_BUFFER_LENGTH {
            return Err(Trap::BufferTooLong(buffer.remain()));
        }
        self.begin_copy(id, buffer, true)
    }

    /// `End.copy`, after the checks on this end.
    #[inline]
    fn begin_copy(&mut self, id: EndId, buffer: E::Buffer, eager: bool) -> Result<CopyStep<E>, Trap> {
        let end = self.ends.get_mut(id)?;
        // 1. The other end is gone, which left an event pending.
        let Some(peer) = end.other else {
            end.state = EndState::Copying;
            end.buffer = Some(buffer);
            return self.conclude(id, 0, eager);
        };
        let (end, other) = self.ends.get_two_mut(id, peer)?;
        let (mine, theirs) = (buffer.remain(), other.remain());
        end.check_same_instance(other, Some(mine), theirs)?;
        let is_read = end.kind.is_readable();
        if end.state == EndState::Idle {
            end.state = EndState::Copying;
        }
        end.buffer = Some(buffer);
        match theirs {
            // 2. The other end has no buffer.
            None => {
                end.active = true;
                if other.owner.is_none() {
                    self.queue_for_host(peer);
                }
                Ok(CopyStep::Pending)
            }
            // 3. Both have elements to copy, or room for some.
            Some(theirs) if mine > 0 && theirs > 0 => {
                let (reader, writer) = if is_read { (id, peer) } else { (peer, id) };
                let count = mine.min(theirs);
                Ok(CopyStep::Transfer(Transfer { reader, writer, count, by_reader: is_read, eager }))
            }
            // 4. The other end asks with a zero-length copy whether this one is ready, and it is.
            Some(theirs) if mine > 0 || (is_read && theirs == 0) => {
                end.active = true;
                other.active = false;
                self.notify(peer, 0);
                self.tell_host(peer);
                Ok(CopyStep::Pending)
            }
            // 5. This end asks the same, and the other one is.
            Some(_) => self.conclude(id, 0, eager),
        }
    }

    /// Ends the initiator's copy: delivers its event at once, or leaves it pending.
    #[inline]
    fn conclude(&mut self, id: EndId, progress: u32, eager: bool) -> Result<CopyStep<E>, Trap> {
        if !eager {
            self.notify(id, progress);
            return Ok(CopyStep::Pending);
        }
        self.ends.get_mut(id)?.progress = progress;
        Ok(CopyStep::Done(self.deliver_end(id)?))
    }

    /// Returns the buffers of two ends, for a [`Transfer`]: the reader's and the writer's.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when an end was dropped, [`Trap::Misuse`] when one has no buffer.
    pub fn buffers_mut(
        &mut self,
        reader: EndId,
        writer: EndId,
    ) -> Result<(&mut E::Buffer, &mut E::Buffer), Trap> {
        let (reader, writer) = self.ends.get_two_mut(reader, writer)?;
        match (&mut reader.buffer, &mut writer.buffer) {
            (Some(to), Some(from)) => Ok((to, from)),
            _ => Err(Trap::Misuse("an end has no buffer")),
        }
    }

    /// Accounts for the elements that the runtime has copied and notifies both ends (the end of `End.copy`).
    ///
    /// If an instance ended in the meantime, the initiator's event is that of a dropped peer.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the initiator was dropped.
    pub fn finish_transfer(&mut self, transfer: Transfer) -> Result<CopyStep<E>, Trap> {
        let Transfer { reader, writer, count, by_reader, eager } = transfer;
        let (id, peer) = if by_reader { (reader, writer) } else { (writer, reader) };
        let Ok((end, other)) = self.ends.get_two_mut(id, peer) else {
            self.ends.get(id)?;
            return self.conclude(id, 0, eager);
        };
        if end.other != Some(peer) || !other.active {
            return Err(Trap::Misuse("the ends of this transfer have moved on"));
        }
        let (Some(mine), Some(theirs)) = (&mut end.buffer, &mut other.buffer) else {
            return Err(Trap::Misuse("an end has no buffer"));
        };
        mine.advance(count.min(mine.remain()));
        theirs.advance(count.min(theirs.remain()));
        let (mine, progress) = (mine.progress(), theirs.progress());
        other.active = theirs.remain() > 0;
        if other.set_pending(progress) {
            self.announce(peer.into());
        }
        self.conclude(id, mine, eager)
    }

    /// Gives up a transfer that trapped: as [`Store::finish_transfer`] with nothing copied. The runtime ends
    /// the instance at fault besides.
    ///
    /// # Errors
    ///
    /// [`Trap::Gone`] when the initiator was dropped.
    pub fn abandon_transfer(&mut self, transfer: Transfer) -> Result<CopyStep<E>, Trap> {
        let id = if transfer.by_reader { transfer.reader } else { transfer.writer };
        self.conclude(id, 0, transfer.eager)
    }

    /// Forwards a guest's readable end into its writable end (`canon_{stream,future}_forward`).
    ///
    /// The result is as for [`Store::forward`].
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, a handle is not such an end, or an end is busy, done or in a
    /// waitable set, or the elements would be copied within one instance and are not plain numbers.
    pub fn end_forward(
        &mut self,
        inst: InstanceId,
        readable: (u32, EndKind),
        writable: (u32, EndKind),
        element: &E::Element,
    ) -> Result<Option<Transfer>, Trap> {
        self.check_may_leave(inst)?;
        let instance = self.instances.get(inst)?;
        let (src, end) = self.end_in(instance, readable.0, readable.1, element)?;
        end.check_transfer(EndAction::Forward)?;
        if readable.0 == writable.0 {
            // The specification has taken the handle out of the table by now.
            return Err(Trap::UnknownHandle(writable.0));
        }
        let (dst, end) = self.end_in(instance, writable.0, writable.1, element)?;
        end.check_transfer(EndAction::Forward)?;
        self.forward(src, dst)
    }

    /// Forwards all that would come out of `src` into `dst` (`End.forward`). Both ends are gone; their peers
    /// are now each other's.
    ///
    /// If both peers have a buffer, the runtime has elements to copy, and finishes with
    /// [`Store::finish_transfer`], which returns [`CopyStep::Pending`] then.
    ///
    /// # Errors
    ///
    /// Traps when an end is busy or done, or the peers are in one instance and the elements are not plain
    /// numbers.
    pub fn forward(&mut self, src: EndId, dst: EndId) -> Result<Option<Transfer>, Trap> {
        let (source, sink) = self.ends.get_two_mut(src, dst)?;
        source.check_idle(EndAction::Forward)?;
        sink.check_idle(EndAction::Forward)?;
        if !source.kind.is_readable()
            || sink.kind.is_readable()
            || source.kind.is_stream() != sink.kind.is_stream()
            || source.direct
            || sink.direct
        {
            return Err(Trap::Misuse("an idle readable end is forwarded to a writable end of its kind"));
        }
        if source.element != sink.element {
            return Err(Trap::Misuse("an end is forwarded to one with other elements"));
        }
        let peers = (source.other, sink.other);
        let (writer, reader) = match peers {
            (Some(writer), Some(reader)) if writer != dst => (writer, reader),
            _ => {
                for end in [src, dst] {
                    self.remove_end(end)?;
                }
                return Ok(None);
            }
        };
        let (writer_end, reader_end) = self.ends.get_two_mut(writer, reader)?;
        writer_end.check_same_instance(reader_end, writer_end.remain(), reader_end.remain())?;
        for end in [src, dst] {
            self.disown_end(end)?;
            self.leave_queues(end.into());
            self.ends.discard(end)?;
        }
        let (writer_end, reader_end) = self.ends.get_two_mut(writer, reader)?;
        writer_end.other = Some(reader);
        reader_end.other = Some(writer);
        // A type that the host has left open is decided by the guest at the other end.
        if reader_end.owner.is_none() {
            reader_end.element = writer_end.element.clone();
        } else if writer_end.owner.is_none() {
            writer_end.element = reader_end.element.clone();
        }
        let (smaller, end) = match (writer_end.remain(), reader_end.remain()) {
            (Some(writes), Some(reads)) if reads > writes => (writer, writer_end),
            (Some(_), Some(_)) => (reader, reader_end),
            (writes, reads) => {
                // A host that finds its new peer waiting has something to look at.
                if reads.is_some() {
                    self.tell_host(writer);
                } else if writes.is_some() {
                    self.tell_host(reader);
                }
                return Ok(None);
            }
        };
        end.active = false;
        let Some(buffer) = end.buffer.take() else { return Ok(None) };
        let step = self.begin_copy(smaller, buffer, false)?;
        match step {
            CopyStep::Transfer(transfer) => Ok(Some(transfer)),
            _ => Ok(None),
        }
    }
}
