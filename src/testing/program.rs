//! Programs that make the calls they are told to.

mod respond;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::detector::{Command, Detector, Did, ProfileId, TaskId, Verdict};
use crate::event::{
    Actor, Anomaly, Circumstances, Context, Event, EventKind, Fact, Marks, MissedPair, NewSequence,
    ProfileEvent, ProfileView, StartNormal, StopCause, StopNormal, UnbalancedSigreturn,
};
use crate::key::Key;
use crate::limits::Limits;
use crate::profile::{Profile, State};
use crate::response::Responses;
use crate::syscall::{Abi, Letter, ParseSymbolError, Symbol};

use super::Stub;

/// Calls before the present one that a report shows.
const BEFORE: usize = 8;
/// A thread's name has no more bytes than this.
const COMM: usize = 15;
/// Where no program has its stack, so that no signal handler is taken to have been left.
const STACK: u64 = 0x7fff_0000;

/// A program that makes the system calls it is told to, in one thread, and sends what becomes of
/// it through a [`Stub`]; see [`Stub::program`].
///
/// The [`Detector`] learns and judges, so profiles freeze, become normal and cease to be so as they
/// do in the kernel, and anomalies have the pairs that were missed. Every anomaly is sent, since
/// nothing is left out as a repeat.
#[derive(Debug)]
pub struct Program<'a> {
    stub: &'a Stub,
    detector: Detector,
    profile: ProfileId,
    task: TaskId,
    exe: PathBuf,
    actor: Actor,
    circumstances: Option<Circumstances>,
    /// The calls since the exec, the last [`BEFORE`] at most, oldest first.
    window: Vec<Letter>,
    /// When its profile was made, since boot.
    created: Duration,
    /// How much time was made to pass.
    passed: Duration,
    responses: Responses,
    /// Whether it was told that it is, or would be, killed.
    killed: AtomicBool,
}

impl<'a> Program<'a> {
    pub(super) fn new(stub: &'a Stub, exe: PathBuf) -> Self {
        /// Programs differ in pid and inode.
        static NEXT: AtomicU32 = AtomicU32::new(1000);

        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut detector = Detector::new(Limits::default());
        let profile = detector.add_profile(Key::new(8, 1, number.into(), 0));
        let task = detector.spawn(profile);
        let (_, created) = Clock::both();
        let actor = Actor {
            pid: Some(number),
            tid: Some(number),
            ppid: Some(1),
            start: created,
            comm: comm_of(&exe),
            ..Actor::default()
        };
        let program = Self {
            stub,
            detector,
            profile,
            task,
            circumstances: Some(Circumstances {
                exe: Fact::at_call(exe.clone()),
                ..Circumstances::default()
            }),
            exe,
            actor,
            window: Vec::new(),
            created,
            passed: Duration::ZERO,
            responses: Responses::default(),
            killed: AtomicBool::new(false),
        };
        program.send(Event::ProfileCreated(program.plain(false)));
        program
    }

