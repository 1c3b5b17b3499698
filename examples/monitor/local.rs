//! A monitor in this process that can be asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use ebph::{Key, Monitor, Profile};

use crate::kept::Kept;
use crate::log_file::Failures;
use crate::protocol::{Answer, Code, Monitored, Refusal, Request};
use crate::responses::ResponseSettings;
use crate::rows::{ProcessRow, ProfileRow, StatusReport};
use crate::settings::Settings;

/// A monitor, and what those who ask about it want to know besides.
pub struct Local {
    monitor: Monitor,
    kept: Kept,
    /// Who is watched, in words.
    scope: String,
    started: SystemTime,
    since: Instant,
    paused: AtomicBool,
    log_failures: Failures,
    /// Held while something is changed that is read first.
    change: Mutex<()>,
}

impl Local {
    /// Takes a monitor that has just been started; `kept` gets its events.
    pub fn new(monitor: Monitor, kept: Kept, scope: String, log_failures: Failures) -> Self {
        Self {
            monitor,
            kept,
            scope,
            started: SystemTime::now(),
            since: Instant::now(),
            paused: AtomicBool::new(false),
            log_failures,
            change: Mutex::new(()),
        }
    }

    /// Gives the monitor back.
    pub fn into_monitor(self) -> Monitor {
        self.monitor
    }

    /// Answers; several may ask at once.
    pub fn answer(&self, request: &Request) -> Result<Answer, Refusal> {
        let monitor = &self.monitor;
        let done = |()| Answer::Done;
        Ok(match request {
            Request::Status {} => Answer::Status(Box::new(self.status()?)),
            Request::Processes { threads } => Answer::Processes(self.processes(*threads)?),
            Request::Profiles {} => Answer::Profiles(self.profiles()?),
            Request::Profile { key } => {
                let profile = monitor.export(*key)?;
                content(&profile.ok_or(ebph::Error::NoSuchProfile(*key))?)?
            }
            Request::Events { after } => Answer::Events(self.kept.after(*after)),
            Request::Limits {} => Answer::Limits(Settings::of(&monitor.limits())),
            Request::Set(settings) => {
                let _alone = self.alone();
                monitor.set_limits(settings.applied_to(monitor.limits()))?;
                Answer::Limits(Settings::of(&monitor.limits()))
            }
            Request::Responses {} => self.responses(),
            Request::Respond(settings) => {
                let _alone = self.alone();
                monitor.set_responses(settings.responses())?;
                self.responses()
            }
            Request::Save {} => Answer::Saved {
                profiles: monitor.save()?,
            },
            Request::Load { path } => {
                if !path.is_absolute() {
                    return Err(Refusal::new(
                        Code::BadRequest,
                        format!("the path {} is not absolute", path.display()),
                    ));
                }
                let imported = monitor.import(&Profile::read_from(path)?)?;
                Answer::Loaded {
                    key: imported.key,
                    unchanged: imported.unchanged,
                }
            }
            Request::Pause {} => self.set_paused(true)?,
            Request::Resume {} => self.set_paused(false)?,
            Request::Normalize { key } => monitor.normalize(*key).map(done)?,
            Request::Sensitize { key } => monitor.sensitize(*key).map(done)?,
            Request::Tolerize { key } => monitor.tolerize(*key).map(done)?,
            Request::Freeze { key } => monitor.freeze(*key).map(done)?,
            Request::Thaw { key } => monitor.thaw(*key).map(done)?,
            Request::Reset { key } => monitor.reset(*key).map(done)?,
            Request::Forget { key } => monitor.forget(*key).map(done)?,
        })
    }

    fn responses(&self) -> Answer {
        Answer::Responses(ResponseSettings::of(&self.monitor.responses()))
    }

    fn set_paused(&self, paused: bool) -> Result<Answer, Refusal> {
        let _alone = self.alone();
        if paused {
            self.monitor.pause()?;
        } else {
            self.monitor.resume()?;
        }
        self.paused.store(paused, Ordering::Relaxed);
        Ok(Answer::Done)
    }

    fn alone(&self) -> std::sync::MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether calls are learnt and judged now.
    pub fn is_running(&self) -> bool {
        !self.paused.load(Ordering::Relaxed)
    }

    pub fn profiles(&self) -> ebph::Result<Vec<ProfileRow>> {
        let profiles = self.monitor.profiles()?;
        Ok(profiles.map(|profile| ProfileRow::of(&profile)).collect())
    }

    pub fn processes(&self, threads: bool) -> ebph::Result<Vec<ProcessRow>> {
        let processes: Vec<_> = self.monitor.processes()?.collect();
        let profiles = self.profiles()?;
        let by_key: HashMap<Key, &ProfileRow> = profiles.iter().map(|row| (row.key, row)).collect();
        let rows = processes.iter().map(|process| {
            let profile = process.key.and_then(|key| by_key.get(&key).copied());
            ProcessRow::of(process, threads, profile)
        });
        Ok(rows.collect())
    }

    fn status(&self) -> Result<StatusReport, Refusal> {
        let stats = self.monitor.stats()?;
        let (mut processes, mut threads) = (0, 0);
        for process in self.monitor.processes()? {
            processes += 1;
            threads += process.threads().len() as u64;
        }
        let kernel = rustix::system::uname();
        let folder = self.monitor.store().map(|store| store.path());
        Ok(StatusReport {
            running: self.is_running(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: kernel.release().to_string_lossy().into_owned(),
            scope: self.scope.clone(),
            started: self.started,
            uptime_seconds: self.since.elapsed().as_secs(),
            profile_dir: folder.map(|folder| folder.to_string_lossy().into_owned()),
            processes,
            threads,
            calls: stats.calls.seen(),
            anomalies: stats.detection.anomalies,
            lost: stats
                .events
                .lost_in_ring
                .saturating_add(stats.events.lost_in_channels),
            memory: stats.memory.total(),
            last_event: self.kept.last(),
            log_failures: self.log_failures.count(),
            limits: Settings::of(&self.monitor.limits()),
            responses: ResponseSettings::of(&self.monitor.responses()),
            stats,
        })
    }
}

impl Monitored for Local {
    fn ask(&mut self, request: &Request) -> Result<Answer, Refusal> {
        self.answer(request)
    }
}

/// Several who ask the same monitor.
impl Monitored for &Local {
    fn ask(&mut self, request: &Request) -> Result<Answer, Refusal> {
        self.answer(request)
    }
}

fn content(profile: &Profile) -> Result<Answer, Refusal> {
    let content = serde_json::from_str(&profile.to_json());
    let content = content.map_err(|error| Refusal::new(Code::Failed, error))?;
    Ok(Answer::Profile(content))
}
