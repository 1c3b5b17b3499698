//! Having the kernel measure the programs.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};
use crate::sys;

/// Measurements of this process under way: the kernel has one such setting for all programs.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// While it lives the kernel counts how often BPF programs run, and how long; made by
/// [`Monitor::measure`](crate::Monitor::measure).
#[derive(Debug)]
#[must_use = "the measurement ends when this is dropped"]
pub struct Measurement {
    _statistics: OwnedFd,
}

impl Measurement {
    pub(crate) fn start() -> Result<Self> {
        let statistics = sys::enable_stats().map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => Error::NotPrivileged {
                missing: vec!["CAP_SYS_ADMIN"],
            },
            _ => Error::io("asking the kernel for statistics of BPF programs")(error),
        })?;
        UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            _statistics: statistics,
        })
    }

    /// Tells whether the kernel is known to count. That another process has it do so is not
    /// visible.
    pub(crate) fn is_known() -> bool {
        const SETTING: &str = "/proc/sys/kernel/bpf_stats_enabled";

        UNDER_WAY.load(Ordering::Relaxed) > 0
            || std::fs::read_to_string(SETTING).is_ok_and(|text| text.trim() == "1")
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}
