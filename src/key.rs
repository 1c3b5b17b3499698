//! What names a profile: the executable, as the kernel knows it.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MINOR_BITS: u32 = 20;
const MINOR_MAX: u32 = (1 << MINOR_BITS) - 1;
const MAJOR_MAX: u32 = (1 << (32 - MINOR_BITS)) - 1;
/// Set in the wire's partition field when the rest of it is a user id.
const PARTITION_USER: u64 = 1 << 63;

/// The name of a profile: which file, which script, and for whom.
///
/// Device numbers are the kernel's own: on overlayfs they differ from what `stat(2)` says. As
/// text it is `major:minor:inode:generation`, followed by `:s` and 16 hexadecimal digits for a
/// script, and `:c` and a cgroup id or `:u` and a user id where profiles are partitioned.
///
/// # Examples
///
/// ```
/// let key: ebph::Key = "8:1:5259631:0:u1000".parse()?;
/// assert_eq!((key.dev_major, key.inode), (8, 5259631));
/// assert_eq!(key.to_string(), "8:1:5259631:0:u1000");
/// # Ok::<(), ebph::ParseKeyError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Major number of the file system's device, at most 4095.
    pub dev_major: u32,
    /// Minor number of the file system's device, at most 1,048,575.
    pub dev_minor: u32,
    /// Inode of the executable; of the interpreter for a script.
    pub inode: u64,
    /// Generation of that inode; 0 on file systems that have none.
    pub generation: u32,
    /// Hash of the script's path, when the profile belongs to a script; never `Some(0)`.
    pub script: Option<u64>,
    /// For whom the executable has a profile of its own, if profiles are partitioned.
    pub partition: Option<KeyPartition>,
}

/// The part of a [`Key`] that separates profiles of one executable.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPartition {
    /// Processes that were in the cgroup with this id, never 0, when they executed the file.
    Cgroup(u64),
    /// Processes whose real user id was this one.
    User(u32),
}

impl Key {
    /// Returns the key of an executable that is no script and not partitioned.
    pub const fn new(dev_major: u32, dev_minor: u32, inode: u64, generation: u32) -> Self {
        Self {
            dev_major,
            dev_minor,
            inode,
            generation,
            script: None,
            partition: None,
        }
    }

    /// Returns what stands for a script of this absolute path, as the kernel's side computes it.
    pub(crate) fn script_hash(path: &[u8]) -> u64 {
        let hash = path.chunks(8).fold(0, |hash: u64, bytes| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            let mixed = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^ mixed >> 32
        });
        // 0 stands for none.
        hash.max(1)
    }

    /// Reads the fields of `struct ebph_key`.
    pub(crate) fn from_wire(
        ino: u64,
        script: u64,
        partition: u64,
        dev: u32,
        generation: u32,
    ) -> Self {
        let partition = NonZeroU64::new(partition).map(NonZeroU64::get);
        Self {
            dev_major: dev >> MINOR_BITS,
            dev_minor: dev & MINOR_MAX,
            inode: ino,
            generation,
            script: NonZeroU64::new(script).map(NonZeroU64::get),
            partition: partition.map(|id| {
                if id & PARTITION_USER == 0 {
                    KeyPartition::Cgroup(id)
                } else {
                    // User ids have 32 bits; the kernel leaves those between clear.
                    KeyPartition::User(id as u32)
                }
            }),
        }
    }

    /// Returns the fields of `struct ebph_key`: inode, script, partition, device, generation.
    pub(crate) fn to_wire(self) -> (u64, u64, u64, u32, u32) {
        let partition = match self.partition {
            None => 0,
            Some(KeyPartition::Cgroup(id)) => id & !PARTITION_USER,
            Some(KeyPartition::User(uid)) => PARTITION_USER | u64::from(uid),
        };
        let dev = (self.dev_major << MINOR_BITS) | (self.dev_minor & MINOR_MAX);
        (
            self.inode,
            self.script.unwrap_or(0),
            partition,
            dev,
            self.generation,
        )
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::fmt::Write as _;

        let mut text = format!(
            "{}:{}:{}:{}",
            self.dev_major, self.dev_minor, self.inode, self.generation
        );
        if let Some(script) = self.script {
            write!(text, ":s{script:016x}")?;
        }
        match self.partition {
            Some(KeyPartition::Cgroup(id)) => write!(text, ":c{id}")?,
            Some(KeyPartition::User(uid)) => write!(text, ":u{uid}")?,
            None => (),
        }
        f.pad(&text)
    }
}

