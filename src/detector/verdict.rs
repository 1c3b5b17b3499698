//! What one step did.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of things that one step did.
///
/// The bits are those of the kernel side, so that a verdict of either can be
/// compared with one of the other.
#[derive(Copy, Clone, Default, Eq, PartialEq, Hash)]
pub struct Did(u32);

macro_rules! did {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        impl Did {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Each bit with its name, lowest first.
            pub const NAMES: &'static [(&'static str, Self)] =
                &[$((stringify!($name), Self::$name),)*];
        }
    };
}

did! {
    /// The call was recorded: it moved the window on.
    RECORD = 0;
    /// The call was skipped: the kernel issued a recorded call again.
    RESTART = 1;
    /// The call was skipped: `restart_syscall` is never recorded.
    IGNORE = 2;
    /// The profile froze.
    FREEZE = 3;
    /// The profile thawed.
    THAW = 4;
    /// What was learnt is held as normal from now on.
    START = 5;
    /// With [`START`](Self::START): the profile was normal already.
    REFRESH = 6;
    /// The call did not fit what is held as normal.
    ANOMALY = 7;
    /// The profile is no longer normal.
    STOP = 8;
    /// What was learnt was wiped.
    RESET_TRAIN = 9;
    /// The call was new to what is being learnt.
    NOVEL = 10;
    /// The call found no row and was not learnt.
    NO_ROW = 11;
    /// The symbol was given an id of its own.
    NEW_ID = 12;
    /// The symbol was given the id that stands for all after the 254th.
    OTHER_ID = 13;
    /// A signal handler had been left by `siglongjmp`.
    DROP_FRAME = 14;
    /// A signal handler returned.
    POP = 15;
    /// With [`POP`](Self::POP): its frame had never been kept.
    POP_DEEP = 16;
    /// A `sigreturn` without a handler.
    UNBALANCED = 17;
    /// The call was compared with what is held as normal.
    TEST = 18;
    /// A signal handler was entered.
    PUSH = 19;
    /// A signal handler was entered, nested too deeply to keep its frame.
    PUSH_DEEP = 20;
}

impl Did {
    /// The set with exactly these bits.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits of the set.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` is in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Did {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Did {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut separator = "";
        for (name, bit) in Self::NAMES {
            if self.contains(*bit) {
                write!(f, "{separator}{name}")?;
                separator = "|";
                rest &= !bit.0;
            }
        }
        if rest != 0 {
            write!(f, "{separator}{rest:#x}")
        } else if separator.is_empty() {
            f.write_str("nothing")
        } else {
            Ok(())
        }
    }
}

/// What the detector has to say about one step.
///
/// Fields that a step has no use for are zero.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// What happened.
    pub did: Did,
    /// The distances at which the call was new to what is being learnt:
    /// bit `d - 1` stands for distance `d`.
    pub novel: u8,
    /// The distances at which the call did not fit what is held as normal:
    /// bit `d - 1` stands for distance `d`. Zero unless the call was tested.
    pub missed: u8,
    /// The id that the profile has for the call's symbol.
    pub id: u8,
    /// How many of the thread's last 128 tested calls were anomalous, this one
    /// included.
    pub lfc: u32,
    /// Of a command: 0, or `-EINVAL` (-22) when its need is not met.
    pub result: i32,
    /// The number of this anomaly among those of its profile.
    pub anomalies: u64,
}

impl Verdict {
    /// Whether the call did not fit what is held as normal.
    pub fn is_anomaly(&self) -> bool {
        self.did.contains(Did::ANOMALY)
    }

    /// Whether the call was new to what is being learnt.
    pub fn is_novel(&self) -> bool {
        self.did.contains(Did::NOVEL)
    }

    /// The distances (1 to 8) at which the call did not fit, nearest first.
    pub fn missed_distances(&self) -> impl Iterator<Item = u8> + use<> {
        let missed = self.missed;
        (1..=8).filter(move |distance| missed & (1 << (distance - 1)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a set is printed by the names of its members.
    #[test]
    fn did_is_printed_by_name() {
        assert_eq!(format!("{:?}", Did::default()), "nothing");
        assert_eq!(format!("{:?}", Did::TEST | Did::RECORD), "RECORD|TEST");
        assert_eq!(
            format!("{:?}", Did::from_bits(1 << 31) | Did::POP),
            "POP|0x80000000"
        );
    }

    /// Check that the bits are those that the C header gives them.
    #[test]
    fn did_agrees_with_the_wire() {
        let header = include_str!("../../include/ebph/wire.h");
        for (name, bit) in Did::NAMES {
            let line = format!("EBPH_DID_{name} = {},", bit.bits());
            assert!(header.contains(&line), "the header does not say {line}");
        }
        assert_eq!(header.matches("EBPH_DID_").count(), Did::NAMES.len());
    }

    /// Check that missed distances are listed nearest first.
    #[test]
    fn missed_distances_are_listed() {
        let verdict = Verdict {
            missed: 0b1000_0101,
            ..Verdict::default()
        };
        assert_eq!(verdict.missed_distances().collect::<Vec<_>>(), [1, 3, 8]);
    }
}
