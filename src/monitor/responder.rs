//! What is done about anomalies: switched on and off while the kernel's part goes on.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::thread::CapabilitySet;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::guardian::{self, Guardian};
use crate::limits::Limits;
use crate::loader::Hooks;
use crate::monitor::exempt::Known;
use crate::response::{ExecAnswer, ExecResponse, Responses};
use crate::stats::Stats;
use crate::sys::Program;

/// Holds whatever responses need, as long as they do.
#[derive(Debug)]
pub(crate) struct Responder {
    engine: Arc<Engine>,
    hooks: Hooks,
    /// Whether this process may continue those of others.
    may_signal: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Responses,
    exempt: Known,
    /// Denies execs while it is there.
    deny: Option<OwnedFd>,
    /// Continues what is stopped; with the hook that looks after it.
    guard: Option<(Guardian, OwnedFd)>,
    /// What guardians did that are gone.
    past: guardian::Counts,
    ended: bool,
}

impl Responder {
    pub(crate) fn new(engine: Arc<Engine>, hooks: Hooks, may_signal: bool) -> Self {
        Self {
            engine,
            hooks,
            may_signal,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each step leaves a state that is one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Responses {
        self.lock().now.clone()
    }

    /// Puts other responses in force; on an error those before stay.
    pub(crate) fn set(&self, responses: Responses, limits: &Limits) -> Result<()> {
        responses.validate(limits)?;
        let state = &mut *self.lock();
        if state.ended {
            return Ok(());
        }
        let exempt = state.exempt.become_of(&self.engine, &responses.exempt)?;
        // First what the new ones need, then they themselves, then what the old ones needed.
        let deny = match (&state.deny, responses.denies()) {
            (None, true) => Some(self.attach_deny()?),
            _ => None,
        };
        let guard = match (&state.guard, responses.stops()) {
            (None, true) => Some(self.start_guard()?),
            _ => None,
        };
        self.put_exempt(state, exempt)?;
        self.engine.set_responses(&responses)?;
        state.deny = state.deny.take().or(deny);
        state.guard = state.guard.take().or(guard);
        if !responses.denies() {
            state.deny = None;
        }
        if state.guard.is_some() && state.now != responses {
            // What was about to stop a process has done so by then. Whoever is stopped is so for reasons,
            // and a time, that may not be those from now on.
            self.engine.grace.wait();
            if responses.stops() {
                state.release();
            } else {
                state.end_guard();
            }
        }
        state.now = responses;
        Ok(())
    }

    fn attach_deny(&self) -> Result<OwnedFd> {
        let program = self.hooks.deny.as_ref().map_err(|why| Error::Unsupported {
            what: "denying an exec",
            why: why.clone(),
        })?;
        attach(program)
    }

    fn start_guard(&self) -> Result<(Guardian, OwnedFd)> {
        let hook = attach(&self.hooks.signalled)?;
        Ok((self.start_guardian()?, hook))
    }

    fn start_guardian(&self) -> Result<Guardian> {
        // It may do what this thread may, which need not be what it could when the monitor was started.
        let now = rustix::thread::capabilities(None);
        if !self.may_signal || !now.is_ok_and(|sets| sets.effective.contains(CapabilitySet::KILL)) {
            return Err(Error::NotPrivileged {
                missing: vec!["CAP_KILL"],
            });
        }
        Guardian::start(&self.hooks.guarded)
    }

    fn put_exempt(&self, state: &mut State, exempt: Known) -> Result<()> {
        let (before, after) = (state.exempt.all(), exempt.all());
        let added: Vec<_> = after.difference(&before).collect();
        for (at, one) in added.iter().enumerate() {
            if let Err(error) = self.hooks.exempt(&one.to_wire()) {
                let undone = added.iter().take(at);
                undone.for_each(|one| self.hooks.unexempt(&one.to_wire()));
                return Err(Error::io("exempting from responses")(error));
            }
        }
        for one in before.difference(&after) {
            self.hooks.unexempt(&one.to_wire());
        }
        state.exempt = exempt;
        Ok(())
    }

    /// Looks what is now at the paths of executables that are exempt: a package may have replaced one.
    pub(crate) fn look_at_files(&self) {
        let state = &mut *self.lock();
        if state.now.exempt.executables.is_empty() {
            return;
        }
        let mut exempt = state.exempt.clone();
        exempt.look(&self.engine);
        if let Err(error) = self.put_exempt(state, exempt) {
            log::warn!("{error}");
        }
    }

    /// Lets everything go on that is stopped.
    pub(crate) fn release(&self) {
        self.lock().release();
    }

    /// Returns what is readable once there is a guardian to be replaced.
    pub(crate) fn guard(&self) -> Option<OwnedFd> {
        let state = self.lock();
        let (guardian, _) = state.guard.as_ref()?;
        guardian.as_fd().try_clone_to_owned().ok()
    }

    /// Replaces a guardian that has ended; true if there was a need to.
    pub(crate) fn look_after_guardian(&self) -> bool {
        let state = &mut *self.lock();
        if !state.guard.as_ref().is_some_and(|(one, _)| one.ended()) {
            return false;
        }
        // The hook stays: processes are stopped all the while.
        let Some((gone, hook)) = state.guard.take() else {
            return false;
        };
        // Lets go of what it held.
        gone.bury();
        match self.start_guardian() {
            Ok(guardian) => {
                state.past.add(&gone.end());
                state.guard = Some((guardian, hook));
            }
            Err(error) => {
                log::error!("nothing is delayed or suspended any more: {error}");
                state.now.delay = state.now.delay.take().filter(|delay| delay.dry_run);
                let suspends = |exec: &ExecResponse| exec.answer != ExecAnswer::Deny;
                state.now.exec = state
                    .now
                    .exec
                    .take()
                    .filter(|exec| exec.dry_run || !suspends(exec));
                if let Err(error) = self.engine.set_responses(&state.now) {
                    log::error!("{error}");
                }
                // Who was stopped meanwhile has nobody else.
                self.engine.grace.wait();
                state.past.add(&gone.end());
            }
        }
        true
    }

    /// Has nothing done any more, from the next call on.
    pub(crate) fn disarm(&self) {
        let state = &mut *self.lock();
        state.ended = true;
        if let Err(error) = self.engine.set_responses(&Responses::default()) {
            log::warn!("{error}");
        }
    }

    /// Ends everything, once the hooks are detached.
    pub(crate) fn end(&self) {
        let state = &mut *self.lock();
        state.ended = true;
        state.deny = None;
        state.end_guard();
    }

    /// Adds what the guardians did.
    pub(crate) fn count(&self, stats: &mut Stats) {
        let state = self.lock();
        let mut counts = state.past;
        if let Some((guardian, _)) = &state.guard {
            counts.add(&guardian.counts());
        }
        stats.failures.signals = counts.refused;
        let stats = &mut stats.responses;
        stats.held = self.hooks.guarded.held();
        stats.released = counts.released;
        stats.left_stopped = counts.left_stopped;
        stats.requested_ns = counts.requested_ns;
        stats.observed_ns = counts.observed_ns;
        stats.worst_excess_ns = counts.worst_excess_ns;
    }
}

impl State {
    fn release(&self) {
        if let Some((guardian, _)) = &self.guard {
            guardian.release_all();
        }
    }

    fn end_guard(&mut self) {
        if let Some((guardian, _hook)) = self.guard.take() {
            let counts = guardian.end();
            self.past.add(&counts);
        }
    }
}

fn attach(program: &Program) -> Result<OwnedFd> {
    program.attach().map_err(|cause| Error::Attach {
        program: program.name().to_owned(),
        cause,
    })
}
