//! What changes a tree.

use wasip3::filesystem::types::{Descriptor, ErrorCode};

use crate::words::{done, path_flags, text, time};
use crate::{Open, Outcome, find};

pub async fn perform(open: &Open, this: &Descriptor, method: &str, arguments: &[&str]) -> Option<Outcome> {
    Some(match (method, arguments) {
        ("mkdir", &[path]) => done(this.create_directory_at(text(path)).await),
        ("rmdir", &[path]) => done(this.remove_directory_at(text(path)).await),
        ("unlink", &[path]) => done(this.unlink_file_at(text(path)).await),
        ("symlink", &[target, path]) => done(this.symlink_at(text(target), text(path)).await),
        ("rename", &[path, directory, new_path]) => rename(this, path, find(open, directory), new_path).await,
        ("link", &[path, directory, new_path, ref flags @ ..]) => {
            link(this, path, find(open, directory), new_path, flags).await
        }
        ("set-times-at", &[path, access, modification, ref flags @ ..]) => {
            set_times(this, path, access, modification, flags).await
        }
        _ => return None,
    })
}

async fn rename(
    this: &Descriptor,
    path: &str,
    directory: Result<&Descriptor, ErrorCode>,
    new_path: &str,
) -> Outcome {
    done(this.rename_at(text(path), directory?, text(new_path)).await)
}

async fn link(
    this: &Descriptor,
    path: &str,
    directory: Result<&Descriptor, ErrorCode>,
    new_path: &str,
    flags: &[&str],
) -> Outcome {
    done(this.link_at(path_flags(flags), text(path), directory?, text(new_path)).await)
}

async fn set_times(
    this: &Descriptor,
    path: &str,
    access: &str,
    modification: &str,
    flags: &[&str],
) -> Outcome {
    done(this.set_times_at(path_flags(flags), text(path), time(access)?, time(modification)?).await)
}
