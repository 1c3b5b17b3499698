//! Counters as Prometheus reads them.

mod responses;

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use super::{ReceiverKind, Stats};

impl Stats {
    /// The media type of what [`to_prometheus`](Self::to_prometheus) returns, for the HTTP header
    /// `Content-Type`.
    pub const PROMETHEUS_CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Returns all counters in the text format that Prometheus scrapes, version 0.0.4.
    ///
    /// Names begin with `ebph_`, and end with `_total` where a number only grows; units are seconds
    /// and bytes. There is no label for a process or profile, so the number of series does not grow
    /// with what is watched. Handlers have series of their own, under their name or else their
    /// place; of receivers, which come and go, there is the sum by kind of what waits for them.
    ///
    /// # Examples
    ///
    /// ```
    /// let text = ebph::Stats::default().to_prometheus();
    /// assert!(text.contains("\nebph_anomalies_total 0\n"));
    /// ```
    pub fn to_prometheus(&self) -> String {
        let mut page = Page::default();
        self.put_calls(&mut page);
        self.put_judgements(&mut page);
        self.put_responses(&mut page);
        self.put_profiles(&mut page);
        self.put_threads(&mut page);
        self.put_events(&mut page);
        self.put_queues(&mut page);
        self.put_kernel(&mut page);
        page.text
    }

    fn put_calls(&self, page: &mut Page) {
        let calls = &self.calls;
        page.counters(
            "syscalls",
            "System calls of watched threads, by what became of them.",
            "outcome",
            [
                ("recorded", calls.recorded),
                ("ignored", calls.ignored),
                ("restarted", calls.restarts),
                ("unprofiled", calls.unprofiled),
                ("paused", calls.paused),
                ("no_state", calls.no_state),
            ],
        );
        page.counters(
            "losses",
            "Whatever escaped the monitor, by cause.",
            "cause",
            self.losses(),
        );
    }

    fn put_judgements(&self, page: &mut Page) {
        let detection = &self.detection;
        page.counter("anomalies", "Calls that did not fit.", detection.anomalies);
        page.counter(
            "anomalies_suppressed",
            "Anomalies not reported, because their kind was and the report rate was used up.",
            detection.suppressed,
        );
    }

    fn put_profiles(&self, page: &mut Page) {
        let (profiles, rows, store) = (&self.profiles, &self.rows, &self.store);
        page.gauges(
            "profiles",
            "Profiles that are there now, by state.",
            "state",
            [
                ("training", profiles.training),
                ("frozen", profiles.frozen),
                ("normal", profiles.normal),
            ],
        );
        page.gauge(
            "profiles_limit",
            "Profiles that there is room for.",
            profiles.capacity,
        );
        page.counter("profiles_created", "Profiles made.", profiles.created);
        page.counter(
            "profiles_refused",
            "Profiles not made for want of room.",
            profiles.refused,
        );
        page.counter(
            "executables_changed",
            "Executables that were found rewritten.",
            profiles.changed,
        );
        page.gauge("rows", "Rows of the pool in use.", rows.used);
        page.gauge("rows_limit", "Rows that there are.", rows.capacity);
        page.counter(
            "rows_refused",
            "Rows not had when they were needed.",
            rows.refused,
        );
        page.counters(
            "profile_files",
            "What was done with profile files.",
            "action",
            [
                ("loaded", store.loaded),
                ("returned", store.returned),
                ("changed", store.changed),
                ("saved", store.saved),
                ("evicted", store.evicted),
                ("set_aside", store.set_aside),
                ("failed", store.failures),
            ],
        );
    }

    fn put_threads(&self, page: &mut Page) {
        let (threads, failures) = (&self.threads, &self.failures);
        page.counters(
            "late_notices",
            "Threads, executions, lost bindings and lost states first noticed at a call.",
            "what",
            [
                ("task", threads.late_tasks),
                ("exec", threads.late_execs),
                ("bind", threads.late_binds),
                ("state", threads.restored),
            ],
        );
        page.counter(
            "signal_handlers_entered",
            "Signal handlers entered by watched threads.",
            threads.signals,
        );
        page.counter(
            "signal_frames_dropped",
            "Jumps out of signal handlers, as far as the stack pointer tells.",
            threads.frames_dropped,
        );
        page.counter(
            "unbalanced_sigreturns",
            "Returns from a signal handler that was not entered.",
            threads.unbalanced,
        );
        page.counters(
            "failures",
            "Failures within the kernel's part.",
            "what",
            [
                ("contended", failures.contended),
                ("storage", failures.storage),
                ("index", failures.index),
                ("read", failures.read),
                ("signals", failures.signals),
            ],
        );
    }

    fn put_events(&self, page: &mut Page) {
        let events = &self.events;
        page.counter(
            "events_submitted",
            "Events sent by the kernel's part.",
            events.submitted,
        );
        page.counter(
            "events_read",
            "Events read from the ring buffer.",
            events.read,
        );
        page.counter(
            "events_delivered",
            "Events put into queues, added over all handlers and receivers.",
            events.delivered,
        );
        page.counters(
            "events_lost",
            "Events lost, where the ring buffer or a queue was full.",
            "place",
            [
                ("ring", events.lost_in_ring),
                ("channel", events.lost_in_channels),
            ],
        );
        page.counter(
            "handler_panics",
            "Handler calls that panicked.",
            events.handler_panics,
        );
    }

