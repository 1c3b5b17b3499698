//! Who is measured, and what with: a victim, one that is never watched, and the configurations.

use std::any::Any;
use std::time::Duration;

use ebph::{EntryHook, Limits, Monitor, Scope};

use crate::Failure;
use crate::objects::Objects;
use crate::operations::Operation;
use crate::victim::Victim;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Config {
    Nothing,
    /// Nothing once more, after what there was with a monitor is gone: what the method itself says.
    Again,
    /// An empty program at the same hook.
    Floor,
    /// A count for each thread in task storage, and nothing else.
    Counter,
    Learning,
    Normal,
    OutOfScope,
    /// The thesis's design.
    Thesis,
}

/// What has to stay while a configuration is measured, and is gone when it is dropped.
pub type Attachment = Box<dyn Any>;

impl Config {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Again => "A/A",
            Self::Floor => "empty program",
            Self::Counter => "counter",
            Self::Learning => "learning",
            Self::Normal => "normal",
            Self::OutOfScope => "out of scope",
            Self::Thesis => "thesis",
        }
    }
}

/// The hook that `EBPH_HOOK` names: that of kernels from 7.2 on is `tracepoint`.
pub fn hook() -> Result<EntryHook, Failure> {
    match std::env::var("EBPH_HOOK").as_deref() {
        Ok("tracepoint") => Ok(EntryHook::Tracepoint),
        Ok("tp_btf") | Err(_) => Ok(EntryHook::TpBtf),
        Ok(other) => Err(format!("no hook {other}: tp_btf, tracepoint").into()),
    }
}

pub struct Scene {
    pub victim: Victim,
    bystander: Victim,
    objects: Objects,
    operations: Vec<Operation>,
    hook: EntryHook,
}

impl Scene {
    pub fn new(operations: Vec<Operation>, hook: EntryHook) -> Result<Self, Failure> {
        Ok(Self {
            victim: Victim::start()?,
            bystander: Victim::start()?,
            objects: Objects::compile()?,
            operations,
            hook,
        })
    }

    fn monitor(&self) -> Result<Monitor, Failure> {
        let limits = Limits::default().normal_wait(Duration::from_secs(3600));
        Ok(Monitor::builder()
            .scope(Scope::Tree(self.victim.pid()))
            .limits(limits.anomaly_limit(u64::MAX / 2).tolerize_limit(128))
            .hook(self.hook)
            .start()?)
    }

    /// Nanoseconds that an operation takes, by the one whom the configuration means.
    pub fn perform(&mut self, config: Config, operation: &Operation) -> Result<f64, Failure> {
        let line = format!("{} {}", operation.name, operation.times);
        match config {
            Config::OutOfScope => self.bystander.ask(&line),
            _ => self.victim.ask(&line),
        }
    }

    /// Sets a configuration up. What is measured then are calls that are known.
    pub fn attach(&mut self, config: Config) -> Result<Attachment, Failure> {
        Ok(match config {
            Config::Nothing => Box::new(()),
            Config::Again => {
                drop(self.attach(Config::Learning)?);
                Box::new(())
            }
            Config::Floor => Box::new(self.objects.floor(self.hook)?),
            Config::Counter => Box::new(self.objects.counter()?),
            Config::Thesis => Box::new(self.objects.thesis(self.victim.pid())?),
            Config::OutOfScope => Box::new(self.monitor()?),
            Config::Learning | Config::Normal => {
                let monitor = self.monitor()?;
                // Each twice in a row, since that is how they are measured.
                for _ in 0..2 {
                    for operation in self.operations.clone() {
                        self.perform(config, &operation)?;
                        self.perform(config, &operation)?;
                    }
                }
                if config == Config::Normal {
                    let keys: Vec<_> = monitor.profiles()?.map(|profile| profile.key()).collect();
                    if keys.is_empty() {
                        return Err("the victim has no profile".into());
                    }
                    for key in keys {
                        monitor.normalize(key)?;
                    }
                }
                Box::new(monitor)
            }
        })
    }
}
