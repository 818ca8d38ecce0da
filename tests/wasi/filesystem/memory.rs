//! A filesystem of an embedder's own: a tree in memory, with everything that a host's has.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use tombolo_wasi::clocks::Instant;
use tombolo_wasi::filesystem::{
    Blocking, DescriptorFlags, DescriptorType, DirectoryEntry, Entries, ErrorCode, NewTimestamp, Object,
    OpenFlags, Permissions, Position, Result, Stat, SymlinkFollow,
};
use tombolo_wasi::{WasiCtx, WasiCtxBuilder};

use crate::tree::LINKS;

/// An open object of a tree.
pub(crate) struct Memory {
    tree: Arc<Mutex<Tree>>,
    node: u64,
}

/// All of the nodes by number. One that has no name any more stays: a test does not last.
#[derive(Default)]
struct Tree {
    nodes: HashMap<u64, Node>,
    next: u64,
}

struct Node {
    content: Content,
    links: u64,
    access: Instant,
    modification: Instant,
}

enum Content {
    File(Vec<u8>),
    Directory(BTreeMap<String, u64>),
    Link(String),
}

/// What a path leads to: a name in a directory, and the node that has it. A path that ends in `.` or `..` has no name.
struct Found {
    directory: u64,
    name: Option<String>,
    node: Option<u64>,
    slash: bool,
}

const MAX_LINKS: usize = 40;
const MAX_SIZE: u64 = 1 << 30;

impl Memory {
    /// The tree of the tests.
    pub(crate) fn tree() -> Memory {
        let mut tree = Tree::default();
        let file = |text: &str| Content::File(text.as_bytes().to_vec());
        let outside = tree.directory(vec![("secret", file("secret!"))]);
        let directory = tree.directory(vec![("nested", file("nested"))]);
        let mut inside = vec![("file", file("hello")), ("directory", directory)];
        inside.extend(LINKS.map(|(name, target)| (name, Content::Link(target.to_owned()))));
        let inside = tree.directory(inside);
        let inside = tree.add(inside);
        tree.add(outside);
        Memory { tree: Arc::new(Mutex::new(tree)), node: inside }
    }

    pub(crate) fn wasi(self) -> WasiCtxBuilder {
        WasiCtx::builder().preopened_object(Arc::new(self), "root", Permissions::READ_WRITE)
    }

    fn tree_mut(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap()
    }

    /// The number of a directory of the same tree.
    fn of_this_tree(&self, other: &dyn Object) -> Result<u64> {
        match (other as &dyn Any).downcast_ref::<Memory>() {
            Some(other) if Arc::ptr_eq(&self.tree, &other.tree) => Ok(other.node),
            _ => Err(ErrorCode::CrossDevice),
        }
    }
}

impl Tree {
    fn directory(&mut self, entries: Vec<(&str, Content)>) -> Content {
        Content::Directory(
            entries.into_iter().map(|(name, node)| (name.to_owned(), self.add(node))).collect(),
        )
    }

    fn add(&mut self, content: Content) -> u64 {
        self.next += 1;
        self.nodes.insert(self.next, Node { content, links: 1, access: now(), modification: now() });
        self.next
    }

    fn node(&mut self, node: u64) -> &mut Node {
        self.nodes.get_mut(&node).unwrap()
    }

    fn entries(&mut self, directory: u64) -> Result<&mut BTreeMap<String, u64>> {
        match &mut self.node(directory).content {
            Content::Directory(entries) => Ok(entries),
            _ => Err(ErrorCode::NotDirectory),
        }
    }

