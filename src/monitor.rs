//! The monitor: what an embedding program holds.

pub(crate) mod builder;
mod counts;
mod list;
pub(crate) mod receiver;
mod signal;
mod surprises;
mod worker;

use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use crate::detector::Command;
use crate::error::{Error, Result};
use crate::event::EventMask;
use crate::key::Key;
use crate::limits::Limits;
use crate::loader::Live;
use crate::preflight::Preflight;
use crate::process::Process;
use crate::profile::Profile;
use crate::replay::command_op;
use crate::skel::types;
use crate::snapshot;
use crate::stats::Stats;
use builder::MonitorBuilder;
use receiver::{Anomalies, Events, Subscriber};
use signal::Signal;
use worker::Hub;

/// How long a command waits for a profile in the middle of a transition: a plane copy takes some
/// ten microseconds, so the tries end long after any of them.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(1);

/// A running monitor: programs are learnt and judged while it lives.
///
/// Learning and judging happen in the kernel and do not depend on anyone reading events. Dropping
/// the monitor detaches everything; so does the end of the process, however it comes.
///
/// # Minimum kernel version
///
/// 6.1, with BTF.
///
/// # Examples
///
/// ```no_run
/// use ebph::{Monitor, Scope};
///
/// let monitor = Monitor::builder().scope(Scope::Tree(4711)).start()?;
/// for anomaly in monitor.anomalies() {
///     println!("{} after {:?}", anomaly.symbol, anomaly.window);
/// }
/// # Ok::<(), ebph::Error>(())
/// ```
#[derive(Debug)]
pub struct Monitor {
    live: Live,
    hub: Arc<Hub>,
    stop: Arc<Signal>,
    worker: Option<JoinHandle<()>>,
    handlers: Vec<JoinHandle<()>>,
    limits: Mutex<Limits>,
    mask: EventMask,
    channel_capacity: usize,
    stopped: bool,
}

impl Monitor {
    /// Returns a builder with everything at its default.
    pub fn builder() -> MonitorBuilder {
        MonitorBuilder::default()
    }

    /// Reports what this kernel and these privileges allow; needs none itself.
    pub fn preflight() -> Preflight {
        Preflight::run()
    }

    /// Returns a receiver of every event from now on. Each receiver gets every event; one that is
    /// slow loses its own only, and is told by [`Event::Lost`](crate::Event::Lost).
    pub fn events(&self) -> Events {
        let (subscriber, events) = Subscriber::events(self.channel_capacity, EventMask::ALL);
        self.hub.subscribe(subscriber);
        events
    }

    /// Returns a receiver of anomalies alone, from now on; losses are in
    /// [`Context::lost_before`](crate::Context::lost_before) of the next one.
    pub fn anomalies(&self) -> Anomalies {
        let (subscriber, anomalies) = Subscriber::anomalies(self.channel_capacity);
        self.hub.subscribe(subscriber);
        anomalies
    }

