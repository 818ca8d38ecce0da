//! Changing what is below a directory.

use super::*;

#[test]
fn files_are_created_and_cut() {
    each(|tree| {
        let new = tree.open("directory/new", Keep, CREATE, WRITE).unwrap();
        assert_eq!(new.write_at(b"abc", Position::At(2), ALLOW), Ok(3));
        assert_eq!(std::fs::read(tree.path("inside/directory/new")).unwrap(), b"\0\0abc");
        let exclusive = OpenFlags { exclusive: true, ..CREATE };
        assert_eq!(tree.open("file", Keep, exclusive, WRITE).err(), Some(ErrorCode::Exist));
        assert_eq!(tree.open("dangling", Follow, exclusive, WRITE).err(), Some(ErrorCode::Exist));
        let truncate = OpenFlags { truncate: true, ..PLAIN };
        tree.open("file", Keep, truncate, WRITE).unwrap();
        assert_eq!(std::fs::read(tree.path("inside/file")).unwrap(), b"");
        assert!(tree.open("made/", Keep, CREATE, WRITE).is_err());
        assert!(!tree.path("inside/made").exists());
        tree.open("dangling", Follow, CREATE, WRITE).unwrap();
        assert!(tree.path("inside/nothing").exists());
    });
}

#[test]
fn directories_are_made_and_removed() {
    each(|tree| {
        tree.inside.create_directory_at("new", ALLOW).unwrap();
        tree.inside.create_directory_at("new/deeper/", ALLOW).unwrap();
        assert!(tree.path("inside/new/deeper").is_dir());
        for (path, error) in [
            ("new", ErrorCode::Exist),
            (".", ErrorCode::Exist),
            ("file", ErrorCode::Exist),
            ("directory/..", ErrorCode::Exist),
            ("..", ErrorCode::NotPermitted),
            ("../outside/new", ErrorCode::NotPermitted),
            ("escape-directory/new", ErrorCode::NotPermitted),
            ("nothing/new", ErrorCode::NoEntry),
            ("file/new", ErrorCode::NotDirectory),
        ] {
            assert_eq!(tree.inside.create_directory_at(path, ALLOW), Err(error), "{path}");
        }
        for (path, error) in [
            ("new", ErrorCode::NotEmpty),
            (".", ErrorCode::Invalid),
            ("..", ErrorCode::NotPermitted),
            ("file", ErrorCode::NotDirectory),
            ("to-directory", ErrorCode::NotDirectory),
            ("nothing", ErrorCode::NoEntry),
        ] {
            assert_eq!(tree.inside.remove_directory_at(path, ALLOW), Err(error), "{path}");
        }
        tree.inside.remove_directory_at("new/deeper/", ALLOW).unwrap();
        tree.inside.remove_directory_at("new", ALLOW).unwrap();
    });
}

#[test]
fn files_are_unlinked() {
    each(|tree| {
        for (path, error) in [
            ("directory", ErrorCode::IsDirectory),
            ("directory/", ErrorCode::IsDirectory),
            ("file/", ErrorCode::NotDirectory),
            ("nothing", ErrorCode::NoEntry),
            ("..", ErrorCode::NotPermitted),
            ("../outside/secret", ErrorCode::NotPermitted),
        ] {
            assert_eq!(tree.inside.unlink_file_at(path, ALLOW), Err(error), "{path}");
        }
        tree.inside.unlink_file_at("escape", ALLOW).unwrap();
        tree.inside.unlink_file_at("./to-file", ALLOW).unwrap();
        assert!(tree.path("inside/file").exists() && tree.path("outside/secret").exists());
    });
}

#[test]
fn things_are_renamed() {
    each(|tree| {
        let directory = tree.open("directory", Keep, DIRECTORY, READ).unwrap();
        tree.inside.rename_at("file", &*directory, "moved", ALLOW).unwrap();
        assert!(tree.path("inside/directory/moved").exists());
        tree.inside.rename_at("directory", &*tree.inside, "renamed/", ALLOW).unwrap();
        assert!(tree.path("inside/renamed/moved").exists());
        directory.rename_at("moved", &*tree.inside, "file", ALLOW).unwrap();
        for (from, to, error) in [
            ("nothing", "x", ErrorCode::NoEntry),
            ("file", "../outside/x", ErrorCode::NotPermitted),
            ("../outside/secret", "x", ErrorCode::NotPermitted),
            ("file", "..", ErrorCode::NotPermitted),
            ("file", "escape-directory/x", ErrorCode::NotPermitted),
            (".", "x", ErrorCode::Busy),
            ("file/", "x", ErrorCode::NotDirectory),
            ("file", "renamed", ErrorCode::IsDirectory),
            ("renamed", "file", ErrorCode::NotDirectory),
        ] {
            assert_eq!(tree.inside.rename_at(from, &*tree.inside, to, ALLOW), Err(error), "{from} {to}");
        }
        // The link itself moves, not what it leads to.
        tree.inside.rename_at("escape", &*tree.inside, "escaped", ALLOW).unwrap();
        assert!(tree.path("inside/escaped").is_symlink() && tree.path("outside/secret").exists());
    });
}

