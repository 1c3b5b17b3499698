//! The alphabet: which system call, of which binary interface, one letter is.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod letter;
mod uring;

pub use letter::Letter;

/// The number that stands for every call above the largest one told apart.
const UNKNOWN: u16 = 511;
/// The opcode that stands for every io_uring operation above the largest one told apart.
const URING_UNKNOWN: u16 = 126;

// Where each interface begins among the kernel's letters (`enum ebph_symbol`).
const WIRE_COMPAT: u16 = 512;
const WIRE_X32: u16 = 1024;
const WIRE_URING: u16 = 1025;
const WIRE_URING_LAST: u16 = WIRE_URING + URING_UNKNOWN;
const WIRE_SYMBOLS: u16 = 1152;

/// Calls that two machines have under different names: the interface, the name that the other
/// machine has for the call, and its own.
const ALIASES: [(Abi, &str, &str); 7] = [
    // A word that Rust keeps for itself.
    (Abi::I386, "break", "r#break"),
    (Abi::Aarch64, "newfstatat", "fstatat"),
    (Abi::X86_64, "fstatat", "newfstatat"),
    (Abi::Arm, "fadvise64_64", "arm_fadvise64_64"),
    (Abi::I386, "arm_fadvise64_64", "fadvise64_64"),
    (Abi::Arm, "sync_file_range", "arm_sync_file_range"),
    (Abi::I386, "arm_sync_file_range", "sync_file_range"),
];

/// A binary interface that system calls are made through.
///
/// The same number means different calls in different interfaces, so each has its own letters.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Abi {
    /// 64-bit calls on x86-64.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 32-bit calls on x86-64 (`int 0x80`, or a 32-bit program).
    I386,
    /// Calls with the x32 bit set; all of them are one letter.
    X32,
    /// 64-bit calls on arm64.
    Aarch64,
    /// 32-bit calls on arm64.
    Arm,
    /// Operations submitted through an io_uring.
    IoUring,
    /// Bare numbers of unknown origin, for traces from elsewhere.
    Raw,
}

impl Abi {
    /// The 64-bit interface of the machine this crate was compiled for.
    pub const NATIVE: Self = if cfg!(target_arch = "aarch64") {
        Self::Aarch64
    } else {
        Self::X86_64
    };

    /// The 32-bit interface that lives beside [`Abi::NATIVE`].
    pub const COMPAT: Self = if cfg!(target_arch = "aarch64") {
        Self::Arm
    } else {
        Self::I386
    };

    const ALL: [Self; 7] = [
        Self::X86_64,
        Self::I386,
        Self::X32,
        Self::Aarch64,
        Self::Arm,
        Self::IoUring,
        Self::Raw,
    ];

    /// Returns the name that Display, JSON and [`FromStr`] use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::I386 => "i386",
            Self::X32 => "x32",
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
            Self::IoUring => "io_uring",
            Self::Raw => "raw",
        }
    }

    /// The interface whose names need no prefix in a report about a symbol of this one.
    ///
    /// io_uring exists on every machine and so does not tell which one it was.
    pub(crate) const fn unprefixed(self) -> Option<Self> {
        match self {
            Self::X86_64 | Self::I386 | Self::X32 => Some(Self::X86_64),
            Self::Aarch64 | Self::Arm => Some(Self::Aarch64),
            Self::Raw => Some(Self::Raw),
            Self::IoUring => None,
        }
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Abi {
    type Err = ParseSymbolError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|abi| abi.as_str() == text)
            .ok_or_else(|| ParseSymbolError(text.to_owned()))
    }
}

/// A name that is no system call, or no binary interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no known system call or binary interface")]
pub struct ParseSymbolError(pub(crate) String);

/// One letter of the alphabet: a system call of one binary interface.
///
/// Numbers from 0 to 510 are told apart; whatever is above becomes one letter, 511, named
/// `unknown`, so that the calls of a kernel newer than this crate are learnt like any other. All
/// x32 calls are one letter, and io_uring operations from 126 on are one.
///
/// # Examples
///
/// ```
/// use ebph::{Abi, Symbol};
///
/// assert_eq!(Symbol::new(Abi::X86_64, 1).name(), "write");
/// assert_eq!(Symbol::new(Abi::X86_64, 5000), Symbol::new(Abi::X86_64, 600));
/// assert_eq!(Symbol::from_name(Abi::I386, "write"), Some(Symbol::new(Abi::I386, 4)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol {
    abi: Abi,
    number: u16,
}

