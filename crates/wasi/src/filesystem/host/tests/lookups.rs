//! Following paths: where they lead, and that they do not lead out.

use super::*;

#[test]
fn files_and_links_open() {
    each(|tree| {
        for (path, follow, expected) in [
            ("file", Keep, "hello"),
            ("./file", Keep, "hello"),
            ("directory/nested", Keep, "nested"),
            ("directory//nested", Keep, "nested"),
            ("directory/../file", Keep, "hello"),
            ("to-file", Follow, "hello"),
            ("up", Follow, "hello"),
            ("to-directory/nested", Keep, "nested"),
        ] {
            let object = tree.open(path, follow, PLAIN, READ).unwrap();
            assert_eq!(contents(&*object), expected, "{path}");
        }
    });
}

#[test]
fn filesystem_paths_that_lead_out_are_refused() {
    each(|tree| {
        for path in [
            "..",
            "../",
            "../outside/secret",
            "directory/../../outside/secret",
            "escape-directory/secret",
            "../inside/file",
        ] {
            for follow in [Keep, Follow] {
                let refused = Some(ErrorCode::NotPermitted);
                assert_eq!(tree.open(path, follow, PLAIN, READ).err(), refused, "open {path}");
                assert_eq!(tree.open(path, follow, PLAIN, NEITHER).err(), refused, "reach {path}");
                assert_eq!(tree.kind(path, follow).err(), refused, "stat {path}");
                assert!(tree.open(path, follow, CREATE, WRITE).is_err(), "create {path}");
            }
        }
        for path in ["escape", "absolute", "escape-directory", "escape-directory/"] {
            let refused = Some(ErrorCode::NotPermitted);
            assert_eq!(tree.open(path, Follow, PLAIN, READ).err(), refused, "open {path}");
            assert!(tree.open(path, Follow, CREATE, WRITE).is_err(), "create {path}");
            assert_eq!(tree.kind(path, Follow).err(), refused, "stat {path}");
        }
        assert_eq!(tree.open("absolute/x", Keep, PLAIN, READ).err(), Some(ErrorCode::NotPermitted));
    });
}

#[test]
fn filesystem_trailing_slashes_do_not_lead_out() {
    each(|tree| {
        // The slash makes the kernel follow the link in calls that would not follow it otherwise.
        let path = "escape-directory/";
        let refused = Some(ErrorCode::NotPermitted);
        assert_eq!(tree.kind(path, Keep).err(), refused);
        assert_eq!(tree.inside.readlink_at(path, ALLOW).err(), refused);
        assert_eq!(tree.open(path, Keep, PLAIN, READ).err(), refused);
        let now = NewTimestamp::Now;
        assert_eq!(tree.inside.set_times_at(path, Keep, now, now, ALLOW).err(), refused);
        assert_eq!(tree.inside.link_at(path, Keep, &*tree.inside, "new", ALLOW).err(), refused);
        assert!(tree.inside.remove_directory_at(path, ALLOW).is_err());
        assert!(tree.inside.unlink_file_at(path, ALLOW).is_err());
        assert!(tree.inside.rename_at(path, &*tree.inside, "new", ALLOW).is_err());
        assert!(tree.inside.create_directory_at("escape-directory/new/../../x", ALLOW).is_err());
        assert!(tree.path("outside/secret").exists());
    });
}

#[test]
fn a_link_at_the_end_is_kept_or_followed() {
    each(|tree| {
        assert_eq!(tree.kind("to-file", Keep), Ok(DescriptorType::SymbolicLink));
        assert_eq!(tree.kind("to-file", Follow), Ok(DescriptorType::RegularFile));
        assert_eq!(tree.kind("to-directory/.", Keep), Ok(DescriptorType::Directory));
        assert_eq!(tree.kind("to-directory/", Keep), Ok(DescriptorType::Directory));
        assert_eq!(tree.kind("./to-file", Keep), Ok(DescriptorType::SymbolicLink));
        assert_eq!(tree.kind("escape", Keep), Ok(DescriptorType::SymbolicLink));
        assert_eq!(tree.kind("dangling", Keep), Ok(DescriptorType::SymbolicLink));
        assert_eq!(tree.kind("dangling", Follow), Err(ErrorCode::NoEntry));
        assert_eq!(tree.kind("loop", Follow), Err(ErrorCode::Loop));
        for flags in [READ, NEITHER] {
            assert_eq!(tree.open("to-file", Keep, PLAIN, flags).err(), Some(ErrorCode::Loop));
            assert_eq!(tree.open("loop", Follow, PLAIN, flags).err(), Some(ErrorCode::Loop));
        }
    });
}

