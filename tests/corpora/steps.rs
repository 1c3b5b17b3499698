//! Bytes as steps, which the detector and the naive model must take alike.

use std::sync::LazyLock;
use std::time::Duration;

use ebph::detector::{Command, Did, HandlerFrame, Interrupted, Op, ProfileId, Step};
use ebph::{Abi, Detector, Key, Limits, Profile, Symbol};

#[path = "../differential/naive/mod.rs"]
mod naive;

use naive::{Naive, Program};

/// Where the stack of all tasks begins, and the alternate one's end.
const STACK: u64 = 0x7fff_0000;
const ALTERNATE: u64 = 0x5000_0000;
/// Most calls of one input: more than a locality frame holds.
const CALLS: usize = 200;
/// Most profiles of one input.
const PROFILES: usize = 4;

/// A profile that has a few ids left, and knows nothing. To come so far takes hundreds of calls.
static CROWDED: LazyLock<(Profile, Program)> = LazyLock::new(|| {
    let limits = Limits::default();
    let mut detector = Detector::new(limits).with_max_rows(1);
    detector.add_profile(Key::new(8, 1, 99, 0));
    let mut naive = Naive::new(limits, 1, 1, 9);
    let (task, profile) = (0, 0);
    let call = |number| Op::Call {
        task,
        symbol: Symbol::native(number),
        sp: STACK,
    };
    let command = Command::Reset;
    let ops = std::iter::once(Op::Exec { task, profile })
        .chain((200..450).map(call))
        .chain([Op::Exit { task }, Op::Command { profile, command }]);
    for step in ops.map(|op| Step::new(1, op)) {
        assert_eq!(naive.apply(&step), detector.apply(&step));
    }
    let profile = detector.profile(ProfileId::new(0));
    (profile.expect("it was added"), naive.programs.remove(0))
});

/// Lets both take the steps that some bytes stand for; answers all that these did.
pub fn steps(bytes: &[u8]) -> Did {
    let mut bytes = Bytes(bytes);
    let limits = limits(&mut bytes);
    let (profiles, crowded) = match bytes.next() {
        few @ 0..224 => (1 + u32::from(few % 3), false),
        few => (1 + u32::from(few % 2), true),
    };
    let rows = [0, 1, 3, 9, 40, 255, 1_000, 1_000][usize::from(bytes.next() % 8)];
    let window = match bytes.next() {
        few @ 2..9 => few,
        _ => 9,
    };
    let mut detector = Detector::new(limits)
        .with_max_rows(rows as usize)
        .with_window(window);
    for number in 0..profiles {
        detector.add_profile(Key::new(8, 1, number.into(), 0));
    }
    let mut naive = Naive::new(limits, profiles, rows, window);
    let mut reader = Reader {
        now: 1,
        last: Symbol::native(0),
        normal_wait: limits.normal_wait,
        calls_left: CALLS,
        steps: Vec::new(),
    };
    let mut known = profiles as usize;
    if crowded {
        detector.add_known(&CROWDED.0);
        naive.programs.push(CROWDED.1.clone());
        known += 1;
    }
    let (mut number, mut did) = (0, Did::default());
    while !bytes.0.is_empty() && reader.calls_left > 0 {
        if let Some(profile) = reader.read(&mut bytes)
            && known < PROFILES
        {
            let profile = usize::from(profile) % known;
            let snapshot = detector.profile(ProfileId::new(profile));
            detector.add_known(&snapshot.expect("it was added"));
            naive.programs.push(naive.programs[profile].clone());
            known += 1;
        }
        for step in reader.steps.drain(..) {
            let (expected, found) = (naive.apply(&step), detector.apply(&step));
            assert_eq!(expected, found, "step {number}, {step:?}");
            number += 1;
            did |= found.did;
        }
    }
    if let Some(difference) = naive.differs(&detector) {
        panic!("after {number} steps, {difference}");
    }
    did
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    /// The next one; zeros come after the last.
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn wide(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.next()))
    }
}

fn limits(bytes: &mut Bytes<'_>) -> Limits {
    let one_of = |byte: u8, values: [u64; 8]| values[usize::from(byte % 8)];
    let wait = one_of(bytes.next(), [0, 1, 50, 1_000, 1_000, 1 << 40, u64::MAX, 0]);
    let (factor, per) = match bytes.next() {
        0 => (128, 32),
        1 => (65_536, 1),
        2 => (1, 65_536),
        byte => (1 + u64::from(byte >> 4), 1 + u64::from(byte & 15)),
    };
    Limits::default()
        .normal_wait(Duration::from_nanos(wait))
        .anomaly_limit(one_of(bytes.next(), [30, 0, 1, 2, 5, 100, u64::MAX, 30]))
        .tolerize_limit(one_of(bytes.next(), [12, 0, 1, 2, 5, 127, 128, 12]))
        .freeze_factor(factor, per)
        .min_train_calls(one_of(bytes.next(), [0, 0, 1, 10, 50, 200, u64::MAX, 0]))
        .min_train_processes(one_of(bytes.next(), [0, 0, 1, 2, 3, 5, u64::MAX, 0]))
}

