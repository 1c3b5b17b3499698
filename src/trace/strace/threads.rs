//! What is known of the threads of a trace, and whose line a line is.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::syscall::{Abi, Symbol};

use super::arguments::{Action, Clone};
use super::held::Held;
use super::line::Restart;
use super::{Event, EventKind, PathBuf};

/// How many threads may be alive, or made and not yet seen, at once.
const THREADS: usize = 1 << 16;

/// The id of a thread whose lines never say it.
const NAMELESS: u32 = 0;

/// A call that was entered and not yet left.
#[derive(Clone, Debug)]
pub(super) struct Open {
    /// `None` for a number that is no call's.
    pub(super) symbol: Option<Symbol>,
    pub(super) purpose: Purpose,
}

/// What a call does to its thread when it succeeds.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    Exec(Option<PathBuf>),
    Clone {
        how: Clone,
        /// The child, if it was seen before the call came back.
        child: Option<u32>,
    },
    Action(Vec<u8>, Action),
    Other,
}

/// One thread.
#[derive(Clone, Debug)]
pub(super) struct Thread {
    /// A number of its own for each process.
    process: u64,
    pub(super) abi: Abi,
    /// The interface was told from a call that no other one has.
    pub(super) abi_inferred: bool,
    pub(super) open: Option<Open>,
    /// A call that was interrupted, until it is known by what.
    pub(super) interrupted: Option<(Restart, Symbol)>,
    /// It entered a call that it does not come back from.
    pub(super) leaves: bool,
    /// Its place among those made and not yet seen.
    unseen: Option<u64>,
}

/// What the threads of a process have in common.
#[derive(Clone, Debug, Default)]
struct Process {
    threads: usize,
    handlers: HashMap<Vec<u8>, Action>,
}

/// Whose line a line is.
pub(super) enum Whose {
    /// This thread's, which is known.
    Thread(u32),
    /// That of the child of one of several threads; it has to wait.
    Undecided(u32),
}

#[derive(Clone, Debug)]
pub(super) struct Threads {
    abi: Abi,
    threads: HashMap<u32, Thread>,
    processes: HashMap<u64, Process>,
    next_process: u64,
    /// By the order in which they were made.
    unseen: BTreeMap<u64, u32>,
    next_unseen: u64,
    /// Threads inside a call that makes another, which was not seen yet.
    making: Vec<u32>,
    /// Threads that strace said it follows, and that were not seen yet.
    attached: HashSet<u32>,
    /// It ever said so in this file.
    notices: bool,
    /// A line of this file names its thread.
    named: bool,
    /// The process that a file without such names is about.
    file_pid: Option<u32>,
    pub(super) held: Held,
}

impl Threads {
    pub(super) fn new(abi: Abi) -> Self {
        Self {
            abi,
            threads: HashMap::new(),
            processes: HashMap::new(),
            next_process: 0,
            unseen: BTreeMap::new(),
            next_unseen: 0,
            making: Vec::new(),
            attached: HashSet::new(),
            notices: false,
            named: false,
            file_pid: None,
            held: Held::default(),
        }
    }

    pub(super) fn begin_file(&mut self, pid: Option<u32>) {
        self.attached.clear();
        self.notices = false;
        self.named = false;
        self.file_pid = pid;
    }

    pub(super) fn lines_name_threads(&self) -> bool {
        self.named
    }

    /// Ends the threads of a file, but for those that may have a file of their own.
    pub(super) fn end_file(&mut self, keep_unseen: bool, queue: &mut VecDeque<Event>) {
        let mut ended: Vec<_> = self.threads.keys().copied().collect();
        ended.retain(|id| !keep_unseen || self.threads[id].unseen.is_none());
        ended.sort_unstable();
        for thread in ended {
            self.remove(thread);
            queue.push_back(Event {
                thread,
                kind: EventKind::End { process: false },
            });
        }
        self.making.clear();
        self.held = Held::default();
    }

    pub(super) fn get(&mut self, id: u32) -> Option<&mut Thread> {
        self.threads.get_mut(&id)
    }

    pub(super) fn attached(&mut self, id: u32) {
        self.notices = true;
        if self.attached.len() < THREADS {
            self.attached.insert(id);
        }
    }