#[test]
fn a_path_through_a_file_is_no_path() {
    each(|tree| {
        for path in ["file/", "file/.", "file/x", "to-file/"] {
            assert_eq!(tree.open(path, Follow, PLAIN, READ).err(), Some(ErrorCode::NotDirectory), "{path}");
            assert_eq!(tree.kind(path, Keep).err(), Some(ErrorCode::NotDirectory), "{path}");
        }
        assert_eq!(tree.open("file", Keep, DIRECTORY, READ).err(), Some(ErrorCode::NotDirectory));
        assert_eq!(tree.open("nothing/x", Keep, PLAIN, READ).err(), Some(ErrorCode::NoEntry));
        let file = tree.open("file", Keep, PLAIN, READ).unwrap();
        assert_eq!(file.stat_at("x", Keep, ALLOW).err(), Some(ErrorCode::NotDirectory));
        assert_eq!(file.entries(ALLOW).err(), Some(ErrorCode::NotDirectory));
    });
}

#[test]
fn directories_open_for_reading_alone() {
    each(|tree| {
        tree.open("directory", Keep, DIRECTORY, READ).unwrap();
        tree.open("directory/", Keep, PLAIN, READ).unwrap();
        tree.open(".", Keep, DIRECTORY, READ).unwrap();
        let directory = tree.open("to-directory", Follow, DIRECTORY, NEITHER).unwrap();
        assert_eq!(directory.stat_at("nested", Keep, ALLOW).unwrap().size, 6);
        assert_eq!(tree.open("directory", Keep, PLAIN, WRITE).err(), Some(ErrorCode::IsDirectory));
        let directory = tree.open("directory", Keep, PLAIN, READ).unwrap();
        assert_eq!(directory.read_at(&mut [0], 0, ALLOW), Err(ErrorCode::IsDirectory));
    });
}

#[test]
fn links_are_read() {
    each(|tree| {
        assert_eq!(tree.inside.readlink_at("to-file", ALLOW), Ok("file".into()));
        assert_eq!(tree.inside.readlink_at("./up", ALLOW), Ok("directory/../file".into()));
        for path in ["file", "./file", "directory/nested", "to-directory/"] {
            assert_eq!(tree.inside.readlink_at(path, ALLOW), Err(ErrorCode::Invalid), "{path}");
        }
        assert_eq!(tree.inside.readlink_at("nothing", ALLOW), Err(ErrorCode::NoEntry));
        assert_eq!(tree.inside.readlink_at("directory/nothing", ALLOW), Err(ErrorCode::NoEntry));
    });
}

#[test]
fn lookups_of_what_is_cached_do_not_block() {
    let tree = Tree::new(None);
    if tree.inside.resolver != Resolver::KernelCached || tree.inside.latency == Latency::Remote {
        return;
    }
    let avoid = Blocking::Avoid;
    tree.inside.stat_at("file", Keep, avoid).unwrap();
    tree.inside.stat_at("directory/nested", Keep, avoid).unwrap();
    tree.inside.open_at("directory/nested", Keep, PLAIN, READ, avoid).unwrap();
    assert_eq!(tree.inside.open_at("new", Keep, CREATE, WRITE, avoid).err(), Some(ErrorCode::WouldBlock));
}

#[test]
fn same_objects_are_known() {
    each(|tree| {
        let open = |path| tree.open(path, Follow, PLAIN, READ).unwrap();
        assert_eq!(open("file").is_same_object(&*open("to-file"), ALLOW), Ok(true));
        assert_eq!(open("file").is_same_object(&*open("directory/nested"), ALLOW), Ok(false));
    });
}