    /// Follows a path.
    fn walk(&mut self, base: u64, path: &str, follow: SymlinkFollow) -> Result<Found> {
        let slash = path.ends_with('/');
        let mut way = vec![base];
        let mut rest: Vec<String> = components(path);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            let directory = *way.last().unwrap();
            let child = self.entries(directory)?.get(&name).copied();
            match (name.as_str(), child) {
                (".", _) => {}
                ("..", _) if way.len() == 1 => return Err(ErrorCode::NotPermitted),
                ("..", _) => {
                    way.pop();
                }
                (_, None) if rest.is_empty() => {
                    return Ok(Found { directory, name: Some(name), node: None, slash });
                }
                (_, None) => return Err(ErrorCode::NoEntry),
                (_, Some(node)) => match &self.node(node).content {
                    Content::Link(target) if !rest.is_empty() || slash || follow == SymlinkFollow::Follow => {
                        links += 1;
                        if links > MAX_LINKS {
                            return Err(ErrorCode::Loop);
                        }
                        if target.starts_with('/') {
                            return Err(ErrorCode::NotPermitted);
                        }
                        rest.extend(components(target));
                    }
                    Content::Directory(_) if !rest.is_empty() => way.push(node),
                    Content::Directory(_) => {
                        return Ok(Found { directory, name: Some(name), node: Some(node), slash });
                    }
                    _ if !rest.is_empty() || slash => return Err(ErrorCode::NotDirectory),
                    _ => return Ok(Found { directory, name: Some(name), node: Some(node), slash }),
                },
            }
        }
        let directory = *way.last().unwrap();
        Ok(Found { directory, name: None, node: Some(directory), slash })
    }

    fn find(&mut self, base: u64, path: &str, follow: SymlinkFollow) -> Result<u64> {
        self.walk(base, path, follow)?.node.ok_or(ErrorCode::NoEntry)
    }

    /// A name that is free, and the directory that it is free in.
    fn free(&mut self, base: u64, path: &str, for_directory: bool) -> Result<(u64, String)> {
        let found = match self.walk(base, path.trim_end_matches('/'), SymlinkFollow::Keep)? {
            Found { node: Some(_), .. } | Found { name: None, .. } => return Err(ErrorCode::Exist),
            found => found,
        };
        match path.ends_with('/') && !for_directory {
            true => Err(ErrorCode::NoEntry),
            false => Ok((found.directory, found.name.unwrap())),
        }
    }

    fn put(&mut self, directory: u64, name: String, node: u64) -> Result<()> {
        self.entries(directory)?.insert(name, node);
        self.node(directory).modification = now();
        Ok(())
    }

    fn take(&mut self, directory: u64, name: &str) -> Result<()> {
        let node = self.entries(directory)?.remove(name).unwrap();
        self.node(node).links -= 1;
        self.node(directory).modification = now();
        Ok(())
    }

    fn stat(&mut self, number: u64) -> Stat {
        let node = self.node(number);
        let (kind, size) = match &node.content {
            Content::File(bytes) => (DescriptorType::RegularFile, bytes.len()),
            Content::Directory(entries) => (DescriptorType::Directory, entries.len()),
            Content::Link(target) => (DescriptorType::SymbolicLink, target.len()),
        };
        Stat {
            kind,
            link_count: node.links,
            size: size as u64,
            data_access: Some(node.access),
            data_modification: Some(node.modification),
            status_change: None,
            device: 0,
            inode: number,
        }
    }

    fn set_times(&mut self, node: u64, access: NewTimestamp, modification: NewTimestamp) {
        let node = self.node(node);
        for (time, new) in [(&mut node.access, access), (&mut node.modification, modification)] {
            match new {
                NewTimestamp::NoChange => {}
                NewTimestamp::Now => *time = now(),
                NewTimestamp::At(instant) => *time = instant,
            }
        }
    }

    fn bytes(&mut self, node: u64) -> Result<&mut Vec<u8>> {
        match &mut self.node(node).content {
            Content::File(bytes) => Ok(bytes),
            _ => Err(ErrorCode::IsDirectory),
        }
    }
}

impl Object for Memory {
    fn stat(&self, _: Blocking) -> Result<Stat> {
        Ok(self.tree_mut().stat(self.node))
    }

    fn is_same_object(&self, other: &dyn Object, _: Blocking) -> Result<bool> {
        Ok(self.of_this_tree(other) == Ok(self.node))
    }

    fn set_times(&self, access: NewTimestamp, modification: NewTimestamp, _: Blocking) -> Result<()> {
        self.tree_mut().set_times(self.node, access, modification);
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64, _: Blocking) -> Result<usize> {
        i64::try_from(offset).map_err(|_| ErrorCode::Invalid)?;
        let mut tree = self.tree_mut();
        let bytes = tree.bytes(self.node)?;
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, data: &[u8], position: Position, _: Blocking) -> Result<usize> {
        let mut tree = self.tree_mut();
        let bytes = tree.bytes(self.node)?;
        let start = match position {
            Position::At(offset) => offset,
            Position::End => bytes.len() as u64,
        };
        let end = start.saturating_add(data.len() as u64);
        if end > MAX_SIZE {
            return Err(ErrorCode::FileTooLarge);
        }
        if bytes.len() < end as usize {
            bytes.resize(end as usize, 0);
        }
        bytes[start as usize..end as usize].copy_from_slice(data);
        tree.node(self.node).modification = now();
        Ok(data.len())
    }

