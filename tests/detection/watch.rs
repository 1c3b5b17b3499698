//! The monitor: training, the restart between training and judging, and what was reported.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ebph::{Anomaly, Event, Events, Key, Limits, Monitor, Pair, Profile, State};
use tempfile::TempDir;

use crate::eventually;
use crate::stage::Stage;

/// A monitor of one stage, of which one profile matters.
pub struct Watch {
    monitor: Monitor,
    events: Events,
    executable: PathBuf,
    key: Key,
    /// How much of the profile's counts was taken already.
    taken: Counts,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    calls: u64,
    anomalies: u64,
}

/// What a profile's programs did since it was last asked.
#[derive(Default)]
pub struct Taken {
    pub calls: u64,
    pub anomalies: Vec<Anomaly>,
}

impl Watch {
    pub fn start(stage: &Stage, executable: &Path, profiles: &TempDir) -> Self {
        // A measurement meets the same profile each time: it neither stops being normal after
        // many anomalies, nor is wiped, nor leaves reports out.
        let limits = Limits::default()
            .anomaly_limit(u64::MAX)
            .tolerize_limit(128)
            .report_rate(1_000_000)
            .thread_report_rate(1_000_000);
        let monitor = Monitor::builder()
            .scope(stage.scope())
            .limits(limits)
            .profile_dir(profiles.path())
            .ring_bytes(16 << 20)
            .channel_capacity(1 << 20)
            .start()
            .unwrap_or_else(|error| panic!("the monitor does not start: {error}"));
        Self {
            events: monitor.events(),
            key: monitor
                .key_of(executable)
                .unwrap_or_else(|error| panic!("{error}")),
            monitor,
            executable: executable.to_owned(),
            taken: Counts::default(),
        }
    }

    /// The profile, with what its running threads have not yet counted.
    #[track_caller]
    pub fn profile(&self) -> Profile {
        self.monitor
            .profile(self.key)
            .expect("profiles can be read")
            .unwrap_or_else(|| panic!("no profile of {}", self.executable.display()))
    }

    /// Holds what was learnt as normal, stops the monitor, and starts another one, which has the
    /// profile from its file before it sees a call.
    pub fn restart(self, stage: &Stage, profiles: &TempDir) -> Self {
        self.monitor
            .normalize(self.key)
            .expect("there is a profile");
        self.monitor.save().expect("profiles can be saved");
        let before = held(&self.profile());
        let executable = self.executable.clone();
        self.stop();

        let mut next = Self::start(stage, &executable, profiles);
        let profile = next.profile();
        assert_eq!(profile.state(), State::Normal, "after the restart");
        assert_eq!(held(&profile), before, "after the restart");
        next.taken = Counts {
            calls: profile.train_count(),
            anomalies: profile.anomalies(),
        };
        next
    }

    /// Returns what was done, and reported, since the last time. Programs are to be at rest.
    pub fn take(&mut self) -> Taken {
        let profile = self.profile();
        assert_eq!(profile.state(), State::Normal);
        let now = Counts {
            calls: profile.train_count(),
            anomalies: profile.anomalies(),
        };
        let mut anomalies = Vec::new();
        // Judged in the kernel, and here a moment later. What was judged since the profile was
        // read may be here as well.
        eventually("the anomalies to be reported", || {
            while let Ok(event) = self.events.try_recv() {
                anomalies.extend(self.own(event));
            }
            (self.taken.anomalies + anomalies.len() as u64 >= now.anomalies).then_some(())
        });
        // What a thread holds back may be seen twice while it is being counted.
        let calls = now.calls.saturating_sub(self.taken.calls);
        self.taken.calls = self.taken.calls.max(now.calls);
        self.taken.anomalies += anomalies.len() as u64;
        Taken { calls, anomalies }
    }

    fn own(&self, event: Event) -> Option<Anomaly> {
        match event {
            Event::Anomaly(anomaly) => {
                let profile = anomaly.context.profile.as_ref();
                let own = profile.is_some_and(|profile| profile.key == self.key);
                own.then_some(*anomaly)
            }
            Event::Lost(lost) => panic!("events were lost: {lost:?}"),
            _ => None,
        }
    }

    /// Stops the monitor; nothing may have been lost.
    pub fn stop(self) {
        let stats = self.monitor.stop().expect("a monitor stops");
        assert_eq!(stats.events.lost_in_ring, 0, "events were lost");
        assert_eq!(stats.profiles.refused + stats.rows.refused, 0, "no room");
    }
}

/// The pairs that are normal, by name and distance.
fn held(profile: &Profile) -> BTreeSet<(String, String, u8)> {
    let named = |pair: Pair| {
        pair.test_distances().map(move |distance| {
            let (current, previous) = (pair.current.to_string(), pair.previous.to_string());
            (current, previous, distance)
        })
    };
    profile.pairs().flat_map(named).collect()
}
