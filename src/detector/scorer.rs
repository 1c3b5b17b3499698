//! Judging traces by a profile that stays as it is: no training, no limits, no transitions.

use crate::profile::{Profile, State};
use crate::syscall::Symbol;

use super::distances_of;
use super::step::{HandlerFrame, Interrupted};
use super::thread::{Thread, Window};

const IDS: usize = 256;
/// The last id that stands for one symbol.
const ID_LAST: u8 = 254;
/// The id of every symbol after that.
const ID_OTHER: u8 = 255;
/// Profiles have no number here.
const NO_PROFILE: usize = 0;

/// A window that a profile cannot be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// The number of calls is none that a window can have.
    #[error("a window of {asked} calls cannot be had: it has 2 to 9")]
    OutOfRange {
        /// The number of calls asked for.
        asked: u8,
    },
    /// The profile was trained with a smaller window and knows nothing beyond it.
    #[error("a window of {asked} calls is larger than the {known} the profile was trained with")]
    Larger {
        /// The number of calls asked for.
        asked: u8,
        /// The number of calls of the profile's window.
        known: u8,
    },
}

/// Which table of a profile calls are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plane {
    /// What is held as normal.
    Test,
    /// What was learnt so far, of a profile that is not normal yet.
    Train,
}

/// Judges traces by a profile, which it does not change.
///
/// A profile that is normal is asked what it holds as normal, any other one what it has learnt so
/// far. Each trace begins with an empty window and counts for itself.
///
/// # Examples
///
/// ```
/// use ebph::detector::{Command, Scorer};
/// use ebph::{Detector, Key, Limits, Symbol};
/// use std::time::Duration;
///
/// let mut detector = Detector::new(Limits::default());
/// let profile = detector.add_profile(Key::new(0, 0, 0, 0));
/// let task = detector.spawn(profile);
/// for number in [4, 2, 66, 66, 4] {
///     detector.call(task, Symbol::raw(number), 0, Duration::ZERO);
/// }
/// detector.command(profile, Command::Normalize, Duration::ZERO);
///
/// let scorer = Scorer::new(&detector.profile(profile).unwrap());
/// let score = scorer.score([4, 2, 66, 2, 4].map(Symbol::raw));
/// assert_eq!((score.calls, score.anomalous, score.first), (5, 2, Some(3)));
/// ```
#[derive(Clone, Debug)]
pub struct Scorer {
    plane: Plane,
    known_window: u8,
    /// The distances that are looked at, as bits.
    distances: u8,
    /// By symbol; 0 for one that the profile does not know.
    ids: Box<[u8]>,
    /// The id of symbols that the profile does not know.
    unknown: u8,
    /// By id of the current call, then of the previous one.
    rows: Vec<Option<Box<[u8; IDS]>>>,
}

impl Scorer {
    /// A scorer that looks as far back as the profile does.
    pub fn new(profile: &Profile) -> Self {
        let plane = match profile.state() {
            State::Normal => Plane::Test,
            _ => Plane::Train,
        };
        let mut ids = vec![0; Symbol::COUNT].into_boxed_slice();
        let mut given = 0;
        for symbol in profile.symbols() {
            let id = profile.id_of(symbol).unwrap_or(0);
            ids[symbol.index()] = id;
            if id <= ID_LAST {
                given = given.max(id);
            }
        }
        let bits = |column: u16| {
            let [train, test] = column.to_le_bytes();
            match plane {
                Plane::Test => test,
                Plane::Train => train,
            }
        };
        let rows = (0..=ID_OTHER).map(|id| {
            let mut row = Box::new(profile.raw_row(id)?.map(bits));
            // An empty place of a window fits anywhere.
            row[0] = u8::MAX;
            Some(row)
        });
        Self {
            plane,
            known_window: profile.window(),
            distances: distances_of(profile.window()),
            ids,
            // Where no id is left a new call is one of those that are not told apart; before that
            // its id is one that nothing was ever seen with.
            unknown: if given < ID_LAST { given + 1 } else { ID_OTHER },
            rows: rows.collect(),
        }
    }