    fn set_size(&self, size: u64, _: Blocking) -> Result<()> {
        if size > MAX_SIZE {
            return Err(ErrorCode::FileTooLarge);
        }
        self.tree_mut().bytes(self.node)?.resize(size as usize, 0);
        Ok(())
    }

    fn entries(&self, _: Blocking) -> Result<Box<dyn Entries>> {
        let mut tree = self.tree_mut();
        let names: Vec<(String, u64)> =
            tree.entries(self.node)?.iter().map(|(name, node)| (name.clone(), *node)).collect();
        let entries = names
            .into_iter()
            .map(|(name, node)| DirectoryEntry { kind: tree.stat(node).kind, name })
            .collect();
        Ok(Box::new(Listing(entries)))
    }

    fn open_at(
        &self,
        path: &str,
        follow: SymlinkFollow,
        open: OpenFlags,
        flags: DescriptorFlags,
        _: Blocking,
    ) -> Result<Arc<dyn Object>> {
        let mut tree = self.tree_mut();
        // What is to be made anew is not looked for behind a link.
        let follow = if open.create && open.exclusive { SymlinkFollow::Keep } else { follow };
        let found = tree.walk(self.node, path, follow)?;
        let node = match found.node {
            Some(_) if open.create && open.exclusive => return Err(ErrorCode::Exist),
            Some(node) => node,
            None if !open.create => return Err(ErrorCode::NoEntry),
            None if found.slash => return Err(ErrorCode::IsDirectory),
            None => {
                let node = tree.add(Content::File(Vec::new()));
                tree.put(found.directory, found.name.unwrap(), node)?;
                node
            }
        };
        match (&mut tree.node(node).content, open.directory) {
            (Content::Link(_) | Content::File(_), true) => return Err(ErrorCode::NotDirectory),
            (Content::Link(_), false) => return Err(ErrorCode::Loop),
            (Content::Directory(_), _) if flags.write || open.create => return Err(ErrorCode::IsDirectory),
            (Content::File(bytes), _) if open.truncate => bytes.clear(),
            _ => {}
        }
        Ok(Arc::new(Memory { tree: self.tree.clone(), node }))
    }

    fn stat_at(&self, path: &str, follow: SymlinkFollow, _: Blocking) -> Result<Stat> {
        let mut tree = self.tree_mut();
        let node = tree.find(self.node, path, follow)?;
        Ok(tree.stat(node))
    }

    fn set_times_at(
        &self,
        path: &str,
        follow: SymlinkFollow,
        access: NewTimestamp,
        modification: NewTimestamp,
        _: Blocking,
    ) -> Result<()> {
        let mut tree = self.tree_mut();
        let node = tree.find(self.node, path, follow)?;
        tree.set_times(node, access, modification);
        Ok(())
    }

    fn create_directory_at(&self, path: &str, _: Blocking) -> Result<()> {
        let mut tree = self.tree_mut();
        let (directory, name) = tree.free(self.node, path, true)?;
        let node = tree.add(Content::Directory(BTreeMap::new()));
        tree.put(directory, name, node)
    }

    fn remove_directory_at(&self, path: &str, _: Blocking) -> Result<()> {
        let mut tree = self.tree_mut();
        let found = tree.walk(self.node, path.trim_end_matches('/'), SymlinkFollow::Keep)?;
        let node = found.node.ok_or(ErrorCode::NoEntry)?;
        let name = found.name.ok_or(ErrorCode::Invalid)?;
        match tree.entries(node)?.is_empty() {
            true => tree.take(found.directory, &name),
            false => Err(ErrorCode::NotEmpty),
        }
    }

