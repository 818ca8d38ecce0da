//! Fuel and interrupts: what lets the host bound how long a guest runs. Off means no code at all.
//!
//! # Fuel
//! A function keeps its instance's counter in a variable. Instructions are counted while translating, and what they add up
//! to is added to the variable where control flow parts. The variable is stored before whatever may read the counter or
//! leave the function for good (calls, returns, explicit traps), and loaded after calls, in which the host may also have
//! given the instance another counter. An access that faults leaves the counter as it was at the last of these places:
//! deterministic, if not exact.
//!
//! # Checks
//! At the entry of each function, at the head of each loop, and in operations on many bytes or elements. If the counter is positive or the store's interrupt word
//! is not zero, the function calls the *interrupt shim*, which records the exit and calls [`Builtin::Interrupt`]. The shim
//! keeps all registers, so that the check costs its loop none. It is part of the text: see [`crate::trampoline`].

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    ExtFuncData, ExternalName, FuncRef, InstBuilder, UserExternalName, Value, types,
};
use cranelift_frontend::Variable;
use wasmparser::Operator;

use super::{Region, Translator};
use crate::CompileError;
use crate::signature::POINTER;
use crate::trampoline::{INTERRUPT_SHIM, interrupt_signature};
#[cfg(doc)]
use crate::vmctx::Builtin;
use crate::vmctx::{header, store_context};

/// What a function keeps for its checks.
#[derive(Default)]
pub(super) struct Interrupts {
    /// The instance's fuel counter.
    fuel: Option<Variable>,
    /// What has been counted and not yet added to it.
    pending: i64,
    shim: Option<FuncRef>,
}

impl Translator<'_, '_> {
    pub(super) fn interrupt_at_entry(&mut self) -> Result<(), CompileError> {
        if self.env.fuel {
            self.interrupts.fuel = Some(self.builder.declare_var(types::I64));
            self.load_fuel();
        }
        self.interrupt_at_loop()
    }

    /// Calls the runtime if there is no fuel left or the host asked for it.
    pub(super) fn interrupt_at_loop(&mut self) -> Result<(), CompileError> {
        let mut reasons: Vec<Value> = Vec::new();
        let zero = |this: &mut Self| this.builder.ins().iconst(types::I64, 0);
        if let Some(fuel) = self.interrupts.fuel {
            let spent = self.builder.use_var(fuel);
            let zero = zero(self);
            reasons.push(self.builder.ins().icmp(IntCC::SignedGreaterThan, spent, zero));
        }
        if self.env.interruptible {
            let store = self.store_context();
            let flags = self.flags(Region::Store);
            let word = self.builder.ins().load(types::I64, flags, store, store_context::INTERRUPT as i32);
            let zero = zero(self);
            reasons.push(self.builder.ins().icmp(IntCC::NotEqual, word, zero));
        }
        let condition = match *reasons {
            [] => return Ok(()),
            [one] => one,
            [one, other, ..] => self.builder.ins().bor(one, other),
        };
        let (stop, go_on) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(stop);
        self.builder.ins().brif(condition, stop, &[], go_on, &[]);
        self.continue_in(stop);
        self.interrupt();
        self.builder.ins().jump(go_on, &[]);
        self.continue_in(go_on);
        Ok(())
    }

    /// Calls the runtime because of an interrupt, or because there is no fuel left.
    pub(super) fn interrupt(&mut self) {
        self.save_fuel();
        let shim = self.interrupt_shim();
        self.builder.ins().call(shim, &[self.vmctx]);
        self.load_fuel();
    }

    /// Counts an operation on so many bytes or elements, of which `1 << size` cost as much as an instruction.
    pub(super) fn spend_for(&mut self, count: Value, size: u8) -> Result<(), CompileError> {
        let Some(fuel) = self.interrupts.fuel else { return Ok(()) };
        self.add_pending();
        let spent = self.builder.use_var(fuel);
        let units = self.builder.ins().ushr_imm_u(count, i64::from(size));
        let spent = self.builder.ins().iadd(spent, units);
        self.builder.def_var(fuel, spent);
        // Not done if there is not enough, since it may take long.
        self.interrupt_at_loop()
    }

    /// Counts an instruction.
    pub(super) fn count_fuel(&mut self, op: &Operator<'_>) {
        use Operator::*;
        if self.interrupts.fuel.is_none() {
            return;
        }
        self.interrupts.pending += match op {
            // These do nothing at run time.
            Nop | Drop | Block { .. } | Loop { .. } | End | Else | TryTable { .. } => 0,
            _ => 1,
        };
        if let Block { .. }
        | Loop { .. }
        | If { .. }
        | Else
        | End
        | Br { .. }
        | BrIf { .. }
        | BrTable { .. }
        | BrOnNull { .. }
        | BrOnNonNull { .. }
        | Return
        | Unreachable
        | Call { .. }
        | CallIndirect { .. }
        | CallRef { .. }
        | ReturnCall { .. }
        | ReturnCallIndirect { .. }
        | ReturnCallRef { .. }
        | TryTable { .. }
        | Throw { .. }
        | ThrowRef = op
        {
            self.add_pending();
        }
    }

    fn add_pending(&mut self) {
        let pending = std::mem::take(&mut self.interrupts.pending);
        if let Some(fuel) = self.interrupts.fuel
            && pending != 0
        {
            let spent = self.builder.use_var(fuel);
            let pending = self.builder.ins().iconst(types::I64, pending);
            let spent = self.builder.ins().iadd(spent, pending);
            self.builder.def_var(fuel, spent);
        }
    }

    /// Brings the instance's fuel counter up to date.
    pub(super) fn save_fuel(&mut self) {
        if let Some(fuel) = self.interrupts.fuel {
            self.add_pending();
            let spent = self.builder.use_var(fuel);
            let counter = self.fuel_counter();
            let flags = self.flags(Region::Fuel);
            self.builder.ins().store(flags, spent, counter, 0);
        }
    }

    /// Takes the instance's fuel counter as it is now.
    pub(super) fn load_fuel(&mut self) {
        if let Some(fuel) = self.interrupts.fuel {
            let counter = self.fuel_counter();
            let flags = self.flags(Region::Fuel);
            let spent = self.builder.ins().load(types::I64, flags, counter, 0);
            self.builder.def_var(fuel, spent);
        }
    }

    /// Where the instance's fuel counter is, which only calls can change.
    fn fuel_counter(&mut self) -> Value {
        let flags = self.flags(Region::Context);
        self.builder.ins().load(POINTER, flags, self.vmctx, header::FUEL as i32)
    }

    fn interrupt_shim(&mut self) -> FuncRef {
        if let Some(shim) = self.interrupts.shim {
            return shim;
        }
        let (namespace, index) = INTERRUPT_SHIM;
        let name = UserExternalName::new(namespace, index);
        let name = self.builder.func.declare_imported_user_function(name);
        let signature = self.builder.import_signature(interrupt_signature());
        let shim = self.builder.import_function(ExtFuncData {
            name: ExternalName::user(name),
            signature,
            colocated: true,
            patchable: false,
        });
        self.interrupts.shim = Some(shim);
        shim
    }
}
