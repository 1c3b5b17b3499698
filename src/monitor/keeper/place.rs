//! Where a program is now, and whether it still is what its profile was learnt from.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::engine::{Change, Engine};
use crate::kernel;
use crate::key::{Key, KeyPartition};
use crate::profile::{FileIdentity, Identity, Profile, open_regular};
use crate::snapshot::Entry;
use crate::tenant::{FileFacts, Stamp};

/// Whose profile it is, in terms that hold across reboots and updates: two profiles of one name
/// are of two versions of one program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub exe: PathBuf,
    pub script: Option<PathBuf>,
    pub whom: Whom,
}

/// The part of a [`Name`] that separates profiles of one executable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whom {
    All,
    User(u32),
    /// By path below the root: ids are of one boot.
    Cgroup(PathBuf),
}

impl Name {
    /// The name of a profile; `None` where it does not say enough.
    pub(super) fn of(profile: &Profile) -> Option<Self> {
        let identity = profile.identity();
        let exe = identity.map_or(profile.exe(), |identity| Some(&identity.exe.path))?;
        let script = identity
            .and_then(|identity| Some(identity.script.as_ref()?.path.as_path()))
            .or(profile.script());
        let whom = match profile.key().partition {
            None => Whom::All,
            Some(KeyPartition::User(uid)) => Whom::User(uid),
            Some(KeyPartition::Cgroup(_)) => Whom::Cgroup(identity?.cgroup.clone()?),
        };
        Some(Self {
            exe: exe.to_owned(),
            script: script.map(Path::to_owned),
            whom,
        })
    }
}

/// A program found again on this machine.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub key: Key,
    pub stamp: Stamp,
    /// As it is now.
    pub identity: Identity,
    pub change: Option<Changed>,
}

impl Found {
    /// What it is now.
    pub(super) fn identified(&self) -> Identified {
        Identified {
            identity: self.identity.clone(),
            here: true,
        }
    }
}

/// What tells that a program is another one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Rewritten,
    Replaced,
}

impl Changed {
    /// How to learn on; `returned` as in [`Change::None`].
    pub(super) fn change(changed: Option<Self>, returned: bool) -> Change {
        match changed {
            None => Change::None { returned },
            Some(Self::Rewritten) => Change::Rewritten,
            Some(Self::Replaced) => Change::Replaced,
        }
    }
}

/// Looks for the program of a stored profile, and compares what is there with what was.
///
/// # Errors
///
/// What the system says when it is not there; `NotFound` as well for a cgroup that is not there.
pub(super) fn find(engine: &Engine, name: &Name, stored: &Profile) -> io::Result<Found> {
    let was = stored.identity();
    let file = open_regular(&name.exe)?;
    let facts = engine.facts_of(file.as_fd())?;
    let (exe, mut changed) = compare(&name.exe, &file, was.map(|was| &was.exe))?;
    let mut identity = Identity::new(exe);
    if let Some(script) = &name.script {
        let file = open_regular(script)?;
        let was = was.and_then(|was| was.script.as_ref());
        let (script, change) = compare(script, &file, was)?;
        identity = identity.with_script(script);
        changed = changed.or(change);
    }
    let mut key = facts.key;
    key.script = match (&name.script, stored.key().script) {
        (None, _) => None,
        (Some(_), Some(hash)) => Some(hash),
        // Learnt elsewhere, where scripts have no keys.
        (Some(script), None) if script.is_absolute() => {
            Some(Key::script_hash(script.as_os_str().as_bytes()))
        }
        (Some(_), None) => return Err(io::ErrorKind::NotFound.into()),
    };
    key.partition = match &name.whom {
        Whom::All => None,
        Whom::User(uid) => Some(KeyPartition::User(*uid)),
        Whom::Cgroup(path) => {
            identity = identity.with_cgroup(path);
            Some(KeyPartition::Cgroup(cgroup_id(path)?))
        }
    };
    Ok(Found {
        key,
        stamp: facts.stamp,
        identity,
        change: changed,
    })
}

