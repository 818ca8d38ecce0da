//! Futures (CanonicalABI.md, `new_future`).
//!
//! A future is a stream of one element whose ends are done once that has passed; see `end.rs` and `copy.rs`.

use crate::embedder::Embedder;
use crate::end::EndKind;
use crate::id::{EndId, InstanceId};
use crate::store::Store;
use crate::trap::Trap;

const KINDS: [EndKind; 2] = [EndKind::FutureReadable, EndKind::FutureWritable];

impl<E: Embedder> Store<E> {
    /// Creates a future of an instance's and returns the handles of its readable and its writable end
    /// (`canon_future_new`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left or holds too much.
    #[inline]
    pub fn future_new(&mut self, inst: InstanceId, element: E::Element) -> Result<(u32, u32), Trap> {
        self.new_owned_pair(inst, KINDS, element)
    }

    /// Creates a future of the host's and returns its readable and its writable end (`new_future`).
    ///
    /// # Errors
    ///
    /// [`Trap::StoreFull`] when the store holds 2³² - 1 ends.
    #[inline]
    pub fn new_future(&mut self, element: E::Element) -> Result<(EndId, EndId), Trap> {
        self.new_pair(KINDS, element)
    }
}
