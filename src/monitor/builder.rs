//! How a monitor is set up.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::param::page_size;

use crate::error::{Error, Result};
use crate::event::{EventHandler, EventMask};
use crate::kernel;
use crate::limits::Limits;
use crate::loader::{self, Sizes};
use crate::monitor::Monitor;
use crate::monitor::hub::Hub;
use crate::monitor::keeper::{self, Keeper};
use crate::monitor::late::Late;
use crate::monitor::receiver::Subscriber;
use crate::monitor::responder::Responder;
use crate::monitor::signal::Signal;
use crate::monitor::surprises::Surprises;
use crate::monitor::worker::{self, Worker};
use crate::plan::{self, EntryHook, Hook, Options, Partition, ScopeKind};
use crate::preflight::{self, Essentials};
use crate::response::Responses;
use crate::snapshot;
use crate::store::Store;

/// Who is watched. The process that the monitor lives in never is.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every process of the machine, those in containers included.
    System,
    /// A process, by its id in the caller's pid namespace, and all descendants it has or will
    /// have. Those whose parents ended before the start belong to another tree already.
    ///
    /// With the pid of the embedding process these are the programs that it starts, each from its
    /// first call on:
    ///
    /// ```no_run
    /// use std::process::Command;
    /// use ebph::{Monitor, Scope};
    ///
    /// let monitor = Monitor::builder().scope(Scope::Tree(std::process::id())).start()?;
    /// let status = Command::new("/usr/sbin/nginx").status();
    /// # Ok::<(), ebph::Error>(())
    /// ```
    Tree(u32),
    /// The processes of a cgroup (v2), by the path of its directory, and of those below it. Version 2 is
    /// mounted at `/sys/fs/cgroup`, or at `/sys/fs/cgroup/unified` beside version 1.
    Cgroup(PathBuf),
}

/// How often profiles are saved, unless something else is asked for.
const SAVE_INTERVAL: Duration = Duration::from_secs(300);

/// Sets a [`Monitor`] up; made by [`Monitor::builder`].
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use ebph::{Event, Monitor, Scope};
///
/// let monitor = Monitor::builder()
///     .scope(Scope::System)
///     .normal_wait(Duration::from_secs(60))
///     .handler(|event: &Event| println!("{event}"))
///     .start()?;
/// # Ok::<(), ebph::Error>(())
/// ```
#[must_use = "nothing is watched before `start`"]
pub struct MonitorBuilder {
    scope: Scope,
    limits: Limits,
    partition: Partition,
    scripts: bool,
    hook: EntryHook,
    max_profiles: u32,
    max_rows: u32,
    ring_bytes: u32,
    channel_capacity: usize,
    events: EventMask,
    handlers: Vec<(Option<String>, Box<dyn EventHandler>)>,
    profile_dir: Option<PathBuf>,
    save_interval: Duration,
    redact_args: bool,
    io_uring: bool,
    responses: Responses,
}

impl std::fmt::Debug for MonitorBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MonitorBuilder")
            .field("scope", &self.scope)
            .field("limits", &self.limits)
            .field("handlers", &self.handlers.len())
            .finish_non_exhaustive()
    }
}

impl Default for MonitorBuilder {
    fn default() -> Self {
        Self {
            scope: Scope::System,
            limits: Limits::default(),
            partition: Partition::default(),
            scripts: true,
            hook: EntryHook::default(),
            max_profiles: 2048,
            max_rows: 32768,
            ring_bytes: 4 << 20,
            channel_capacity: 8192,
            events: EventMask::default(),
            handlers: Vec::new(),
            profile_dir: None,
            save_interval: SAVE_INTERVAL,
            redact_args: false,
            io_uring: true,
            responses: Responses::default(),
        }
    }
}

impl MonitorBuilder {
    /// Sets who is watched; [`Scope::System`] by default.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Sets all limits at once; see [`Limits`] for what they are and their defaults.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how long a frozen profile waits before it becomes normal; 7 days by default.
    pub fn normal_wait(mut self, wait: Duration) -> Self {
        self.limits.normal_wait = wait;
        self
    }

