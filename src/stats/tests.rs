//! The snapshot of counters, in each of its forms.

use std::time::Duration;

use super::*;

fn stats() -> Stats {
    let calls = CallStats {
        recorded: 10,
        restarts: 2,
        unlearnt: 1,
        ..CallStats::default()
    };
    let rows = RowStats {
        used: 3,
        capacity: 64,
        bytes: 512,
        refused: 0,
    };
    let programs = [("ebph_sys_enter_tree", 4), ("ebph_fork", 5)].map(|(name, missed)| {
        let measured = missed == 4;
        ProgramStats {
            name: name.to_owned(),
            recursion_misses: missed,
            run_count: measured.then_some(7),
            run_time: measured.then_some(Duration::from_nanos(1_000_000_023)),
            verified_instructions: 99,
        }
    });
    let receivers = [Some("back\\slash \"quote\"\nline"), None].map(|name| ReceiverStats {
        kind: ReceiverKind::Handler,
        name: name.map(str::to_owned),
        delivered: 6,
        lost: 2,
        lost_notices: 1,
        waiting: 3,
        capacity: 8,
    });
    let map = MapStats {
        name: "tasks".to_owned(),
        used: Some(5),
        capacity: None,
        bytes: 4096,
    };
    let ring = MapStats {
        name: "events".to_owned(),
        used: Some(736),
        capacity: Some(4 << 20),
        bytes: 8 << 20,
    };
    let memory = MemoryStats {
        maps: 4096,
        programs: 1024,
        threads: 512,
    };
    let responses = ResponseStats {
        delays: 7,
        would_kill: 2,
        exempted: 3,
        held: 1,
        released: 6,
        requested_ns: 1_500_000_000,
        observed_ns: 1_500_000_042,
        worst_excess_ns: 1_000_001,
        ..ResponseStats::default()
    };
    Stats {
        calls,
        responses,
        rows,
        receivers: receivers.into(),
        maps: vec![map, ring],
        memory,
        programs: programs.into(),
        ..Stats::default()
    }
}

/// Check that a call is counted once in the sum of those seen.
#[test]
fn sums() {
    assert_eq!(stats().calls.seen(), 12);
    assert_eq!(stats().recursion_misses(), 9);
    assert_eq!(stats().memory.total(), 5632);
}

/// Check that each loss is found under its cause, and calls that were missed apart from hooks.
#[test]
fn losses() {
    let found: Vec<_> = stats().losses().filter(|(_, count)| *count > 0).collect();
    assert_eq!(
        found,
        [("missed_calls", 4), ("missed_hooks", 5), ("unlearnt", 1)]
    );
}

/// Check that cells of all CPUs add up.
#[test]
fn cells() {
    let mut stats = Stats::default();
    let cell = types::ebph_counters {
        recorded: 2,
        changed: 1,
        ..Default::default()
    };
    stats.add(&cell);
    stats.add(&cell);
    assert_eq!((stats.calls.seen(), stats.profiles.changed), (4, 2));
}

/// Check that what the kernel counts by kind of response is added to the right one.
#[test]
fn cells_of_responses() {
    let mut stats = Stats::default();
    stats.add(&types::ebph_counters {
        responses: [0, 1, 2, 3, 4, 0, 0, 0],
        would_have: [0, 5, 6, 7, 8, 0, 0, 0],
        exempted: 9,
        unheld: 10,
        stopped: 11,
        interrupted: 12,
        ..Default::default()
    });
    let expected = ResponseStats {
        delays: 1,
        suspended_execs: 2,
        denied_execs: 3,
        kills: 4,
        would_delay: 5,
        would_suspend_exec: 6,
        would_deny_exec: 7,
        would_kill: 8,
        exempted: 9,
        unheld: 10,
        already_stopping: 11,
        interrupted: 12,
        ..ResponseStats::default()
    };
    assert_eq!(stats.responses, expected);
}

