//! How a program ends itself.

/// The guest asked to end with this status: not a failure of the host, and not a trap.
///
/// It travels as the error of the call into the guest:
///
/// ```
/// use tombolo_wasi::Exit;
///
/// fn status(ended: tombolo::Result<()>) -> tombolo::Result<u8> {
///     match ended {
///         Ok(()) => Ok(0),
///         Err(error) => error.downcast_ref::<Exit>().map(|exit| exit.0).ok_or(error),
///     }
/// }
/// # assert_eq!(status(Err(tombolo::Error::host(Exit(7)))).ok(), Some(7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("exited with status {0}")]
pub struct Exit(
    /// The status, 0 for success.
    pub u8,
);

impl Exit {
    /// The guest succeeded.
    pub const SUCCESS: Exit = Exit(0);
    /// The guest failed and did not say how.
    pub const FAILURE: Exit = Exit(1);
}
