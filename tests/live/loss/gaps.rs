//! What a stream tells of its gaps, beside what is missing from it.

use ebph::{Anomaly, Event, LossPlace};

/// How much more than the anomalies that are missing between its own a stream tells of as lost.
///
/// All anomalies are of one thread, and each says how many there were before, so their numbers show
/// what is missing and where. Fails where less is told than is missing.
#[derive(Default)]
pub struct Gaps {
    before: Option<u64>,
    told: u64,
    /// By `Lost` events and by `lost_before`.
    pub excess: [u64; 2],
    pub anomalies: u64,
    /// In the ring, in the queue.
    pub lost: [u64; 2],
}

impl Gaps {
    pub fn see(&mut self, event: &Event) {
        match event {
            Event::Lost(lost) => {
                let place = usize::from(lost.place == LossPlace::Channel);
                self.lost[place] += lost.count;
                self.told += lost.count;
            }
            Event::Anomaly(anomaly) => {
                let told = std::mem::take(&mut self.told);
                if let Some(missing) = self.missing(anomaly) {
                    self.excess[0] += told.checked_sub(missing).expect("a gap is told of");
                }
                self.see_anomaly(anomaly);
            }
            _ => {}
        }
    }

    fn missing(&self, anomaly: &Anomaly) -> Option<u64> {
        let number = number(anomaly);
        let missing = number.checked_sub(self.before? + 1);
        Some(missing.expect("anomalies come in their order"))
    }

    pub fn see_anomaly(&mut self, anomaly: &Anomaly) {
        if let Some(missing) = self.missing(anomaly) {
            let told = anomaly.context.lost_before.checked_sub(missing);
            self.excess[1] += told.expect("a gap is told of by the anomaly after it");
        }
        self.before = Some(number(anomaly));
        self.anomalies += 1;
    }
}

fn number(anomaly: &Anomaly) -> u64 {
    let profile = anomaly.context.profile.as_ref();
    profile.expect("an anomaly has a profile").anomalies
}
