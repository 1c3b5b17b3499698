//! A sense of self for programs: learns, in the kernel, which system calls of a program follow
//! which, and reports the call that does not fit.
//!
//! For each executable there is a *profile* of *lookahead pairs*: which call was seen how far
//! before which other one, up to a distance of eight. A profile trains until nothing new has come
//! for long enough, freezes, and after a wait becomes *normal*; from then on each call of its
//! programs is judged at the moment it is made. This is Somayaji's pH (2002) as Findlay rebuilt it
//! in eBPF (ebpH, 2020), as a library.
//!
//! # Examples
//!
//! ```no_run
//! use std::time::Duration;
//! use ebph::{Event, Monitor, Scope};
//!
//! let monitor = Monitor::builder()
//!     .scope(Scope::System)
//!     .normal_wait(Duration::from_secs(7 * 24 * 3600))
//!     .handler(|event: &Event| eprintln!("{event}"))
//!     .start()?;
//!
//! for anomaly in monitor.anomalies() {
//!     println!("{} of {}", anomaly.symbol, anomaly.context.actor.comm);
//! }
//! # Ok::<(), ebph::Error>(())
//! ```
//!
//! Without privileges, [`Detector`] does the same to calls from anywhere, and [`trace`] reads them
//! from recorded traces. What an agent does with events is tested with [`testing`].
//!
//! Profiles are kept in files ([`MonitorBuilder::profile_dir`], [`Store`], [`Profile::write_to`]),
//! survive restarts, and can be taken to other machines ([`Monitor::export`],
//! [`Monitor::import`], [`Profile::merge`], [`Profile::diff`]).
//!
//! # Minimum kernel version
//!
//! 6.1, with BTF; x86-64 and (built, not run) arm64. [`Monitor::preflight`] says what a machine
//! has.
//!
//! # Privileges
//!
//! `CAP_BPF` and `CAP_PERFMON`. `CAP_DAC_READ_SEARCH` lets it know again programs that its user may
//! not read, `CAP_SYS_PTRACE` those in containers. Where the plain tracepoint is used (by default from
//! Linux 7.2 on) tracefs must be readable as well, and where `kernel.perf_event_paranoid` is above 2,
//! as on Debian, it takes `CAP_SYS_ADMIN`.
//!
//! # Known problems
//!
//! - A call restarted by ptrace or the cgroup freezer, which no signal explains, is recorded twice.
//! - So is a call restarted after `SIGSTOP` and `SIGCONT`, in all threads of a process but the one
//!   that is shown the signal.
//! - That a handler was left by `siglongjmp` is told from the stack pointer. Missed: a next call
//!   from deeper down than the interrupted one, and programs that switch stacks by themselves.
//! - While it runs, a script is known by its path, not by its contents; profile files compare those.
//! - A profile that returns after it was evicted judges nothing until some milliseconds after the
//!   exec.
//! - A script's path is taken as it was spelt: through `..` or a symbolic link it is another program.
//! - A script executed by descriptor (`fexecve`) is known as `/dev/fd/N`.
//! - An interpreter that runs already at the start keeps the interpreter's profile until its next
//!   exec.
//! - An exec whose hook the kernel skipped (7.0 and later) is noticed at the next call, and a script
//!   then gets its interpreter's profile; see [`ThreadStats::late_execs`].
//! - libbpf prints warnings to standard error when a program cannot be loaded; see
//!   [`log_libbpf`].
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod clock;
pub mod detector;
mod engine;
mod error;
mod event;
mod guardian;
mod kernel;
mod key;
mod limits;
mod loader;
mod maps;
mod monitor;
mod plan;
mod preflight;
mod process;
mod profile;
mod replay;
mod response;
mod skel;
mod snapshot;
mod stats;
mod store;
mod syscall;
mod tasks;
pub mod testing;
pub mod trace;
mod tracepoint;

pub use detector::Detector;
pub use error::{Error, Result};
pub use event::{
    Actor, Ancestor, Anomaly, Capabilities, Capacity, CapacityExhausted, Circumstances, Confidence,
    Container, Context, Event, EventHandler, EventKind, EventMask, ExecutableChanged, Fact, Host,
    JournalField, LossPlace, Lost, Marks, MissedPair, Namespaces, NewSequence, ParseEventKindError,
    ProfileEvent, ProfileLoaded, ProfileSetAside, ProfileView, Response, ResponseAction, Runtime,
    Severity, Source, StartNormal, StopCause, StopNormal, UnbalancedSigreturn, Warning,
    WarningKind,
};
pub use key::{Key, KeyPartition, ParseKeyError};
pub use limits::Limits;
pub use loader::{log_libbpf, verified_instructions};
pub use monitor::Monitor;
pub use monitor::builder::{MonitorBuilder, Scope};
pub use monitor::keeper::Imported;
pub use monitor::measure::Measurement;
pub use monitor::receiver::{Anomalies, Events, Receiver};
pub use plan::{EntryHook, Partition};
pub use preflight::{Check, CheckId, Preflight, Purpose, Status};
pub use process::{Process, Thread};
pub use profile::{
    FileIdentity, FormatError, How, Identity, MergeError, Origin, Pair, PairDiff, Profile,
    ProfileDiff, State,
};
pub use replay::KernelReplay;
pub use response::{Delay, ExecAnswer, ExecResponse, Exemptions, Kill, Responses};
pub use stats::{
    CallStats, DetectionStats, EventStats, FailureStats, MapStats, MemoryStats, ProfileStats,
    ProgramStats, ReceiverKind, ReceiverStats, ResponseStats, RowStats, Stats, StoreStats,
    ThreadStats,
};
pub use store::{Loaded, SetAside, Stale, StaleCause, Store, Stored};
pub use syscall::{Abi, Letter, ParseSymbolError, Symbol};

/// What the README shows must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
