//! Does with files what its arguments say, and prints a line with the outcome of each: for tests that judge by
//! themselves what an operation should come to.
//!
//! Each argument is an operation, its words apart by spaces: `DESCRIPTOR METHOD ARGUMENT...`. The descriptors are at
//! first the preopened directories, by their paths; `NAME = DESCRIPTOR open PATH FLAG...` adds one. In a path, `%20`
//! stands for the byte with that number, and `''` is the empty path.

mod changes;
mod data;
mod lookups;
mod race;
mod words;

use std::collections::BTreeMap;

use wasip3::filesystem::preopens;
use wasip3::filesystem::types::{Descriptor, ErrorCode};

struct Guest;

/// What is open.
type Open = BTreeMap<String, Descriptor>;

/// What an operation came to.
type Outcome = Result<String, ErrorCode>;

impl wasip3::exports::cli::run::Guest for Guest {
    async fn run() -> Result<(), ()> {
        let directories = preopens::get_directories().into_iter();
        let mut open: Open = directories.map(|(directory, path)| (path, directory)).collect();
        let mut output = support::Output::stdout();
        for operation in support::args() {
            let words: Vec<&str> = operation.split(' ').collect();
            let line = words::show(perform(&mut open, &words).await) + "\n";
            output.write(line.as_bytes()).await.map_err(drop)?;
        }
        output.finish().await.map_err(drop)
    }
}

async fn perform(open: &mut Open, words: &[&str]) -> Outcome {
    match *words {
        ["close", name] => {
            open.remove(name);
            Ok("ok".to_owned())
        }
        [name, "=", directory, "open", path, ref flags @ ..] => {
            let descriptor = lookups::open(find(open, directory)?, path, flags).await?;
            open.insert(name.to_owned(), descriptor);
            Ok("ok".to_owned())
        }
        ["pause"] => data::pause().await,
        ["copy", from, to] => data::copy(find(open, from)?, find(open, to)?).await,
        ["input", to] => data::input(find(open, to)?).await,
        ["output", from] => data::output(find(open, from)?).await,
        [directory, "hoard", path] => lookups::hoard(find(open, directory)?, path).await,
        [directory, "race", ref arguments @ ..] => race::run(find(open, directory)?, arguments).await,
        [name, method, ref arguments @ ..] => {
            let this = find(open, name)?;
            if let Some(outcome) = data::perform(this, method, arguments).await {
                return outcome;
            }
            if let Some(outcome) = lookups::perform(open, this, method, arguments).await {
                return outcome;
            }
            changes::perform(open, this, method, arguments)
                .await
                .unwrap_or_else(|| Err(words::unknown(method)))
        }
        _ => Err(words::unknown(&words.join(" "))),
    }
}

fn find<'a>(open: &'a Open, name: &str) -> Result<&'a Descriptor, ErrorCode> {
    open.get(name).ok_or_else(|| ErrorCode::Other(Some(format!("nothing is open as {name}"))))
}

wasip3::cli::command::export!(Guest);