#[test]
fn hard_links_are_made() {
    each(|tree| {
        let link = |from, follow, to| tree.inside.link_at(from, follow, &*tree.inside, to, ALLOW);
        link("file", Keep, "second").unwrap();
        assert_eq!(tree.inside.stat_at("second", Keep, ALLOW).unwrap().link_count, 2);
        link("to-file", Keep, "link").unwrap();
        assert_eq!(tree.kind("link", Keep), Ok(DescriptorType::SymbolicLink));
        link("to-file", Follow, "third").unwrap();
        assert_eq!(tree.inside.stat_at("third", Keep, ALLOW).unwrap().link_count, 3);
        for (from, to, error) in [
            ("nothing", "x", ErrorCode::NoEntry),
            ("file", "second", ErrorCode::Exist),
            ("directory", "x", ErrorCode::NotPermitted),
            ("directory/", "x", ErrorCode::NotPermitted),
            (".", "x", ErrorCode::NotPermitted),
            ("..", "x", ErrorCode::NotPermitted),
            ("escape", "x", ErrorCode::NotPermitted),
            ("../outside/secret", "x", ErrorCode::NotPermitted),
            ("file", "../outside/x", ErrorCode::NotPermitted),
            ("file/", "x", ErrorCode::NotDirectory),
            ("file", "x/", ErrorCode::NoEntry),
        ] {
            assert_eq!(link(from, Follow, to), Err(error), "{from} {to}");
        }
    });
}

#[test]
fn symbolic_links_are_made() {
    each(|tree| {
        tree.inside.symlink_at("file", "new", ALLOW).unwrap();
        assert_eq!(contents(&*tree.open("new", Follow, PLAIN, READ).unwrap()), "hello");
        // A link may say what it likes. It is following it that is refused.
        tree.inside.symlink_at("../../outside/secret", "directory/out", ALLOW).unwrap();
        let out = tree.open("directory/out", Follow, PLAIN, READ);
        assert_eq!(out.err(), Some(ErrorCode::NotPermitted));
        for (path, error) in [
            ("new", ErrorCode::Exist),
            ("..", ErrorCode::NotPermitted),
            ("../outside/new", ErrorCode::NotPermitted),
            ("x/", ErrorCode::NoEntry),
        ] {
            assert_eq!(tree.inside.symlink_at("file", path, ALLOW), Err(error), "{path}");
        }
    });
}

#[test]
fn filesystem_times_before_1970_are_set_and_told() {
    each(|tree| {
        let before = Instant { seconds: -5, nanoseconds: 999_999_999 };
        let set = NewTimestamp::At(before);
        tree.inside.set_times_at("file", Keep, set, NewTimestamp::NoChange, ALLOW).unwrap();
        let stat = tree.inside.stat_at("file", Keep, ALLOW).unwrap();
        assert_eq!(stat.data_access, Some(before));
        assert!(stat.data_modification.unwrap().seconds > 0);
        let file = tree.open("file", Keep, PLAIN, READ).unwrap();
        file.set_times(NewTimestamp::NoChange, set, ALLOW).unwrap();
        assert_eq!(file.stat(ALLOW).unwrap().data_modification, Some(before));
        let reached = tree.open("file", Keep, PLAIN, NEITHER).unwrap();
        reached.set_times(NewTimestamp::Now, NewTimestamp::Now, ALLOW).unwrap();
        assert!(file.stat(ALLOW).unwrap().data_modification.unwrap().seconds > 0);
    });
}

#[test]
fn times_are_set_through_links_or_on_them() {
    each(|tree| {
        let time = Instant { seconds: 7, nanoseconds: 0 };
        let set = NewTimestamp::At(time);
        let modified =
            |path, follow| tree.inside.stat_at(path, follow, ALLOW).unwrap().data_modification.unwrap();
        tree.inside.set_times_at("to-file", Keep, set, set, ALLOW).unwrap();
        assert_eq!(modified("to-file", Keep), time);
        assert_ne!(modified("file", Keep), time);
        tree.inside.set_times_at("to-file", Follow, set, set, ALLOW).unwrap();
        assert_eq!(modified("file", Keep), time);
        let escape = tree.inside.set_times_at("escape", Follow, set, set, ALLOW);
        assert_eq!(escape, Err(ErrorCode::NotPermitted));
    });
}

#[test]
fn filesystem_a_directory_handle_outlives_its_directory() {
    each(|tree| {
        let directory = tree.open("directory", Keep, DIRECTORY, READ).unwrap();
        std::fs::remove_dir_all(tree.path("inside/directory")).unwrap();
        assert_eq!(directory.stat(ALLOW).unwrap().kind, DescriptorType::Directory);
        assert_eq!(directory.stat_at("nested", Keep, ALLOW), Err(ErrorCode::NoEntry));
        let create = directory.open_at("new", Keep, CREATE, WRITE, ALLOW);
        assert_eq!(create.err(), Some(ErrorCode::NoEntry));
        assert_eq!(directory.create_directory_at("new", ALLOW), Err(ErrorCode::NoEntry));
    });
}
