//! How something that was tried went.

use std::io;

/// The outcome of an attempt, so plain that it can be made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It can be done.
    Worked,
    /// It cannot, for this `errno`.
    Failed(i32),
    /// It was not tried, since something that it needs is not there.
    Untried,
}

impl Attempt {
    pub(crate) fn of<T>(result: io::Result<T>) -> Self {
        match result {
            Ok(_) => Self::Worked,
            Err(error) => Self::Failed(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    /// Whether it was forbidden, rather than impossible.
    pub(crate) fn forbidden(self) -> bool {
        matches!(self, Self::Failed(libc::EPERM | libc::EACCES))
    }

    /// What the system said, in its own words.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Worked => "it works".to_owned(),
            Self::Failed(number) => io::Error::from_raw_os_error(number).to_string(),
            Self::Untried => "not tried".to_owned(),
        }
    }
}