    /// Looks at windows of so many calls, the current one included.
    ///
    /// # Errors
    ///
    /// [`WindowError`] when that is not 2 to 9, or more than the profile was trained with.
    pub fn window(mut self, calls: u8) -> Result<Self, WindowError> {
        if !(2..=9).contains(&calls) {
            return Err(WindowError::OutOfRange { asked: calls });
        }
        if calls > self.known_window {
            return Err(WindowError::Larger {
                asked: calls,
                known: self.known_window,
            });
        }
        self.distances = distances_of(calls);
        Ok(self)
    }

    /// Which table of the profile is asked.
    pub fn plane(&self) -> Plane {
        self.plane
    }

    /// Whether the profile has seen the call at all.
    pub fn knows(&self, symbol: Symbol) -> bool {
        self.ids[symbol.index()] != 0
    }

    /// Begins a trace.
    pub fn begin(&self) -> Scoring<'_> {
        Scoring {
            scorer: self,
            thread: Thread::new(NO_PROFILE, 0),
            score: Score::default(),
        }
    }

    /// Scores a whole trace.
    pub fn score(&self, calls: impl IntoIterator<Item = Symbol>) -> Score {
        let mut trace = self.begin();
        for symbol in calls {
            trace.call(symbol);
        }
        trace.score()
    }

    fn id(&self, symbol: Symbol) -> u8 {
        match self.ids[symbol.index()] {
            0 => self.unknown,
            id => id,
        }
    }

    /// The distances at which a call does not fit, as bits.
    fn missed(&self, id: u8, window: &Window) -> u8 {
        let row = self.rows[usize::from(id)].as_deref();
        let mut missed = 0;
        for (index, previous) in window.ids().into_iter().enumerate() {
            let seen = row.map_or(0, |row| row[usize::from(previous)]);
            if previous != 0 {
                missed |= !seen & (1 << index);
            }
        }
        missed & self.distances
    }
}

/// What a trace came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Score {
    /// Calls recorded.
    pub calls: u64,
    /// Calls among them of which at least one pair was never seen.
    pub anomalous: u64,
    /// Pairs that were never seen.
    pub misses: u64,
    /// The most anomalous calls among any 128 consecutive ones.
    pub max_lfc: u32,
    /// The index of the first anomalous call; the first call of a trace has index 0.
    pub first: Option<u64>,
}

/// A trace while it is scored, call by call.
#[derive(Clone, Debug)]
pub struct Scoring<'a> {
    scorer: &'a Scorer,
    thread: Thread,
    score: Score,
}

impl Scoring<'_> {
    /// Judges one call and returns the distances at which it does not fit: bit `d - 1` for
    /// distance `d`. `None` when it is not recorded, as a call that the kernel issues again.
    pub fn call(&mut self, symbol: Symbol) -> Option<u8> {
        if self.thread.take_restart() == Some(symbol) || symbol.is_restart_syscall() {
            return None;
        }
        let id = self.scorer.id(symbol);
        let missed = self.scorer.missed(id, &self.thread.window);
        self.thread.locality.push(missed != 0);
        self.thread.window.push(id);
        let score = &mut self.score;
        if missed != 0 {
            score.anomalous += 1;
            score.misses += u64::from(missed.count_ones());
            score.max_lfc = self.thread.locality.max();
            score.first.get_or_insert(score.calls);
        }
        score.calls += 1;
        if symbol.is_sigreturn() {
            self.thread.sigreturn();
        }
        Some(missed)
    }

    /// The thread is given a signal: a handler of its own runs, or none.
    pub fn signal(&mut self, handled: bool, interrupted: Interrupted) {
        let frame = handled.then_some(HandlerFrame::new(u64::MAX));
        self.thread.signal(frame, interrupted);
    }

    /// The thread makes another, whose trace begins with the calls that led to it in mind and
    /// counts for itself.
    #[must_use]
    pub fn fork(&self, new_stack: bool) -> Self {
        let mut thread = self.thread.fork(new_stack);
        thread.locality = Thread::new(NO_PROFILE, 0).locality;
        Self {
            scorer: self.scorer,
            thread,
            score: Score::default(),
        }
    }

    /// What the trace comes to so far.
    pub fn score(&self) -> Score {
        self.score
    }
}
