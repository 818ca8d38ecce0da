//! The standard streams, and the terminals that may be behind them.

use wasip3::cli::{stderr, stdin, stdout, terminal_stderr, terminal_stdin, terminal_stdout};

use crate::{number, unknown};

pub async fn perform(words: &[&str]) -> String {
    match *words {
        ["read"] => {
            let (data, outcome) = stdin::read_via_stream();
            let bytes = data.collect().await;
            format!("{:?} {:?}", String::from_utf8_lossy(&bytes), outcome.await)
        }
        // So many bytes; then the stream is dropped.
        ["read-some", count] => {
            let (mut data, outcome) = stdin::read_via_stream();
            let mut bytes = Vec::new();
            for _ in 0..number(count) {
                bytes.extend(data.next().await);
            }
            drop(data);
            format!("{:?} {:?}", String::from_utf8_lossy(&bytes), outcome.await)
        }
        ["write", text] => {
            let (mut writer, reader) = wasip3::wit_stream::new();
            let outcome = stdout::write_via_stream(reader);
            let rest = writer.write_all(text.as_bytes().to_vec()).await;
            drop(writer);
            format!("{} left, {:?}", rest.len(), outcome.await)
        }
        // Without waiting for what becomes of it.
        ["write-and-forget", text] => {
            let (mut writer, reader) = wasip3::wit_stream::new();
            drop(stdout::write_via_stream(reader));
            let rest = writer.write_all(text.as_bytes().to_vec()).await;
            format!("{} left", rest.len())
        }
        ["write-both", one, two] => {
            let (mut writer, reader) = wasip3::wit_stream::new();
            let (mut other, other_reader) = wasip3::wit_stream::new();
            let outcomes = (stdout::write_via_stream(reader), stdout::write_via_stream(other_reader));
            writer.write_all(one.as_bytes().to_vec()).await;
            other.write_all(two.as_bytes().to_vec()).await;
            drop((writer, other));
            format!("{:?} {:?}", outcomes.0.await, outcomes.1.await)
        }
        ["write-nothing"] => {
            let (writer, reader) = wasip3::wit_stream::new::<u8>();
            let outcome = stderr::write_via_stream(reader);
            drop(writer);
            format!("{:?}", outcome.await)
        }
        ["terminals"] => format!(
            "{} {} {}",
            terminal_stdin::get_terminal_stdin().is_some(),
            terminal_stdout::get_terminal_stdout().is_some(),
            terminal_stderr::get_terminal_stderr().is_some()
        ),
        ref words => unknown(words),
    }
}
