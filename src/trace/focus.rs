//! One program out of a trace of many.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::strace::{Event, EventKind, same_program};

/// How many programs are told apart in the account of what was left out.
const PROGRAMS: usize = 1024;

/// A program that a trace has calls of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Program {
    /// The path by which it was executed; `None` for what was running when the trace began, and
    /// for what comes after the first thousand programs.
    pub path: Option<PathBuf>,
    /// The calls that it made.
    pub calls: u64,
}

/// Which program is meant.
#[derive(Clone, Debug)]
enum Wanted {
    /// The first that is executed, or else what is running.
    First,
    /// That with this path.
    Path(PathBuf),
    /// What was running when the trace began.
    Running,
}

/// Lets the events of one program through.
///
/// A profile is one program's; a trace is of whatever was run. A thread that executes another
/// program leaves this one, one that executes this program joins it, and the children of its
/// threads are in it.
///
/// # Examples
///
/// ```
/// use ebph::Abi;
/// use ebph::trace::{EventKind, Focus, Strace};
///
/// let text = &b"7 execve(\"/bin/sh\", [\"sh\"], 0x0) = 0\n\
///               7 getpid() = 7\n\
///               7 execve(\"/bin/true\", [\"true\"], 0x0) = 0\n\
///               7 exit_group(0) = ?\n"[..];
/// let mut focus = Focus::first();
/// let mut calls = 0;
/// for event in Strace::new(Abi::X86_64).read("sh.strace", text) {
///     if let Some(EventKind::Call(_)) = focus.pass(event?).map(|event| event.kind) {
///         calls += 1;
///     }
/// }
/// assert_eq!(calls, 2);
/// assert_eq!(focus.path(), Some("/bin/sh".as_ref()));
/// # Ok::<(), ebph::trace::TraceError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Focus {
    wanted: Wanted,
    /// Number 0 is what was running when the trace began.
    programs: Vec<Program>,
    is_wanted: Vec<bool>,
    numbers: HashMap<PathBuf, usize>,
    /// The number of each thread's program, unless it is 0.
    threads: HashMap<u32, usize>,
}

impl Focus {
    /// The program that the first thread of the trace executes; what is running already if the
    /// trace begins with other calls.
    pub fn first() -> Self {
        Self::new(Wanted::First)
    }

    /// The program with this path: the one that calls gave, or one that leads to the same file
    /// on this machine.
    pub fn on(path: impl Into<PathBuf>) -> Self {
        Self::new(Wanted::Path(path.into()))
    }

    fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            programs: vec![Program {
                path: None,
                calls: 0,
            }],
            is_wanted: vec![false],
            numbers: HashMap::new(),
            threads: HashMap::new(),
        }
    }

    /// Lets an event through if it is the program's. A thread that leaves the program by executing
    /// another one is said to end; one that joins it comes with its [`EventKind::Exec`].
    pub fn pass(&mut self, event: Event) -> Option<Event> {
        let number = self.threads.get(&event.thread).copied().unwrap_or(0);
        let inside = self.is_wanted[number];
        match &event.kind {
            EventKind::Call(symbol) => {
                self.programs[number].calls += 1;
                if matches!(self.wanted, Wanted::First)
                    && !matches!(&*symbol.name(), "execve" | "execveat")
                {
                    self.wanted = Wanted::Running;
                    self.is_wanted[0] = true;
                    return (number == 0).then_some(event);
                }
            }
            EventKind::Fork { child, .. } => self.put(*child, number),
            EventKind::Exec { path } => {
                if let (Wanted::First, Some(path)) = (&self.wanted, path) {
                    self.wanted = Wanted::Path(path.clone());
                }
                // The call that began it all is no program's: strace's own child made it.
                if number == 0 && !inside {
                    self.programs[0].calls = self.programs[0].calls.saturating_sub(1);
                }
                let number = self.number(path.as_deref());
                self.put(event.thread, number);
                if !self.is_wanted[number] {
                    return inside.then_some(Event {
                        kind: EventKind::End { process: true },
                        ..event
                    });
                }
                return Some(event);
            }
            EventKind::Rename { to } => {
                self.threads.remove(&event.thread);
                self.put(*to, number);
            }
            EventKind::End { .. } => {
                self.threads.remove(&event.thread);
            }
            EventKind::Signal { .. } => (),
        }
        inside.then_some(event)
    }

    /// Forgets all threads, as for another trace. What programs there were is kept, and which of
    /// them is meant.
    pub fn forget_threads(&mut self) {
        self.threads.clear();
    }

    /// The path of the program that is meant; `None` for what was running when the trace began,
    /// and while that is not known.
    pub fn path(&self) -> Option<&Path> {
        match &self.wanted {
            Wanted::Path(path) => Some(path),
            _ => None,
        }
    }

    /// The calls of the program that is meant.
    pub fn calls(&self) -> u64 {
        let all = self.programs.iter().zip(&self.is_wanted);
        all.filter_map(|(program, wanted)| wanted.then_some(program.calls))
            .sum()
    }

    /// The programs whose calls were left out, those with the most calls first.
    pub fn left_out(&self) -> Vec<Program> {
        let all = self.programs.iter().zip(&self.is_wanted);
        let left = all.filter(|(program, wanted)| !**wanted && program.calls > 0);
        let mut left: Vec<_> = left.map(|(program, _)| program.clone()).collect();
        left.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.path.cmp(&b.path)));
        left
    }

    fn put(&mut self, thread: u32, number: usize) {
        if number == 0 {
            self.threads.remove(&thread);
        } else {
            self.threads.insert(thread, number);
        }
    }

    fn number(&mut self, path: Option<&Path>) -> usize {
        // Of a path that cannot be told it is known at least that it is not what was running.
        let path = path.unwrap_or(Path::new("?"));
        if let Some(number) = self.numbers.get(path) {
            return *number;
        }
        let wanted = matches!(&self.wanted, Wanted::Path(meant) if same_program(path, meant));
        let full = self.programs.len() > PROGRAMS;
        if full && !wanted {
            // One place for all the rest, the last.
            if self.programs.len() == PROGRAMS + 1 {
                self.add(None, false);
            }
            return PROGRAMS + 1;
        }
        self.add(Some(path.to_owned()), wanted);
        self.numbers
            .insert(path.to_owned(), self.programs.len() - 1);
        self.programs.len() - 1
    }

    fn add(&mut self, path: Option<PathBuf>, wanted: bool) {
        self.programs.push(Program { path, calls: 0 });
        self.is_wanted.push(wanted);
    }
}

