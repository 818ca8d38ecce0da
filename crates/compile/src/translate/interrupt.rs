//! Fuel and interrupts: what lets the host bound how long a guest runs. Off means no code at all.

use wasmparser::Operator;

use super::Translator;
use crate::CompileError;

/// What a function keeps for its checks.
#[derive(Default)]
pub(super) struct Interrupts {}

impl Translator<'_, '_> {
    pub(super) fn interrupt_at_entry(&mut self) -> Result<(), CompileError> {
        Ok(())
    }

    pub(super) fn interrupt_at_loop(&mut self) -> Result<(), CompileError> {
        Ok(())
    }

    /// Counts an instruction.
    pub(super) fn count_fuel(&mut self, _op: &Operator<'_>) {}

    /// Brings the store's fuel counter up to date.
    pub(super) fn save_fuel(&mut self) {}

    /// Takes the store's fuel counter as it is now.
    pub(super) fn load_fuel(&mut self) {}
}
