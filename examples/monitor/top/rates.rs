//! Rates from counters that only grow, and what was lost.

use std::collections::VecDeque;
use std::time::SystemTime;

use ebph::Stats;

use crate::rows::StatusReport;

/// How many intervals are remembered for the small graphs.
const HISTORY: usize = 240;

/// What happens how often.
#[derive(Default)]
pub struct Rates {
    last: Option<Sample>,
    pub calls: Series,
    pub anomalies: Series,
    /// Set for one interval when something was lost in it.
    pub losing: bool,
}

/// Counters as they were at one moment, of one monitor.
struct Sample {
    monitor: (u32, SystemTime),
    /// Seconds, on a clock that does not step.
    at: f64,
    calls: u64,
    anomalies: u64,
    lost: u64,
}

/// A rate, now and before.
#[derive(Default)]
pub struct Series {
    pub now: f64,
    /// The oldest first, rounded up so that what is rare is seen.
    history: VecDeque<u64>,
}

impl Series {
    fn push(&mut self, rate: f64) {
        self.now = rate;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(rate.ceil() as u64);
    }

    /// Returns the newest values that so many columns have room for.
    pub fn newest(&self, columns: usize) -> Vec<u64> {
        let skipped = self.history.len().saturating_sub(columns);
        self.history.iter().skip(skipped).copied().collect()
    }
}

impl Rates {
    /// Takes the counters as they are at a moment, in seconds.
    ///
    /// The first of a monitor gives no rate. Neither do those of another monitor, or of the same
    /// one started again: what is less than it was has not run backwards.
    pub fn observe(&mut self, status: &StatusReport, at: f64) {
        let sample = Sample {
            monitor: (status.pid, status.started),
            at,
            calls: status.calls,
            anomalies: status.anomalies,
            lost: losses(&status.stats).iter().map(|loss| loss.count).sum(),
        };
        self.losing = false;
        if let Some(last) = &self.last {
            let passed = sample.at - last.at;
            let goes_on = last.monitor == sample.monitor
                && last.calls <= sample.calls
                && last.anomalies <= sample.anomalies
                && last.lost <= sample.lost;
            if goes_on && passed > 0.0 {
                let rate = |before: u64, after: u64| (after - before) as f64 / passed;
                self.calls.push(rate(last.calls, sample.calls));
                self.anomalies.push(rate(last.anomalies, sample.anomalies));
                self.losing = sample.lost > last.lost;
            } else if goes_on {
                return;
            } else {
                self.calls.push(0.0);
                self.anomalies.push(0.0);
            }
        }
        self.last = Some(sample);
    }
}

/// Something that was lost, in words that say what follows from it.
pub struct Loss {
    pub what: &'static str,
    pub count: u64,
}

/// Returns what was lost since the monitor started; what was not is left out.
pub fn losses(stats: &Stats) -> Vec<Loss> {
    let failures = &stats.failures;
    let all = [
        ("reports lost in the ring", stats.events.lost_in_ring),
        ("lost in queues", stats.events.lost_in_channels),
        ("reports not understood", stats.events.undecodable),
        ("hooks skipped", stats.recursion_misses()),
        ("calls without profile", stats.calls.unprofiled),
        ("calls without state", stats.calls.no_state),
        ("calls not learnt", stats.calls.unlearnt),
        ("profiles not saved", stats.store.dropped),
        ("file failures", stats.store.failures),
        ("profile files set aside", stats.store.set_aside),
        ("handler panics", stats.events.handler_panics),
        (
            "kernel failures",
            [
                failures.contended,
                failures.storage,
                failures.index,
                failures.read,
                failures.signals,
            ]
            .into_iter()
            .fold(0, u64::saturating_add),
        ),
    ];
    let lost = all.into_iter().filter(|(_, count)| *count > 0);
    lost.map(|(what, count)| Loss { what, count }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::samples::status;

    fn with(calls: u64, anomalies: u64) -> StatusReport {
        let mut status = status();
        (status.calls, status.anomalies) = (calls, anomalies);
        status
    }

    /// Check that a rate is what was added, by the time that really passed.
    #[test]
    fn from_counters() {
        let mut rates = Rates::default();
        rates.observe(&with(1000, 0), 10.0);
        assert_eq!(rates.calls.newest(9), [0; 0], "one sample is no rate");
        rates.observe(&with(3000, 1), 12.0);
        assert_eq!((rates.calls.now, rates.anomalies.now), (1000.0, 0.5));
        assert_eq!(rates.anomalies.newest(9), [1], "what is rare is seen");
        rates.observe(&with(3000, 1), 12.0);
        assert_eq!(rates.calls.now, 1000.0, "no time passed");
        rates.observe(&with(3000, 1), 13.0);
        assert_eq!((rates.calls.now, rates.calls.newest(1)), (0.0, vec![0]));
        assert_eq!(rates.calls.newest(9), [1000, 0]);
    }

    /// Check that a monitor that was started again, or another one, gives no absurd rate.
    #[test]
    fn started_again() {
        let mut rates = Rates::default();
        rates.observe(&with(1_000_000, 7), 1.0);
        rates.observe(&with(10, 0), 2.0);
        assert_eq!((rates.calls.now, rates.anomalies.now), (0.0, 0.0));
        rates.observe(&with(30, 0), 3.0);
        assert_eq!(rates.calls.now, 20.0);
        let mut other = with(5_000_000, 9);
        other.pid += 1;
        rates.observe(&other, 4.0);
        assert_eq!((rates.calls.now, rates.anomalies.now), (0.0, 0.0));
    }

    /// Check that the graphs are bounded.
    #[test]
    fn bounded() {
        let mut rates = Rates::default();
        for second in 0..1000 {
            rates.observe(&with(second * 5, 0), second as f64);
        }
        assert_eq!(rates.calls.newest(usize::MAX), [5; HISTORY]);
    }

    /// Check that each loss is told, and that one that grows is told to.
    #[test]
    fn every_loss() {
        let mut status = with(0, 0);
        let mut rates = Rates::default();
        rates.observe(&status, 0.0);
        assert!(losses(&status.stats).is_empty());
        status.stats.events.lost_in_ring = 3;
        status.stats.events.lost_in_channels = 4;
        status.stats.calls.unlearnt = 5;
        status.stats.failures.read = 6;
        rates.observe(&status, 1.0);
        assert!(rates.losing);
        let counts: Vec<_> = losses(&status.stats)
            .iter()
            .map(|loss| loss.count)
            .collect();
        assert_eq!(counts, [3, 4, 5, 6]);
        rates.observe(&status, 2.0);
        assert!(!rates.losing);
    }
}
