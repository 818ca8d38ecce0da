//! How a program ends itself.

/// The guest asked to end with this status: not a failure of the host, and not a trap.
///
/// It travels as the error of the call into the guest:
///
/// ```ignore
/// match command.call_run(&mut store).await {
///     Err(error) if error.downcast_ref::<Exit>().is_some() => …
/// }
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
