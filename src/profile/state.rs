//! What a profile is being used for, and the word in which the kernel keeps it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::skel::types::ebph_state as wire;

// Bits of the kernel's state word; what is above them counts sequences.
pub(crate) const STATE_LIVE: u64 = wire::EBPH_LIVE.0 as u64;
pub(crate) const STATE_NORMAL: u64 = wire::EBPH_NORMAL.0 as u64;
pub(crate) const STATE_FROZEN: u64 = wire::EBPH_FROZEN.0 as u64;
pub(crate) const STATE_INCOMPLETE: u64 = wire::EBPH_INCOMPLETE.0 as u64;
pub(crate) const STATE_BITS: u64 = wire::EBPH_STATE_MASK.0 as u64;
pub(crate) const SEQUENCES_SHIFT: u32 = wire::EBPH_SEQUENCE.0.trailing_zeros();

/// What a profile is being used for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It learns; nothing is judged.
    Training,
    /// Nothing was new for long enough; it becomes normal after the wait, unless something new
    /// turns up.
    Frozen,
    /// Calls are judged by it. It goes on learning beside that, and may freeze again meanwhile.
    Normal,
}

impl State {
    /// Returns the name that Display and JSON use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Frozen => "frozen",
            Self::Normal => "normal",
        }
    }

    /// Reads the low byte of the kernel's state word.
    pub(crate) const fn from_word(word: u64) -> Self {
        if word & STATE_NORMAL != 0 {
            Self::Normal
        } else if word & STATE_FROZEN != 0 {
            Self::Frozen
        } else {
            Self::Training
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Tells whether the frozen bit of a state word is set; [`State`] hides it in a normal profile.
pub(crate) const fn word_is_frozen(word: u64) -> bool {
    word & STATE_FROZEN != 0
}

/// Tells whether a call could not be learnt for want of room.
pub(crate) const fn word_is_incomplete(word: u64) -> bool {
    word & STATE_INCOMPLETE != 0
}
