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
//! An agent that runs a service, and keeps what it learnt, is in `examples/agent.rs`. To see something within
//! a minute, let a program do what it usually does, tell its profile that this is normal
//! ([`Monitor::normalize`]), and have the program do something else.
//!
//! Profiles are kept in files ([`MonitorBuilder::profile_dir`], [`Store`], [`Profile::write_to`]),
//! survive restarts, and can be taken to other machines ([`Monitor::export`],
//! [`Monitor::import`], [`Profile::merge`], [`Profile::diff`]).
//!
//! # When to trust it
//!
//! Normal is what was seen while a profile learnt, so trust it as far as that went: [`Event::confidence`]
//! says of an alert from how many calls its profile learnt, and how many of those that it judged since did
//! not fit. A profile that learnt a service for a week, with a floor of a hundred thousand calls
//! ([`Limits::min_train_calls`]), is worth waking somebody for; one that learnt a shell for a minute is
//! not. One odd call is often a rare branch of the program, an attack tends to be a run of them: that is
//! the locality frame count, [`Anomaly::lfc`]. Whoever can make a program do what he likes while it learns
//! teaches it that, and whoever knows the profile can imitate it.
//!
//! # Minimum kernel version
//!
//! 6.1, with BTF; x86-64, or arm64 (run in an emulator only). [`Monitor::preflight`] says what a machine
//! has.
//!
//! # Privileges
//!
//! `CAP_BPF` and `CAP_PERFMON`. `CAP_DAC_READ_SEARCH` lets it know again programs that its user may
//! not read, `CAP_SYS_PTRACE` those in containers, and `CAP_KILL` delays and suspends. Where the plain
//! tracepoint is used (by default from Linux 7.2 on) tracefs must be readable as well, and where
//! `kernel.perf_event_paranoid` is above 2, as on Debian, it takes `CAP_SYS_ADMIN`.
//!
//! # Cost
//!
//! A call of a watched thread costs about 1.3 times what an empty BPF program in the same place costs, and one
//! of the program's first ones, or in an order not met of late, 1.5 times; threads outside the scope pay for the
//! empty program. Memory is allocated whole at the start, 31 MB by default, for as many profiles and rows as are
//! asked for ([`MonitorBuilder::max_profiles`], [`MonitorBuilder::max_rows`]). `cargo bench` measures all that on
//! the machine at hand.
//!
//! # Building
//!
//! The build script compiles the BPF programs with clang, 14 or newer (`CLANG` names another one than that in `PATH`).
//! libbpf is compiled as well, which takes a C compiler, make, pkg-config, and the headers of libelf and zlib.
//! Those two are linked dynamically, unless a feature says otherwise:
//!
//! - `static` links the system's `libelf.a` and `libz.a`; `LIBBPF_SYS_LIBRARY_PATH` names their folder.
//! - `vendored` compiles both from source, which takes autoconf, automake, autopoint, bison, flex and gawk, and links
//!   them statically.
//!
#![doc = include_str!("../docs/losses.md")]
#![doc = include_str!("../docs/known-problems.md")]
//! # What a version promises
//!
//! Versions follow [semantic versioning](https://semver.org/spec/v2.0.0.html); before 1.0 a minor version may
//! break what a patch version must not. That covers the public API, the fields of JSON (whose `schema` is raised
//! if one changes its meaning or goes), the format of profile files (older ones are read by newer versions, or
//! refused by a typed error), and the options of the example `monitor`. Texts for people, what is in the logs, and
//! names of BPF programs and maps may change at any time. Enums and structs that may grow are `#[non_exhaustive]`.
//! A newer compiler ([MSRV](https://doc.rust-lang.org/cargo/reference/rust-version.html)) or kernel is asked for
//! in minor versions only. Of other crates only `serde` (traits), `serde_json` 1 (values of [`Event::to_ecs`] and
//! [`Event::to_ocsf`]) and `crossbeam-channel` 0.5 (its sender is an [`EventHandler`]) are part of the API;
//! libbpf is not.
//!
#![deny(unsafe_code)]
#![warn(missing_debug_implementations, missing_docs, unreachable_pub)]

mod clock;
pub mod detector;
mod engine;
mod error;
mod event;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
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
mod sys;
mod syscall;
mod tasks;
mod tenant;
pub mod testing;
pub mod trace;

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
pub use loader::verified_instructions;
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
pub use sys::log_libbpf;
pub use syscall::{Abi, Letter, ParseSymbolError, Symbol};

/// What the README shows must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// What embedders send to other threads, and keep there, can go there.
#[cfg(test)]
const _: () = {
    const fn anywhere<T: Send + Sync + 'static>() {}
    const fn elsewhere<T: Send + 'static>() {}

    anywhere::<Monitor>();
    anywhere::<Receiver<Event>>();
    anywhere::<Event>();
    anywhere::<Profile>();
    anywhere::<Process>();
    anywhere::<Preflight>();
    anywhere::<Stats>();
    anywhere::<Store>();
    anywhere::<Responses>();
    anywhere::<Measurement>();
    anywhere::<Detector>();
    anywhere::<KernelReplay>();
    anywhere::<testing::Stub>();
    anywhere::<Error>();
    // Its handlers need not be `Sync`.
    elsewhere::<MonitorBuilder>();
};
