//! Who is in a slot of the kernel's, and by what the file of a program is known.

use crate::key::Key;

/// Which tenant of which slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tenant {
    pub slot: u32,
    pub generation: u32,
}

/// What the kernel says of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileFacts {
    /// Without script or partition.
    pub key: Key,
    pub stamp: Stamp,
}

/// What a rewritten file is told by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Nanoseconds.
    pub ctime: u64,
    /// Bytes.
    pub size: u64,
}
