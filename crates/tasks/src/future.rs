//! Futures (CanonicalABI.md, `new_future`).
//!
//! A future is a stream of one element whose ends are done once that has passed; see `end.rs` and `copy.rs`.

use crate::embedder::Embedder;
use crate::end::EndKind;
use crate::id::{EndId, InstanceId};
use crate::store::Store;
use crate::trap::Trap;

impl<E: Embedder> Store<E> {
    /// Creates a future and returns its readable and its writable end (`canon_future_new` for an instance,
    /// whose handles [`Store::end_index`] tells; `new_future` for the host).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left or holds too much.
    pub fn future_new(
        &mut self,
        owner: Option<InstanceId>,
        element: E::Element,
    ) -> Result<(EndId, EndId), Trap> {
        self.new_pair(owner, [EndKind::FutureReadable, EndKind::FutureWritable], element)
    }
}
