//! Where a profile comes from.

use std::fmt;

/// How a profile was made, and by which version of this crate.
///
/// # Examples
///
/// ```
/// use ebph::Origin;
///
/// let origin = Origin::traces("strace", 12);
/// assert!(origin.to_string().starts_with("learnt from 12 traces (strace)"));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// How it was made.
    pub how: How,
    /// The version of this crate that made it.
    pub crate_version: String,
}

/// The ways in which a profile is made.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// In a running kernel.
    Live {
        /// The kernel's release, as `uname -r` has it.
        kernel: String,
    },
    /// By a [`Detector`](crate::Detector) that was told each call.
    Detector,
    /// From recorded traces.
    Traces {
        /// The format of the traces: `numbers`, `traces` or `strace`.
        format: String,
        /// How many there were.
        traces: u64,
    },
    /// From other profiles.
    Merged {
        /// How many there were, not counting what was merged on the way.
        profiles: u64,
    },
    /// In a way that this version does not know, by its name.
    Other(String),
}

impl Origin {
    /// Returns the origin of a profile that this version makes now.
    pub fn new(how: How) -> Self {
        Self {
            how,
            crate_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Returns the origin of a profile learnt from recorded traces.
    pub fn traces(format: impl Into<String>, traces: u64) -> Self {
        Self::new(How::Traces {
            format: format.into(),
            traces,
        })
    }

    /// The origin of a profile in the kernel that runs now.
    pub(crate) fn live() -> Self {
        let uname = rustix::system::uname();
        Self::new(How::Live {
            kernel: uname.release().to_string_lossy().into_owned(),
        })
    }

    pub(crate) fn detector() -> Self {
        Self::new(How::Detector)
    }

    /// The origin of a profile made from two.
    pub(crate) fn merged(&self, other: &Self) -> Self {
        let count = |origin: &Self| match origin.how {
            How::Merged { profiles } => profiles,
            _ => 1,
        };
        Self::new(How::Merged {
            profiles: count(self).saturating_add(count(other)),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.how {
            How::Live { kernel } => write!(f, "learnt on Linux {kernel}")?,
            How::Detector => f.write_str("learnt by the detector")?,
            How::Traces { format, traces } => {
                let noun = if *traces == 1 { "trace" } else { "traces" };
                write!(f, "learnt from {traces} {noun} ({format})")?;
            }
            How::Merged { profiles } => write!(f, "merged from {profiles} profiles")?,
            How::Other(name) => write!(f, "made by {name}")?,
        }
        write!(f, ", ebph {}", self.crate_version)
    }
}
