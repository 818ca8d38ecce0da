//! Streams (CanonicalABI.md, `new_stream`).
//!
//! A stream is a pair of ends; see `end.rs` for what they keep and `copy.rs` for how elements pass.

use crate::embedder::Embedder;
use crate::end::EndKind;
use crate::id::{EndId, InstanceId};
use crate::store::Store;
use crate::trap::Trap;

const KINDS: [EndKind; 2] = [EndKind::StreamReadable, EndKind::StreamWritable];

impl<E: Embedder> Store<E> {
    /// Creates a stream of an instance's and returns the handles of its readable and its writable end
    /// (`canon_stream_new`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left or holds too much.
    #[inline]
    pub fn stream_new(&mut self, inst: InstanceId, element: E::Element) -> Result<(u32, u32), Trap> {
        self.new_owned_pair(inst, KINDS, element)
    }

    /// Creates a stream of the host's and returns its readable and its writable end (`new_stream`).
    ///
    /// # Errors
    ///
    /// [`Trap::StoreFull`] when the store holds 2³² - 1 ends.
    #[inline]
    pub fn new_stream(&mut self, element: E::Element) -> Result<(EndId, EndId), Trap> {
        self.new_pair(KINDS, element)
    }
}
