//! Times of day to times since boot.

use std::time::SystemTime;

use super::{Form, FormatError, Time};
use crate::clock::Clock;

/// The times of a file on the clock of this boot.
pub(super) struct Times {
    pub(super) clock: Option<Clock>,
    pub(super) created_ns: i64,
    pub(super) last_exec_ns: i64,
    pub(super) normal_ns: u64,
}

impl Times {
    pub(super) fn of(form: &Form<'_>, clock: Clock, now: SystemTime) -> Result<Self, FormatError> {
        let value = FormatError::value;
        // Without a time at which it was made it never had a time of day.
        let timed = form.created.is_some();
        for (name, set, wanted) in [
            ("normal_at", form.normal_at.is_some(), timed && form.frozen),
            ("normal_ns", form.normal_ns.is_some(), !timed && form.frozen),
        ] {
            if set != wanted {
                let wanted = if wanted {
                    "is needed"
                } else {
                    "has no meaning"
                };
                let frozen = if form.frozen { "frozen" } else { "not frozen" };
                let created = if timed { "with" } else { "without" };
                let problem =
                    format!("{wanted} in a profile that is {frozen}, {created} a time of creation");
                return Err(value(name, problem));
            }
        }
        if form.last_exec.is_some() && !timed {
            let problem = "has no meaning in a profile without a time of creation";
            return Err(value("last_exec", problem.to_owned()));
        }
        let since_boot = |time: Option<Time>| time.map_or(0, |time| clock.since_boot(time.0));
        Ok(Self {
            clock: timed.then_some(clock),
            created_ns: since_boot(form.created),
            // 0 would mean never.
            last_exec_ns: match since_boot(form.last_exec) {
                0 if form.last_exec.is_some() => -1,
                ns => ns,
            },
            normal_ns: match (form.normal_at, form.normal_ns) {
                (Some(normal_at), _) => normal_time(normal_at.0, form.saved.0, clock, now),
                (None, ns) => ns.unwrap_or(0),
            },
        })
    }
}

/// When a frozen profile becomes normal, on the clock of this boot: a clock that was set back
/// cannot prolong the wait that was left.
fn normal_time(normal_at: SystemTime, saved: SystemTime, clock: Clock, now: SystemTime) -> u64 {
    let longest = normal_at.duration_since(saved).unwrap_or_default();
    let rest = normal_at
        .duration_since(now)
        .unwrap_or_default()
        .min(longest);
    let until = now
        .checked_add(rest)
        .map_or(i64::MAX, |until| clock.since_boot(until));
    u64::try_from(until).unwrap_or(0)
}
