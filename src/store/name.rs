//! Which file a profile is in.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::key::KeyPartition;
use crate::profile::{FileIdentity, Profile};

/// How many characters of the program's name are kept.
const NAME_CHARS: usize = 48;

/// The name of a profile's file: the program's, for people, and a hash of what tells it from
/// others.
pub(super) fn of(profile: &Profile) -> String {
    let identity = profile.identity();
    let path = match identity {
        Some(identity) => Some(match (&identity.script, profile.script()) {
            (Some(script), _) => script.path.as_path(),
            (None, Some(script)) => script,
            (None, None) => identity.exe.path.as_path(),
        }),
        None => profile.script().or(profile.exe()),
    };
    let name = path.map(plain_name).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| "profile".to_owned());
    let digits = hex::encode(&digest(profile)[..8]);
    format!("{name}-{digits}.json")
}

/// The last part of a path in characters that need no quoting anywhere.
fn plain_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    let name = name.chars().map(|c| if plain(c) { c } else { '_' });
    let name: String = name.take(NAME_CHARS).collect();
    // Neither hidden nor an option.
    name.trim_start_matches(['.', '-']).to_owned()
}

fn digest(profile: &Profile) -> [u8; 32] {
    let mut hasher = Sha256::new();
    // The length in front keeps one part from passing for the end of another.
    let mut part = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    let key = profile.key();
    let Some(identity) = profile.identity() else {
        part(b"key");
        part(key.to_string().as_bytes());
        return hasher.finalize().into();
    };
    part(b"identity");
    // A script that could not be looked at is not its interpreter all the same.
    let unseen = profile.script().filter(|_| identity.script.is_none());
    if let Some(script) = unseen {
        part(b"script");
        part(script.as_os_str().as_bytes());
    }
    for file in [Some(&identity.exe), identity.script.as_ref()] {
        let Some(file) = file else {
            part(b"");
            continue;
        };
        part(file.path.as_os_str().as_bytes());
        part(&content(file));
    }
    match (&identity.cgroup, key.partition) {
        (Some(cgroup), _) => {
            part(b"cgroup");
            part(cgroup.as_os_str().as_bytes());
        }
        (None, Some(KeyPartition::User(uid))) => {
            part(b"user");
            part(&uid.to_le_bytes());
        }
        (None, Some(KeyPartition::Cgroup(id))) => {
            part(b"cgroup id");
            part(&id.to_le_bytes());
        }
        (None, None) => part(b""),
    }
    hasher.finalize().into()
}

/// What tells one content of a file from another.
fn content(file: &FileIdentity) -> Vec<u8> {
    match file.sha256 {
        Some(hash) => hash.to_vec(),
        None => {
            let modified = humantime::format_rfc3339_nanos(file.modified);
            format!("{} {} {modified}", file.inode, file.size).into_bytes()
        }
    }
}
