//! Traces recorded elsewhere: files of system call numbers, and what `strace -f` writes.
//!
//! The readers take anything that is [`BufRead`](std::io::BufRead), need no privileges and hold
//! little in memory however long a file, or a line of it, may be. [`Numbers`] and [`Traces`] give
//! bare numbers; [`Strace`] gives [`Event`]s of threads, of which [`Focus`] picks those of one
//! program and [`Lesson`] feeds them to a [`Detector`](crate::Detector).
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use ebph::trace::Numbers;
//! use ebph::{Detector, Key, Limits, Symbol};
//!
//! // Whatever is learnt, the profile waits for us to say that it is normal.
//! let limits = Limits::default().min_train_calls(u64::MAX);
//! let mut detector = Detector::new(limits);
//! let profile = detector.add_profile(Key::new(0, 0, 0, 0));
//! let task = detector.spawn(profile);
//! for number in Numbers::new("lpr.int", &b"4 2 66\n66 4\n"[..]) {
//!     detector.call(task, Symbol::raw(number?), 0, Duration::ZERO);
//! }
//! assert_eq!(detector.task(task).unwrap().calls, 5);
//! # Ok::<(), ebph::trace::TraceError>(())
//! ```

mod bytes;
mod focus;
mod lesson;
mod numbers;
mod strace;

use std::io;
use std::path::PathBuf;

pub use focus::{Focus, Program};
pub use lesson::Lesson;
pub use numbers::{Entry, Numbers, Traces};
pub use strace::{Event, EventKind, Events, Strace};

/// Why a file could not be read as the trace it was said to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file is not what it was said to be.
    #[error("{}:{line}: expected {expected}, found {found}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What should stand there.
        expected: &'static str,
        /// What stands there, quoted and cut short.
        found: String,
    },
    /// The file could not be read.
    #[error("{}: {cause}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system answered.
        cause: io::Error,
    },
}
