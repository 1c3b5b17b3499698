//! The text form of a profile. `docs/profile-files.md` describes it field by field.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::State;
use crate::clock;
use crate::syscall::Abi;

mod calls;
mod digits;
mod layout;
mod read;
mod table;
mod times;
mod write;

#[cfg(test)]
mod tests;

use digits::Digits;
use table::Table;

/// What every profile file says that it is.
const SCHEMA: &str = "ebph-profile";
/// The newest version that is understood, and the one that is written.
const VERSION: u64 = 1;
/// The largest file that is read, in bytes. One with 255 calls that all follow each other, at all
/// distances in both planes, has 4.5 million.
pub(crate) const MAX_BYTES: u64 = 8 << 20;
/// The name, among calls, of all those that share the last id.
const OTHER: &str = "other";

/// Why a text is no profile that can be used.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It is not JSON.
    #[error("not JSON: {problem}")]
    Syntax {
        /// What is wrong, and where.
        problem: String,
    },
    /// It ends in the middle.
    #[error("incomplete: it ends in line {line}, in the middle of a profile")]
    Truncated {
        /// The last line, from 1.
        line: usize,
    },
    /// It is JSON, but no profile.
    #[error("not a profile: expected \"schema\": \"ebph-profile\", found {found}")]
    Schema {
        /// What it says that it is.
        found: String,
    },
    /// It is a profile of a later version of this crate.
    #[error("version {found} of the format is not known here, only up to {newest}: update ebph")]
    Version {
        /// The version that it has.
        found: u64,
        /// The newest version that is understood.
        newest: u64,
    },
    /// It is larger than any profile.
    #[error("too large to be a profile: {bytes} bytes, at most {limit} are read")]
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// A field is missing, or has a value that it cannot have.
    #[error("field {field}{}: {problem}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Value {
        /// The field, from the outermost one in: `counts.train`.
        field: String,
        /// Its line, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// It is not a regular file, and was not opened.
    #[error("not a regular file but a {kind}")]
    NotAFile {
        /// What it is.
        kind: &'static str,
    },
    /// It could not be read.
    #[error("cannot be read: {cause}")]
    Unreadable {
        /// What the system answered.
        cause: io::Error,
    },
}

impl FormatError {
    /// Something wrong with a field whose line is not known.
    fn value(field: impl AsRef<str>, problem: impl AsRef<str>) -> Self {
        Self::Value {
            field: presentable(field.as_ref()),
            line: None,
            problem: presentable(problem.as_ref()),
        }
    }
}

/// What a damaged file says, as it can be shown on a terminal: without control characters, and of
/// long texts the beginning and the end.
fn presentable(text: &str) -> String {
    const PART: usize = 150;

    let mut shown = String::with_capacity(text.len().min(2 * PART));
    let count = text.chars().count();
    for (index, c) in text.chars().enumerate() {
        if count > 2 * PART && (PART..count - PART).contains(&index) {
            if index == PART {
                shown.push('\u{2026}');
            }
        } else if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The fields of a file, in their order.
#[derive(Serialize, Deserialize)]
struct Form<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    version: u64,
    saved: Time,
    #[serde(borrow)]
    made: MadeForm<'a>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exe: Option<PathForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    script: Option<PathForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<IdentityForm>,
    abi: Abi,
    window: u8,
    state: State,
    frozen: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    normal_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    normal_ns: Option<u64>,
    incomplete: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_exec: Option<Time>,
    counts: Counts,
    #[serde(borrow)]
    calls: Table<'a, u32>,
    #[serde(borrow)]
    others: Table<'a, u32>,
    #[serde(borrow)]
    train: Table<'a, Table<'a, Digits>>,
    #[serde(borrow)]
    test: Table<'a, Table<'a, Digits>>,
}

#[derive(Serialize, Deserialize)]
struct MadeForm<'a> {
    #[serde(borrow)]
    how: Cow<'a, str>,
    #[serde(rename = "crate", borrow)]
    crate_version: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kernel: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traces: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profiles: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Counts {
    train: u64,
    since_novelty: u64,
    sequences: u64,
    anomalies: u64,
    unlearnt: u64,
    execs: u64,
    processes_ended: u64,
    #[serde(default)]
    basis: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    basis_over: bool,
}

#[derive(Serialize, Deserialize)]
struct IdentityForm {
    exe: FileForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    script: Option<FileForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cgroup: Option<PathForm>,
}

#[derive(Serialize, Deserialize)]
struct FileForm {
    path: PathForm,
    inode: u64,
    size: u64,
    modified: Time,
    changed: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Hash>,
}

/// A time of day, as RFC 3339 has it, to the nanosecond.
#[derive(Clone, Copy)]
struct Time(SystemTime);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = clock::printable(self.0);
        serializer.collect_str(&humantime::format_rfc3339_nanos(time))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let time = humantime::parse_rfc3339(&text);
        time.map(Self).map_err(|_| {
            de::Error::invalid_value(
                de::Unexpected::Str(&text),
                &"a time as in 2026-01-31T12:00:00.000000000Z",
            )
        })
    }
}

/// A SHA-256 in hexadecimal digits.
#[derive(Clone, Copy)]
struct Hash([u8; 32]);

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let mut hash = [0; 32];
        hex::decode_to_slice(&*text, &mut hash).map_err(|_| {
            de::Error::invalid_value(de::Unexpected::Str(&text), &"64 hexadecimal digits")
        })?;
        Ok(Self(hash))
    }
}

/// A path: a string if it is one, otherwise its bytes in hexadecimal digits, with as much of it as
/// can be read for people.
#[derive(Clone)]
struct PathForm(PathBuf);

impl PathForm {
    fn of(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a path, as a string or as {\"hex\": its bytes}")]
enum PathText<'a> {
    Text(Cow<'a, str>),
    Bytes {
        hex: Cow<'a, str>,
        #[serde(default)]
        text: Cow<'a, str>,
    },
}

impl Serialize for PathForm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => PathText::Text(text.into()),
            None => PathText::Bytes {
                hex: hex::encode(self.0.as_os_str().as_bytes()).into(),
                text: self.0.to_string_lossy(),
            },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PathForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = match PathText::deserialize(deserializer)? {
            PathText::Text(text) => text.into_owned().into_bytes(),
            PathText::Bytes { hex, .. } => hex::decode(&*hex).map_err(|_| {
                de::Error::invalid_value(de::Unexpected::Str(&hex), &"hexadecimal digits")
            })?,
        };
        if bytes.contains(&0) {
            return Err(de::Error::custom("a path cannot have a zero byte"));
        }
        Ok(Self(OsString::from_vec(bytes).into()))
    }
}