impl Symbol {
    /// How many values [`Symbol::index`] can take.
    pub const COUNT: usize = WIRE_SYMBOLS as usize + WIRE_COMPAT as usize;

    /// Returns the letter of a call, folding numbers that are not told apart.
    pub fn new(abi: Abi, number: u32) -> Self {
        let last = match abi {
            Abi::X32 => {
                return Self {
                    abi,
                    number: UNKNOWN,
                };
            }
            Abi::IoUring => URING_UNKNOWN,
            _ => UNKNOWN,
        };
        let number = u16::try_from(number).unwrap_or(last).min(last);
        Self { abi, number }
    }

    /// Returns the letter of a 64-bit call of this machine.
    pub fn native(number: u32) -> Self {
        Self::new(Abi::NATIVE, number)
    }

    /// Returns the letter of a 32-bit call of this machine.
    pub fn compat(number: u32) -> Self {
        Self::new(Abi::COMPAT, number)
    }

    /// Returns the letter of a bare number of unknown origin.
    pub fn raw(number: u32) -> Self {
        Self::new(Abi::Raw, number)
    }

    /// Returns the letter with a name that [`Symbol::name`] gave.
    ///
    /// Where machines have different names for the same call, each is known on the other too:
    /// `newfstatat` is `fstatat` on arm64.
    pub fn from_name(abi: Abi, name: &str) -> Option<Self> {
        let known = match abi {
            Abi::X86_64 => name
                .parse()
                .ok()
                .map(|call: syscalls::x86_64::Sysno| call.id()),
            Abi::I386 => name
                .parse()
                .ok()
                .map(|call: syscalls::x86::Sysno| call.id()),
            Abi::Aarch64 => name
                .parse()
                .ok()
                .map(|call: syscalls::aarch64::Sysno| call.id()),
            Abi::Arm => name
                .parse()
                .ok()
                .map(|call: syscalls::arm::Sysno| call.id()),
            Abi::IoUring => uring::NAMES
                .iter()
                .position(|known| *known == name)
                .and_then(|opcode| i32::try_from(opcode).ok()),
            Abi::X32 => return (name == "any").then(|| Self::new(abi, 0)),
            Abi::Raw => decimal(name),
        };
        let number = match known {
            // Private calls of arm lie far above and are not told apart.
            Some(number) => u32::try_from(number)
                .ok()
                .filter(|n| *n < u32::from(UNKNOWN))?,
            None if name == "unknown" => u32::from(UNKNOWN),
            None => match name.strip_prefix("call_") {
                Some(number) => u32::try_from(decimal(number)?).ok()?,
                None => {
                    let mut aliases = ALIASES.iter();
                    let (.., own) = aliases.find(|alias| (alias.0, alias.1) == (abi, name))?;
                    return Self::from_name(abi, own);
                }
            },
        };
        Some(Self::new(abi, number))
    }

    /// Returns the binary interface the call was made through.
    pub const fn abi(self) -> Abi {
        self.abi
    }

    /// Returns the number within its interface, or 511 (io_uring: 126) for all that are not told
    /// apart.
    pub fn number(self) -> u32 {
        u32::from(self.number)
    }

