//! What a guest is given of HTTP.

use std::sync::Arc;

use tombolo::ResourceTable;

use crate::fields::{FieldBudget, FieldLimits, FieldMap, Headers};
use crate::outgoing::{DenyAll, SendRequest};

/// What a guest is given of HTTP: who sends its requests, and how much the host holds for it.
///
/// A clone is for another store: it has the same limits, and holds nothing yet.
pub struct HttpCtx {
    pub(crate) client: Arc<dyn SendRequest>,
    pub(crate) fields: FieldBudget,
    /// None, with room for those that are made next.
    spare: Option<FieldMap>,
}

/// For how many fields there may be room in what is kept for others.
const MOST_SPARE: usize = 64;

impl Clone for HttpCtx {
    fn clone(&self) -> Self {
        HttpCtx { client: self.client.clone(), fields: self.fields.another(), spare: None }
    }
}

impl HttpCtx {
    /// A context for guests that serve, and send no requests: these are denied.
    pub fn new() -> Self {
        HttpCtx { client: Arc::new(DenyAll), fields: FieldBudget::new(FieldLimits::default()), spare: None }
    }

    /// Has `client` send the guest's requests.
    #[must_use]
    pub fn client(mut self, client: impl SendRequest) -> Self {
        self.client = Arc::new(client);
        self
    }

    /// Limits the headers and trailers that are held for the guest.
    #[must_use]
    pub fn field_limits(mut self, limits: FieldLimits) -> Self {
        self.fields = FieldBudget::new(limits);
        self.spare = None;
        self
    }

    /// Makes fields, of which there are none yet.
    pub(crate) fn new_fields(&mut self) -> FieldMap {
        self.spare.take().unwrap_or_else(|| FieldMap::new(&self.fields))
    }

    /// Lets go of fields. Their room is used for others.
    pub(crate) fn drop_fields(&mut self, fields: Headers) {
        if let Some(mut map) = fields.into_own()
            && map.room() <= MOST_SPARE
        {
            map.clear();
            self.spare = Some(map);
        }
    }
}

impl Default for HttpCtx {
    fn default() -> Self {
        HttpCtx::new()
    }
}

/// The host's data of a store, as far as HTTP needs it: every store whose guests use `wasi:http` holds something that
/// implements this.
pub trait HttpView: Send {
    /// Gives access to the guest's context and to the table of its resources.
    fn http(&mut self) -> HttpCtxView<'_>;
}

/// What an [`HttpView`] gives access to.
pub struct HttpCtxView<'a> {
    /// What the guest was given.
    pub ctx: &'a mut HttpCtx,
    /// Its requests, responses and fields. It may be the table that WASI uses.
    pub table: &'a mut ResourceTable,
}