    fn put_queues(&self, page: &mut Page) {
        let handlers = || {
            let handlers = self.receivers.iter();
            let handlers = handlers.filter(|one| one.kind == ReceiverKind::Handler);
            handlers.enumerate().map(|(place, one)| {
                // Two handlers of one name would be one series twice, which no scraper takes.
                let name = match &one.name {
                    Some(name) => format!("{place}-{name}"),
                    None => place.to_string(),
                };
                (name, one)
            })
        };
        page.counters(
            "handler_events_delivered",
            "Events put into the queue of a handler.",
            "handler",
            handlers().map(|(name, one)| (name, one.delivered)),
        );
        page.counters(
            "handler_events_lost",
            "Events that found the queue of a handler full.",
            "handler",
            handlers().map(|(name, one)| (name, one.lost)),
        );
        let kinds = [
            ReceiverKind::Handler,
            ReceiverKind::Events,
            ReceiverKind::Anomalies,
        ];
        let sum = |count: fn(&super::ReceiverStats) -> u64| {
            kinds.map(|kind| {
                let of_kind = self.receivers.iter().filter(|one| one.kind == kind);
                let sum = of_kind.fold(0, |sum: u64, one| sum.saturating_add(count(one)));
                (kind.as_str(), sum)
            })
        };
        page.gauges(
            "receivers",
            "Handlers and receivers that are there now.",
            "kind",
            sum(|_| 1),
        );
        page.gauges(
            "queued_events",
            "Events that wait for handlers and receivers.",
            "kind",
            sum(|one| one.waiting),
        );
        page.gauges(
            "queued_events_limit",
            "Events that the queues of handlers and receivers have room for.",
            "kind",
            sum(|one| one.capacity),
        );
    }

    fn put_kernel(&self, page: &mut Page) {
        let programs = self.programs.iter();
        page.counters(
            "program_misses",
            "How often the kernel skipped a program because it was running already.",
            "program",
            programs
                .clone()
                .map(|one| (&one.name, one.recursion_misses)),
        );
        // Absent, not 0, while nobody counts them.
        page.counters(
            "program_runs",
            "How often a program ran, while the kernel counted it.",
            "program",
            programs
                .clone()
                .filter_map(|one| Some((&one.name, one.run_count?))),
        );
        page.counters(
            "program_run_seconds",
            "How long a program ran, while the kernel counted it.",
            "program",
            programs
                .clone()
                .filter_map(|one| Some((&one.name, Seconds(one.run_time?)))),
        );
        page.gauges(
            "program_verified_instructions",
            "Instructions that the verifier walked through when the program was loaded.",
            "program",
            programs.map(|one| (&one.name, one.verified_instructions)),
        );
        // A family has one unit: of the ring buffer it would be bytes, not entries.
        let entries = self.maps.iter().filter(|one| one.name != RING);
        page.gauges(
            "map_used",
            "Entries of a map in use.",
            "map",
            entries
                .clone()
                .filter_map(|one| Some((&one.name, one.used?))),
        );
        page.gauges(
            "map_limit",
            "Entries that a map has room for.",
            "map",
            entries.filter_map(|one| Some((&one.name, one.capacity?))),
        );
        if let Some(ring) = self.maps.iter().find(|one| one.name == RING) {
            page.gauge(
                "ring_used_bytes",
                "What waits in the ring buffer for the monitor to read.",
                ring.used.unwrap_or_default(),
            );
            page.gauge(
                "ring_limit_bytes",
                "Room in the ring buffer.",
                ring.capacity.unwrap_or_default(),
            );
        }
        let maps = self.maps.iter();
        page.gauges(
            "map_bytes",
            "Memory held for a map.",
            "map",
            maps.map(|one| (&one.name, one.bytes)),
        );
        let memory = &self.memory;
        page.gauges(
            "memory_bytes",
            "Memory of the kernel; that of threads is estimated.",
            "part",
            [
                ("maps", memory.maps),
                ("programs", memory.programs),
                ("threads", memory.threads),
            ],
        );
    }
}

/// The map that is a ring buffer.
const RING: &str = "events";

struct Seconds(Duration);

impl Display for Seconds {
    /// All nine digits: a float of this many seconds would lose the last of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0.as_secs(), self.0.subsec_nanos())
    }
}

/// The text so far.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        // SANITY: writing to a string cannot fail.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        let name = format!("ebph_{name}_total");
        self.head(&name, "counter", help);
        self.line(format_args!("{name} {value}"));
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        let name = format!("ebph_{name}");
        self.head(&name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    fn counters<N: AsRef<str>, V: Display>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        samples: impl IntoIterator<Item = (N, V)>,
    ) {
        self.family(
            &format!("ebph_{name}_total"),
            "counter",
            help,
            label,
            samples,
        );
    }

    fn gauges<N: AsRef<str>, V: Display>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        samples: impl IntoIterator<Item = (N, V)>,
    ) {
        self.family(&format!("ebph_{name}"), "gauge", help, label, samples);
    }

    fn family<N: AsRef<str>, V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        samples: impl IntoIterator<Item = (N, V)>,
    ) {
        self.head(name, kind, help);
        for (of, value) in samples {
            let of = escape(of.as_ref());
            self.line(format_args!("{name}{{{label}=\"{of}\"}} {value}"));
        }
    }
}

/// What may not stand in the value of a label as it is.
fn escape(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return value.into();
    }
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n").into()
}
