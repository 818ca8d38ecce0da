//! What is about an open file's own data.

use wasip3::cli::{stdin, stdout};
use wasip3::filesystem::types::{Descriptor, ErrorCode};

use crate::Outcome;
use crate::words::{advice, done, number, show, text, time};

pub async fn perform(this: &Descriptor, method: &str, arguments: &[&str]) -> Option<Outcome> {
    Some(match (method, arguments) {
        ("read", &[offset]) => read(this, offset).await,
        ("read-some", &[offset, count]) => read_some(this, offset, count).await,
        ("write", &[offset, word]) => write(this, Some(offset), text(word).into_bytes()).await,
        ("append", &[word]) => write(this, None, text(word).into_bytes()).await,
        ("write-much", &[offset, count]) => write_much(this, offset, count).await,
        ("write-nothing", &[offset]) => write_nothing(this, offset).await,
        ("set-size", &[size]) => set_size(this, size).await,
        ("set-times", &[access, modification]) => set_times(this, access, modification).await,
        ("advise", &[offset, length, word]) => advise(this, offset, length, word).await,
        ("sync", []) => done(this.sync().await),
        ("sync-data", []) => done(this.sync_data().await),
        _ => return None,
    })
}

/// Everything from an offset on, and what the future said at the end of it.
async fn read(file: &Descriptor, offset: &str) -> Outcome {
    let (data, outcome) = file.read_via_stream(number(offset)?);
    let bytes = data.collect().await;
    told(&bytes, outcome.await)
}

/// So many bytes; then the stream is dropped.
async fn read_some(file: &Descriptor, offset: &str, count: &str) -> Outcome {
    let (mut data, outcome) = file.read_via_stream(number(offset)?);
    let mut bytes = Vec::new();
    for _ in 0..number(count)? {
        bytes.extend(data.next().await);
    }
    drop(data);
    told(&bytes, outcome.await)
}

fn told(bytes: &[u8], outcome: Result<(), ErrorCode>) -> Outcome {
    let data =
        if bytes.is_empty() { "nothing".to_owned() } else { String::from_utf8_lossy(bytes).into_owned() };
    match outcome {
        Ok(()) => Ok(data),
        Err(error) if bytes.is_empty() => Err(error),
        Err(error) => Ok(format!("{data}, then {}", show(Err(error)))),
    }
}

/// Writes at an offset, or appends.
async fn write(file: &Descriptor, offset: Option<&str>, bytes: Vec<u8>) -> Outcome {
    let (mut writer, reader) = wasip3::wit_stream::new();
    let outcome = match offset {
        Some(offset) => file.write_via_stream(reader, number(offset)?),
        None => file.append_via_stream(reader),
    };
    writer.write_all(bytes).await;
    drop(writer);
    done(outcome.await)
}

/// Writes so many bytes in pieces, and says how many were taken.
async fn write_much(file: &Descriptor, offset: &str, count: &str) -> Outcome {
    let (mut writer, reader) = wasip3::wit_stream::new();
    let outcome = file.write_via_stream(reader, number(offset)?);
    let count = number(count)?;
    let mut taken = 0;
    while taken < count {
        let piece = vec![b'x'; (count - taken).min(10_000) as usize];
        let length = piece.len();
        let rest = writer.write_all(piece).await.len();
        taken += (length - rest) as u64;
        if rest > 0 {
            break;
        }
    }
    drop(writer);
    Ok(format!("{taken} {}", show(done(outcome.await))))
}

/// Ends a stream that nothing was written to.
async fn write_nothing(file: &Descriptor, offset: &str) -> Outcome {
    let (writer, reader) = wasip3::wit_stream::new::<u8>();
    let outcome = file.write_via_stream(reader, number(offset)?);
    drop(writer);
    done(outcome.await)
}

async fn set_size(file: &Descriptor, size: &str) -> Outcome {
    done(file.set_size(number(size)?).await)
}

async fn set_times(this: &Descriptor, access: &str, modification: &str) -> Outcome {
    done(this.set_times(time(access)?, time(modification)?).await)
}

async fn advise(file: &Descriptor, offset: &str, length: &str, word: &str) -> Outcome {
    done(file.advise(number(offset)?, number(length)?, advice(word)?).await)
}

/// From one file to the other without a look at the bytes.
pub async fn copy(from: &Descriptor, to: &Descriptor) -> Outcome {
    let (data, read) = from.read_via_stream(0);
    let written = to.write_via_stream(data, 0).await;
    let read = read.await;
    Ok(format!("{} {}", show(done(read)), show(done(written))))
}

/// The standard input to a file.
pub async fn input(to: &Descriptor) -> Outcome {
    let (data, read) = stdin::read_via_stream();
    let written = to.write_via_stream(data, 0).await;
    Ok(format!("{:?} {}", read.await, show(done(written))))
}

/// A file to the standard output.
pub async fn output(from: &Descriptor) -> Outcome {
    let (data, read) = from.read_via_stream(0);
    let written = stdout::write_via_stream(data).await;
    Ok(format!("{} {written:?}", show(done(read.await))))
}

/// Waits for a byte of the standard input: somebody does something meanwhile.
pub async fn pause() -> Outcome {
    let (mut data, outcome) = stdin::read_via_stream();
    let byte = data.next().await;
    drop(data);
    match (byte, outcome.await) {
        (Some(_), Ok(())) => Ok("ok".to_owned()),
        other => Ok(format!("{other:?}")),
    }
}