    /// Returns the name within its interface.
    ///
    /// `unknown` stands for all numbers that are not told apart, `call_467` for one that has no
    /// name here, `any` for every x32 call. A bare number is its own name.
    pub fn name(self) -> Cow<'static, str> {
        let number = usize::from(self.number);
        let known = match self.abi {
            Abi::X32 => Some("any"),
            Abi::IoUring => uring::NAMES.get(number).copied(),
            Abi::X86_64 => syscalls::x86_64::Sysno::new(number).map(|call| call.name()),
            Abi::I386 => syscalls::x86::Sysno::new(number).map(|call| call.name()),
            Abi::Aarch64 => syscalls::aarch64::Sysno::new(number).map(|call| call.name()),
            Abi::Arm => syscalls::arm::Sysno::new(number).map(|call| call.name()),
            Abi::Raw => None,
        };
        match known {
            Some(name) => Cow::Borrowed(name.strip_prefix("r#").unwrap_or(name)),
            None if self.is_unknown() => Cow::Borrowed("unknown"),
            None if self.abi == Abi::Raw => Cow::Owned(number.to_string()),
            None => Cow::Owned(format!("call_{number}")),
        }
    }

    /// Tells whether this letter stands for every call of its interface that is not told apart.
    pub fn is_unknown(self) -> bool {
        self.number
            == if self.abi == Abi::IoUring {
                URING_UNKNOWN
            } else {
                UNKNOWN
            }
    }

    /// Tells whether the call leaves a signal handler.
    pub const fn is_sigreturn(self) -> bool {
        match self.abi {
            Abi::X86_64 => self.number == 15,
            Abi::I386 | Abi::Arm => self.number == 119 || self.number == 173,
            Abi::Aarch64 => self.number == 139,
            Abi::X32 | Abi::IoUring | Abi::Raw => false,
        }
    }

    /// Tells whether the call is `restart_syscall`, which only the kernel issues and which is
    /// never recorded.
    pub const fn is_restart_syscall(self) -> bool {
        match self.abi {
            Abi::X86_64 => self.number == 219,
            Abi::I386 | Abi::Arm => self.number == 0,
            Abi::Aarch64 => self.number == 128,
            Abi::X32 | Abi::IoUring | Abi::Raw => false,
        }
    }

    /// Returns a dense number below [`Symbol::COUNT`], to index tables with.
    ///
    /// Symbols of different machines share numbers, so one table holds one machine's calls.
    pub fn index(self) -> usize {
        usize::from(match self.abi {
            Abi::X86_64 | Abi::Aarch64 => self.number,
            Abi::I386 | Abi::Arm => WIRE_COMPAT + self.number,
            Abi::X32 => WIRE_X32,
            Abi::IoUring => WIRE_URING + self.number,
            Abi::Raw => WIRE_SYMBOLS + self.number,
        })
    }

    /// Returns the kernel's letter, if this machine's kernel has one.
    pub(crate) fn to_wire(self) -> Option<u16> {
        let here = match self.abi {
            Abi::Raw => false,
            Abi::X32 => Abi::NATIVE == Abi::X86_64,
            Abi::IoUring => true,
            abi => abi == Abi::NATIVE || abi == Abi::COMPAT,
        };
        if here {
            u16::try_from(self.index()).ok()
        } else {
            None
        }
    }

    /// Returns the symbol of one of the kernel's letters.
    pub(crate) fn from_wire(letter: u16) -> Option<Self> {
        match letter {
            0..WIRE_COMPAT => Some(Self::native(u32::from(letter))),
            WIRE_COMPAT..WIRE_X32 => Some(Self::compat(u32::from(letter - WIRE_COMPAT))),
            WIRE_X32 => Some(Self::new(Abi::X32, 0)),
            WIRE_URING..=WIRE_URING_LAST => {
                Some(Self::new(Abi::IoUring, u32::from(letter - WIRE_URING)))
            }
            _ => None,
        }
    }
}

/// The standard parsers also take a plus sign.
fn decimal(digits: &str) -> Option<i32> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// The bare name for a call of this machine's 64-bit interface, otherwise `i386:write`.
impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.abi == Abi::NATIVE {
            f.pad(&self.name())
        } else {
            f.pad(&format!("{}:{}", self.abi, self.name()))
        }
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.abi, self.name())
    }
}

/// The form in JSON: the name is for readers, interface and number decide.
#[derive(Serialize, Deserialize)]
struct SymbolForm<'a> {
    abi: Abi,
    number: u32,
    #[serde(default, borrow)]
    name: Cow<'a, str>,
}

