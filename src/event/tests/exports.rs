//! Formats of others, from whatever the kernel may send.

use proptest::prelude::*;

use super::circumstances::any_circumstances;
use super::{any_record, clock};
use crate::event::decode::{Decoded, decode};
use crate::event::export::Host;
use crate::event::{Circumstances, Event};

/// Puts circumstances where there can be such.
fn surround(event: &mut Event, circumstances: Circumstances) {
    let context = match event {
        Event::Anomaly(event) => &mut event.context,
        Event::UnbalancedSigreturn(event) => &mut event.context,
        Event::Response(event) => &mut event.context,
        _ => return,
    };
    context.circumstances = Some(Box::new(circumstances));
}

proptest! {
    /// Check that any record in any circumstances has a place in every format, and that a message
    /// for syslog keeps to its limits.
    #[test]
    fn every_format(
        record in any_record(),
        circumstances in any_circumstances(),
        host in any::<String>(),
    ) {
        let Ok(Decoded { mut event, .. }) = decode(&record.bytes(), &clock(), 0) else {
            return Ok(());
        };
        surround(&mut event, circumstances);
        let host = Host::named(host);
        let id = event.to_ecs_of(&host)["event"]["id"].clone();
        prop_assert_eq!(&event.to_ocsf_of(&host)["metadata"]["uid"], &id);
        let line = event.to_syslog_of(&host);
        prop_assert!(line.len() <= Event::SYSLOG_MAX, "{}: {}", line.len(), line);
        prop_assert!(!line.contains(char::is_control), "{:?}", line);
        let fields = event.to_journal_fields();
        let json = event.to_json().into_bytes();
        prop_assert!(fields.contains(&("EBPH_JSON", json)));
        // Each field is its name, one byte or nine between, its value and a line end.
        let least: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let length = event.to_journal().len();
        prop_assert!((least..=least + 8 * fields.len()).contains(&length));
    }
}