    fn unlink_file_at(&self, path: &str, _: Blocking) -> Result<()> {
        let mut tree = self.tree_mut();
        let found = tree.walk(self.node, path.trim_end_matches('/'), SymlinkFollow::Keep)?;
        let node = found.node.ok_or(ErrorCode::NoEntry)?;
        match (tree.entries(node).is_ok(), path.ends_with('/')) {
            (true, _) => Err(ErrorCode::IsDirectory),
            (false, true) => Err(ErrorCode::NotDirectory),
            (false, false) => tree.take(found.directory, &found.name.unwrap()),
        }
    }

    fn link_at(
        &self,
        path: &str,
        follow: SymlinkFollow,
        directory: &dyn Object,
        new_path: &str,
        _: Blocking,
    ) -> Result<()> {
        let to = self.of_this_tree(directory)?;
        let mut tree = self.tree_mut();
        let node = tree.find(self.node, path, follow)?;
        if tree.entries(node).is_ok() {
            return Err(ErrorCode::NotPermitted);
        }
        let (to, name) = tree.free(to, new_path, false)?;
        tree.put(to, name, node)?;
        tree.node(node).links += 1;
        Ok(())
    }

    fn rename_at(&self, path: &str, directory: &dyn Object, new_path: &str, _: Blocking) -> Result<()> {
        let to = self.of_this_tree(directory)?;
        let mut tree = self.tree_mut();
        let from = tree.walk(self.node, path.trim_end_matches('/'), SymlinkFollow::Keep)?;
        let to = tree.walk(to, new_path.trim_end_matches('/'), SymlinkFollow::Keep)?;
        let (Some(name), Some(new_name)) = (from.name, to.name) else { return Err(ErrorCode::Busy) };
        let node = from.node.ok_or(ErrorCode::NoEntry)?;
        let moves_directory = tree.entries(node).is_ok();
        if !moves_directory && (path.ends_with('/') || new_path.ends_with('/')) {
            return Err(ErrorCode::NotDirectory);
        }
        if tree.is_below(to.directory, node) {
            return Err(ErrorCode::Invalid);
        }
        match to.node {
            Some(replaced) if replaced == node => return Ok(()),
            Some(replaced) => {
                match (tree.entries(replaced), moves_directory) {
                    (Ok(_), false) => return Err(ErrorCode::IsDirectory),
                    (Err(_), true) => return Err(ErrorCode::NotDirectory),
                    (Ok(entries), true) if !entries.is_empty() => return Err(ErrorCode::NotEmpty),
                    _ => {}
                }
                tree.take(to.directory, &new_name)?;
            }
            None => {}
        }
        tree.put(to.directory, new_name, node)?;
        tree.node(node).links += 1;
        tree.take(from.directory, &name)
    }

    fn symlink_at(&self, target: &str, path: &str, _: Blocking) -> Result<()> {
        let mut tree = self.tree_mut();
        let (directory, name) = tree.free(self.node, path, false)?;
        let node = tree.add(Content::Link(target.to_owned()));
        tree.put(directory, name, node)
    }

    fn readlink_at(&self, path: &str, _: Blocking) -> Result<String> {
        let mut tree = self.tree_mut();
        let node = tree.find(self.node, path, SymlinkFollow::Keep)?;
        match &tree.node(node).content {
            Content::Link(target) => Ok(target.clone()),
            _ => Err(ErrorCode::Invalid),
        }
    }
}

impl Tree {
    /// Whether a directory is another one or below it.
    fn is_below(&mut self, directory: u64, above: u64) -> bool {
        let below: Vec<u64> =
            self.entries(above).map(|entries| entries.values().copied().collect()).unwrap_or_default();
        directory == above || below.into_iter().any(|child| self.is_below(directory, child))
    }
}

/// A directory being listed.
struct Listing(Vec<DirectoryEntry>);

impl Entries for Listing {
    fn next_batch(&mut self, entries: &mut Vec<DirectoryEntry>, _: Blocking) -> Result<()> {
        let rest = self.0.split_off(self.0.len().min(3));
        entries.append(&mut self.0);
        self.0 = rest;
        Ok(())
    }
}

/// A path's components, the last one first.
fn components(path: &str) -> Vec<String> {
    path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).rev().collect()
}

fn now() -> Instant {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Instant { seconds: since_1970.as_secs() as i64, nanoseconds: since_1970.subsec_nanos() }
}
