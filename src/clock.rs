//! The two clocks of an event: since boot, and of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The first second that has no four-digit year, which RFC 3339 needs.
const YEAR_10000: u64 = 253_402_300_800;

/// Translates the boot-time clock, which the kernel's events carry, into the time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// The time of day when the machine booted, as far as both clocks now tell.
    pub(crate) boot: SystemTime,
}

impl Clock {
    /// Compares the two clocks as they are now.
    pub(crate) fn now() -> Self {
        let since_boot = duration(clock_gettime(ClockId::Boottime));
        Self {
            boot: SystemTime::now()
                .checked_sub(since_boot)
                .unwrap_or(UNIX_EPOCH),
        }
    }

    /// Returns the time of day and the time since boot.
    pub(crate) fn both() -> (SystemTime, Duration) {
        (
            printable(SystemTime::now()),
            duration(clock_gettime(ClockId::Boottime)),
        )
    }

    /// Returns the time of day at `boot_ns` nanoseconds since boot; before it, if negative.
    pub(crate) fn wall(&self, boot_ns: i64) -> SystemTime {
        let apart = Duration::from_nanos(boot_ns.unsigned_abs());
        let time = if boot_ns < 0 {
            self.boot.checked_sub(apart)
        } else {
            self.boot.checked_add(apart)
        };
        time.map_or(UNIX_EPOCH, printable)
    }

    /// Returns the nanoseconds from boot to a time of day, negative if that was before it.
    pub(crate) fn since_boot(&self, time: SystemTime) -> i64 {
        let ns = |apart: Duration| i64::try_from(apart.as_nanos()).unwrap_or(i64::MAX);
        match time.duration_since(self.boot) {
            Ok(after) => ns(after),
            Err(before) => -ns(before.duration()),
        }
    }
}

fn duration(time: Timespec) -> Duration {
    Duration::try_from(time).unwrap_or_default()
}

/// Returns the nearest time that RFC 3339 can express.
pub(crate) fn printable(time: SystemTime) -> SystemTime {
    let last = UNIX_EPOCH + Duration::from_secs(YEAR_10000 - 1);
    time.clamp(UNIX_EPOCH, last)
}

/// The longest wait the wire can carry.
pub(crate) fn saturating_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The start that `/proc/PID/stat` tells. A name in parentheses comes before it, which may hold
/// anything, parentheses too.
pub(crate) fn start_ticks(stat: &[u8]) -> Option<u64> {
    let after = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let fields = std::str::from_utf8(stat.get(after..)?).ok()?;
    // The 22nd field; the first after the name is the third.
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// As the kernel rounds it for /proc.
pub(crate) fn ticks(start: Duration) -> Option<u64> {
    let tick = 1_000_000_000 / u128::from(clock_ticks_per_second()).max(1);
    u64::try_from(start.as_nanos() / tick).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the present is the present on both clocks.
    #[test]
    fn present() {
        let (time, boot) = Clock::both();
        let apart = time.duration_since(Clock::now().wall(boot.as_nanos() as i64));
        assert!(apart.unwrap_or_else(|e| e.duration()) < Duration::from_secs(5));
    }

    /// Check that no time since boot leaves what can be printed.
    #[test]
    fn always_printable() {
        for boot in [UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(YEAR_10000 - 5)] {
            for ns in [0, 1, -1, i64::MIN, i64::MAX] {
                humantime::format_rfc3339_nanos(Clock { boot }.wall(ns)).to_string();
            }
        }
    }

    /// Check that times before and after boot survive the way to the time of day and back.
    #[test]
    fn there_and_back() {
        let clock = Clock::now();
        for ns in [0, 1, -1, 1 << 58, -(1 << 58)] {
            assert_eq!(clock.since_boot(clock.wall(ns)), ns);
        }
        let far = UNIX_EPOCH + Duration::from_secs(YEAR_10000);
        assert_eq!(clock.since_boot(far), i64::MAX);
    }
}