    /// Sets the limits by which it freezes, becomes normal and ceases to be so.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.detector.set_limits(limits);
        self
    }

    /// Sets who makes the calls.
    #[must_use]
    pub fn with_actor(mut self, actor: Actor) -> Self {
        self.actor = actor;
        self
    }

    /// Sets what surrounds the calls, as alerts tell it.
    #[must_use]
    pub fn with_circumstances(mut self, circumstances: Circumstances) -> Self {
        self.circumstances = Some(circumstances);
        self
    }

    /// Begins anew, as a process that has just executed it: with no calls before the first.
    pub fn exec(&mut self) {
        // SANITY: there is no machine without this call.
        let symbol = Symbol::from_name(Abi::NATIVE, "execve");
        let symbol = symbol.unwrap_or(Symbol::new(Abi::NATIVE, 0));
        self.respond_to_exec(symbol, &self.window, false);
        self.detector.exec(self.task, self.profile);
        self.killed = AtomicBool::new(false);
        self.window.clear();
    }

    /// Makes time pass, for profiles that wait to be normal. No event comes of it alone: a profile
    /// becomes normal with a call.
    pub fn wait(&mut self, time: Duration) {
        self.passed = self.passed.saturating_add(time);
    }

    /// Makes a system call, and returns what the detector says of it. The events that come of it
    /// have been sent then.
    ///
    /// # Errors
    ///
    /// [`ParseSymbolError`] if no call of this machine has that name; nothing is changed then.
    pub fn call(&mut self, name: &str) -> Result<Verdict, ParseSymbolError> {
        let symbol = Symbol::from_name(Abi::NATIVE, name)
            .ok_or_else(|| ParseSymbolError(name.to_owned()))?;
        let (_, now) = self.now();
        let verdict = self.detector.call(self.task, symbol, STACK, now);
        let mut window = self.window.clone();
        window.push(symbol.into());
        self.report(symbol, verdict, &window);
        // Restarts and such are not recorded.
        if verdict.did.contains(Did::RECORD) {
            let surplus = window.len().saturating_sub(BEFORE);
            self.window = window.split_off(surplus);
        }
        Ok(verdict)
    }

    /// Makes system calls, one after another.
    ///
    /// # Errors
    ///
    /// As for [`call`](Self::call); those before the wrong name have been made.
    pub fn calls<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<(), ParseSymbolError> {
        names
            .into_iter()
            .try_for_each(|name| self.call(name).map(drop))
    }

    /// Gives a command to its profile; false if the profile does not have what the command needs.
    pub fn command(&mut self, command: Command) -> bool {
        let (_, now) = self.now();
        let verdict = self.detector.command(self.profile, command, now);
        if verdict.result != 0 {
            return false;
        }
        let refresh = verdict.did.contains(Did::REFRESH);
        self.send(match command {
            Command::Normalize => self.start_normal(true, refresh),
            Command::Sensitize => Event::Sensitized(self.plain(true)),
            Command::Tolerize => self.stop_normal(StopCause::Command),
            Command::Freeze => Event::ProfileFrozen(self.plain(true)),
            Command::Thaw => Event::ProfileThawed(self.plain(true)),
            Command::Reset => Event::ProfileReset(self.plain(true)),
        });
        true
    }

    /// Returns its profile as it stands now.
    pub fn profile(&self) -> ProfileView {
        let (_, now) = self.now();
        // SANITY: the profile was added when this was made; were it not, it would know nothing.
        let profile = self.detector.profile(self.profile);
        let count = |of: fn(&Profile) -> u64| profile.as_ref().map_or(0, of);
        let is = |of: fn(&Profile) -> bool| profile.as_ref().is_some_and(of);
        ProfileView {
            key: profile.as_ref().map_or(Key::new(0, 0, 0, 0), Profile::key),
            exe: Some(self.exe.clone()),
            script: None,
            state: profile.as_ref().map_or(State::Training, Profile::state),
            frozen: is(Profile::is_frozen),
            train_count: count(Profile::train_count),
            last_mod_count: count(Profile::last_mod_count),
            anomalies: count(Profile::anomalies),
            sequences: count(Profile::sequences),
            basis: count(Profile::basis),
            execs: count(Profile::execs),
            normal_time: profile.as_ref().and_then(Profile::normal_time),
            age: now.saturating_sub(self.created),
            marks: Marks {
                exe_lossy: self.exe.to_str().is_none(),
                incomplete: is(Profile::is_incomplete),
                ..Marks::default()
            },
        }
    }

    /// Sends what came of a call, in the order in which the kernel decides it.
    fn report(&self, symbol: Symbol, verdict: Verdict, window: &[Letter]) {
        let did = |what| verdict.did.contains(what);
        let pairs = |distances: u8| pairs(distances, window);
        if did(Did::NOVEL) {
            self.send(Event::NewSequence(Box::new(NewSequence {
                context: self.context(),
                symbol,
                window: window.to_vec(),
                novel: pairs(verdict.novel),
            })));
        }
        if did(Did::THAW) {
            self.send(Event::ProfileThawed(self.plain(false)));
        }
        if did(Did::FREEZE) {
            self.send(Event::ProfileFrozen(self.plain(false)));
        }
        if did(Did::START) {
            self.send(self.start_normal(false, did(Did::REFRESH)));
        }
        let status = self.detector.task(self.task);
        if did(Did::ANOMALY) {
            let mut context = self.alert_context();
            // As it was when the call was judged: the anomaly may have ended it.
            if let Some(profile) = &mut context.profile {
                profile.state = State::Normal;
                profile.anomalies = verdict.anomalies;
            }
            self.send(Event::Anomaly(Box::new(Anomaly {
                context,
                symbol,
                window: window.to_vec(),
                missed: pairs(verdict.missed),
                lfc: verdict.lfc,
                max_lfc: status.map_or(0, |status| status.max_lfc).max(verdict.lfc),
                suppressed: 0,
            })));
        }
        self.respond(symbol, verdict, window, pairs(verdict.missed));
        if did(Did::STOP) {
            self.send(self.stop_normal(StopCause::AnomalyLimit));
        } else if did(Did::RESET_TRAIN) {
            self.send(Event::TolerizeLimit(self.plain(false)));
        }
        if did(Did::UNBALANCED) {
            self.send(Event::UnbalancedSigreturn(Box::new(UnbalancedSigreturn {
                context: self.alert_context(),
                certain: status.is_none_or(|status| status.certain),
            })));
        }
    }

    fn send(&self, event: Event) {
        // The kernel sends no others.
        let kind: EventKind = event.kind();
        if self.stub.wanted.contains(kind) {
            self.stub.send(&event);
        }
    }

    fn start_normal(&self, by_command: bool, refresh: bool) -> Event {
        Event::StartNormal(Box::new(StartNormal {
            context: self.context(),
            by_command,
            refresh,
        }))
    }

    fn stop_normal(&self, cause: StopCause) -> Event {
        Event::StopNormal(Box::new(StopNormal {
            context: self.context(),
            cause,
        }))
    }

    fn plain(&self, by_command: bool) -> Box<ProfileEvent> {
        Box::new(ProfileEvent {
            context: self.context(),
            by_command,
        })
    }

    fn alert_context(&self) -> Context {
        Context {
            circumstances: self.circumstances.clone().map(Box::new),
            ..self.context()
        }
    }

    fn context(&self) -> Context {
        let (time, boot) = self.now();
        Context {
            time,
            boot,
            actor: self.actor.clone(),
            profile: Some(self.profile()),
            circumstances: None,
            lost_before: 0,
        }
    }

    /// Both clocks, with the time that was made to pass.
    fn now(&self) -> (std::time::SystemTime, Duration) {
        let (time, boot) = Clock::both();
        let time = time.checked_add(self.passed).unwrap_or(time);
        (time, boot.saturating_add(self.passed))
    }
}

/// The pairs at distances that are given as bits, nearest first.
fn pairs(distances: u8, window: &[Letter]) -> Vec<MissedPair> {
    let before = window.iter().rev().skip(1);
    (1..)
        .zip(before)
        .filter(|(distance, _)| distances & (1 << (distance - 1)) != 0)
        .map(|(distance, previous)| MissedPair {
            distance,
            previous: *previous,
        })
        .collect()
}

/// What the kernel would call a thread of this program.
fn comm_of(exe: &Path) -> String {
    let name = exe.file_name().unwrap_or(exe.as_os_str()).to_string_lossy();
    let mut end = COMM.min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}