/// A text that is no [`Key`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a profile key: expected major:minor:inode:generation, \
     then optionally :s<16 hexadecimal digits>, then optionally :c<cgroup id> or :u<user id>"
)]
pub struct ParseKeyError(String);

impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseKeyError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Key> {
    let mut parts = text.split(':').peekable();
    let mut key = Key::new(
        decimal(parts.next()?).filter(|major| *major <= MAJOR_MAX)?,
        decimal(parts.next()?).filter(|minor| *minor <= MINOR_MAX)?,
        decimal(parts.next()?)?,
        decimal(parts.next()?)?,
    );
    if let Some(hash) = parts.peek().and_then(|part| part.strip_prefix('s')) {
        if hash.len() != 16 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        key.script = Some(
            u64::from_str_radix(hash, 16)
                .ok()
                .filter(|hash| *hash != 0)?,
        );
        parts.next();
    }
    if let Some(part) = parts.next() {
        key.partition = Some(if let Some(id) = part.strip_prefix('c') {
            let possible = 1..PARTITION_USER;
            KeyPartition::Cgroup(decimal(id).filter(|id| possible.contains(id))?)
        } else {
            KeyPartition::User(decimal(part.strip_prefix('u')?)?)
        });
    }
    parts.next().is_none().then_some(key)
}

/// The standard parsers also take a plus sign, which would give one key two names.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any key the kernel can send.
    pub(crate) fn any_key() -> impl Strategy<Value = Key> {
        let partition = prop_oneof![
            Just(0),
            1..PARTITION_USER,
            any::<u32>().prop_map(|uid| PARTITION_USER | u64::from(uid)),
        ];
        (
            any::<u64>(),
            prop_oneof![Just(0), any::<u64>()],
            partition,
            any::<u32>(),
            any::<u32>(),
        )
            .prop_map(|(ino, script, partition, dev, generation)| {
                Key::from_wire(ino, script, partition, dev, generation)
            })
    }

    proptest! {
        /// Check that text, JSON and wire each lead back to the key.
        #[test]
        fn round_trips(key in any_key()) {
            prop_assert_eq!(key.to_string().parse(), Ok(key));
            let json = serde_json::to_string(&key).unwrap();
            prop_assert_eq!(serde_json::from_str::<Key>(&json).unwrap(), key);
            let (ino, script, partition, dev, generation) = key.to_wire();
            prop_assert_eq!(Key::from_wire(ino, script, partition, dev, generation), key);
        }

        /// Check that no text makes the parser panic, and that a key has one spelling only.
        #[test]
        fn arbitrary_text(text in "[0-9+:scu a-f]{0,60}") {
            if let Ok(key) = text.parse::<Key>() {
                prop_assert_eq!(key.to_string().parse(), Ok(key));
            }
        }
    }

    /// Check what stands for a script: a change of it gives every script a new profile.
    #[test]
    fn scripts() {
        assert_eq!(Key::script_hash(b""), 1);
        let hash = |text: &str| Key::script_hash(text.as_bytes());
        assert_eq!(hash("/a"), 0x114e_a249_86fe_1e92);
        assert_eq!(hash("/usr/local/bin/report"), 0x6ad9_0d79_1e2e_6c57);
    }

    /// Check the spelling of every part.
    #[test]
    fn spelling() {
        let key = Key::from_wire(5_259_631, 0xbeef, PARTITION_USER | 1000, (8 << 20) | 1, 3);
        assert_eq!(key.to_string(), "8:1:5259631:3:s000000000000beef:u1000");
        let key = Key::from_wire(5_259_631, 0, 77, (8 << 20) | 1, 0);
        assert_eq!(key.to_string(), "8:1:5259631:0:c77");
    }

    /// Check that what is no key is refused.
    #[test]
    fn refused() {
        for text in [
            "",
            "8:1:5",
            "8:1:5:0:",
            "4096:1:5:0",
            "8:1048576:5:0",
            "+8:1:5:0",
            "8:1:5:0:sbeef",
            "8:1:5:0:s0000000000000000",
            "8:1:5:0:c0",
            "8:1:5:0:u1:u2",
            "8:1:5:0:x",
            "8:1::0",
            "8:1:5:0:u1:s000000000000beef",
        ] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
    }
}
