//! Looks after profiles: finds the new ones' past, saves them, makes room.
//!
//! A thread of its own, since files may be slow; nothing in the kernel waits for it. It looks at
//! the profiles themselves, not at events, which may be lost or not be wanted.

mod evicting;
mod files;
mod known;
mod loading;
mod past;
mod place;
mod room;
mod saving;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::event::WarningKind;
use crate::monitor::counts;
use crate::monitor::hub::Hub;
use crate::plan::Partition;
use crate::skel::types;
use crate::snapshot::{self, Entry};
use crate::stats::StoreStats;
use crate::store::{Claim, Store};
use crate::tasks;
use crate::tenant::Tenant;

use files::Files;
use known::{Known, Retry};
use place::Name;

pub use loading::Imported;

/// How often the profiles are looked at when no event says that something happened.
const LOOK: Duration = Duration::from_millis(250);
/// The longest wait before something that fails is tried again, and between warnings that it does.
const PATIENCE: Duration = Duration::from_secs(30);

/// How profiles are kept.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub partition: Partition,
    pub scripts: bool,
    pub save_interval: Duration,
}

/// Looks after profiles.
#[derive(Debug)]
pub(crate) struct Keeper {
    engine: Arc<Engine>,
    hub: Arc<Hub>,
    store: Option<Store>,
    options: Options,
    state: Mutex<State>,
    call: Mutex<Call>,
    called: Condvar,
    tallies: Tallies,
    /// Failures not told yet, and when some were told last.
    untold: Mutex<(u64, Option<Instant>)>,
    /// The folder is ours while it is held.
    _claim: Option<Claim>,
}

/// What the thread is wanted for.
#[derive(Debug, Default)]
struct Call {
    look: bool,
    end: bool,
}

#[derive(Debug)]
struct State {
    known: HashMap<Tenant, Known>,
    files: Files,
    seen: Seen,
    last_save: Instant,
    /// Until then it is of no use to try to evict.
    hopeless: Option<Instant>,
}

impl State {
    fn is_hopeless(&self) -> bool {
        self.hopeless.is_some_and(|until| Instant::now() < until)
    }
}

/// Counters of the kernel, as they were at the last look.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Seen {
    created: u64,
    changed: u64,
    no_slot: u64,
    no_row: u64,
}

#[derive(Debug, Default)]
struct Tallies {
    loaded: AtomicU64,
    returned: AtomicU64,
    changed: AtomicU64,
    saved: AtomicU64,
    evicted: AtomicU64,
    dropped: AtomicU64,
    set_aside: AtomicU64,
    failures: AtomicU64,
}

impl Tallies {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Keeper {
    pub(crate) fn new(
        engine: Arc<Engine>,
        hub: Arc<Hub>,
        store: Option<Store>,
        options: Options,
    ) -> Result<Self> {
        let claim = store.as_ref().map(Store::claim).transpose()?;
        let state = State {
            known: HashMap::new(),
            files: Files::default(),
            seen: Seen::default(),
            last_save: Instant::now(),
            hopeless: None,
        };
        Ok(Self {
            engine,
            hub,
            store,
            options,
            state: Mutex::new(state),
            call: Mutex::default(),
            called: Condvar::new(),
            tallies: Tallies::default(),
            untold: Mutex::default(),
            _claim: claim,
        })
    }

    /// Starts the thread; it goes on until [`end`](Self::end).
    pub(crate) fn spawn(self: &Arc<Self>) -> Result<JoinHandle<()>> {
        let keeper = Arc::clone(self);
        std::thread::Builder::new()
            .name("ebph-keeper".to_owned())
            .spawn(move || {
                while keeper.wait() {
                    keeper.look();
                }
            })
            .map_err(Error::io("starting a thread"))
    }

    /// Waits until there may be something to do; false when it is time to end.
    fn wait(&self) -> bool {
        let idle = |call: &mut Call| !call.look && !call.end;
        let (mut call, _timeout) = self
            .called
            .wait_timeout_while(self.call(), LOOK, idle)
            .unwrap_or_else(PoisonError::into_inner);
        call.look = false;
        !call.end
    }

    fn call(&self) -> MutexGuard<'_, Call> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that something happened.
    pub(crate) fn nudge(&self) {
        self.call().look = true;
        self.called.notify_one();
    }

    /// Lets the thread end.
    pub(crate) fn end(&self) {
        self.call().end = true;
        self.called.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic leaves tables that are true as far as they go.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is due.
    fn look(&self) {
        let mut state = self.lock();
        self.catch_up(&mut state);
        if self.store.is_none() {
            return;
        }
        self.make_room(&mut state);
        let due = state.last_save.elapsed() >= self.options.save_interval;
        drop(state);
        if due {
            // SANITY: counted and told where it failed.
            let _told = self.save();
        }
    }

    /// Looks at profiles that are new, or whose files are, if there are any.
    fn catch_up(&self, state: &mut State) {
        let (seen, now) = (state.seen, self.seen());
        let news = (now.created, now.changed) != (seen.created, seen.changed);
        if (news || state.known.values().any(Known::is_unsettled)) && self.meet(state) {
            (state.seen.created, state.seen.changed) = (now.created, now.changed);
        }
    }

    fn seen(&self) -> Seen {
        let stats = counts::sum(&self.engine.maps);
        Seen {
            created: stats.profiles.created,
            changed: stats.profiles.changed,
            no_slot: stats.profiles.refused,
            no_row: stats.rows.refused,
        }
    }

    fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        (0..self.engine.slots()).filter_map(|slot| snapshot::entry(&self.engine.maps, slot))
    }

