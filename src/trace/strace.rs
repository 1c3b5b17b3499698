//! What `strace -f` writes, as things that happen to threads.

mod arguments;
mod follow;
mod held;
mod line;
mod threads;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::BufRead;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::detector::Interrupted;
use crate::syscall::{Abi, Symbol};

use super::TraceError;
use super::bytes::{self, Source};

use threads::Threads;

/// Something that happened to a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The thread's id, as the trace has it; 0 where the trace never says.
    pub thread: u32,
    /// What happened.
    pub kind: EventKind,
}

impl Event {
    /// Something that happened to a thread, for those who have it from elsewhere and give it to a
    /// [`Focus`](super::Focus) or a [`Lesson`](super::Lesson).
    pub const fn new(thread: u32, kind: EventKind) -> Self {
        Self { thread, kind }
    }
}

/// What can happen to a thread.
///
/// A thread that makes calls before it was the child of a [`Fork`](Self::Fork) was running when
/// the trace began.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// It entered a system call. One that the kernel issues again is told twice, and announced by
    /// the [`Signal`](Self::Signal) before.
    Call(Symbol),
    /// It made another thread or process.
    Fork {
        /// The id of what it made.
        child: u32,
        /// Whether the child runs on a stack of its own, as threads do.
        new_stack: bool,
    },
    /// It runs another program from here on.
    Exec {
        /// The path as the call gave it; `None` if it cannot be told.
        path: Option<PathBuf>,
    },
    /// It was given a signal, or had its call interrupted for another reason.
    Signal {
        /// A function of the program runs.
        handled: bool,
        /// What was interrupted.
        interrupted: Interrupted,
    },
    /// It goes on under another id.
    Rename {
        /// That id.
        to: u32,
    },
    /// It ended, or the trace did.
    End {
        /// Its process ended with it.
        process: bool,
    },
}

/// Reads the output of strace, with or without `-f`, and one file for each process (`-ff`).
///
/// The options that add times, addresses, numbers and names to lines may have been given. It is
/// best to have strace write to a file (`-o`), as what a traced program writes to standard error is
/// in the way otherwise. Then, however, strace does not write down when a process changes between
/// 64-bit and 32-bit calls; with `-n` it is told from the calls' numbers, and without from the
/// first call that only one of the two has.
///
/// What the output does not have cannot be honoured: that a handler was left by `siglongjmp`, and
/// which handlers a process had set before strace was attached to it; its signals count as
/// unhandled.
///
/// # Examples
///
/// ```
/// use ebph::trace::{EventKind, Strace};
/// use ebph::{Abi, Symbol};
///
/// let text = &b"7  execve(\"/bin/true\", [\"true\"], 0x7ffe /* 3 vars */) = 0\n\
///               7  exit_group(0) = ?\n\
///               7  +++ exited with 0 +++\n"[..];
/// let mut strace = Strace::new(Abi::X86_64);
/// let events: Vec<_> = strace.read("true.strace", text).collect::<Result<_, _>>()?;
/// assert!(matches!(&events[1].kind, EventKind::Exec { path: Some(path) } if path.ends_with("true")));
/// let exit = Symbol::from_name(Abi::X86_64, "exit_group").unwrap();
/// assert_eq!(events[2].kind, EventKind::Call(exit));
/// # Ok::<(), ebph::trace::TraceError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Strace {
    abi: Abi,
    threads: Threads,
    queue: VecDeque<Event>,
    /// Lines that had to wait, and need not any more.
    released: VecDeque<Vec<u8>>,
    /// What file names have in common in which processes are to be looked for; `-ff` only.
    family: Option<OsString>,
    /// Calls whose names are not known here, and how often they came.
    unknown: BTreeMap<String, u64>,
}

/// How many different unknown names are remembered.
const UNKNOWN_NAMES: usize = 64;

impl Strace {
    /// A reader of calls that are made through this interface unless the trace says otherwise.
    pub fn new(abi: Abi) -> Self {
        Self {
            abi,
            threads: Threads::new(abi),
            queue: VecDeque::new(),
            released: VecDeque::new(),
            family: None,
            unknown: BTreeMap::new(),
        }
    }

