//! The process itself, over cells that a test fills as hooks would, and processes that it stops by itself.

use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::param::page_size;
use rustix::process::{WaitIdOptions, WaitIdStatus, kill_process, waitid};

use super::*;

const PART: &str = "EBPH_GUARDIAN_PART";
const HOUR: u64 = 3_600_000_000_000;
const MS: u64 = 1_000_000;
/// The state of a live profile that is normal.
const NORMAL: u64 = 9 << 8 | 3;

#[track_caller]
fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let seconds = std::env::var("EBPH_TEST_DEADLINE").map_or(60, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    while !probe() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The state letter of `/proc/PID/stat`.
fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn is_gone(pid: u32) -> bool {
    // Whoever inherits it may take its time to wait for it.
    matches!(state_of(pid), None | Some('Z' | 'X'))
}

/// A process that sleeps, killed at the end.
struct Victim(Child);

impl Victim {
    fn new() -> Self {
        let mut command = Command::new("sleep");
        // A group of its own, which has a parent in another one: signals from terminals count.
        Self(command.arg("3600").process_group(0).spawn().unwrap())
    }

    fn stopped() -> Self {
        let victim = Self::new();
        kill_process(victim.id(), Signal::STOP).unwrap();
        assert!(victim.change().stopped());
        victim
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it stops or goes on.
    fn change(&self) -> WaitIdStatus {
        let both = WaitIdOptions::STOPPED | WaitIdOptions::CONTINUED;
        waitid(rustix::process::WaitId::Pid(self.id()), both)
            .unwrap()
            .unwrap()
    }

    fn is_stopped(&self) -> bool {
        state_of(self.pid()) == Some('T')
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn memory(bytes: usize) -> OwnedFd {
    let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, bytes as u64).unwrap();
    file
}

/// Parts over plain memory: two profiles, of which the first is normal.
fn parts() -> Arc<Parts> {
    let holds = memory(1024 * size_of::<ebph_hold>());
    let profiles = memory(2 * size_of::<ebph_profile>());
    let mut written = Mapped::<ebph_profile>::new(profiles.as_fd(), 2, true).unwrap();
    written.set(
        0,
        &ebph_profile {
            state: NORMAL,
            epochs: 77,
            generation: 5,
            ..ebph_profile::default()
        },
    );
    Arc::new(Parts {
        holds: Mapped::new(holds.as_fd(), 1024, true).unwrap(),
        profiles: written,
        wakes: eventfd(0, EventfdFlags::CLOEXEC).unwrap(),
        ring: RingEnds::new(memory(2 * page_size()).as_fd()).unwrap(),
    })
}

/// Fills a cell as a hook does.
fn fill(parts: &Parts, cell: usize, hold: ebph_hold) {
    let words = size_of::<ebph_hold>() / 8;
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let values = [
        hold.since,
        hold.due,
        hold.start,
        hold.epochs,
        pair(hold.slot, hold.generation),
        pair(hold.pid, hold.signal),
    ];
    let cell = &parts.holds.all()[cell * words..(cell + 1) * words];
    for (word, value) in cell[1..].iter().zip(values) {
        word.store(value, Ordering::SeqCst);
    }
    cell[0].store(hold.state, Ordering::SeqCst);
}

/// A cell of a process that is held for so long from now on.
fn held(victim: &Victim, wait: u64) -> ebph_hold {
    let now = sys::boot_ns();
    let stat = fs::read(format!("/proc/{}/stat", victim.pid())).unwrap();
    let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second();
    ebph_hold {
        state: 7 << 8 | HELD,
        since: now,
        due: now + wait,
        start: start_ticks(&stat).unwrap() * tick + tick / 2,
        epochs: 77,
        slot: 0,
        generation: 5,
        pid: victim.pid(),
        signal: hold::REACHED,
        ..ebph_hold::default()
    }
}

fn state(parts: &Parts, cell: usize) -> u64 {
    parts.holds.word(cell as u32, 0).unwrap()
}

/// The guardian's pid, by its descriptor.
fn pid(guardian: &Guardian) -> u32 {
    let fd = guardian.pidfd.as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:\t"));
    line.unwrap().parse().unwrap()
}

fn signal(guardian: &Guardian, signal: Signal) {
    pidfd_send_signal(&guardian.pidfd, signal).unwrap();
}

/// Check that a process goes on when it is due, and that this is counted.
#[test]
fn goes_on_when_due() {
    let (parts, victim) = (parts(), Victim::stopped());
    let guardian = Guardian::start(&parts).unwrap();
    fill(&parts, 3, held(&victim, 30 * MS));
    assert_eq!(parts.held(), 1);
    guardian.wake();
    assert!(victim.change().continued());
    eventually("the cell to be free", || state(&parts, 3) == 7 << 8);
    assert_eq!(parts.held(), 0);
    let counts = guardian.end();
    assert_eq!((counts.released, counts.left_stopped), (1, 0));
    assert_eq!(counts.requested_ns, 30 * MS);
    assert!(counts.observed_ns >= 30 * MS, "{counts:?}");
    let excess = counts.observed_ns - 30 * MS;
    assert_eq!((counts.worst_excess_ns, counts.refused), (excess, 0));
}

/// Check that a stop whose end was put off lasts until then.
#[test]
fn may_be_put_off() {
    let (parts, victim) = (parts(), Victim::stopped());
    let guardian = Guardian::start(&parts).unwrap();
    let mut hold = held(&victim, 50 * MS);
    fill(&parts, 0, hold);
    guardian.wake();
    hold.due = hold.since + 100 * MS;
    fill(&parts, 0, hold);
    assert!(victim.change().continued());
    assert!(sys::boot_ns() >= hold.due);
}

/// Check that a stop whose end is put off while it is about to end goes on.
#[test]
fn may_be_put_off_at_the_last_moment() {
    let (parts, victim) = (parts(), Victim::stopped());
    let board = SharedWords::new(1).unwrap();
    let view = parts.view(&board);
    let late = held(&victim, HOUR);
    fill(&parts, 0, late);
    let mut seen = view.hold(0, late.state).unwrap();
    seen.due = seen.since;
    let orders = hold::Orders {
        all: false,
        before: 0,
    };
    assert!(!pass::end(view, 0, &seen, orders, false));
    assert_eq!(state(&parts, 0), late.state);
    assert!(victim.is_stopped());
}

/// Check that a process that somebody else has stopped as well is not continued.
#[test]
fn leaves_what_others_stopped() {
    let (parts, victim) = (parts(), Victim::stopped());
    let guardian = Guardian::start(&parts).unwrap();
    let mut hold = held(&victim, MS);
    hold.signal |= libc::SIGSTOP as u32;
    fill(&parts, 0, hold);
    guardian.wake();
    eventually("the cell to be free", || state(&parts, 0) == 7 << 8);
    assert!(victim.is_stopped());
    let counts = guardian.end();
    assert_eq!((counts.released, counts.left_stopped), (1, 1));
    assert!(victim.is_stopped(), "nor at the end");
}

/// Check that a terminal's stop signal does after the stop what it would have done during it.
#[test]
fn passes_stop_signals_on() {
    for signal in [Signal::TSTP, Signal::TTIN, Signal::TTOU] {
        let (parts, victim) = (parts(), Victim::stopped());
        let guardian = Guardian::start(&parts).unwrap();
        let mut hold = held(&victim, 20 * MS);
        hold.signal |= signal.as_raw() as u32;
        fill(&parts, 0, hold);
        guardian.wake();
        eventually("it to be stopped by that", || {
            let status = victim.change();
            status.stopping_signal() == Some(signal.as_raw())
        });
        assert_eq!(guardian.end().released, 1);
    }
}

/// Check that a stop ends at once when its profile is not normal any more, or another.
#[test]
fn ends_with_its_reason() {
    let (parts, guilty, others) = (parts(), Victim::stopped(), Victim::stopped());
    let guardian = Guardian::start(&parts).unwrap();
    fill(&parts, 0, held(&guilty, HOUR));
    let mut of_another = held(&others, HOUR);
    of_another.slot = 1;
    fill(&parts, 1, of_another);
    guardian.wake();
    assert!(others.change().continued());
    assert!(guilty.is_stopped());
    // As `tolerize` does, which wakes nobody.
    parts.profiles.all()[0].store(NORMAL & !2, Ordering::SeqCst);
    assert!(guilty.change().continued());
    assert_eq!(guardian.end().released, 2);
}

/// Check that all are let go when that is asked for, and those stopped later not.
#[test]
fn lets_all_go() {
    let (parts, victims) = (parts(), [(); 3].map(|()| Victim::stopped()));
    let guardian = Guardian::start(&parts).unwrap();
    for (cell, victim) in victims.iter().enumerate() {
        fill(&parts, cell, held(victim, HOUR));
    }
    guardian.wake();
    guardian.release_all();
    for victim in &victims {
        assert!(victim.change().continued());
    }
    eventually("the cells to be free", || parts.held() == 0);
    let late = Victim::stopped();
    fill(&parts, 500, held(&late, 30 * MS));
    guardian.wake();
    assert!(late.change().continued());
    let counts = guardian.end();
    assert!(counts.observed_ns >= 30 * MS, "{counts:?}");
}

/// Check that the end lets all go.
#[test]
fn its_end_lets_all_go() {
    let (parts, victim) = (parts(), Victim::stopped());
    let guardian = Guardian::start(&parts).unwrap();
    let pid = pid(&guardian);
    fill(&parts, 0, held(&victim, HOUR));
    drop(guardian);
    assert!(victim.change().continued());
    assert_eq!(state_of(pid), None, "it was waited for");
}

/// Check that a cell whose process has exited is nobody's, whatever its pid is now.
#[test]
fn closes_what_has_gone() {
    let (parts, victim) = (parts(), Victim::stopped());
    let guardian = Guardian::start(&parts).unwrap();
    let folder = format!("/proc/{}/fd", pid(&guardian));
    let files = || fs::read_dir(&folder).unwrap().count();
    eventually(
        "the ring, what it is told, and this process to be all",
        || files() == 3,
    );
    fill(&parts, 0, held(&victim, HOUR));
    guardian.wake();
    eventually("its process to be opened", || files() == 4);
    drop(victim);
    // As the hook at exit does.
    parts.holds.all()[0].store(7 << 8, Ordering::SeqCst);
    eventually("its process to be closed", || files() == 3);
    assert_eq!(guardian.end(), Counts::default());
}

/// Check that of the processes that are gone nothing is left, if no hook was there to say so.
#[test]
fn forgets_the_dead() {
    let parts = parts();
    let guardian = Guardian::start(&parts).unwrap();
    let victim = Victim::stopped();
    let hold = held(&victim, 0);
    drop(victim);
    fill(&parts, 0, hold);
    guardian.wake();
    eventually("the cell to be free", || parts.held() == 0);
    assert_eq!(guardian.end(), Counts::default());
}

/// Check that a guardian that is killed is missed, and what it held goes on.
#[test]
fn is_missed() {
    let (parts, held_one, half_done) = (parts(), Victim::stopped(), Victim::stopped());
    let guardian = Guardian::start(&parts).unwrap();
    assert!(!guardian.ended());
    fill(&parts, 0, held(&held_one, HOUR));
    let mut ending = held(&half_done, HOUR);
    ending.state = 7 << 8 | ENDING;
    fill(&parts, 1, ending);
    signal(&guardian, Signal::KILL);
    eventually("its end to be seen", || guardian.ended());
    assert_eq!(guardian.end().released, 1);
    assert!(held_one.change().continued());
    assert!(half_done.change().continued());
    let next = Guardian::start(&parts).unwrap();
    assert!(!next.ended());
}

/// Check that a pid that is another's by now is not continued for a guardian that was killed.
#[test]
fn continues_no_stranger() {
    let (parts, stranger) = (parts(), Victim::stopped());
    let guardian = Guardian::start(&parts).unwrap();
    signal(&guardian, Signal::KILL);
    let mut ending = held(&stranger, HOUR);
    ending.state = 7 << 8 | ENDING;
    ending.start -= 1_000_000_000;
    fill(&parts, 0, ending);
    guardian.end();
    assert_eq!(state(&parts, 0), 7 << 8);
    assert!(stranger.is_stopped());
}

/// Check that a guardian that somebody has stopped is continued.
#[test]
fn is_woken() {
    let (parts, victim) = (parts(), Victim::stopped());
    let guardian = Guardian::start(&parts).unwrap();
    signal(&guardian, Signal::STOP);
    let pid = pid(&guardian);
    eventually("it to be stopped", || state_of(pid) == Some('T'));
    fill(&parts, 0, held(&victim, MS));
    eventually("the victim to go on", || {
        assert!(!guardian.ended());
        !victim.is_stopped()
    });
}

/// Check that it is a process apart, with a name, and without what is not its own.
#[test]
fn stands_apart() {
    let lot = vec![1_u8; 64 << 20];
    let parts = parts();
    let guardian = Guardian::start(&parts).unwrap();
    let pid = pid(&guardian);
    let file = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    assert_eq!(file("comm"), "ebph-guardian\n");
    let status = file("status");
    let number = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|line| line.split_whitespace().next());
        value.unwrap().parse().unwrap()
    };
    assert!(number("RssAnon:") < 16 << 10, "kB, of {}", lot.len());
    assert_eq!(number("Threads:"), 1);
    let id = Pid::from_raw(pid.cast_signed());
    assert_eq!(rustix::process::getsid(id).unwrap(), id.unwrap());
    let maps = file("maps");
    let shared = maps
        .lines()
        .filter(|line| line.contains("rw-s") || line.contains("r--s"));
    // The cells, the profiles, two positions of the ring, and the words it shares.
    assert_eq!(shared.count(), 5, "{maps}");
}

/// Check that no `wait` of the embedding process for any child finds it.
#[test]
fn is_nobodys_child() {
    let mut part = Part::start("wait", None);
    part.expect("no children but these: ok");
}

/// Check that whatever is stopped goes on when the monitor's process ends, however it does.
#[test]
fn outlives_the_monitor() {
    let ways = ["killed", "abort", "panic", "exit", "exec"];
    let cases = ways.map(|how| {
        let victim = Victim::stopped();
        let mut part = Part::start(how, Some(&victim));
        let guardian: u32 = part.expect("guardian ").parse().unwrap();
        if how == "killed" {
            part.0.kill().unwrap();
        } else {
            part.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        }
        (how, victim, part, guardian)
    });
    for (how, victim, _part, guardian) in cases {
        assert!(victim.change().continued(), "{how}");
        eventually(&format!("the guardian to end: {how}"), || is_gone(guardian));
    }
}

/// This test binary again, to run [`part`] alone.
struct Part(Child, BufReader<std::process::ChildStdout>);

impl Part {
    fn start(how: &str, victim: Option<&Victim>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let part = "guardian::tests::part";
        command.args(["--exact", part, "--nocapture", "--test-threads=1"]);
        command.env(PART, how);
        if let Some(victim) = victim {
            command.env("EBPH_GUARDIAN_VICTIM", victim.pid().to_string());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self(child, lines)
    }

    /// Waits for a line with this in it, and returns the rest.
    #[track_caller]
    fn expect(&mut self, start: &str) -> String {
        for line in (&mut self.1).lines() {
            if let Some((_, rest)) = line.unwrap().split_once(start) {
                return rest.to_owned();
            }
        }
        panic!("the part ended without saying {start:?}");
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn part() {
    let Ok(how) = std::env::var(PART) else {
        return;
    };
    let parts = parts();
    let guardian = Guardian::start(&parts).unwrap();
    if how == "wait" {
        let any = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
        assert_eq!(any.err(), Some(rustix::io::Errno::CHILD));
        drop(guardian);
        println!("\nno children but these: ok");
        return;
    }
    let now = sys::boot_ns();
    let victim = std::env::var("EBPH_GUARDIAN_VICTIM").unwrap();
    let hold = ebph_hold {
        state: 7 << 8 | HELD,
        since: now,
        due: now + HOUR,
        epochs: 77,
        generation: 5,
        pid: victim.parse().unwrap(),
        ..ebph_hold::default()
    };
    fill(&parts, 0, hold);
    println!("\nguardian {}", pid(&guardian));
    std::io::stdin().read_line(&mut String::new()).unwrap();
    match how.as_str() {
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        "exec" => panic!("{}", Command::new("sleep").arg("3600").exec()),
        _ => panic!("as asked for"),
    }
}
