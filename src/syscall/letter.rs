//! What stands in windows and pairs: mostly system calls.

use std::borrow::Cow;
use std::fmt;

use super::{Abi, ParseSymbolError, Symbol};

/// What a place in a window, or one side of a lookahead pair, holds.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Letter {
    /// This system call.
    Symbol(Symbol),
    /// One of the calls that a profile no longer tells apart: it gives numbers of their own to
    /// 254 different ones, and one number to all that come after.
    Other,
    /// A call that could not be told when it was reported.
    Unknown,
}

impl Letter {
    /// Returns the system call, when it is known which one.
    pub const fn symbol(self) -> Option<Symbol> {
        match self {
            Self::Symbol(symbol) => Some(symbol),
            Self::Other | Self::Unknown => None,
        }
    }

    /// The name in a report about a symbol of interface `beside`.
    ///
    /// Bare for the 64-bit interface of the same machine, with the interface in front otherwise,
    /// so that a report can be read on any machine.
    pub(crate) fn name_beside(self, beside: Abi) -> Cow<'static, str> {
        match self {
            Self::Symbol(symbol) if beside.unprefixed() == Some(symbol.abi) => symbol.name(),
            Self::Symbol(symbol) => Cow::Owned(format!("{symbol:?}")),
            Self::Other => Cow::Borrowed("other"),
            Self::Unknown => Cow::Borrowed("?"),
        }
    }

    /// Reads what [`Letter::name_beside`] wrote.
    pub(crate) fn from_name_beside(beside: Abi, name: &str) -> Result<Self, ParseSymbolError> {
        let (abi, bare) = match (name, name.split_once(':')) {
            ("other", _) => return Ok(Self::Other),
            ("?", _) => return Ok(Self::Unknown),
            (_, Some((abi, bare))) => (Some(abi.parse()?), bare),
            (_, None) => (beside.unprefixed(), name),
        };
        abi.and_then(|abi| Symbol::from_name(abi, bare))
            .map(Self::Symbol)
            .ok_or_else(|| ParseSymbolError(name.to_owned()))
    }
}

impl From<Symbol> for Letter {
    fn from(symbol: Symbol) -> Self {
        Self::Symbol(symbol)
    }
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol(symbol) => symbol.fmt(f),
            Self::Other => f.pad("other"),
            Self::Unknown => f.pad("?"),
        }
    }
}