    /// Reads one file. Its threads are its own, but for files of `strace -ff`, which are named
    /// alike up to the process id they end in: there a child that an earlier file saw being made
    /// is known.
    ///
    /// `file` is the name in messages, and tells the process where the lines do not.
    pub fn read<R: BufRead>(&mut self, file: impl Into<PathBuf>, reader: R) -> Events<'_, R> {
        let file = file.into();
        let name = file.file_name().unwrap_or_default().as_bytes();
        let (family, pid) = match arguments::family(name) {
            Some((family, pid)) => {
                let whole = file.with_file_name(OsString::from_vec(family.to_vec()));
                (Some(whole.into_os_string()), Some(pid))
            }
            None => (None, None),
        };
        // What is left of a file that was not read to its end is of no use.
        self.queue.clear();
        self.released.clear();
        let same_family = self.family.is_some() && self.family == family;
        self.threads.end_file(same_family, &mut self.queue);
        self.family = family;
        self.threads.begin_file(pid);
        Events {
            strace: self,
            source: Source::new(file, reader),
            line: bytes::Line::default(),
            open: None,
            over: false,
        }
    }

    /// Names of calls that this version does not know, with how often each came. They were all
    /// taken for the one call that stands for unknown ones.
    pub fn unknown(&self) -> impl Iterator<Item = (&str, u64)> {
        self.unknown
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
    }

    /// Ends the file: a process of `-ff` that was made and not yet seen has a file of its own.
    fn end_file(&mut self) {
        let keep_unseen = self.family.is_some() && !self.threads.lines_name_threads();
        self.threads.end_file(keep_unseen, &mut self.queue);
        if !keep_unseen {
            self.family = None;
        }
    }

    fn note_unknown(&mut self, name: &str) {
        if let Some(count) = self.unknown.get_mut(name) {
            *count += 1;
        } else if self.unknown.len() < UNKNOWN_NAMES {
            self.unknown.insert(name.to_owned(), 1);
        }
    }
}

/// The events of one file, in their order. Ends with the file, or with its first error.
#[derive(Debug)]
pub struct Events<'a, R> {
    strace: &'a mut Strace,
    source: Source<R>,
    line: bytes::Line,
    /// A call whose end is not in its line, and where it began: something else may have been
    /// written in between.
    open: Option<(u64, Vec<u8>)>,
    over: bool,
}

/// Longest text that a call broken into lines may have.
const BROKEN: usize = 64 << 10;

const STRACE_LINE: &str = "a line of strace's output";
const CALL_WITH_RESULT: &str = "a system call with its result";

impl<R: BufRead> Events<'_, R> {
    /// Takes one line in; false at the end of the file.
    fn advance(&mut self) -> Result<bool, TraceError> {
        if !self.source.read_line(&mut self.line)? {
            self.end()?;
            return Ok(false);
        }
        let number = self.line.number;
        if let Some((at, pid)) = line::broken_by_notice(&self.line.text) {
            self.strace.threads.attached(pid);
            self.line.text.truncate(at);
            return self.keep_open(number).map(|()| true);
        }
        if let Some((begun, mut text)) = self.open.take() {
            // A line that stands for itself is not the end of another.
            if line::parse(&self.line.text).is_ok_and(|line| line.what != line::What::Nothing) {
                return Err(self.malformed(begun, CALL_WITH_RESULT, &text));
            }
            text.append(&mut self.line.text);
            if text.len() > BROKEN {
                return Err(self.malformed(begun, CALL_WITH_RESULT, &text));
            }
            self.line.text = text;
            return self.take(begun).map(|()| true);
        }
        self.take(number).map(|()| true)
    }

    /// Understands `self.line`, which began at line `begun`.
    fn take(&mut self, begun: u64) -> Result<(), TraceError> {
        match line::parse(&self.line.text) {
            Ok(line) => {
                let result = self.strace.take(&line, &self.line.text);
                result.map_err(|expected| self.malformed(begun, expected, &self.line.text))
            }
            Err(line::Trouble::NoOutcome(_)) if self.line.whole => self.keep_open(begun),
            // Cut off at the end of the file, but entered it was.
            Err(line::Trouble::NoOutcome(line)) => {
                let result = self.strace.take(&line, &self.line.text);
                result.map_err(|expected| self.malformed(begun, expected, &self.line.text))
            }
            Err(line::Trouble::Foreign) if self.line.whole || begun == 1 => {
                Err(self.malformed(begun, STRACE_LINE, &self.line.text))
            }
            Err(line::Trouble::Foreign) => Ok(()),
        }
    }

    fn keep_open(&mut self, number: u64) -> Result<(), TraceError> {
        let text = std::mem::take(&mut self.line.text);
        let (begun, mut open) = self.open.take().unwrap_or((number, Vec::new()));
        open.extend(text);
        if open.len() > BROKEN {
            return Err(self.malformed(begun, CALL_WITH_RESULT, &open));
        }
        self.open = Some((begun, open));
        Ok(())
    }

    /// What is open at the end of the file was cut off.
    fn end(&mut self) -> Result<(), TraceError> {
        if let Some((begun, text)) = self.open.take() {
            self.line.text = text;
            self.line.whole = false;
            self.take(begun)?;
        }
        let held = self.strace.release_all();
        held.map_err(|expected| self.malformed(self.line.number, expected, b""))?;
        self.strace.end_file();
        Ok(())
    }

    fn malformed(&self, line: u64, expected: &'static str, found: &[u8]) -> TraceError {
        bytes::malformed(self.source.file().clone(), line, expected, found)
    }
}

impl<R: BufRead> Iterator for Events<'_, R> {
    type Item = Result<Event, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.strace.queue.pop_front() {
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            match self.advance() {
                Ok(more) => self.over = !more,
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The path that a program was executed by, if it is the one that is meant by another path.
///
/// Either they are the same text, or they lead to the same file here.
pub(super) fn same_program(path: &Path, other: &Path) -> bool {
    let here = |path: &Path| path.canonicalize().ok();
    path == other || here(path).is_some_and(|path| here(other) == Some(path))
}
