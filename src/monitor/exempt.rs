//! Who is never answered, in the kernel's terms.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::clock::start_ticks;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::response::Exemptions;
use crate::skel::types;

/// One of them, so plain that it can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exempt {
    /// A file that is executed.
    File { ino: u64, dev: u32, generation: u32 },
    /// A script, by the hash of its path.
    Script(u64),
    /// A process, and its start in clock ticks.
    Process { pid: u32, start: u64 },
}

impl Exempt {
    pub(super) fn to_wire(self) -> types::ebph_exempt {
        let mut wire = types::ebph_exempt::default();
        match self {
            Self::File {
                ino,
                dev,
                generation,
            } => {
                wire.ino = ino;
                wire.dev = dev;
                wire.generation = generation;
            }
            Self::Script(hash) => wire.script = hash,
            Self::Process { pid, start } => {
                wire.ino = start;
                wire.dev = pid;
                wire.process = 1;
            }
        }
        wire
    }
}

/// Who is exempt, by what was asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// All that was ever found at a path: processes may still run what is no longer there.
    files: BTreeMap<PathBuf, BTreeSet<Exempt>>,
    pids: BTreeMap<u32, Exempt>,
}

impl Known {
    /// Finds out who are to be exempt instead. Who was so before may be gone by now.
    pub(super) fn become_of(&self, engine: &Engine, exempt: &Exemptions) -> Result<Self> {
        let mut next = Self::default();
        for path in &exempt.executables {
            let before = self.files.get(path);
            let mut all = before.cloned().unwrap_or_default();
            match files(engine, path) {
                Ok(found) => all.extend(found),
                Err(_) if before.is_some() => {}
                Err(source) => {
                    let what = format!("exempting {}", path.display());
                    return Err(Error::io(what)(source));
                }
            }
            next.files.insert(path.clone(), all);
        }
        for pid in &exempt.pids {
            let found = match (process(*pid), self.pids.get(pid)) {
                (Err(_), Some(before)) => *before,
                (found, _) => found?,
            };
            next.pids.insert(*pid, found);
        }
        Ok(next)
    }

    /// Adds what is at the paths now; what is not there is left out.
    pub(super) fn look(&mut self, engine: &Engine) {
        for (path, all) in &mut self.files {
            all.extend(files(engine, path).unwrap_or_default());
        }
    }

    pub(super) fn all(&self) -> BTreeSet<Exempt> {
        let files = self.files.values().flatten();
        files.chain(self.pids.values()).copied().collect()
    }
}

/// An executable is known by its file, a script by its path alone: as it is given, and as it is
/// without symbolic links.
fn files(engine: &Engine, path: &Path) -> io::Result<Vec<Exempt>> {
    if is_script(path)? {
        let names = [path.canonicalize()?, std::path::absolute(path)?];
        let hash = |path: &Path| Exempt::Script(Key::script_hash(path.as_os_str().as_bytes()));
        return Ok(names.iter().map(|path| hash(path)).collect());
    }
    let (ino, _, _, dev, generation) = engine.facts_at(path)?.key.to_wire();
    Ok(vec![Exempt::File {
        ino,
        dev,
        generation,
    }])
}

/// Whether it is a regular file that begins as scripts do. One that cannot be read is taken for none.
fn is_script(path: &Path) -> io::Result<bool> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no file that could be executed",
        ));
    }
    // Not to wait, should it have become a pipe meanwhile.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else {
        return Ok(false);
    };
    let mut start = [0; 2];
    let read = File::from(file).read(&mut start);
    Ok(read.is_ok() && start == *b"#!")
}

fn process(pid: u32) -> Result<Exempt> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok();
    let start = stat.and_then(|stat| start_ticks(&stat));
    let start = start.ok_or(Error::NoSuchProcess(pid))?;
    Ok(Exempt::Process { pid, start })
}
