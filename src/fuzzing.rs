//! What is fuzzed and cannot be reached from outside; compiled for that and for tests only.

use std::time::{Duration, UNIX_EPOCH};

use crate::clock::Clock;
use crate::event::decode::{DecodeError, Decoded, decode};
use crate::event::{Event, Host};

/// Takes bytes for a record of the ring, and gives the event to whatever shows or writes events.
pub fn records(bytes: &[u8]) {
    if let Ok(Decoded { event, lost }) = read(bytes) {
        // Each takes one way, and says itself which: writing takes longer than reading.
        let way = lost % WAYS.len() as u64;
        WAYS[way as usize](&event);
    }
}

fn read(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let clock = Clock {
        boot: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
    };
    decode(bytes, &clock, 7)
}

const WAYS: [fn(&Event); 6] = [
    |event| {
        let line = event.to_string();
        assert!(!line.contains(char::is_control), "{line:?}");
        let text = format!("{event:#}");
        let obeyed = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(obeyed), "{text:?}");
    },
    |event| {
        let json = event.to_json();
        assert!(!json.contains(char::is_control), "{json:?}");
        let again: Event = serde_json::from_str(&json).expect("what was written is read");
        assert_eq!(again.to_json(), json);
    },
    |event| {
        let line = event.to_syslog_of(&Host::named("host"));
        assert!(line.len() <= Event::SYSLOG_MAX, "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    },
    |event| {
        let fields = event.to_journal_fields();
        let least = fields
            .iter()
            .map(|(name, value)| name.len() + value.len() + 2);
        let least: usize = least.sum();
        // Each field has one byte or nine between its name and its value.
        let length = event.to_journal().len();
        assert!((least..=least + 8 * fields.len()).contains(&length));
    },
    |event| {
        let ecs = event.to_ecs_of(&Host::named("host"));
        assert!(ecs["event"]["id"].is_string(), "{ecs}");
    },
    |event| {
        let ocsf = event.to_ocsf_of(&Host::named("host"));
        assert!(ocsf["metadata"]["uid"].is_string(), "{ocsf}");
    },
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Check that what fuzzing knows of records is read without a panic.
    #[test]
    fn known_records() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/records");
        let inputs = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{corpus:?}: {error}"));
        let mut events = 0;
        for input in inputs {
            let bytes = fs::read(input.unwrap().path()).unwrap();
            records(&bytes);
            events += usize::from(read(&bytes).is_ok());
        }
        assert!(events >= WAYS.len(), "only {events} events in {corpus:?}");
    }
}