impl Serialize for Symbol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SymbolForm {
            abi: self.abi,
            number: self.number(),
            name: self.name(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = SymbolForm::deserialize(deserializer)?;
        Ok(Self::new(form.abi, form.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_wire() -> impl Iterator<Item = Symbol> {
        (0..=u16::MAX).filter_map(Symbol::from_wire)
    }

    /// Check that every letter of the kernel survives the way there and back.
    #[test]
    fn wire_round_trip() {
        for letter in 0..=u16::MAX {
            let symbol = Symbol::from_wire(letter);
            assert_eq!(symbol.is_some(), letter <= WIRE_URING_LAST, "{letter}");
            if let Some(symbol) = symbol {
                assert_eq!(symbol.to_wire(), Some(letter));
                assert_eq!(symbol.index(), usize::from(letter));
            }
        }
    }

    /// Check that names lead back to the symbol they were made from.
    #[test]
    fn names_round_trip() {
        let raw = (0..600).map(Symbol::raw);
        let elsewhere = (0..600).map(|n| Symbol::new(Abi::Aarch64, n));
        for symbol in all_wire().chain(raw).chain(elsewhere) {
            assert_eq!(
                Symbol::from_name(symbol.abi(), &symbol.name()),
                Some(symbol)
            );
            for beside in Abi::ALL {
                let letter = Letter::Symbol(symbol);
                let name = letter.name_beside(beside);
                assert_eq!(
                    Letter::from_name_beside(beside, &name),
                    Ok(letter),
                    "{name}"
                );
            }
        }
    }

    /// Check that numbers which are not told apart share one letter.
    #[test]
    fn folding() {
        assert_eq!(Symbol::raw(510).number(), 510);
        assert_eq!(Symbol::raw(511), Symbol::raw(u32::MAX));
        assert_eq!(Symbol::new(Abi::X32, 1), Symbol::new(Abi::X32, 2));
        assert_eq!(
            Symbol::new(Abi::IoUring, 126),
            Symbol::new(Abi::IoUring, 70_000)
        );
        assert_eq!(Symbol::native(65_536 + 1), Symbol::native(511));
        assert!(Symbol::native(511).is_unknown());
        assert!(Symbol::raw(u32::MAX).index() < Symbol::COUNT);
    }

    /// Check the names and roles that the detector depends on.
    #[test]
    fn known_calls() {
        let name = |abi, number| Symbol::new(abi, number).name().into_owned();
        assert_eq!(name(Abi::X86_64, 1), "write");
        assert_eq!(name(Abi::X86_64, 511), "unknown");
        assert_eq!(name(Abi::X86_64, 505), "call_505");
        assert_eq!(name(Abi::Aarch64, 64), "write");
        assert_eq!(name(Abi::IoUring, 62), "pipe");
        assert_eq!(name(Abi::IoUring, 64), "uring_cmd128");
        assert_eq!(name(Abi::IoUring, 125), "call_125");
        assert_eq!(name(Abi::IoUring, 126), "unknown");
        for (abi, number) in [
            (Abi::X86_64, 15),
            (Abi::I386, 173),
            (Abi::Aarch64, 139),
            (Abi::Arm, 173),
        ] {
            assert_eq!(name(abi, number), "rt_sigreturn");
            assert!(Symbol::new(abi, number).is_sigreturn());
        }
        for (abi, number) in [
            (Abi::X86_64, 219),
            (Abi::I386, 0),
            (Abi::Aarch64, 128),
            (Abi::Arm, 0),
        ] {
            assert_eq!(name(abi, number), "restart_syscall");
            assert!(Symbol::new(abi, number).is_restart_syscall());
        }
        assert!(!Symbol::raw(15).is_sigreturn() && !Symbol::raw(219).is_restart_syscall());
    }

    /// Check that JSON names interface, number and name, and is read back by the first two.
    #[test]
    fn json() {
        let text = r#"{"abi":"x86_64","number":1,"name":"write"}"#;
        let symbol = Symbol::new(Abi::X86_64, 1);
        assert_eq!(serde_json::to_string(&symbol).unwrap(), text);
        assert_eq!(serde_json::from_str::<Symbol>(text).unwrap(), symbol);
        for abi in Abi::ALL {
            let text = serde_json::to_string(&abi).unwrap();
            assert_eq!(text, format!("\"{abi}\""));
            assert_eq!(abi.to_string().parse(), Ok(abi));
        }
    }
}
