//! The monitor: what an embedding program holds.

pub(crate) mod builder;
mod counts;
mod exempt;
pub(crate) mod hub;
pub(crate) mod keeper;
mod late;
pub(crate) mod measure;
pub(crate) mod receiver;
mod responder;
mod signal;
mod surprises;
pub(crate) mod worker;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::detector::Command;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::event::EventMask;
use crate::key::Key;
use crate::limits::Limits;
use crate::loader::Live;
use crate::preflight::Preflight;
use crate::process::Process;
use crate::profile::Profile;
use crate::replay::command_op;
use crate::response::Responses;
use crate::snapshot;
use crate::stats::Stats;
use crate::store::{Stale, Store};
use crate::tasks;
use builder::MonitorBuilder;
use hub::Hub;
use keeper::{Imported, Keeper};
use measure::Measurement;
use receiver::{Anomalies, Events, Subscriber};
use responder::Responder;
use signal::Signal;

/// A running monitor: programs are learnt and judged while it lives.
///
/// Learning and judging happen in the kernel and do not depend on anyone reading events. Dropping
/// the monitor detaches everything; so does the end of the process, however it comes.
///
/// To drop it takes a while, as [`stop`](Self::stop) does: profiles are saved if there is a folder for them, and
/// handlers take what is left. A handler that waits for whoever drops the monitor, such as a full
/// [`SyncSender`](std::sync::mpsc::SyncSender) whose receiver is in the same thread, keeps it waiting for ever.
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
#[must_use = "nothing is watched any more once it is dropped"]
#[derive(Debug)]
pub struct Monitor {
    live: Live,
    hub: Arc<Hub>,
    stop: Arc<Signal>,
    keeper: Arc<Keeper>,
    responder: Arc<Responder>,
    keeper_thread: Option<JoinHandle<()>>,
    worker: Option<JoinHandle<()>>,
    handlers: Vec<JoinHandle<()>>,
    limits: Mutex<Limits>,
    mask: EventMask,
    channel_capacity: usize,
    stopped: bool,
    /// The process that started it. A fork of that has a copy of this, without its threads, and no say.
    owner: u32,
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
        self.subscribe(subscriber);
        events
    }

    /// Returns a receiver of anomalies alone, from now on; losses are in
    /// [`Context::lost_before`](crate::Context::lost_before) of the next one.
    pub fn anomalies(&self) -> Anomalies {
        let (subscriber, anomalies) = Subscriber::anomalies(self.channel_capacity);
        self.subscribe(subscriber);
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
        let engine = self.engine();
        Ok((0..engine.slots())
            .filter_map(|slot| snapshot::profile(&engine.maps, slot))
            .map(|(_, profile)| profile))
    }

    /// Returns a copy of one profile, with what its running threads have not yet counted; `None`
    /// if there is no profile of that key.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the kernel's threads cannot be listed.
    pub fn profile(&self, key: Key) -> Result<Option<Profile>> {
        let engine = self.engine();
        let Some(tenant) = engine.find(key) else {
            return Ok(None);
        };
        let pending = tasks::pending(&engine.tasks()?, tenant);
        Ok(engine
            .profile(tenant)
            .map(|profile| profile.with_pending(pending)))
    }

    /// Returns an iterator over the watched processes, as they are now.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the kernel's threads cannot be listed.
    pub fn processes(&self) -> Result<impl Iterator<Item = Process> + use<>> {
        Ok(tasks::processes(&self.engine().tasks()?).into_iter())
    }

    /// Returns the key of the file at `path`, as the kernel knows it: on some file systems
    /// stat(2) gives other numbers.
    ///
    /// The key is that of a profile without script or partition. Of a script, or where users or cgroups have
    /// profiles of their own, look for the path among [`profiles`](Self::profiles):
    ///
    /// ```no_run
    /// # let monitor = ebph::Monitor::builder().start()?;
    /// let script = std::path::Path::new("/usr/local/bin/backup");
    /// let found = monitor.profiles()?.find(|profile| profile.script() == Some(script));
    /// # Ok::<(), ebph::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be opened.
    pub fn key_of(&self, path: impl AsRef<Path>) -> Result<Key> {
        let path = path.as_ref();
        let facts = self.engine().facts_at(path);
        Ok(facts.map_err(Error::io(path.display().to_string()))?.key)
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

    /// Ends a profile's normality, and that of the same program in other places, with which it shares
    /// a file; what keeps happening becomes normal in time.
    ///
    /// # Errors
    ///
    /// As for [`normalize`](Self::normalize); [`Error::NotNormal`].
    pub fn tolerize(&self, key: Key) -> Result<()> {
        self.keeper.take_back(key, command_op(Command::Tolerize))
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

    /// Wipes a profile: everything learnt, everything normal, all counts. So are those of the same
    /// program in other places (containers), with which it shares a file. Of an evicted profile the
    /// file is removed.
    ///
    /// # Errors
    ///
    /// As for [`normalize`](Self::normalize).
    pub fn reset(&self, key: Key) -> Result<()> {
        self.keeper.take_back(key, command_op(Command::Reset))
    }

    /// Removes a profile that no process uses, and gives its room back. Its file is removed as well;
    /// those of older versions of the program are for [`prune`](Self::prune).
    ///
    /// # Errors
    ///
    /// As for [`normalize`](Self::normalize); [`Error::ProfileInUse`]; [`Error::Io`] if the
    /// kernel's threads cannot be listed, or a file cannot be removed.
    pub fn forget(&self, key: Key) -> Result<()> {
        self.keeper.forget(key)
    }

    /// Saves every profile that changed since it was saved last, and returns how many those were.
    ///
    /// Programs without a path, or with one of more than 255 bytes, are not saved.
    ///
    /// # Errors
    ///
    /// [`Error::NoProfileDirectory`] if the monitor was started without one; [`Error::Io`] and
    /// others as for [`Store::save`], after all that could be saved was.
    pub fn save(&self) -> Result<usize> {
        self.keeper.save()
    }

    /// Returns the folder of profile files, if there is one.
    pub fn store(&self) -> Option<&Store> {
        self.keeper.store()
    }

    /// Returns a copy of a profile to keep or to take elsewhere: with the hash of its executable,
    /// by which it is recognised there. `None` if there is no profile of that key.
    ///
    /// # Errors
    ///
    /// As for [`profile`](Self::profile).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let monitor = ebph::Monitor::builder().start()?;
    /// let key = monitor.key_of("/usr/sbin/nginx")?;
    /// match monitor.export(key)? {
    ///     Some(profile) => profile.write_to("nginx.json")?,
    ///     None => eprintln!("nginx has not run yet"),
    /// }
    /// # Ok::<(), ebph::Error>(())
    /// ```
    pub fn export(&self, key: Key) -> Result<Option<Profile>> {
        let profile = self.profile(key)?;
        Ok(profile.map(|profile| self.keeper.identified(profile)))
    }

    /// Adds a profile from elsewhere to what there is of the same program: its pairs, counts and
    /// state, as if it had been learnt here.
    ///
    /// What either has seen is known from then on, and what either holds as normal is normal. Counts are
    /// added, at each import anew. If one of the two is normal, the program is judged from its next call on.
    ///
    /// The program is found by its path. If what is there is not what the profile was learnt from,
    /// by its hash, nothing of it becomes normal: the program trains on from the profile's pairs.
    /// To start anew from a profile, [`reset`](Self::reset) or [`forget`](Self::forget) the old one
    /// first.
    ///
    /// # Errors
    ///
    /// [`Error::NoExecutable`] for a profile of no particular program; [`Error::Io`] if there is no
    /// such program here; [`Error::WrongWindow`], [`Error::WrongPartition`] for one that this
    /// monitor cannot judge by; [`Error::NoRoom`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use ebph::{Monitor, Profile};
    ///
    /// # let monitor = Monitor::builder().start()?;
    /// let profile = Profile::read_from("nginx.json")?;
    /// let imported = monitor.import(&profile)?;
    /// if !imported.unchanged {
    ///     eprintln!("another build of nginx: it trains on from what is known");
    /// }
    /// # Ok::<(), ebph::Error>(())
    /// ```
    pub fn import(&self, profile: &Profile) -> Result<Imported> {
        self.keeper.import(profile)
    }

    /// Returns the profile files whose program is gone, or is another by now.
    ///
    /// # Errors
    ///
    /// [`Error::NoProfileDirectory`] if the monitor was started without one; else as for
    /// [`Store::stale`].
    pub fn stale(&self) -> Result<Vec<Stale>> {
        self.store().ok_or(Error::NoProfileDirectory)?.stale()
    }

    /// Removes one of the files that [`stale`](Self::stale) listed, and the profile in the kernel
    /// if there is one that no process uses. False if the file is gone already.
    ///
    /// # Errors
    ///
    /// As for [`stale`](Self::stale); [`Error::Io`].
    pub fn prune(&self, stale: &Stale) -> Result<bool> {
        self.keeper.prune(stale)
    }

    /// Stops watching until [`resume`](Self::resume): calls are counted as paused, and neither
    /// learnt nor judged. Processes are still followed: what is executed meanwhile gets its profile.
    /// Those that are stopped by a response go on.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the kernel refuses to run the command.
    pub fn pause(&self) -> Result<()> {
        self.engine().set_running(false)?;
        // What was about to stop a process has done so by then.
        self.engine().grace.wait();
        self.responder.release();
        Ok(())
    }

    /// Goes on after a pause. No pair spans it: each thread's window starts empty.
    ///
    /// # Errors
    ///
    /// As for [`pause`](Self::pause).
    pub fn resume(&self) -> Result<()> {
        self.engine().set_running(true)
    }

    /// Returns the limits in force.
    pub fn limits(&self) -> Limits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the limits, from the next call on. A wait that has begun keeps its end.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a limit nothing can work with, or under which a threshold of the
    /// [`responses`](Self::responses) could not be reached, which changes nothing; [`Error::Io`] if the
    /// kernel refuses to run the command.
    pub fn set_limits(&self, limits: Limits) -> Result<()> {
        limits.validate()?;
        let mut current = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        self.responder.now().validate(&limits)?;
        self.engine().set_limits(&limits, self.mask.to_wire())?;
        *current = limits;
        Ok(())
    }

    /// Returns what is done about anomalies, besides telling of them.
    pub fn responses(&self) -> Responses {
        self.responder.now()
    }

    /// Changes what is done about anomalies, from the next call on. Processes that are stopped
    /// go on at once, unless nothing changes.
    ///
    /// Exemptions that were in force before may be of what is gone by now.
    ///
    /// # Errors
    ///
    /// Those before stay in force: [`Error::InvalidSetting`] for a time or threshold that makes no
    /// sense; [`Error::Unsupported`] if execs cannot be denied on this kernel, or by this user, and why;
    /// [`Error::NotPrivileged`] without `CAP_KILL`, which it takes to continue what was stopped;
    /// [`Error::NoSuchProcess`], [`Error::Io`] for an exemption of what is not there; [`Error::Attach`] or [`Error::Io`]
    /// if the kernel refuses what it should not.
    pub fn set_responses(&self, responses: Responses) -> Result<()> {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        self.responder.set(responses, &limits)
    }

    /// Returns all counters: what was seen, what was lost and where, what is in use.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the kernel's threads cannot be listed.
    pub fn stats(&self) -> Result<Stats> {
        let mut stats = counts::gather(&self.live, &self.hub, self.keeper.stats())?;
        self.responder.count(&mut stats);
        Ok(stats)
    }

    /// Has the kernel count how often the programs run and how long, until what is returned is
    /// dropped: see [`ProgramStats::run_count`](crate::ProgramStats::run_count).
    ///
    /// The kernel then does so for all BPF programs of the machine, which costs each run some tens
    /// of nanoseconds.
    ///
    /// # Errors
    ///
    /// [`Error::NotPrivileged`]: the kernel asks for `CAP_SYS_ADMIN`; [`Error::Io`] if it refuses
    /// for another reason.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let monitor = ebph::Monitor::builder().start()?;
    /// let measurement = monitor.measure()?;
    /// // ... after a while:
    /// for program in monitor.stats()?.programs {
    ///     println!("{}: {:?} in {:?} runs", program.name, program.run_time, program.run_count);
    /// }
    /// drop(measurement);
    /// # Ok::<(), ebph::Error>(())
    /// ```
    pub fn measure(&self) -> Result<Measurement> {
        Measurement::start()
    }

    /// Stops: detaches everything, saves the profiles if there is a folder for them, hands on what
    /// is still in the ring, waits for the handlers to take it, and returns the final counters.
    ///
    /// # Errors
    ///
    /// What prevented a profile from being saved, as for [`save`](Self::save); [`Error::Io`] if the
    /// kernel's threads cannot be listed. The monitor has stopped all the same. Who wants the counters
    /// although a profile cannot be saved calls `save` and [`stats`](Self::stats) before.
    pub fn stop(mut self) -> Result<Stats> {
        let saved = self.shut_down();
        let stats = self.stats();
        saved?;
        stats
    }

    fn shut_down(&mut self) -> Result<()> {
        if self.stopped {
            return Ok(());
        }
        self.stopped = true;
        if std::process::id() != self.owner {
            self.forget_what_is_not_ours();
            return Ok(());
        }
        self.responder.disarm();
        // The entry of calls first, which was attached last: whoever judges without the others misjudges.
        while self.live.links.pop().is_some() {}
        // Where a fork of this process has copies of the links, nothing was detached.
        if let Err(error) = self.engine().set_running(false) {
            log::warn!("{error}");
        }
        // A program that was running when it was detached may still send an event.
        self.engine().grace.wait();
        self.responder.end();
        let saved = match self.store() {
            Some(_) => self.keeper.save_finally(),
            None => Ok(()),
        };
        // What the keeper is at makes events as well: the worker is the last to end.
        self.keeper.end();
        join(self.keeper_thread.take());
        self.stop.raise();
        join(self.worker.take());
        // Handlers end with their queues, also where there never was a worker.
        self.hub.close();
        join(self.handlers.drain(..));
        saved
    }

    /// Takes leave of another process's threads, for which there is no waiting here, and of its links: to
    /// detach some kinds would do so for both.
    fn forget_what_is_not_ours(&mut self) {
        std::mem::forget(std::mem::take(&mut self.live.links));
        let threads = [self.worker.take(), self.keeper_thread.take()];
        let threads = threads.into_iter().flatten().chain(self.handlers.drain(..));
        threads.for_each(std::mem::forget);
    }

    fn subscribe(&self, subscriber: Subscriber) {
        let lost = self.engine().maps.globals().pool.lost;
        self.hub.subscribe(subscriber.since(lost));
    }

    fn engine(&self) -> &Engine {
        &self.live.engine
    }

    fn command(&self, key: Key, command: Command) -> Result<()> {
        let engine = self.engine();
        let tenant = engine.find(key).ok_or(Error::NoSuchProfile(key))?;
        engine.on_profile(key, tenant, command_op(command))
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
        // SANITY: counted, logged and told by an event; who wants an error calls `stop`.
        let _told = self.shut_down();
    }
}