    /// The thread that a line is about. Whoever is not known is made known, as the child of the
    /// one thread that can have made it or as one that ran before the trace began.
    ///
    /// `resumes` is the name of the call that the line goes on with.
    pub(super) fn whose(
        &mut self,
        pid: Option<u32>,
        resumes: Option<&str>,
        queue: &mut VecDeque<Event>,
    ) -> Result<Whose, &'static str> {
        self.named |= pid.is_some();
        let id = pid.unwrap_or_else(|| self.nameless());
        if self.held.has(id) {
            return Ok(Whose::Undecided(id));
        }
        if let Some(thread) = self.threads.get_mut(&id) {
            if let Some(place) = thread.unseen.take() {
                self.unseen.remove(&place);
                self.attached.remove(&id);
            }
            return Ok(Whose::Thread(id));
        }
        if pid.is_some() && self.is_the_nameless(id, resumes) {
            self.rename(NAMELESS, id, queue);
            return Ok(Whose::Thread(id));
        }
        match self.making[..] {
            [parent] if resumes.is_none() => {
                self.adopt(parent, id, queue)?;
                Ok(Whose::Thread(id))
            }
            [_, _, ..] if resumes.is_none() => Ok(Whose::Undecided(id)),
            _ => {
                self.begin(id)?;
                Ok(Whose::Thread(id))
            }
        }
    }

    /// Who a line without a name is about: the only thread there is.
    fn nameless(&self) -> u32 {
        if let Some(pid) = self.file_pid.filter(|_| !self.named) {
            return pid;
        }
        let only = |leaves: bool| {
            let all = self.threads.iter();
            let mut all =
                all.filter(|(_, thread)| thread.unseen.is_none() && thread.leaves == leaves);
            all.next().filter(|_| all.next().is_none())
        };
        // With `-q` strace may not say that a thread ended.
        let found = only(false).or_else(|| only(true));
        found.map_or(NAMELESS, |(id, _)| *id)
    }

    /// Whether a thread that was nameless so far is this one: lines have names only while there
    /// are several threads.
    fn is_the_nameless(&self, id: u32, resumes: Option<&str>) -> bool {
        let Some(thread) = self.threads.get(&NAMELESS) else {
            return false;
        };
        let resumes_its_call = resumes.is_some() && thread.open.is_some();
        let can_be_a_child = self.making.contains(&NAMELESS) && !self.notices;
        !self.attached.contains(&id) && (resumes_its_call || !can_be_a_child)
    }

    /// A thread that was running before the trace began.
    pub(super) fn begin(&mut self, id: u32) -> Result<(), &'static str> {
        let process = self.new_process(HashMap::new());
        self.insert(id, process, self.abi, None)
    }

    /// The child of a thread that has not yet come back from making it.
    pub(super) fn adopt(
        &mut self,
        parent: u32,
        child: u32,
        queue: &mut VecDeque<Event>,
    ) -> Result<(), &'static str> {
        self.making.retain(|id| *id != parent);
        let open = self
            .threads
            .get_mut(&parent)
            .and_then(|thread| thread.open.as_mut());
        let Some(Open {
            purpose: Purpose::Clone { how, child: place },
            ..
        }) = open
        else {
            return self.begin(child);
        };
        *place = Some(child);
        let how = *how;
        self.fork(parent, child, how, true, queue)
    }

    /// A thread made another.
    pub(super) fn fork(
        &mut self,
        parent: u32,
        child: u32,
        how: Clone,
        seen: bool,
        queue: &mut VecDeque<Event>,
    ) -> Result<(), &'static str> {
        let Some(thread) = self.threads.get(&parent) else {
            return self.begin(child);
        };
        let (abi, mut process) = (thread.abi, thread.process);
        if !how.thread {
            let handlers = self.processes.get(&process);
            let handlers = handlers.filter(|_| !how.clears_handlers);
            process = self.new_process(
                handlers.map_or_else(HashMap::new, |process| process.handlers.clone()),
            );
        }
        // An id that is in use again: its thread's end was not seen.
        if self.threads.contains_key(&child) {
            let process = self.remove(child);
            queue.push_back(Event {
                thread: child,
                kind: EventKind::End { process },
            });
        }
        queue.push_back(Event {
            thread: parent,
            kind: EventKind::Fork {
                child,
                new_stack: how.new_stack,
            },
        });
        let place = (!seen).then(|| {
            self.next_unseen += 1;
            self.unseen.insert(self.next_unseen, child);
            self.next_unseen
        });
        if self.threads.len() >= THREADS
            && let Some((_, oldest)) = self.unseen.pop_first()
        {
            // Most likely it is not traced.
            self.remove(oldest);
            queue.push_back(Event {
                thread: oldest,
                kind: EventKind::End { process: false },
            });
        }
        self.insert(child, process, abi, place)
    }

    fn insert(
        &mut self,
        id: u32,
        process: u64,
        abi: Abi,
        unseen: Option<u64>,
    ) -> Result<(), &'static str> {
        if self.threads.len() >= THREADS {
            return Err("at most 65536 threads at once");
        }
        let thread = Thread {
            process,
            abi,
            abi_inferred: false,
            open: None,
            interrupted: None,
            leaves: false,
            unseen,
        };
        self.processes.entry(process).or_default().threads += 1;
        self.threads.insert(id, thread);
        Ok(())
    }

    fn new_process(&mut self, handlers: HashMap<Vec<u8>, Action>) -> u64 {
        self.next_process += 1;
        let process = Process {
            threads: 0,
            handlers,
        };
        self.processes.insert(self.next_process, process);
        self.next_process
    }

    /// A thread ended; tells whether its process did.
    pub(super) fn remove(&mut self, id: u32) -> bool {
        let Some(thread) = self.threads.remove(&id) else {
            return false;
        };
        if let Some(place) = thread.unseen {
            self.unseen.remove(&place);
        }
        self.making.retain(|making| *making != id);
        let Some(process) = self.processes.get_mut(&thread.process) else {
            return false;
        };
        process.threads -= 1;
        let last = process.threads == 0;
        if last {
            self.processes.remove(&thread.process);
        }
        last
    }

    /// A thread goes on under another id; whoever had that one is no more.
    pub(super) fn rename(&mut self, from: u32, to: u32, queue: &mut VecDeque<Event>) {
        if from == to || !self.threads.contains_key(&from) {
            return;
        }
        if self.threads.contains_key(&to) {
            self.remove(to);
            queue.push_back(Event {
                thread: to,
                kind: EventKind::End { process: false },
            });
        }
        if let Some(thread) = self.threads.remove(&from) {
            self.threads.insert(to, thread);
        }
        for id in self.making.iter_mut().filter(|id| **id == from) {
            *id = to;
        }
        queue.push_back(Event {
            thread: from,
            kind: EventKind::Rename { to },
        });
    }

    /// Another thread of the same process that is inside an exec; of several the one with the
    /// lowest id, since the same trace is to mean the same each time.
    pub(super) fn in_exec_beside(&self, id: u32) -> Option<u32> {
        let process = self.threads.get(&id)?.process;
        let in_exec = |thread: &Thread| {
            let open = thread.open.as_ref();
            open.is_some_and(|open| matches!(open.purpose, Purpose::Exec(_)))
        };
        let others = self.threads.iter().filter(|(other, thread)| {
            **other != id && thread.process == process && in_exec(thread)
        });
        others.map(|(id, _)| *id).min()
    }

    /// A thread entered a call that makes another.
    pub(super) fn begins_making(&mut self, id: u32) {
        self.making.push(id);
    }

    pub(super) fn ends_making(&mut self, id: u32) {
        self.making.retain(|making| *making != id);
    }

    /// The handlers of a thread's process.
    pub(super) fn handlers(&mut self, id: u32) -> Option<&mut HashMap<Vec<u8>, Action>> {
        let process = self.threads.get(&id)?.process;
        Some(&mut self.processes.get_mut(&process)?.handlers)
    }

    /// A thread whose lines wait, and the thread that made it if that can be told by now. `None`
    /// while no thread's lines wait or while too many can have made it.
    pub(super) fn decided(&self) -> Option<(u32, Option<u32>)> {
        let id = self.held.first()?;
        match self.making[..] {
            [] => Some((id, None)),
            [parent] if self.held.threads() == 1 => Some((id, Some(parent))),
            _ => None,
        }
    }
}