/// The file as it is now, with its hash, and what happened to it since `was`.
fn compare(
    path: &Path,
    file: &File,
    was: Option<&FileIdentity>,
) -> io::Result<(FileIdentity, Option<Changed>)> {
    let Some(was) = was else {
        return Ok((FileIdentity::of_open(path, file)?, Some(Changed::Replaced)));
    };
    let mut now = FileIdentity::stat_of_open(path, file)?;
    if now.same_file(was) {
        // Not read again: a thousand profiles are to be loaded in a second.
        now.sha256 = was.sha256;
        return Ok((now, None));
    }
    let now = FileIdentity::of_open(path, file)?;
    let change = if now.same_content(was) {
        None
    } else if now.inode == was.inode {
        Some(Changed::Rewritten)
    } else {
        Some(Changed::Replaced)
    };
    Ok((now, change))
}

fn cgroup_id(below: &Path) -> io::Result<u64> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let mount = kernel::cgroup_mount().ok_or_else(missing)?;
    kernel::cgroup_id(&mount.join(below)).map_err(|_| missing())
}

/// The program of a profile in the kernel, looked at.
#[derive(Clone, Debug)]
pub(super) struct Identified {
    pub identity: Identity,
    /// Whether it is at its path as the monitor sees it; else it is in somebody's container.
    pub here: bool,
}

/// Looks at the program of a profile in the kernel: it must be the very file that it is learnt
/// from, and for a script the script must be there as well. By its path, or through a process that
/// runs it, in whose container the path may be.
pub(super) fn identify(
    engine: &Engine,
    entry: &Entry,
    name: &Name,
    pid: impl Fn() -> Option<u32>,
    hash: bool,
) -> Option<Identified> {
    let is_it = |facts: &FileFacts| {
        let mut key = entry.key;
        key.script = None;
        key.partition = None;
        facts.key == key && facts.stamp == entry.stamp
    };
    let look = |path: &Path| {
        let file = open_regular(path).ok()?;
        is_it(&engine.facts_of(file.as_fd()).ok()?).then_some(file)
    };
    let at_path = look(&name.exe);
    let here = at_path.is_some();
    let (file, root) = match at_path {
        Some(file) => (file, None),
        None => {
            let process = PathBuf::from(format!("/proc/{}", pid()?));
            (look(&process.join("exe"))?, Some(process.join("root")))
        }
    };
    let of = |path: &Path, file: &File| {
        if hash {
            FileIdentity::of_open(path, file)
        } else {
            FileIdentity::stat_of_open(path, file)
        }
    };
    let mut identity = Identity::new(of(&name.exe, &file).ok()?);
    // Rewritten while it was read: what was read may be either.
    if !is_it(&engine.facts_of(file.as_fd()).ok()?) {
        return None;
    }
    if let Some(path) = &name.script {
        let there = match &root {
            Some(root) => root.join(path.strip_prefix("/").ok()?),
            None => path.clone(),
        };
        identity = identity.with_script(of(path, &open_regular(&there).ok()?).ok()?);
    }
    if let Whom::Cgroup(path) = &name.whom {
        identity = identity.with_cgroup(path);
    }
    Some(Identified { identity, here })
}

/// Whether two programs are known to be of the same content, scripts included.
pub(super) fn same_content(one: &Identity, other: &Identity) -> bool {
    let same = |one: &FileIdentity, other: &FileIdentity| {
        // A file too large to be read is known by its times.
        one.same_content(other) || one.same_file(other)
    };
    same(&one.exe, &other.exe)
        && match (&one.script, &other.script) {
            (Some(one), Some(other)) => same(one, other),
            (None, None) => true,
            _ => false,
        }
}

/// The name of a profile in the kernel, from what the kernel has kept of its paths; `None` where
/// that means nothing later.
pub(super) fn name(key: Key, exe: PathBuf, script: Option<PathBuf>) -> Option<Name> {
    let whom = match key.partition {
        None => Whom::All,
        Some(KeyPartition::User(uid)) => Whom::User(uid),
        Some(KeyPartition::Cgroup(id)) => Whom::Cgroup(kernel::cgroup_path(id)?),
    };
    // A descriptor's number is no name, and whose it is nobody knows.
    let is_passing = |path: &PathBuf| path.starts_with("/dev/fd") || path.starts_with("/proc");
    if script.as_ref().is_some_and(is_passing) {
        return None;
    }
    // As it was written when it was executed, from a folder perhaps: `/srv/./run`.
    let plain = |path: PathBuf| path.components().collect::<PathBuf>();
    Some(Name {
        exe: plain(exe),
        script: script.map(plain),
        whom,
    })
}
