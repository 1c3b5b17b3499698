//! The monitor as an embedder would have it, over the tree of a runner.

use std::time::Duration;

use ebph::{Event, Key, Limits, Monitor, Scope, Stats};

use crate::Failure;

/// A monitor of a tree.
pub struct Watch {
    monitor: Monitor,
    /// What was held as normal by `normalize`.
    normal: Vec<Key>,
}

impl Watch {
    pub fn start(root: u32) -> Result<Self, Failure> {
        // Nothing changes by itself what a profile is held to be while it is measured.
        let limits = Limits::default()
            .normal_wait(Duration::from_secs(7 * 24 * 3600))
            .anomaly_limit(u64::MAX)
            .tolerize_limit(128);
        let monitor = Monitor::builder()
            .scope(Scope::Tree(root))
            .limits(limits)
            // Events are decoded and handed on, as they are where somebody wants them.
            .handler(|_: &Event| {})
            .start()?;
        Ok(Self {
            monitor,
            normal: Vec::new(),
        })
    }

    /// Holds what each program did so far as normal.
    pub fn normalize(&mut self) -> Result<(), Failure> {
        let profiles = self.monitor.profiles()?;
        self.normal = profiles.map(|profile| profile.key()).collect();
        for key in &self.normal {
            self.monitor.normalize(*key)?;
        }
        Ok(())
    }

    pub fn stats(&self) -> Result<Stats, Failure> {
        Ok(self.monitor.stats()?)
    }

    /// Ends it. Fails if a profile was not what it was measured as.
    pub fn stop(self) -> Result<(), Failure> {
        for key in self.normal {
            let profile = self.monitor.profile(key)?;
            if profile.is_none_or(|profile| !profile.is_normal()) {
                return Err(format!("the profile {key} did not stay normal").into());
            }
        }
        let stats = self.monitor.stop()?;
        if stats.calls.recorded == 0 {
            return Err("no call was recorded".into());
        }
        Ok(())
    }
}
