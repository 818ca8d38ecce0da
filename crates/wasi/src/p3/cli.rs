//! `wasi:cli`, but for `run`, which guests export.

use std::io;

use tombolo::{ComponentType, Error, Lift, Linker, Lower, Resource, Result, StreamReader};

use crate::{Exit, WasiView};

use super::streams;

/// How a standard stream fails, as `wasi:cli/types` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
pub enum ErrorCode {
    /// The input or output failed.
    Io,
    /// The terminal or pipe does not take these bytes.
    IllegalByteSequence,
    /// Nobody reads any more.
    Pipe,
}

impl From<io::Error> for ErrorCode {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => ErrorCode::Pipe,
            io::ErrorKind::InvalidData => ErrorCode::IllegalByteSequence,
            _ if error.raw_os_error() == Some(rustix::io::Errno::ILSEQ.raw_os_error()) => {
                ErrorCode::IllegalByteSequence
            }
            _ => {
                tracing::debug!(%error, "a standard stream failed");
                ErrorCode::Io
            }
        }
    }
}

/// The input side of a terminal.
#[derive(Debug)]
pub struct TerminalInput;

/// The output side of a terminal.
#[derive(Debug)]
pub struct TerminalOutput;

/// Defines the interfaces of `wasi:cli` that commands import.
///
/// # Errors
///
/// Something of that name is defined already.
pub fn add_to_linker<T: WasiView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    linker.instance("wasi:cli/types@0.3.2")?;
    add_environment(linker)?;
    add_exit(linker)?;
    add_stdio(linker)?;
    add_terminals(linker)
}

fn add_environment<T: WasiView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    let mut environment = linker.instance("wasi:cli/environment@0.3.2")?;
    environment.func("get-environment", |mut store, ()| {
        Ok(store.data_mut().wasi().ctx.environment.variables.clone())
    })?;
    environment.func("get-arguments", |mut store, ()| {
        Ok(store.data_mut().wasi().ctx.environment.arguments.clone())
    })?;
    environment.func("get-initial-cwd", |mut store, ()| {
        Ok(store.data_mut().wasi().ctx.environment.initial_cwd.clone())
    })?;
    Ok(())
}

fn add_exit<T: WasiView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    let mut exit = linker.instance("wasi:cli/exit@0.3.2")?;
    exit.func("exit", |_, (status,): (std::result::Result<(), ()>,)| -> Result<()> {
        Err(Error::host(if status.is_ok() { Exit::SUCCESS } else { Exit::FAILURE }))
    })?;
    exit.func("exit-with-code", |_, (code,): (u8,)| -> Result<()> { Err(Error::host(Exit(code))) })?;
    Ok(())
}

fn add_stdio<T: WasiView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    linker.instance("wasi:cli/stdin@0.3.2")?.func("read-via-stream", |mut store, ()| {
        let input = store.data_mut().wasi().ctx.stdio.stdin.open();
        streams::read::<_, _, ErrorCode>(store, Ok(input))
    })?;
    linker.instance("wasi:cli/stdout@0.3.2")?.func(
        "write-via-stream",
        |mut store, (data,): (StreamReader<u8>,)| {
            let output = store.data_mut().wasi().ctx.stdio.stdout.open();
            streams::write::<_, _, ErrorCode>(store, data, Ok(output))
        },
    )?;
    linker.instance("wasi:cli/stderr@0.3.2")?.func(
        "write-via-stream",
        |mut store, (data,): (StreamReader<u8>,)| {
            let output = store.data_mut().wasi().ctx.stdio.stderr.open();
            streams::write::<_, _, ErrorCode>(store, data, Ok(output))
        },
    )?;
    Ok(())
}

fn add_terminals<T: WasiView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    linker
        .instance("wasi:cli/terminal-input@0.3.2")?
        .resource::<TerminalInput>("terminal-input", |mut store, terminal| {
            store.data_mut().wasi().table.delete(terminal).map(drop).map_err(Error::host)
        })?;
    linker
        .instance("wasi:cli/terminal-output@0.3.2")?
        .resource::<TerminalOutput>("terminal-output", |mut store, terminal| {
            store.data_mut().wasi().table.delete(terminal).map(drop).map_err(Error::host)
        })?;
    linker.instance("wasi:cli/terminal-stdin@0.3.2")?.func("get-terminal-stdin", |mut store, ()| {
        let wasi = store.data_mut().wasi();
        terminal(wasi.table, wasi.ctx.stdio.stdin.is_terminal(), TerminalInput)
    })?;
    linker.instance("wasi:cli/terminal-stdout@0.3.2")?.func("get-terminal-stdout", |mut store, ()| {
        let wasi = store.data_mut().wasi();
        terminal(wasi.table, wasi.ctx.stdio.stdout.is_terminal(), TerminalOutput)
    })?;
    linker.instance("wasi:cli/terminal-stderr@0.3.2")?.func("get-terminal-stderr", |mut store, ()| {
        let wasi = store.data_mut().wasi();
        terminal(wasi.table, wasi.ctx.stdio.stderr.is_terminal(), TerminalOutput)
    })?;
    Ok(())
}

fn terminal<R: Send + 'static>(
    table: &mut tombolo::ResourceTable,
    is_terminal: bool,
    terminal: R,
) -> Result<Option<Resource<R>>> {
    match is_terminal {
        true => table.push(terminal).map(Some).map_err(Error::host),
        false => Ok(None),
    }
}
