//! Streams (CanonicalABI.md, `new_stream`).
//!
//! A stream is a pair of ends; see `end.rs` for what they keep and `copy.rs` for how elements pass.

use crate::embedder::Embedder;
use crate::end::EndKind;
use crate::id::{EndId, InstanceId};
use crate::store::Store;
use crate::trap::Trap;

impl<E: Embedder> Store<E> {
    /// Creates a stream and returns its readable and its writable end (`canon_stream_new` for an instance,
    /// whose handles [`Store::end_index`] tells; `new_stream` for the host).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left or holds too much.
    pub fn stream_new(
        &mut self,
        owner: Option<InstanceId>,
        element: E::Element,
    ) -> Result<(EndId, EndId), Trap> {
        self.new_pair(owner, [EndKind::StreamReadable, EndKind::StreamWritable], element)
    }
}
