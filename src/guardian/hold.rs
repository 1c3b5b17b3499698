//! What is to become of a stopped process: a decision, which looks at nothing by itself.

use crate::profile::STATE_NORMAL as NORMAL;
use crate::skel::types::{ebph_hold_signal, ebph_hold_state};

pub(super) const FREE: u64 = ebph_hold_state::EBPH_HOLD_FREE.0 as u64;
pub(super) const HELD: u64 = ebph_hold_state::EBPH_HOLD_HELD.0 as u64;
pub(super) const ENDING: u64 = ebph_hold_state::EBPH_HOLD_ENDING.0 as u64;
const MASK: u64 = ebph_hold_state::EBPH_HOLD_MASK.0 as u64;

const SIGNAL: u32 = ebph_hold_signal::EBPH_HOLD_SIGNAL.0;
pub(super) const REACHED: u32 = ebph_hold_signal::EBPH_HOLD_REACHED.0;

/// Nothing is continued sooner after it was stopped, in nanoseconds: a stop signal that is still on its
/// way would come after the one that continues. The shortest delay is twice this.
pub(super) const SETTLING: u64 = 1_000_000;
/// Nor sooner than this, in nanoseconds, if the stop signal was not seen to be sent: the hook that sees it
/// may be gone, but a kernel that sends it later than this is not to be expected.
const UNSEEN: u64 = 100_000_000;

/// `struct ebph_hold`, as it was at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hold {
    pub state: u64,
    pub since: u64,
    pub due: u64,
    pub start: u64,
    pub epochs: u64,
    pub slot: u32,
    pub generation: u32,
    pub pid: u32,
    pub signal: u32,
}

/// What the reason for a stop rests on, as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tenancy {
    pub state: u64,
    pub epochs: u64,
    pub generation: u32,
}

/// What the guardian was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// Nothing is to stay stopped.
    pub all: bool,
    /// Nor what was stopped up to then (boot ns).
    pub before: u64,
}

/// When to look again, or what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Not held, or no longer.
    Nothing,
    /// Not before then (boot ns), unless something changes.
    Wait(u64),
    /// The stop ends now.
    End,
}

/// How a stop ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The process goes on.
    Continue,
    /// It stays stopped: somebody else stopped it in a way that it could not have resisted.
    Leave,
    /// It goes on, and gets the signal that it would have got meanwhile.
    Resend(i32),
}

/// Returns what a cell's state says, without how often it was used.
pub(super) const fn kind(state: u64) -> u64 {
    state & MASK
}

/// Returns the state word of the same use of a cell.
pub(super) const fn with_kind(state: u64, kind: u64) -> u64 {
    state & !MASK | kind
}

impl Hold {
    /// Says what to do at `now` (boot ns); without a tenancy the profile cannot be seen.
    pub(super) fn step(&self, tenancy: Option<Tenancy>, orders: Orders, now: u64) -> Step {
        if kind(self.state) != HELD {
            return Step::Nothing;
        }
        let reasoned = tenancy.is_some_and(|profile| self.rests_on(profile));
        let end = if orders.all || self.since <= orders.before || !reasoned {
            self.due.min(self.since.saturating_add(SETTLING))
        } else {
            self.due
        };
        let end = if self.signal & REACHED == 0 {
            end.max(self.since.saturating_add(UNSEEN))
        } else {
            end
        };
        if now >= end {
            Step::End
        } else {
            Step::Wait(end)
        }
    }

    /// Tells whether the profile still is what judged the process.
    fn rests_on(&self, profile: Tenancy) -> bool {
        profile.generation == self.generation
            && profile.epochs == self.epochs
            && profile.state & NORMAL != 0
    }
}

