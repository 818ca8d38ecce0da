//! The folders that a program is given: `--dir`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Mutex;

use tombolo_wasi::{Permissions, WasiCtxBuilder};

use crate::diagnostics::{Failure, report_refusal};

/// A folder that the program is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    /// The folder on the host.
    host: PathBuf,
    /// The name under which the program finds it.
    guest: String,
    permissions: Permissions,
}

impl FromStr for Folder {
    type Err = String;

    /// Reads `HOST[::GUEST][:ro]`. With `:rw`, the name before it may end in `:ro`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (names, permissions) = match (text.strip_suffix(":ro"), text.strip_suffix(":rw")) {
            (Some(names), _) => (names, Permissions::READ_ONLY),
            (None, Some(names)) => (names, Permissions::READ_WRITE),
            (None, None) => (text, Permissions::READ_WRITE),
        };
        let (host, guest) = names.split_once("::").unwrap_or((names, names));
        if host.is_empty() || guest.is_empty() {
            return Err("write HOST::GUEST, such as ./data::/data, or HOST alone".to_owned());
        }
        Ok(Folder { host: PathBuf::from(host), guest: guest.to_owned(), permissions })
    }
}

/// Grants the folders. With `show_refused`, attempts to change what may only be read are shown, each folder once.
///
/// # Errors
///
/// A folder cannot be opened.
pub(crate) fn grant(
    folders: &[Folder],
    show_refused: bool,
    mut wasi: WasiCtxBuilder,
) -> Result<WasiCtxBuilder, Failure> {
    for Folder { host, guest, permissions } in folders {
        wasi = wasi.preopened_dir(host, guest, *permissions).map_err(|error| {
            Failure::caused_by(format!("cannot give the program the folder {}", host.display()), error)
                .hint("`--dir HOST::GUEST` names an existing folder of the host first")
        })?;
    }
    if !show_refused {
        return Ok(wasi);
    }
    let (folders, shown) = (folders.to_vec(), Mutex::new(BTreeSet::new()));
    Ok(wasi.on_read_only(move |guest| {
        let folder = folders.iter().find(|folder| folder.guest == guest);
        let first = shown.lock().is_ok_and(|mut shown| shown.insert(guest.to_owned()));
        if let (Some(folder), true) = (folder, first) {
            let option = format!("--dir {}::{guest}", folder.host.display());
            report_refusal(&format!("changing what is in {guest}"), &option);
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(text: &str) -> (String, String, bool) {
        let folder: Folder = text.parse().unwrap();
        (folder.host.to_str().unwrap().to_owned(), folder.guest, folder.permissions.write)
    }

    #[test]
    fn a_folder_keeps_its_name_unless_another_is_given() {
        for (text, host, guest, write) in [
            (".", ".", ".", true),
            ("a/b::/data", "a/b", "/data", true),
            ("a::b::c", "a", "b::c", true),
            ("a::b:ro", "a", "b", false),
            ("a:ro", "a", "a", false),
            ("a::b:ro:rw", "a", "b:ro", true),
            ("a::b:ro:ro", "a", "b:ro", false),
        ] {
            assert_eq!(folder(text), (host.to_owned(), guest.to_owned(), write), "{text}");
        }
        for text in ["::x", "x::", "", ":ro", "x:::ro"] {
            assert!(text.parse::<Folder>().unwrap_err().contains("HOST::GUEST"), "{text}");
        }
    }
}
