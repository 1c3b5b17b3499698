//! The detector in plain Rust.
//!
//! It decides as the kernel side does, bit for bit, but needs neither privileges
//! nor a live kernel: for traces that were recorded elsewhere, for experiments
//! with the limits, and as the measure that the kernel side is held to.

mod learner;
mod planes;
mod scorer;
mod step;
mod thread;
mod verdict;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::key::Key;
use crate::limits::Limits;
use crate::profile::Profile;
use crate::syscall::Symbol;

use learner::{Learner, nanoseconds};
use planes::RowPool;
use thread::{DISTANCES, Thread};

pub use scorer::{Plane, Score, Scorer, Scoring, WindowError};
pub use step::{Command, HandlerFrame, Interrupted, Op, Step};
pub use verdict::{Did, Verdict};

/// The number of a profile within one [`Detector`].
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd)]
pub struct ProfileId(usize);

impl ProfileId {
    /// The profile that [`Op`] knows by this number.
    pub const fn new(number: usize) -> Self {
        Self(number)
    }

    /// The number by which [`Op`] knows the profile.
    pub fn number(self) -> usize {
        self.0
    }
}

/// The number of a task, one thread, within one [`Detector`].
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd)]
pub struct TaskId(usize);

impl TaskId {
    /// The task that [`Op`] knows by this number.
    pub const fn new(number: usize) -> Self {
        Self(number)
    }

    /// The number by which [`Op`] knows the task.
    pub fn number(self) -> usize {
        self.0
    }
}

/// How a task stands.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TaskStatus {
    /// The profile of the program that it runs.
    pub profile: ProfileId,
    /// Calls recorded.
    pub calls: u64,
    /// Anomalous calls among them.
    pub anomalies: u64,
    /// How many of its last 128 tested calls were anomalous.
    pub lfc: u32,
    /// The most that `lfc` has been since it was last emptied.
    pub max_lfc: u32,
    /// Signal handlers entered and not left.
    pub signal_depth: usize,
    /// Whether that depth is sure: no handler was taken to have been left by
    /// `siglongjmp`.
    pub certain: bool,
}

/// Learns which calls follow which, per program, and judges each call by it.
///
/// Tell it what happens and when; it answers with a [`Verdict`]. Time is that of
/// the clock which counts from boot. It must not run backwards, and it only
/// matters for how long a frozen profile waits.
///
/// A task or profile that this detector does not know is no error: the verdict
/// on it is empty, and a command to it is refused.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use ebph::detector::Command;
/// use ebph::{Abi, Detector, Key, Limits, Symbol};
///
/// let open = Symbol::from_name(Abi::X86_64, "openat").unwrap();
/// let read = Symbol::from_name(Abi::X86_64, "read").unwrap();
/// let now = Duration::ZERO;
/// let sp = 0x7fff_0000;
///
/// let mut detector = Detector::new(Limits::default());
/// let profile = detector.add_profile("8:1:42:0".parse::<Key>().unwrap());
/// let task = detector.spawn(profile);
/// for _ in 0..10 {
///     detector.call(task, open, sp, now);
///     detector.call(task, read, sp, now);
/// }
/// detector.command(profile, Command::Normalize, now);
///
/// assert!(!detector.call(task, open, sp, now).is_anomaly());
/// let verdict = detector.call(task, open, sp, now);
/// assert_eq!(verdict.missed_distances().next(), Some(1));
/// ```
#[derive(Clone, Debug)]
pub struct Detector {
    limits: Limits,
    pool: RowPool,
    /// The distances that are learnt and judged, as bits.
    distances: u8,
    profiles: Vec<Learner>,
    /// By number; an ended one leaves its place empty, and it is not used again.
    tasks: Vec<Option<Box<Thread>>>,
}

