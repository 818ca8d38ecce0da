//! What depends on the processor beyond Cranelift: the little that is better said in machine code. On a processor that
//! is not known here, all stays as Cranelift says it.

use cranelift_codegen::ir::{Function, Opcode, SourceLoc};

use crate::vmctx::link;

/// The place in the file that returns seem to come from, so that their machine code can be found. It is beyond all
/// [others](LAST_PLACE).
pub(crate) const RETURN: u32 = u32::MAX - 1;

/// The last place that an instruction of a file has. No module is as long.
pub(crate) const LAST_PLACE: u32 = u32::MAX - 2;

/// The code of a link, whatever its type: jumps where the link leads to, and leaves the frame alone. Cranelift gives
/// every function a frame.
pub(crate) fn link() -> Option<Vec<u8>> {
    const _: () = assert!(link::CODE < 0x80);
    // `jmp qword ptr [rdi + CODE]`: the `Tail` convention has the first parameter in `rdi`.
    cfg!(target_arch = "x86_64").then(|| vec![0xff, 0x67, link::CODE as u8])
}

/// Marks a function's returns as such.
pub(crate) fn mark_returns(function: &mut Function) {
    for block in function.layout.blocks().collect::<Vec<_>>() {
        if let Some(last) = function.layout.last_inst(block)
            && function.dfg.insts[last].opcode() == Opcode::Return
        {
            function.set_srcloc(last, SourceLoc::new(RETURN));
        }
    }
}

/// Shortens the return whose code ends at `end`.
///
/// Cranelift frees a frame twice: it adds the frame's size to the stack pointer, then copies the frame pointer to it. That
/// makes the stack pointer wait for the frame pointer, which the callees have pushed and popped: each call waits for the
/// memory of the one before. Without the copy, calls overlap.
pub(crate) fn shorten_return(code: &mut [u8], end: u32) {
    /// `mov rsp, rbp`, `pop rbp`, `ret`.
    const RETURN: [u8; 5] = [0x48, 0x89, 0xec, 0x5d, 0xc3];
    /// `nop`, `pop rbp`, `ret`.
    const SHORTENED: [u8; 5] = [0x0f, 0x1f, 0x00, 0x5d, 0xc3];
    let end = end as usize;
    if cfg!(target_arch = "x86_64")
        && let Some(found) = end.checked_sub(RETURN.len()).and_then(|start| code.get_mut(start..end))
        && found == RETURN
    {
        found.copy_from_slice(&SHORTENED);
    }
}