    /// Gets to know the profiles that are new, and gives them their past. False if one was in the
    /// middle of something.
    fn meet(&self, state: &mut State) -> bool {
        let entries: Vec<_> = self.entries().collect();
        let there: std::collections::HashSet<_> =
            entries.iter().map(|entry| entry.tenant).collect();
        state.known.retain(|tenant, _| there.contains(tenant));
        let mut all_met = true;
        for entry in entries {
            match state.known.get(&entry.tenant) {
                Some(known) if !known.is_unmet(&entry) => {}
                _ if entry.busy => all_met = false,
                // Making room for one may have taken another away.
                _ if !self.is_there(&entry) => {}
                _ => self.greet(state, &entry),
            }
        }
        all_met
    }

    fn is_there(&self, entry: &Entry) -> bool {
        snapshot::entry(&self.engine.maps, entry.tenant.slot)
            .is_some_and(|now| now.tenant == entry.tenant)
    }

    /// Finds out what a profile is of, and adds what was learnt of that program before.
    fn greet(&self, state: &mut State, entry: &Entry) {
        let mut known = match state.known.get(&entry.tenant) {
            Some(known) if known.stamp == entry.stamp => known.clone(),
            Some(known) => Known {
                found: None,
                stamp: entry.stamp,
                rewritten: true,
                saved: None,
                owed: None,
                ..known.clone()
            },
            None => Known {
                name: self.name(entry),
                found: None,
                looked: 0,
                stamp: entry.stamp,
                rewritten: false,
                saved: None,
                owed: None,
                origin: None,
            },
        };
        known.looked = entry.used;
        if let (Some(name), None) = (known.name.clone(), &known.found) {
            let hash = self.store.is_some();
            let pid = || tasks::user(&self.engine.tasks().ok()?, entry.tenant);
            // Who executes a program first gives it its name; it may have been known by another.
            let names = std::iter::once(&name).chain(state.files.names_of(entry.key));
            let found = names.filter_map(|name| {
                let found = place::identify(&self.engine, entry, name, pid, hash)?;
                Some((name.clone(), found))
            });
            if let Some((name, found)) = { found }.next() {
                known.name = Some(name);
                known.found = Some(found);
                known.owed = Some(Retry::now());
            }
        }
        // As it is while its past is looked for: not to be saved, not to be sent away.
        state.known.insert(entry.tenant, known.clone());
        if let (Some(retry), Some(name), Some(found)) = (known.owed, &known.name, &known.found) {
            let came = self.bring_back(state, entry, name, found, known.rewritten);
            known.owed = came.is_none().then(|| retry.later());
            known.origin = came.flatten().or(known.origin);
            state.known.insert(entry.tenant, known);
        }
    }

    /// The name of a profile; `None` where its executable cannot be found again.
    fn name(&self, entry: &Entry) -> Option<Name> {
        use types::ebph_profile_flag as flags;

        let lacking = flags::EBPH_PROFILE_NO_PATH.0
            | flags::EBPH_PROFILE_EXE_TRUNCATED.0
            | flags::EBPH_PROFILE_SCRIPT_TRUNCATED.0
            | flags::EBPH_PROFILE_SCRIPT_UNNAMED.0;
        if entry.flags & lacking != 0 {
            return None;
        }
        let (exe, script) = snapshot::paths(&self.engine.maps, entry.tenant.slot)?;
        place::name(entry.key, exe?, script)
    }

    /// Counts and logs a failure, and warns of it, not too often.
    fn failed(&self, error: &Error) {
        log::warn!("{error}");
        Tallies::add(&self.tallies.failures);
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        untold.0 += 1;
        if untold.1.is_none_or(|last| last.elapsed() >= PATIENCE) {
            let (count, _) = std::mem::replace(&mut *untold, (0, Some(Instant::now())));
            self.hub.warn(WarningKind::Store, count);
        }
    }

    pub(crate) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    pub(crate) fn stats(&self) -> StoreStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            loaded: read(&self.tallies.loaded),
            returned: read(&self.tallies.returned),
            changed: read(&self.tallies.changed),
            saved: read(&self.tallies.saved),
            evicted: read(&self.tallies.evicted),
            dropped: read(&self.tallies.dropped),
            set_aside: read(&self.tallies.set_aside),
            failures: read(&self.tallies.failures),
        }
    }
}