    /// Sets after how many anomalies a profile stops being normal; 30 by default.
    pub fn anomaly_limit(mut self, limit: u64) -> Self {
        self.limits.anomaly_limit = limit;
        self
    }

    /// Sets the locality frame count above which what a profile has learnt is wiped; 12 by default.
    pub fn tolerize_limit(mut self, limit: u64) -> Self {
        self.limits.tolerize_limit = limit;
        self
    }

    /// Sets how many repeated anomalies a second a profile reports; 10 by default. The first of a
    /// kind is always reported.
    pub fn report_rate(mut self, reports: u64) -> Self {
        self.limits.report_rate = reports;
        self
    }

    /// Sets how many repeated anomalies a second a thread reports; 5 by default.
    pub fn thread_report_rate(mut self, reports: u64) -> Self {
        self.limits.thread_report_rate = reports;
        self
    }

    /// Sets whether the arguments of programs are left out of what is reported: the kernel's part
    /// does not even read them. They may hold passwords. Off by default.
    pub fn redact_args(mut self, redact: bool) -> Self {
        self.redact_args = redact;
        self
    }

    /// Sets whether operations that are submitted through an io_uring are learnt and judged like
    /// system calls; on by default. On a kernel without a tracepoint there none are, which
    /// [`CheckId::IoUring`](crate::CheckId::IoUring) tells.
    ///
    /// To a profile that was learnt without them they are anomalies, so mind what is in a
    /// [`profile_dir`](Self::profile_dir) before it is switched on again.
    pub fn io_uring(mut self, on: bool) -> Self {
        self.io_uring = on;
        self
    }

    /// Sets what profiles are divided by, besides the executable.
    pub fn partition(mut self, partition: Partition) -> Self {
        self.partition = partition;
        self
    }

    /// Sets whether a script has a profile of its own (the default) or its interpreter's.
    pub fn scripts(mut self, apart: bool) -> Self {
        self.scripts = apart;
        self
    }

    /// Sets which program stands at the entry of system calls; what suits the kernel by default.
    pub fn hook(mut self, hook: EntryHook) -> Self {
        self.hook = hook;
        self
    }

    /// Sets for how many profiles there is room, at 3.5 KB each; 2048 by default.
    pub fn max_profiles(mut self, profiles: u32) -> Self {
        self.max_profiles = profiles;
        self
    }

    /// Sets how many rows all profiles share, at 512 bytes each; 32,768 by default. A profile
    /// takes one for each different system call of its program.
    pub fn max_rows(mut self, rows: u32) -> Self {
        self.max_rows = rows;
        self
    }

    /// Sets the size of the buffer between kernel and monitor, a power of two; 4 MiB by default,
    /// which holds about 5,500 events, or 2,500 alerts with what surrounds them.
    pub fn ring_bytes(mut self, bytes: u32) -> Self {
        self.ring_bytes = bytes;
        self
    }

    /// Sets how many events wait for each receiver and handler; 8192 by default. One that is told
    /// of losses has room for at least 3: the words of what was lost, and an event after them.
    pub fn channel_capacity(mut self, events: usize) -> Self {
        self.channel_capacity = events;
        self
    }

    /// Sets which events there are; the kernel does not even make the others. All but
    /// [`NewSequence`](crate::Event::NewSequence) by default. Receivers are told of losses and
    /// warnings whatever is set here; handlers are not.
    pub fn events(mut self, events: EventMask) -> Self {
        self.events = events;
        self
    }

    /// Adds a handler, which has a thread of its own and sees every event from the start on. A closure
    /// needs its type: `|event: &Event| ...`.
    pub fn handler(mut self, handler: impl EventHandler) -> Self {
        self.handlers.push((None, Box::new(handler)));
        self
    }

    /// Adds a handler as [`handler`](Self::handler) does, under a name by which
    /// [`Stats::receivers`](crate::Stats::receivers) lists it.
    pub fn named_handler(mut self, name: impl Into<String>, handler: impl EventHandler) -> Self {
        self.handlers.push((Some(name.into()), Box::new(handler)));
        self
    }