    /// Returns an iterator over copies of all profiles, each taken when the iterator comes to it.
    ///
    /// Profiles made meanwhile may be left out. Counts lack what running threads have not yet
    /// counted, up to 64 calls a thread.
    ///
    /// # Errors
    ///
    /// None so far; the result leaves room for it.
    pub fn profiles(&self) -> Result<impl Iterator<Item = Profile> + '_> {
        Ok((0..self.slots()).filter_map(|slot| snapshot::profile(&self.live.maps, slot)))
    }

    /// Returns a copy of one profile, with what its running threads have not yet counted; `None`
    /// if there is no profile of that key.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the kernel's threads cannot be listed.
    pub fn profile(&self, key: Key) -> Result<Option<Profile>> {
        let Some((slot, generation)) = self.find(key) else {
            return Ok(None);
        };
        let pending = list::pending(&self.tasks()?, slot, generation);
        Ok(snapshot::profile(&self.live.maps, slot).map(|profile| profile.with_pending(pending)))
    }

    /// Returns an iterator over the watched processes, as they are now.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the kernel's threads cannot be listed.
    pub fn processes(&self) -> Result<impl Iterator<Item = Process>> {
        Ok(list::processes(&self.tasks()?).into_iter())
    }

    /// Returns the key of the file at `path`, as the kernel knows it: on some file systems
    /// stat(2) gives other numbers.
    ///
    /// The key is that of a profile without script or partition.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be opened.
    pub fn key_of(&self, path: impl AsRef<Path>) -> Result<Key> {
        let path = path.as_ref();
        let failed = || Error::io(path.display().to_string());
        // Not to read it: a path alone neither waits for a pipe's other end nor needs permission.
        let file = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| failed()(error.into()))?;
        let mut command = types::ebph_command {
            op: types::ebph_op::EBPH_OP_FILE_KEY.0,
            arg: file.as_raw_fd() as u32,
            ..Default::default()
        };
        self.run(&mut command)?;
        if command.result != 0 {
            let error = std::io::Error::from_raw_os_error(-command.result as i32);
            return Err(failed()(error));
        }
        Ok(snapshot::key(&command.key))
    }

    /// Makes a profile normal: what was learnt so far is what is normal from now on.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchProfile`]; [`Error::Busy`] if the profile is never at rest.
    pub fn normalize(&self, key: Key) -> Result<()> {
        self.command(key, Command::Normalize)
    }

    /// Wipes what a profile is learning, but not what it holds as normal.
    ///
    /// # Errors
    ///
    /// As for [`normalize`](Self::normalize).
    pub fn sensitize(&self, key: Key) -> Result<()> {
        self.command(key, Command::Sensitize)
    }

    /// Ends a profile's normality; what keeps happening becomes normal in time.
    ///
    /// # Errors
    ///
    /// As for [`normalize`](Self::normalize); [`Error::NotNormal`].
    pub fn tolerize(&self, key: Key) -> Result<()> {
        self.command(key, Command::Tolerize)
    }

    /// Freezes a profile: it becomes normal after the wait unless something new is learnt.
    ///
    /// # Errors
    ///
    /// As for [`normalize`](Self::normalize); [`Error::AlreadyFrozen`].
    pub fn freeze(&self, key: Key) -> Result<()> {
        self.command(key, Command::Freeze)
    }

    /// Thaws a frozen profile.
    ///
    /// # Errors
    ///
    /// As for [`normalize`](Self::normalize); [`Error::NotFrozen`].
    pub fn thaw(&self, key: Key) -> Result<()> {
        self.command(key, Command::Thaw)
    }

    /// Wipes a profile: everything learnt, everything normal, all counts.
    ///
    /// # Errors
    ///
    /// As for [`normalize`](Self::normalize).
    pub fn reset(&self, key: Key) -> Result<()> {
        self.command(key, Command::Reset)
    }

    /// Removes a profile that no process uses, and gives its room back.
    ///
    /// # Errors
    ///
    /// As for [`normalize`](Self::normalize); [`Error::ProfileInUse`]; [`Error::Io`] if the
    /// kernel's threads cannot be listed.
    pub fn forget(&self, key: Key) -> Result<()> {
        let (slot, generation) = self.find(key).ok_or(Error::NoSuchProfile(key))?;
        if let Some(pid) = list::user(&self.tasks()?, slot, generation) {
            return Err(Error::ProfileInUse { key, pid });
        }
        // A process that is executed between the look and the command is not misjudged: its
        // thread finds the profile gone at its next call, and a new one is made.
        let forget = types::ebph_op::EBPH_OP_FORGET;
        self.on_profile(key, slot, generation, forget)?;
        self.live.grace.wait();
        let reclaim = types::ebph_op::EBPH_OP_RECLAIM;
        self.on_profile(key, slot, generation, reclaim)
    }

    /// Stops watching until [`resume`](Self::resume): calls are counted as paused, and neither
    /// learnt nor judged. Processes are still followed: what is executed meanwhile gets its profile.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the kernel refuses to run the command.
    pub fn pause(&self) -> Result<()> {
        self.set_running(false)
    }

    /// Goes on after a pause. No pair spans it: each thread's window starts empty.
    ///
    /// # Errors
    ///
    /// As for [`pause`](Self::pause).
    pub fn resume(&self) -> Result<()> {
        self.set_running(true)
    }

    /// Returns the limits in force.
    pub fn limits(&self) -> Limits {
        self.limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes the limits, from the next call on. A wait that has begun keeps its end.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a limit nothing can work with, which changes nothing;
    /// [`Error::Io`] if the kernel refuses to run the command.
    pub fn set_limits(&self, limits: Limits) -> Result<()> {
        limits.validate()?;
        let mut current = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        self.run(&mut types::ebph_command {
            op: types::ebph_op::EBPH_OP_LIMITS.0,
            limits: snapshot::limits_to_wire(&limits, self.mask.to_wire()),
            ..Default::default()
        })?;
        *current = limits;
        Ok(())
    }

    /// Returns all counters: what was seen, what was lost and where, what is in use.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the kernel's threads cannot be listed.
    pub fn stats(&self) -> Result<Stats> {
        let pending = list::total_pending(&self.tasks()?);
        Ok(counts::gather(&self.live, &self.hub, pending))
    }

    /// Stops: detaches everything, hands on what is still in the ring, waits for the handlers to
    /// take it, and returns the final counters.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the kernel's threads cannot be listed; the monitor has stopped all the
    /// same.
    pub fn stop(mut self) -> Result<Stats> {
        self.shut_down();
        self.stats()
    }

    fn shut_down(&mut self) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        self.live.links.clear();
        // A program that was running when it was detached may still send an event.
        self.live.grace.wait();
        self.stop.raise();
        join(self.worker.take());
        // Handlers end with their queues, also where there never was a worker.
        self.hub.close();
        join(self.handlers.drain(..));
    }

    fn slots(&self) -> u32 {
        let used = self.live.maps.globals().pool.next_slot;
        u32::try_from(used)
            .unwrap_or(u32::MAX)
            .min(self.live.maps.profiles.len())
    }

    /// The slot and tenant of a key.
    fn find(&self, key: Key) -> Option<(u32, u32)> {
        (0..self.slots()).find_map(|slot| {
            let (found, generation) = snapshot::tenant(&self.live.maps, slot)?;
            (found == key).then_some((slot, generation))
        })
    }

    fn tasks(&self) -> Result<Vec<types::ebph_task_record>> {
        let bytes = self
            .live
            .tasks
            .read()
            .map_err(Error::io("listing the threads"))?;
        Ok(list::records(&bytes))
    }

    fn run(&self, command: &mut types::ebph_command) -> Result<()> {
        self.live
            .command
            .run(command)
            .map_err(Error::io("running a command in the kernel"))
    }

    fn set_running(&self, running: bool) -> Result<()> {
        self.run(&mut types::ebph_command {
            op: types::ebph_op::EBPH_OP_RUN.0,
            arg: running.into(),
            ..Default::default()
        })
    }

    fn command(&self, key: Key, command: Command) -> Result<()> {
        let (slot, generation) = self.find(key).ok_or(Error::NoSuchProfile(key))?;
        self.on_profile(key, slot, generation, command_op(command))
    }

    fn on_profile(&self, key: Key, slot: u32, generation: u32, op: types::ebph_op) -> Result<()> {
        for _ in 0..TRIES {
            let mut command = types::ebph_command {
                op: op.0,
                slot,
                generation,
                ..Default::default()
            };
            self.run(&mut command)?;
            match i32::try_from(-command.result).unwrap_or(libc::EINVAL) {
                0 => return Ok(()),
                libc::EBUSY => thread::sleep(PAUSE),
                libc::ESTALE => return Err(Error::NoSuchProfile(key)),
                _ => return Err(unmet(op, key)),
            }
        }
        Err(Error::Busy(key))
    }
}

/// The need that a command's profile does not meet.
fn unmet(op: types::ebph_op, key: Key) -> Error {
    match op {
        types::ebph_op::EBPH_OP_TOLERIZE => Error::NotNormal(key),
        types::ebph_op::EBPH_OP_FREEZE => Error::AlreadyFrozen(key),
        types::ebph_op::EBPH_OP_THAW => Error::NotFrozen(key),
        _ => Error::NoSuchProfile(key),
    }
}

/// Waits for threads to end, but for the one that asks: a handler may drop its own monitor.
fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    let here = thread::current().id();
    for thread in threads {
        if thread.thread().id() != here {
            // SANITY: one that panicked has nothing more to give.
            let _gone = thread.join();
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.shut_down();
    }
}