/// Says how the stop of a process ends that was sent this stop signal meanwhile; 0: none.
pub(super) fn way(signal: u32) -> Way {
    match i32::try_from(signal & SIGNAL) {
        Ok(libc::SIGSTOP) => Way::Leave,
        Ok(signal @ (libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU)) => Way::Resend(signal),
        _ => Way::Continue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const STANDING: Orders = Orders {
        all: false,
        before: 0,
    };

    fn hold() -> Hold {
        Hold {
            state: 7 << 8 | HELD,
            since: 100 * MS,
            due: 140 * MS,
            epochs: 3,
            generation: 5,
            signal: REACHED,
            ..Hold::default()
        }
    }

    fn normal() -> Tenancy {
        Tenancy {
            state: 9 << 8 | NORMAL | 1,
            epochs: 3,
            generation: 5,
        }
    }

    /// Check that a stop lasts until it is due, and ends then.
    #[test]
    fn until_due() {
        for now in [100, 139] {
            let step = hold().step(Some(normal()), STANDING, now * MS);
            assert_eq!(step, Step::Wait(140 * MS));
        }
        for now in [140, 1000] {
            assert_eq!(hold().step(Some(normal()), STANDING, now * MS), Step::End);
        }
    }

    /// Check that cells that are not held are left alone, whatever was ordered.
    #[test]
    fn others() {
        let orders = Orders {
            all: true,
            before: u64::MAX,
        };
        for kind in [FREE, 1, ENDING, 4] {
            let mut hold = hold();
            hold.state = with_kind(hold.state, kind);
            assert_eq!(hold.step(None, orders, u64::MAX), Step::Nothing);
        }
    }

    /// Check that a profile that is no longer what judged the process ends the stop.
    #[test]
    fn void_reasons() {
        let now = 110 * MS;
        let profiles = [
            None,
            Some(Tenancy {
                state: 9 << 8 | 1,
                ..normal()
            }),
            Some(Tenancy {
                epochs: 4,
                ..normal()
            }),
            Some(Tenancy {
                generation: 6,
                ..normal()
            }),
        ];
        for profile in profiles {
            assert_eq!(
                hold().step(profile, STANDING, now),
                Step::End,
                "{profile:?}"
            );
        }
    }

    /// Check that orders end what was stopped before them, once its stop signal must have come.
    #[test]
    fn orders() {
        let before = |ms: u64| Orders {
            all: false,
            before: ms * MS,
        };
        let all = Orders {
            all: true,
            before: 0,
        };
        let step = |orders, now| hold().step(Some(normal()), orders, now);
        assert_eq!(step(before(99), 110 * MS), Step::Wait(140 * MS));
        assert_eq!(step(before(100), 110 * MS), Step::End);
        assert_eq!(step(all, 110 * MS), Step::End);
        assert_eq!(step(all, 100 * MS), Step::Wait(100 * MS + SETTLING));
        let mut short = hold();
        short.due = short.since + 1;
        let step = short.step(Some(normal()), all, short.since);
        assert_eq!(step, Step::Wait(short.due), "never later than it is due");
    }

    /// Check that times from beyond all bounds end in a decision.
    #[test]
    fn absurd_times() {
        let mut hold = hold();
        hold.since = u64::MAX;
        hold.due = u64::MAX;
        let step = hold.step(None, STANDING, 1);
        assert_eq!(step, Step::Wait(u64::MAX));
        assert_eq!(hold.step(None, STANDING, u64::MAX), Step::End);
    }

    /// Check what others' stop signals do to the end of a stop.
    #[test]
    fn ways() {
        assert_eq!(way(0), Way::Continue);
        assert_eq!(way(libc::SIGSTOP as u32), Way::Leave);
        for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
            assert_eq!(way(signal as u32), Way::Resend(signal));
        }
        assert_eq!(way(libc::SIGTERM as u32), Way::Continue);
        assert_eq!(way(u32::MAX), Way::Continue);
        assert_eq!(way(REACHED), Way::Continue);
        assert_eq!(way(REACHED | libc::SIGSTOP as u32), Way::Leave);
    }

    /// Check that a stop of which it is not known that it has begun is not ended at once, but ended.
    #[test]
    fn on_its_way() {
        let mut hold = hold();
        hold.signal = 0;
        let until = hold.since + UNSEEN;
        for (tenancy, now) in [(Some(normal()), hold.due), (None, until - 1)] {
            assert_eq!(hold.step(tenancy, STANDING, now), Step::Wait(until));
        }
        assert_eq!(hold.step(None, STANDING, until), Step::End);
        hold.due = until + 1;
        assert_eq!(
            hold.step(Some(normal()), STANDING, until),
            Step::Wait(until + 1)
        );
    }

    /// Check that a state keeps its use when its kind changes.
    #[test]
    fn kinds() {
        let state = 77 << 8 | HELD;
        assert_eq!(kind(state), HELD);
        assert_eq!(with_kind(state, ENDING), 77 << 8 | ENDING);
        assert_eq!(with_kind(state, FREE), 77 << 8);
    }
}