/// Check that the numbers of the table stand in one column.
#[test]
fn table() {
    let text = stats().to_string();
    for line in text.lines().filter(|line| line.starts_with("  ")) {
        // A longer name shifts its own line only.
        if line.contains("quote") {
            continue;
        }
        let number = &line[30..44];
        assert!(number.trim().parse::<u64>().is_ok(), "{line}");
    }
    assert!(text.contains("rows in use                              3 of 64, 512 bytes each"));
    assert!(text.contains("delays                                   7 and 0 that would have been"));
    assert!(text.contains("processes killed                         0 and 2 that would have been"));
    assert!(text.contains("stopped for, ns                 1500000042 of 1500000000 asked for"));
    assert!(
        text.contains(r#"  handler back\\slash \"quote\"\nline"#),
        "{text}"
    );
    // What nobody counted is not 0.
    let fork = text.lines().find(|line| line.contains("ebph_fork"));
    let fields: Vec<_> = fork.unwrap_or_default().split_whitespace().collect();
    assert_eq!(fields, ["ebph_fork", "5", "-", "-", "99"]);
}

/// Check that an exporter gets back what was written, also from an older version.
#[test]
fn json() {
    let json = serde_json::to_value(stats()).unwrap();
    for part in CallStats::PARTS {
        assert!(json["calls"][part].is_u64(), "{part}");
    }
    assert_eq!(serde_json::from_value::<Stats>(json).unwrap(), stats());
    assert_eq!(
        serde_json::from_str::<Stats>("{}").unwrap(),
        Stats::default()
    );
}

/// Check that what is not known is told apart from 0, and times are plain numbers.
#[test]
fn json_of_programs() {
    let json = serde_json::to_value(stats()).unwrap();
    let times: Vec<_> = [0, 1].map(|at| &json["programs"][at]["run_time_ns"]).into();
    assert_eq!(times[0], 1_000_000_023_u64);
    assert!(times[1].is_null(), "{json}");
    assert_eq!(json["receivers"][0]["kind"], "handler");
    assert!(json["receivers"][1]["name"].is_null());
}

/// The samples of a page: what stands before the value, and the value.
fn samples(page: &str) -> Vec<(&str, &str)> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).collect()
}

fn sample<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let found = samples(page).into_iter().find(|(is, _)| *is == name);
    found.map(|(_, value)| value)
}

/// Check numbers, units and labels of the page for Prometheus, and what is left out of it.
#[test]
fn prometheus() {
    let page = stats().to_prometheus();
    let value = |name| sample(&page, name);
    assert_eq!(
        value(r#"ebph_syscalls_total{outcome="recorded"}"#),
        Some("10")
    );
    assert_eq!(value("ebph_anomalies_total"), Some("0"));
    for (response, would_have, count) in [
        ("delay", "false", "7"),
        ("delay", "true", "0"),
        ("kill", "true", "2"),
    ] {
        let name =
            format!(r#"ebph_responses_total{{response="{response}",would_have="{would_have}"}}"#);
        assert_eq!(sample(&page, &name), Some(count), "{name}");
    }
    let exempt = r#"ebph_responses_prevented_total{cause="exempt"}"#;
    assert_eq!(value(exempt), Some("3"));
    assert_eq!(value("ebph_stopped_processes"), Some("1"));
    let observed = "ebph_stop_observed_seconds_total";
    assert_eq!(value(observed), Some("1.500000042"));
    assert_eq!(value("ebph_stop_excess_seconds_max"), Some("0.001000001"));
    assert_eq!(
        value(r#"ebph_program_run_seconds_total{program="ebph_sys_enter_tree"}"#),
        Some("1.000000023")
    );
    assert_eq!(
        value(r#"ebph_program_runs_total{program="ebph_fork"}"#),
        None
    );
    assert_eq!(value(r#"ebph_map_used{map="tasks"}"#), Some("5"));
    assert_eq!(value(r#"ebph_map_limit{map="tasks"}"#), None);
    // Bytes are not added to entries.
    assert_eq!(value(r#"ebph_map_used{map="events"}"#), None);
    assert_eq!(value(r#"ebph_map_limit{map="events"}"#), None);
    assert_eq!(value("ebph_ring_used_bytes"), Some("736"));
    assert_eq!(value("ebph_ring_limit_bytes"), Some("4194304"));
    assert_eq!(value(r#"ebph_queued_events{kind="handler"}"#), Some("6"));
    let name = r#"ebph_handler_events_lost_total{handler="0-back\\slash \"quote\"\nline"}"#;
    assert_eq!(value(name), Some("2"));
    assert_eq!(
        value(r#"ebph_handler_events_lost_total{handler="1"}"#),
        Some("2")
    );
}

/// Check that each family is described before its samples, once, and no series is there twice.
#[test]
fn prometheus_families() {
    let page = stats().to_prometheus();
    assert!(page.ends_with('\n'));
    let mut families = Vec::new();
    let mut series = std::collections::BTreeSet::new();
    for line in page.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                assert!(!families.contains(&name), "{name} twice");
                assert!(name.starts_with("ebph_") && help.ends_with('.'), "{line}");
                families.push(name);
            }
            ["#", "TYPE", name, kind] => {
                assert_eq!(families.last(), Some(&name));
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            }
            _ => {
                let (id, value) = line.rsplit_once(' ').unwrap();
                let name = id.split('{').next().unwrap();
                assert_eq!(families.last(), Some(&name));
                assert!(value.parse::<f64>().is_ok(), "{line}");
                assert!(series.insert(id), "{id} twice");
            }
        }
    }
}
