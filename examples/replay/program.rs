//! Which file of this machine a program in a trace is.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ebph::trace::Focus;
use ebph::{FileIdentity, Identity, Profile};

use crate::output::{count, note, printable};

/// How many interpreters of interpreters the kernel follows.
const INTERPRETERS: usize = 5;
/// How many programs are named that were left out.
const NAMED: usize = 10;

/// Says in a profile which program it is of: the file itself if it is on this machine, otherwise
/// the path alone.
pub fn describe(profile: Profile, path: &Path) -> Profile {
    match identify(path) {
        Ok(identity) => {
            let script = identity.script.as_ref().map(|script| script.path.clone());
            let exe = identity.exe.path.clone();
            profile
                .with_paths(Some(exe), script)
                .with_identity(identity)
        }
        Err(error) => {
            note(&format_args!(
                "{}: {error}: the profile has its path, and nothing to know the file by",
                printable(path.as_os_str())
            ));
            profile.with_paths(Some(path.to_owned()), None)
        }
    }
}

/// Links are followed, and so is a script to its interpreter.
fn identify(path: &Path) -> io::Result<Identity> {
    let script = path.canonicalize()?;
    let mut exe = script.clone();
    for _ in 0..INTERPRETERS {
        match interpreter(&exe)? {
            Some(interpreter) => exe = interpreter.canonicalize()?,
            None => break,
        }
    }
    let identity = Identity::new(FileIdentity::of(&exe)?);
    if exe == script {
        Ok(identity)
    } else {
        Ok(identity.with_script(FileIdentity::of(&script)?))
    }
}

/// What runs a file, if it is a script.
fn interpreter(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut beginning = Vec::new();
    File::open(path)?.take(256).read_to_end(&mut beginning)?;
    let Some(line) = beginning.strip_prefix(b"#!") else {
        return Ok(None);
    };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let word = line
        .trim_ascii()
        .split(u8::is_ascii_whitespace)
        .next()
        .unwrap_or_default();
    Ok(Some(OsStr::from_bytes(word).into()))
}

/// Says which programs' calls were left out.
pub fn tell_left_out(focus: &Focus) {
    let left = focus.left_out();
    for program in left.iter().take(NAMED) {
        let path = match &program.path {
            Some(path) => printable(path.as_os_str()),
            None => "what was running before".to_owned(),
        };
        note(&format_args!(
            "left out: {} of {path}",
            count(program.calls, "call")
        ));
    }
    let rest = &left[left.len().min(NAMED)..];
    if !rest.is_empty() {
        let calls = rest.iter().map(|program| program.calls).sum();
        note(&format_args!(
            "left out: {} of {}",
            count(calls, "call"),
            count(rest.len() as u64, "other program")
        ));
    }
}
