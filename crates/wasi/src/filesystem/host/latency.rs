//! How long a filesystem may keep one waiting.

use rustix::fd::AsFd;

/// What stands behind a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Latency {
    /// Memory: nothing waits.
    Memory,
    /// A device of this machine: what is cached is at hand.
    Local,
    /// A network or another process: anything may take for ever.
    Remote,
}

/// The magic numbers of filesystems that are memory (linux/magic.h).
const MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];

/// Those of NFS, SMB (three), FUSE, 9P, Ceph, AFS, Coda, autofs, GFS2, OCFS2 and Lustre.
const REMOTE: [u32; 13] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
    0x7375_7245,
    0x0187,
    0x0116_1970,
    0x7461_636f,
    0x0bd0_0bd0,
];

impl Latency {
    /// Asks what `object` lies on.
    pub(super) fn of(object: impl AsFd) -> Latency {
        match rustix::fs::fstatfs(object) {
            // The numbers have 32 bits; the field's width and sign differ between platforms.
            Ok(filesystem) if MEMORY.contains(&(filesystem.f_type as u32)) => Latency::Memory,
            Ok(filesystem) if !REMOTE.contains(&(filesystem.f_type as u32)) => Latency::Local,
            _ => Latency::Remote,
        }
    }
}
