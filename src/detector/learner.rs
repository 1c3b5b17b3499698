//! One profile at work: it learns, settles, and judges.

use std::time::Duration;

use crate::key::Key;
use crate::limits::Limits;
use crate::profile::{
    Origin, Profile, ProfileParts, SEQUENCES_SHIFT, STATE_FROZEN, STATE_INCOMPLETE, STATE_LIVE,
    STATE_NORMAL,
};
use crate::syscall::Symbol;

use super::planes::{Id, Mismatch, Planes, RowPool};
use super::step::Command;
use super::thread::{Thread, Window};
use super::verdict::{Did, Verdict};

/// What a command that cannot be carried out answers.
const EINVAL: i32 = 22;

/// The state of one profile.
#[derive(Clone, Debug)]
pub(super) struct Learner {
    key: Key,
    planes: Planes,
    normal: bool,
    frozen: bool,
    /// A call could not be learnt, so the profile never becomes normal of itself.
    incomplete: bool,
    sequences: u64,
    train_count: u64,
    last_mod_count: u64,
    anomalies: u64,
    /// Boot ns: a frozen profile becomes normal then.
    normal_time: u64,
    unlearnt: u64,
    execs: u64,
    ended: u64,
    basis: u64,
    basis_over: bool,
    /// Moves on whenever the locality frames of all its threads are to be
    /// emptied, which each does at its next call.
    epoch: u64,
}

impl Learner {
    /// A profile that knows nothing, of these distances only.
    pub(super) fn new(key: Key, distances: u8) -> Self {
        Self::with_planes(key, Planes::new(distances))
    }

    /// What a snapshot shows, to go on from there.
    pub(super) fn of(profile: &Profile, distances: u8, pool: &mut RowPool) -> Self {
        let normal_time = profile.normal_time().unwrap_or_default();
        Self {
            normal: profile.is_normal(),
            frozen: profile.is_frozen(),
            incomplete: profile.is_incomplete(),
            sequences: profile.sequences(),
            train_count: profile.train_count(),
            last_mod_count: profile.last_mod_count(),
            anomalies: profile.anomalies(),
            normal_time: nanoseconds(normal_time),
            unlearnt: profile.unlearnt(),
            execs: profile.execs(),
            ended: profile.processes_ended(),
            basis: profile.basis(),
            basis_over: profile.parts().basis_over,
            ..Self::with_planes(profile.key(), Planes::of(profile, distances, pool))
        }
    }