#[cfg(test)]
mod tests {
    use crate::syscall::{Abi, Symbol};

    use super::*;

    fn event(thread: u32, kind: EventKind) -> Event {
        Event { thread, kind }
    }

    fn call(thread: u32, name: &str) -> Event {
        let symbol = Symbol::from_name(Abi::X86_64, name).unwrap();
        event(thread, EventKind::Call(symbol))
    }

    fn exec(thread: u32, path: &str) -> Event {
        let path = Some(path.into());
        event(thread, EventKind::Exec { path })
    }

    /// How many of these events are let through.
    fn passed(focus: &mut Focus, events: &[Event]) -> usize {
        let passed = events.iter().filter_map(|event| focus.pass(event.clone()));
        passed.count()
    }

    /// Check that a trace that begins in the middle of things is of what was running.
    #[test]
    fn what_was_running() {
        let mut focus = Focus::first();
        let all = [
            call(1, "read"),
            call(2, "write"),
            call(2, "execve"),
            exec(2, "/x"),
        ];
        // The exec shows as the end of a thread of it.
        assert_eq!(passed(&mut focus, &all), 4);
        assert!(focus.pass(call(2, "read")).is_none());
        assert_eq!((focus.path(), focus.calls()), (None, 3));
        assert_eq!(focus.left_out()[0].path.as_deref(), Some("/x".as_ref()));
    }

    /// Check that children are in their parent's program until they leave it.
    #[test]
    fn children() {
        let mut focus = Focus::first();
        let fork = EventKind::Fork {
            child: 2,
            new_stack: false,
        };
        assert!(focus.pass(call(1, "execve")).is_none());
        assert!(focus.pass(exec(1, "/a")).is_some());
        assert!(focus.pass(event(1, fork)).is_some());
        assert!(focus.pass(call(2, "getpid")).is_some());
        let left = focus.pass(exec(2, "/b")).unwrap();
        assert_eq!(left.kind, EventKind::End { process: true });
        assert!(focus.pass(exec(2, "/a")).is_some());
        assert!(focus.pass(event(2, EventKind::Rename { to: 9 })).is_some());
        assert!(focus.pass(call(9, "getpid")).is_some());
        assert!(focus.pass(call(2, "getpid")).is_none());
        assert_eq!(focus.calls(), 2);
    }

    /// Check that programs beyond what is told apart are counted together, and that the one that
    /// is meant is found among them.
    #[test]
    fn many_programs() {
        let mut focus = Focus::on("/wanted");
        for number in 0..3000 {
            focus.pass(exec(1, &format!("/p{number}")));
            assert!(focus.pass(call(1, "getpid")).is_none());
        }
        assert!(focus.pass(exec(1, "/wanted")).is_some());
        assert!(focus.pass(call(1, "getpid")).is_some());
        let left = focus.left_out();
        assert_eq!(
            (left[0].path.as_ref(), left[0].calls),
            (None, 3000 - PROGRAMS as u64)
        );
        assert_eq!(left.len(), PROGRAMS + 1);
        assert_eq!(focus.calls(), 1);
    }
}
