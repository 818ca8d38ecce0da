//! Which functions of guests were running, as an embedder and a reader see it.

mod dwarf;
mod meter;
mod names;
mod walk;

use std::fmt;
use std::sync::{Arc, OnceLock};

use tombolo_compile::module::{DebugSections, ModuleInfo};

pub use dwarf::SourceFrame;
pub(crate) use walk::{Position, capture, entry_of, frame_words};

use crate::code::{CodeKind, CodeObject, Origin};
pub(crate) use names::Shown;

/// The functions of guests that were running when one trapped, innermost first: those of the store, also beyond the
/// host functions between them, and beyond the fiber that ran those that had resumed it.
///
/// A long one lacks its middle. Displayed, it has a line for each frame, and another for its place in the source where
/// that is known; each line begins with a line break.
#[derive(Clone, Default)]
pub struct Backtrace {
    frames: Vec<Frame>,
    /// After which frame the middle is missing …
    gap: usize,
    /// … and how many frames that is.
    left_out: usize,
    /// What the debug sections say of each frame.
    sources: OnceLock<Vec<Vec<SourceFrame>>>,
}

/// A running function of a guest.
#[derive(Clone)]
pub struct Frame {
    code: Arc<CodeObject>,
    function: u32,
    wasm_offset: Option<u32>,
}

impl Backtrace {
    /// One of so many frames, of which `left_out` are missing behind the `gap`th.
    pub(crate) const fn new(frames: Vec<Frame>, gap: usize, left_out: usize) -> Backtrace {
        Backtrace { frames, gap, left_out, sources: OnceLock::new() }
    }

    /// The frames, innermost first.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Of a long backtrace, how many frames are missing, and behind how many of [`Backtrace::frames`].
    pub fn left_out(&self) -> Option<(usize, usize)> {
        (self.left_out > 0).then_some((self.left_out, self.gap))
    }

    /// Where in the source a frame is, by its position in [`Backtrace::frames`]: the functions that were inlined there,
    /// innermost first, and last the frame's own. Empty where the module has no debug information, or none of use.
    ///
    /// The first call reads the debug sections of all frames' modules. That is bounded: of sections that are corrupt, or
    /// larger than any compiler's, it finds less or nothing.
    pub fn source(&self, frame: usize) -> &[SourceFrame] {
        let sources = self.sources.get_or_init(|| resolve(&self.frames));
        sources.get(frame).map_or(&[], Vec::as_slice)
    }

    /// Whether frames are of more than one component, so that a reader wants to know of which.
    fn spans_components(&self) -> bool {
        let mut names = self.frames.iter().map(Frame::component_name);
        names.next().is_some_and(|first| names.any(|other| other != first))
    }
}

impl Frame {
    /// The component that defines its module: the component's name, or its position where it has none, inside of those
    /// around it. `None` for the outermost component of a file that says no name, and for modules of no component.
    pub fn component_name(&self) -> Option<&str> {
        self.module().and_then(|(_, origin)| origin.component.as_deref())
    }

    /// The name of its module, from the module's name section or the component's.
    pub fn module_name(&self) -> Option<&str> {
        self.module().and_then(|(info, origin)| info.name.as_deref().or(origin.module.as_deref()))
    }

    /// The function's index in its module.
    pub fn function_index(&self) -> u32 {
        self.function
    }

    /// The function's name from the name section, as it is there.
    pub fn function_name(&self) -> Option<&str> {
        self.module().and_then(|(info, _)| info.function_names.get(&self.function)).map(String::as_str)
    }

    /// The instruction that trapped or called, as an offset in the component's file, or in the module's if it is in no
    /// component.
    pub fn wasm_offset(&self) -> Option<u32> {
        self.wasm_offset
    }

    /// The code that it runs.
    pub fn code(&self) -> &Arc<CodeObject> {
        &self.code
    }

    fn module(&self) -> Option<(&ModuleInfo, &Origin)> {
        match self.code.kind() {
            CodeKind::Module { info, origin } => Some((info, origin)),
            CodeKind::Trampoline { .. } => None,
        }
    }

    fn debug(&self) -> Option<&DebugSections> {
        self.module().and_then(|(info, _)| info.debug.as_deref())
    }
}

/// Finds the sources of frames, module by module.
fn resolve(frames: &[Frame]) -> Vec<Vec<SourceFrame>> {
    let mut sources = vec![Vec::new(); frames.len()];
    let mut done = vec![false; frames.len()];
    for first in 0..frames.len() {
        let Some(module) = frames.get(first).filter(|_| done.get(first) == Some(&false)) else { continue };
        let Some(debug) = module.debug() else { continue };
        let mut places = Vec::new();
        let mut addresses = Vec::new();
        for ((place, frame), done) in frames.iter().enumerate().zip(&mut done) {
            if Arc::ptr_eq(&frame.code, &module.code) {
                *done = true;
                if let Some(address) = frame.wasm_offset.and_then(|at| at.checked_sub(debug.code_section)) {
                    places.push(place);
                    addresses.push(u64::from(address));
                }
            }
        }
        for (place, found) in places.into_iter().zip(dwarf::resolve(debug, &addresses)) {
            if let Some(source) = sources.get_mut(place) {
                *source = found;
            }
        }
    }
    sources
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let components = self.spans_components();
        let digits = (self.frames.len() + self.left_out).to_string().len().max(3);
        // Below where the names begin.
        let indent = digits + 15;
        for (position, frame) in self.frames.iter().enumerate() {
            let mut number = position;
            if self.left_out > 0 && position >= self.gap {
                number += self.left_out;
                if position == self.gap {
                    write!(f, "\n{:1$}… {2} frames left out", "", digits + 4, self.left_out)?;
                }
            }
            write!(f, "\n  {number:>digits$}: ")?;
            match frame.wasm_offset {
                Some(offset) => write!(f, "{offset:#8x} - ")?,
                // The innermost frame of an exhausted stack. Its name stands where the others' do.
                None => write!(f, "{:11}", "")?,
            }
            if let (true, Some(component)) = (components, frame.component_name()) {
                write!(f, "{}/", Shown(component))?;
            }
            let (inlined, own) = match self.source(position) {
                [inlined @ .., own] => (inlined, Some(own)),
                [] => (&[][..], None),
            };
            for source in inlined {
                let name = source.function.as_deref().unwrap_or("<unknown>");
                write!(f, "{} (inlined)", Shown(name))?;
                place(f, source, indent)?;
                write!(f, "\n{:indent$}", "")?;
            }
            write!(f, "{frame:#}")?;
            if let Some(own) = own {
                place(f, own, indent)?;
            }
        }
        Ok(())
    }
}

/// Writes where a function is on a line of its own, if that is known.
fn place(f: &mut fmt::Formatter<'_>, source: &SourceFrame, indent: usize) -> fmt::Result {
    if source.file.is_some() { write!(f, "\n{:1$}at {source}", "", indent + 4) } else { Ok(()) }
}

impl fmt::Display for Frame {
    /// Module and function, demangled; before them the offset, unless the form is the alternate one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (false, Some(offset)) = (f.alternate(), self.wasm_offset) {
            write!(f, "{offset:#8x} - ")?;
        }
        write!(f, "{}!", Shown(self.module_name().unwrap_or("<unknown>")))?;
        match self.function_name() {
            Some(name) => write!(f, "{}", Shown(name)),
            None => write!(f, "<wasm function {}>", self.function),
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backtrace").field("frames", &self.frames).field("left_out", &self.left_out()).finish()
    }
}
