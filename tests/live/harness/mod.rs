//! What the live tests share: victim programs, a process tree to watch, and patience.
//!
//! Every test monitors only what it starts itself, so that they may run at once, beside each
//! other and beside whatever else the machine does. Nothing sleeps to let something happen: what
//! must happen is awaited, up to [`deadline`].

pub mod built;
pub mod cgroup;
pub mod helper;
pub mod kernel;
pub mod pairs;
pub mod pipe;
pub mod programs;
pub mod stage;
pub mod watch;

pub use built::example;
pub use pairs::{assert_has, assert_lacks, held, learnt};
pub use pipe::{Pipe, Terminal};
pub use programs::program;
pub use stage::{Gated, Run, Stage, Start};
pub use watch::{Seen, Watch, answers};

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a test waits for something that must happen. `EBPH_TEST_DEADLINE` (seconds) overrides
/// the default of a minute, which is meant for emulated machines.
pub fn deadline() -> Duration {
    let seconds = std::env::var("EBPH_TEST_DEADLINE").map_or(60, |text| {
        text.parse()
            .expect("EBPH_TEST_DEADLINE is a number of seconds")
    });
    Duration::from_secs(seconds)
}

/// Waits until `probe` answers with something, and panics with `what` when the deadline passes.
#[track_caller]
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Fails with one clear line when the test was not started with the privileges it needs.
pub fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "the live tests load BPF programs and need root: run `make test`, or `sudo -E cargo test`"
    );
    TURN.with(|_| ());
}

thread_local! {
    /// Tests run at once, except where the kernel lets the loading of one monitor hide calls from
    /// another: there each test, which is a thread, has its turn until it ends.
    static TURN: Option<MutexGuard<'static, ()>> = {
        static ONE: Mutex<()> = Mutex::new(());
        kernel::hides_calls().then(|| ONE.lock().unwrap_or_else(PoisonError::into_inner))
    };
}

/// `NxK` for the `calls` victim: call `number`, `times` times.
pub fn call(number: libc::c_long, times: usize) -> String {
    format!("{number}x{times}")
}

/// `times` calls of getppid, the call that disturbs nothing.
pub fn getppid(times: usize) -> String {
    call(libc::SYS_getppid, times)
}