    /// Sets what is done about anomalies, besides telling of them; nothing by default. It can be changed
    /// while the monitor runs: [`Monitor::set_responses`].
    pub fn responses(mut self, responses: Responses) -> Self {
        self.responses = responses;
        self
    }

    /// Keeps profiles in the folder `dir`, which is made for this user alone if it is not there, and
    /// refused if others can write to it or another monitor uses it.
    ///
    /// At the start, every profile in it whose program is on this machine, unchanged, is in force
    /// before the first call is seen, the last executed first, as far as there is room. One whose
    /// program has changed trains on from its pairs, and
    /// [`Event::ExecutableChanged`](crate::Event::ExecutableChanged) says so. Of several files of a
    /// program, that of its present content counts, and of those the one saved last. Files that
    /// cannot be used are set aside, with an event. Profiles are saved at intervals, when they make room for others, and
    /// when the monitor is stopped or dropped. A signal that ends the process does neither: what was learnt since the last
    /// save is lost then, so handle it. When room runs out, the least recently executed profile that no process uses is
    /// saved and evicted; it returns when its program is executed again.
    ///
    /// Without a folder nothing outlives the monitor, and a program for which there is no room is
    /// not profiled.
    pub fn profile_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.profile_dir = Some(dir.into());
        self
    }

    /// Sets how often profiles that changed are saved; 5 minutes by default. Without
    /// [`profile_dir`](Self::profile_dir) it means nothing.
    pub fn save_interval(mut self, interval: Duration) -> Self {
        self.save_interval = interval;
        self
    }

    /// Loads the programs into the kernel, attaches them, and starts.
    ///
    /// # Errors
    ///
    /// What is missing, and what to do: [`Error::NotPrivileged`], [`Error::NoBtf`],
    /// [`Error::KernelTooOld`], [`Error::BpfDenied`]; [`Error::NoSuchProcess`],
    /// [`Error::NoSuchCgroup`] or [`Error::NotACgroup`] for a scope that is not there;
    /// [`Error::InvalidSetting`] for a size or limit nothing can work with; [`Error::Load`] or
    /// [`Error::Attach`] when the kernel refuses what it should not; [`Error::InsecureDirectory`] or
    /// [`Error::Io`] for a profile folder that others can write to, or that cannot be read,
    /// [`Error::ProfileDirectoryInUse`] for one that another monitor uses; for responses, those of
    /// [`Monitor::set_responses`]. Nothing stays attached.
    ///
    /// # Minimum kernel version
    ///
    /// 6.1, with BTF.
    pub fn start(self) -> Result<Monitor> {
        self.validate()?;
        let scope = self.resolve_scope()?;
        let essentials = Essentials::gather();
        essentials.require_bpf()?;
        let denial = preflight::denial(&essentials);
        let plan = plan::plan(
            essentials.kernel(),
            &denial,
            &Options {
                scope,
                partition: self.partition,
                scripts: self.scripts,
                hook: self.hook,
                redact_args: self.redact_args,
                io_uring: self.io_uring,
            },
        )?;
        if plan.hook == Hook::Tracepoint {
            preflight::require_tracepoint()?;
        }
        let sizes = Sizes {
            profiles: self.max_profiles,
            rows: self.max_rows,
            ring_bytes: self.ring_bytes,
            replay_steps: 0,
        };

        // Receivers first, so that the first event finds them.
        let hub = Arc::new(Hub::default());
        let mut handlers = Vec::new();
        for (name, handler) in self.handlers {
            let (subscriber, events) =
                Subscriber::handler(name, self.channel_capacity, self.events);
            hub.subscribe(subscriber);
            handlers.push((handler, events));
        }
        let limits = snapshot::limits_to_wire(&self.limits, self.events.to_wire());
        let store = self.profile_dir.map(Store::open).transpose()?;
        let options = keeper::Options {
            partition: self.partition,
            scripts: self.scripts,
            save_interval: self.save_interval,
        };
        let (live, events, hooks, keeper) = loader::start(&plan, &sizes, limits, |engine| {
            let keeper = Keeper::new(Arc::clone(engine), Arc::clone(&hub), store, options)?;
            keeper.load()?;
            Ok(Arc::new(keeper))
        })?;
        let responder = Responder::new(Arc::clone(&live.engine), hooks, essentials.may_signal());
        responder.set(self.responses, &self.limits)?;
        let responder = Arc::new(responder);
        let stop = Arc::new(Signal::new());
        let worker = Worker {
            surprises: Surprises::new(Arc::clone(&live.engine.maps), Arc::clone(&live.programs)),
            events,
            hub: Arc::clone(&hub),
            stop: Arc::clone(&stop),
            keeper: Arc::clone(&keeper),
            responder: Arc::clone(&responder),
            late: Late::new(self.redact_args),
        };
        let mut monitor = Monitor {
            live,
            hub: Arc::clone(&hub),
            stop,
            keeper,
            responder,
            keeper_thread: None,
            worker: None,
            handlers: Vec::new(),
            limits: Mutex::new(self.limits),
            mask: self.events,
            channel_capacity: self.channel_capacity,
            stopped: false,
            owner: std::process::id(),
        };
        for (handler, events) in handlers {
            let thread = worker::spawn_handler(handler, events, Arc::clone(&hub))?;
            monitor.handlers.push(thread);
        }
        monitor.keeper_thread = Some(monitor.keeper.spawn()?);
        monitor.worker = Some(worker.spawn()?);
        Ok(monitor)
    }

    fn validate(&self) -> Result<()> {
        self.limits.validate()?;
        self.responses.validate(&self.limits)?;
        in_range("max_profiles", self.max_profiles.into(), 1, 1 << 20)?;
        in_range("max_rows", self.max_rows.into(), 1, 1 << 22)?;
        in_range(
            "ring_bytes",
            self.ring_bytes.into(),
            page_size() as u64,
            1 << 30,
        )?;
        in_range("channel_capacity", self.channel_capacity as u64, 1, 1 << 24)?;
        if self.save_interval.is_zero() {
            return Err(invalid("save_interval", 0, "longer than nothing"));
        }
        if !self.ring_bytes.is_power_of_two() {
            return Err(invalid(
                "ring_bytes",
                self.ring_bytes.into(),
                "a power of two",
            ));
        }
        Ok(())
    }

    fn resolve_scope(&self) -> Result<ScopeKind> {
        match &self.scope {
            Scope::System => Ok(ScopeKind::System),
            Scope::Tree(0) => Err(Error::NoSuchProcess(0)),
            Scope::Tree(pid) => Ok(ScopeKind::Tree { pid: *pid }),
            Scope::Cgroup(path) => Ok(ScopeKind::Cgroup {
                id: kernel::cgroup_id(path)?,
            }),
        }
    }
}

fn in_range(name: &'static str, value: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(invalid(name, value, &format!("from {least} to {most}")))
}

fn invalid(name: &'static str, value: u64, wanted: &str) -> Error {
    Error::InvalidSetting {
        name,
        value: value.to_string(),
        reason: format!("it must be {wanted}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(builder: MonitorBuilder) -> &'static str {
        match builder.validate().unwrap_err() {
            Error::InvalidSetting { name, .. } => name,
            other => panic!("{other}"),
        }
    }

    /// Check that sizes nothing can work with are refused by their names.
    #[test]
    fn sizes() {
        let new = MonitorBuilder::default;
        assert!(new().validate().is_ok());
        assert_eq!(refused(new().max_profiles(0)), "max_profiles");
        assert_eq!(refused(new().max_profiles(u32::MAX)), "max_profiles");
        assert_eq!(refused(new().max_rows(0)), "max_rows");
        assert_eq!(refused(new().ring_bytes(0)), "ring_bytes");
        assert_eq!(refused(new().ring_bytes(5000)), "ring_bytes");
        assert_eq!(refused(new().channel_capacity(0)), "channel_capacity");
        assert_eq!(
            refused(new().save_interval(Duration::ZERO)),
            "save_interval"
        );
    }
}