impl Detector {
    /// A detector without profiles, and with room for any number of rows.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            pool: RowPool::new(usize::MAX),
            distances: u8::MAX,
            profiles: Vec::new(),
            tasks: Vec::new(),
        }
    }

    /// Sets how many rows all profiles together may take, as the kernel's pool
    /// does. A row is one system call of one profile, and half a KiB.
    ///
    /// Rows already taken are kept.
    #[must_use]
    pub fn with_max_rows(mut self, rows: usize) -> Self {
        self.pool.resize(rows);
        self
    }

    /// Sets how many calls a window has, the current one included: 2 to 9, the default. Only
    /// pairs up to one less apart are learnt and judged.
    ///
    /// For comparison with the literature: the kernel always looks at nine. Numbers outside that
    /// range are taken for the nearest in it. Profiles that were added before keep theirs.
    #[must_use]
    pub fn with_window(mut self, calls: u8) -> Self {
        self.distances = distances_of(calls);
        self
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Replaces the limits, from the next step on. A profile that is frozen
    /// already keeps its time.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How many rows all profiles together hold.
    pub fn rows_used(&self) -> usize {
        self.pool.used()
    }

    /// Adds a profile that knows nothing yet.
    pub fn add_profile(&mut self, key: Key) -> ProfileId {
        self.profiles.push(Learner::new(key, self.distances));
        ProfileId(self.profiles.len() - 1)
    }

    /// Adds a profile that knows what another one does, and stands as it does.
    ///
    /// Its rows count as taken even where [`with_max_rows`](Self::with_max_rows) leaves no room
    /// for them. Its window is the smaller one of its own and the detector's.
    pub fn add_known(&mut self, profile: &Profile) -> ProfileId {
        let distances = self.distances & distances_of(profile.window());
        let learner = Learner::of(profile, distances, &mut self.pool);
        self.profiles.push(learner);
        ProfileId(self.profiles.len() - 1)
    }

    /// Starts a task with a program.
    pub fn spawn(&mut self, profile: ProfileId) -> TaskId {
        let task = self.unused_task();
        self.exec(task, profile);
        task
    }

    /// A task enters a system call, with its stack pointer at `sp`.
    pub fn call(&mut self, task: TaskId, symbol: Symbol, sp: u64, now: Duration) -> Verdict {
        self.call_at(task, symbol, sp, nanoseconds(now))
    }

    fn call_at(&mut self, task: TaskId, symbol: Symbol, sp: u64, now: u64) -> Verdict {
        let Some(thread) = self.tasks.get_mut(task.0).and_then(Option::as_deref_mut) else {
            return Verdict::default();
        };
        let dropped = thread.drop_frames(sp);
        let skipped = |did| Verdict {
            did: dropped | did,
            ..Verdict::default()
        };
        if thread.take_restart() == Some(symbol) {
            return skipped(Did::RESTART);
        }
        if symbol.is_restart_syscall() {
            return skipped(Did::IGNORE);
        }
        let profile = &mut self.profiles[thread.profile];
        let mut verdict = profile.observe(thread, symbol, now, &self.limits, &mut self.pool);
        // After the recording: the return belongs to the handler.
        if symbol.is_sigreturn() {
            verdict.did |= thread.sigreturn();
        }
        verdict.did |= dropped;
        verdict
    }

    /// A task makes another that goes on with the same stack, or a copy of it,
    /// as `fork` and `vfork` do. The child inherits the whole past.
    pub fn fork(&mut self, parent: TaskId) -> TaskId {
        let child = self.unused_task();
        self.fork_to(parent, child, false);
        child
    }

    /// A task makes another on a stack of its own, as threads are made. The
    /// child inherits its last calls only.
    pub fn fork_on_new_stack(&mut self, parent: TaskId) -> TaskId {
        let child = self.unused_task();
        self.fork_to(parent, child, true);
        child
    }

    fn fork_to(&mut self, parent: TaskId, child: TaskId, new_stack: bool) {
        if let Some(Some(parent)) = self.tasks.get(parent.0) {
            let thread = parent.fork(new_stack);
            *self.place(child) = Some(Box::new(thread));
        }
    }

    /// A task runs another program from here on.
    ///
    /// Only for an exec that succeeded: one that failed changes nothing but
    /// that its call was made.
    pub fn exec(&mut self, task: TaskId, profile: ProfileId) {
        if task.0 < self.tasks.len() {
            self.exec_at(task, profile);
        }
    }

    fn exec_at(&mut self, task: TaskId, profile: ProfileId) {
        if profile.0 >= self.profiles.len() {
            return;
        }
        if let Some(old) = self.place(task).take() {
            self.profiles[old.profile].end();
        }
        let thread = self.profiles[profile.0].exec(profile.0);
        *self.place(task) = Some(Box::new(thread));
    }

    /// A task ends, and its process with it.
    pub fn exit(&mut self, task: TaskId) {
        if let Some(thread) = self.tasks.get_mut(task.0).and_then(Option::take) {
            self.profiles[thread.profile].end();
        }
    }

    /// A task ends, and other threads of its process go on.
    pub fn exit_thread(&mut self, task: TaskId) {
        if let Some(place) = self.tasks.get_mut(task.0) {
            *place = None;
        }
    }

    /// A task is given a signal: a handler of its own runs, or none.
    pub fn signal(
        &mut self,
        task: TaskId,
        handler: Option<HandlerFrame>,
        interrupted: Interrupted,
    ) -> Verdict {
        let did = match self.tasks.get_mut(task.0) {
            Some(Some(thread)) => thread.signal(handler, interrupted),
            _ => Did::default(),
        };
        Verdict {
            did,
            ..Verdict::default()
        }
    }

    /// Carries out a command.
    ///
    /// One whose need is not met changes nothing, and says so in
    /// [`Verdict::result`].
    pub fn command(&mut self, profile: ProfileId, command: Command, now: Duration) -> Verdict {
        self.command_at(profile, command, nanoseconds(now))
    }

    fn command_at(&mut self, profile: ProfileId, command: Command, now: u64) -> Verdict {
        match self.profiles.get_mut(profile.0) {
            Some(profile) => profile.command(command, now, &self.limits),
            None => learner::refusal(),
        }
    }

    /// Carries out a step in the form that is stored and replayed.
    pub fn apply(&mut self, step: &Step) -> Verdict {
        let now = step.now_boot_ns;
        let task_id = |number| TaskId(usize::from(number));
        // What does not fit is a number that no profile has.
        let profile_id = |number| ProfileId(usize::try_from(number).unwrap_or(usize::MAX));
        match step.op {
            Op::Call { task, symbol, sp } => {
                return self.call_at(task_id(task), symbol, sp, now);
            }
            Op::Signal {
                task,
                handler,
                interrupted,
            } => return self.signal(task_id(task), handler, interrupted),
            Op::Command { profile, command } => {
                return self.command_at(profile_id(profile), command, now);
            }
            Op::Fork {
                parent,
                child,
                new_stack,
            } => self.fork_to(task_id(parent), task_id(child), new_stack),
            Op::Exec { task, profile } => self.exec_at(task_id(task), profile_id(profile)),
            Op::Exit { task } => self.exit(task_id(task)),
        }
        Verdict::default()
    }

    /// A profile as it stands now.
    pub fn profile(&self, profile: ProfileId) -> Option<Profile> {
        self.profiles.get(profile.0).map(Learner::snapshot)
    }

    /// All profiles as they stand now, in the order in which they were added.
    pub fn profiles(&self) -> impl Iterator<Item = Profile> + '_ {
        self.profiles.iter().map(Learner::snapshot)
    }

    /// How a task stands; `None` when it has ended or never was.
    pub fn task(&self, task: TaskId) -> Option<TaskStatus> {
        let thread = self.tasks.get(task.0)?.as_deref()?;
        // The thread itself looks at its profile's epoch at its next call only.
        let mut locality = thread.locality.clone();
        locality.follow(self.profiles[thread.profile].epoch());
        Some(TaskStatus {
            profile: ProfileId(thread.profile),
            calls: thread.calls,
            anomalies: thread.anomalies,
            lfc: locality.count(),
            max_lfc: locality.max(),
            signal_depth: thread.depth(),
            certain: thread.certain,
        })
    }

    fn unused_task(&mut self) -> TaskId {
        self.tasks.push(None);
        TaskId(self.tasks.len() - 1)
    }

    /// Grows with the number: only for those of steps, which are small.
    fn place(&mut self, task: TaskId) -> &mut Option<Box<Thread>> {
        if task.0 >= self.tasks.len() {
            self.tasks.resize_with(task.0 + 1, || None);
        }
        &mut self.tasks[task.0]
    }
}

/// The distances that a window of so many calls has, as bits.
fn distances_of(calls: u8) -> u8 {
    let distances = calls.clamp(2, DISTANCES as u8 + 1) - 1;
    u8::MAX >> (DISTANCES as u8 - distances)
}