    fn with_planes(key: Key, planes: Planes) -> Self {
        Self {
            key,
            planes,
            normal: false,
            frozen: false,
            incomplete: false,
            sequences: 0,
            train_count: 0,
            last_mod_count: 0,
            anomalies: 0,
            normal_time: 0,
            unlearnt: 0,
            execs: 0,
            ended: 0,
            basis: 0,
            basis_over: false,
            epoch: 0,
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A program starts in a new thread state.
    pub(super) fn exec(&mut self, profile: usize) -> Thread {
        count(&mut self.execs);
        Thread::new(profile, self.epoch)
    }

    /// A process left the program, by exit or by exec.
    pub(super) fn end(&mut self) {
        count(&mut self.ended);
    }

    /// Learns and judges one call that is to be recorded.
    pub(super) fn observe(
        &mut self,
        thread: &mut Thread,
        symbol: Symbol,
        now: u64,
        limits: &Limits,
        pool: &mut RowPool,
    ) -> Verdict {
        thread.locality.follow(self.epoch);
        let mut verdict = Verdict::default();
        let id = match self.planes.identify(symbol) {
            Id::Known(id) => id,
            Id::New(id) => {
                verdict.did |= Did::NEW_ID;
                id
            }
            Id::Other(id) => {
                verdict.did |= Did::OTHER_ID;
                id
            }
        };
        verdict.id = id;

        let has_row = self.planes.ensure_row(id, pool);
        let Mismatch { train, test } = self.planes.compare(id, &thread.window);
        verdict.novel = train;
        verdict.did |= if has_row {
            self.train(id, &thread.window, train, now, limits)
        } else {
            count(&mut self.unlearnt);
            self.incomplete = true;
            Did::NO_ROW
        };

        let mut missed = test;
        if self.frozen && !self.incomplete && now >= self.normal_time {
            verdict.did |= self.start_normal();
            // The call itself was learnt before the test plane was replaced.
            missed = 0;
        }
        if self.normal {
            self.test(thread, missed, limits, &mut verdict);
        }
        // The frame of the thread that moved the profile on empties at once.
        thread.locality.follow(self.epoch);

        thread.window.push(id);
        thread.calls += 1;
        verdict.did |= Did::RECORD;
        verdict
    }

    fn train(&mut self, id: u8, window: &Window, novel: u8, now: u64, limits: &Limits) -> Did {
        count(&mut self.train_count);
        if novel != 0 {
            self.planes.learn(id, window);
            self.sequences = (self.sequences + 1).min(u64::MAX >> SEQUENCES_SHIFT);
            self.last_mod_count = 0;
            let thaw = if self.frozen {
                self.thaw()
            } else {
                Did::default()
            };
            return Did::NOVEL | thaw;
        }
        count(&mut self.last_mod_count);
        if !self.frozen && self.has_settled(limits) {
            self.freeze(now, limits)
        } else {
            Did::default()
        }
    }

    /// Whether nothing new came for so long, measured in calls, that the
    /// profile can be taken to be complete.
    fn has_settled(&self, limits: &Limits) -> bool {
        let (factor, per) = limits.freeze_factor;
        let at_last_novelty = self.train_count.saturating_sub(self.last_mod_count);
        self.sequences > 0
            && self.train_count >= limits.min_train_calls
            && self.ended >= limits.min_train_processes
            && u128::from(self.train_count) * u128::from(per)
                > u128::from(at_last_novelty) * u128::from(factor)
    }

    fn test(&mut self, thread: &mut Thread, missed: u8, limits: &Limits, verdict: &mut Verdict) {
        // A profile that has just become normal has emptied its frames.
        thread.locality.follow(self.epoch);
        verdict.did |= Did::TEST;
        verdict.missed = missed;
        verdict.lfc = thread.locality.push(missed != 0);
        if missed != 0 {
            count(&mut self.anomalies);
            thread.anomalies += 1;
            verdict.did |= Did::ANOMALY;
            verdict.anomalies = self.anomalies;
            if self.anomalies > limits.anomaly_limit {
                verdict.did |= self.stop_normal();
                return;
            }
        }
        if u64::from(verdict.lfc) > limits.tolerize_limit {
            verdict.did |= self.reset_train();
        }
    }

    fn freeze(&mut self, now: u64, limits: &Limits) -> Did {
        self.frozen = true;
        self.normal_time = now.saturating_add(nanoseconds(limits.normal_wait));
        Did::FREEZE
    }

    fn thaw(&mut self) -> Did {
        self.frozen = false;
        Did::THAW
    }

    fn start_normal(&mut self) -> Did {
        let refresh = if self.normal {
            Did::REFRESH
        } else {
            Did::default()
        };
        self.planes.copy_train_to_test();
        self.normal = true;
        self.frozen = false;
        self.anomalies = 0;
        if std::mem::take(&mut self.basis_over) {
            self.basis = 0;
        }
        self.basis = self.basis.saturating_add(self.train_count);
        self.train_count = 0;
        self.last_mod_count = 0;
        self.epoch += 1;
        Did::START | refresh
    }

    fn stop_normal(&mut self) -> Did {
        self.normal = false;
        self.frozen = false;
        self.epoch += 1;
        Did::STOP
    }

    fn reset_train(&mut self) -> Did {
        self.planes.wipe_train();
        self.basis_over = true;
        self.sequences = 0;
        self.train_count = 0;
        self.last_mod_count = 0;
        self.frozen = false;
        self.epoch += 1;
        Did::RESET_TRAIN
    }

    fn reset(&mut self) {
        self.planes.wipe();
        self.normal = false;
        self.frozen = false;
        self.incomplete = false;
        self.sequences = 0;
        self.train_count = 0;
        self.last_mod_count = 0;
        self.anomalies = 0;
        self.normal_time = 0;
        self.unlearnt = 0;
        self.execs = 0;
        self.ended = 0;
        self.basis = 0;
        self.basis_over = false;
        self.epoch += 1;
    }

    /// Carries out a command, or changes nothing when its need is not met.
    pub(super) fn command(&mut self, command: Command, now: u64, limits: &Limits) -> Verdict {
        let did = match command {
            Command::Normalize => self.start_normal(),
            Command::Sensitize => self.reset_train(),
            Command::Tolerize if self.normal => self.stop_normal(),
            Command::Freeze if !self.frozen => self.freeze(now, limits),
            Command::Thaw if self.frozen => self.thaw(),
            Command::Reset => {
                self.reset();
                Did::default()
            }
            Command::Tolerize | Command::Freeze | Command::Thaw => return refusal(),
        };
        Verdict {
            did,
            ..Verdict::default()
        }
    }

    /// The profile as it stands, to keep.
    pub(super) fn snapshot(&self) -> Profile {
        let flags = [
            (self.normal, STATE_NORMAL),
            (self.frozen, STATE_FROZEN),
            (self.incomplete, STATE_INCOMPLETE),
        ];
        let state = flags
            .into_iter()
            .filter_map(|(set, flag)| set.then_some(flag))
            .fold(STATE_LIVE, |state, flag| state | flag);
        let rows = self.planes.rows();
        Profile::from_parts(ProfileParts {
            key: self.key,
            exe: None,
            script: None,
            state_word: self.sequences << SEQUENCES_SHIFT | state,
            train_count: self.train_count,
            last_mod_count: self.last_mod_count,
            anomalies: self.anomalies,
            normal_time_ns: self.normal_time,
            unlearnt: self.unlearnt,
            execs: self.execs,
            processes_ended: self.ended,
            basis: self.basis,
            basis_over: self.basis_over,
            last_exec_ns: 0,
            created_ns: 0,
            rows_held: rows.iter().flatten().count() as u64,
            clock: None,
            identity: None,
            origin: Origin::detector(),
            window: self.planes.window(),
            saved: None,
            ids: self.planes.symbols(),
            rows,
        })
    }
}

/// Adds one to a count, of which nobody knows how far it was when the profile came from elsewhere.
fn count(count: &mut u64) {
    *count = count.saturating_add(1);
}

/// The verdict on a command that cannot be carried out.
pub(super) fn refusal() -> Verdict {
    Verdict {
        result: -EINVAL,
        ..Verdict::default()
    }
}

/// A duration in nanoseconds, the longest that 64 bits can hold if it is longer.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
