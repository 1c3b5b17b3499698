//! What was done about anomalies, as Prometheus reads it.

use std::time::Duration;

use super::{Page, Seconds};
use crate::stats::Stats;

impl Stats {
    pub(super) fn put_responses(&self, page: &mut Page) {
        let responses = &self.responses;
        page.head(
            "ebph_responses_total",
            "counter",
            "What was done about anomalies, and what only would have been.",
        );
        for (response, done, would_have) in [
            ("delay", responses.delays, responses.would_delay),
            (
                "suspend_exec",
                responses.suspended_execs,
                responses.would_suspend_exec,
            ),
            (
                "deny_exec",
                responses.denied_execs,
                responses.would_deny_exec,
            ),
            ("kill", responses.kills, responses.would_kill),
        ] {
            for (would, count) in [(false, done), (true, would_have)] {
                page.line(format_args!(
                    "ebph_responses_total{{response=\"{response}\",would_have=\"{would}\"}} {count}"
                ));
            }
        }
        page.counters(
            "responses_prevented",
            "Responses that did not come about, by cause.",
            "cause",
            [
                ("exempt", responses.exempted),
                ("unheld", responses.unheld),
                ("stopping", responses.already_stopping),
            ],
        );
        page.gauge(
            "stopped_processes",
            "Processes that are stopped for a while now.",
            responses.held,
        );
        page.counters(
            "stops_ended",
            "Stops that are over, by who ended them.",
            "by",
            [
                ("monitor", responses.released),
                ("others", responses.interrupted),
            ],
        );
        page.counter(
            "stops_left",
            "Stops after which something else, that had stopped the process too, kept it stopped.",
            responses.left_stopped,
        );
        page.counter(
            "stop_requested_seconds",
            "How long the stops that are over should have taken.",
            Seconds(Duration::from_nanos(responses.requested_ns)),
        );
        page.counter(
            "stop_observed_seconds",
            "How long the stops that are over took.",
            Seconds(Duration::from_nanos(responses.observed_ns)),
        );
        page.gauge(
            "stop_excess_seconds_max",
            "The longest that a stop took beyond what it should have.",
            Seconds(Duration::from_nanos(responses.worst_excess_ns)),
        );
    }
}