/// Turns bytes into steps, a few bytes each.
struct Reader {
    now: u64,
    last: Symbol,
    normal_wait: Duration,
    calls_left: usize,
    steps: Vec<Step>,
}

impl Reader {
    /// Reads what comes next. A profile that is answered is to be added once more, as it is known.
    fn read(&mut self, bytes: &mut Bytes<'_>) -> Option<u8> {
        let first = bytes.next();
        let (kind, task, detail) = (first & 7, u16::from(first >> 3 & 3), first >> 5);
        let argument = bytes.next();
        match kind {
            0 | 1 => {
                let symbol = letter(argument);
                let sp = place(detail, bytes);
                self.call(task, symbol, sp);
            }
            // Many in a row, the same or one after the other.
            2 => {
                let (from, apart) = (u32::from(bytes.next()), u32::from(detail & 1));
                for number in 0..u32::from(argument) {
                    self.call(task, Symbol::native(from + number * apart), STACK);
                }
            }
            3 => self.push(Op::Fork {
                parent: task,
                child: u16::from(argument & 7),
                new_stack: detail & 1 != 0,
            }),
            4 if detail == 7 => return Some(argument),
            4 if detail > 4 => self.push(Op::Exit { task }),
            4 => self.push(Op::Exec {
                task,
                profile: u32::from(argument & 7),
            }),
            5 => {
                let handler = handler(detail, bytes);
                let interrupted = match argument {
                    0..64 => Interrupted::None,
                    64..128 => Interrupted::Aborted,
                    128..192 => Interrupted::Restarts(self.last),
                    _ => Interrupted::Restarts(letter(argument)),
                };
                self.push(Op::Signal {
                    task,
                    handler,
                    interrupted,
                });
            }
            6 => {
                let commands = [
                    Command::Normalize,
                    Command::Sensitize,
                    Command::Tolerize,
                    Command::Freeze,
                    Command::Thaw,
                    Command::Reset,
                ];
                self.push(Op::Command {
                    profile: u32::from(argument & 7),
                    command: commands[usize::from(detail) % commands.len()],
                });
            }
            _ => {
                let wait = u64::try_from(self.normal_wait.as_nanos()).unwrap_or(u64::MAX);
                let waits = [1, wait, wait.saturating_sub(1), argument.into()];
                let wait = waits[usize::from(detail & 3)];
                self.now = self.now.saturating_add(wait);
            }
        }
        None
    }

    fn call(&mut self, task: u16, symbol: Symbol, sp: u64) {
        if self.calls_left > 0 {
            self.calls_left -= 1;
            self.last = symbol;
            self.push(Op::Call { task, symbol, sp });
        }
    }

    fn push(&mut self, op: Op) {
        self.steps.push(Step::new(self.now, op));
    }
}

/// A few calls are enough for most, and some mean more than others.
fn letter(byte: u8) -> Symbol {
    let number = u32::from(byte & 15);
    match byte >> 4 {
        0..=9 => Symbol::native(20 + number),
        10 => Symbol::compat(number),
        11 => Symbol::raw(u32::MAX - number % 2),
        12 => Symbol::new(Abi::IoUring, number),
        13 => Symbol::native(u32::MAX),
        // `rt_sigreturn` and `restart_syscall`, by the numbers of each machine.
        14 if cfg!(target_arch = "aarch64") => Symbol::native(139),
        14 => Symbol::native(15),
        _ if cfg!(target_arch = "aarch64") => Symbol::native(128),
        _ => Symbol::native(219),
    }
}

/// A stack pointer: on the stack or on the alternate one, near their ends, or anywhere.
fn place(detail: u8, bytes: &mut Bytes<'_>) -> u64 {
    match detail {
        0 | 1 => STACK - 64,
        2 => STACK,
        3 => STACK - u64::from(bytes.next()),
        4 => ALTERNATE - 64,
        5 => ALTERNATE - u64::from(bytes.next()) * 32,
        6 => 0,
        _ => bytes.wide(),
    }
}

fn handler(detail: u8, bytes: &mut Bytes<'_>) -> Option<HandlerFrame> {
    let alternate = |sp| HandlerFrame::on_alternate_stack(sp, ALTERNATE - 4096, ALTERNATE);
    Some(match detail {
        0 | 1 => return None,
        2 | 3 => HandlerFrame::new(STACK - u64::from(bytes.next())),
        4 => alternate(u64::MAX),
        5 => alternate(ALTERNATE - u64::from(bytes.next())),
        6 => HandlerFrame::new(u64::MAX),
        _ => HandlerFrame::on_alternate_stack(bytes.wide(), bytes.wide(), bytes.wide()),
    })
}
