//! Counters as others read them: their table and serde form, Prometheus, and the examples that
//! hand on counters and events.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use ebph::{ReceiverKind, Stats};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Stage, call, example, getppid};

/// An example under test, which is killed when dropped.
struct Example {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(example(name))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example can be run");
        let output = child.stdout.take().expect("it is piped");
        let lines = BufReader::new(output).lines();
        Self { child, lines }
    }

    /// Waits for the next line.
    #[track_caller]
    fn line(&mut self) -> String {
        let line = self.lines.next().expect("the example goes on");
        line.expect("it prints text")
    }

    /// Asks it to end, and returns the lines that it still had to say.
    #[track_caller]
    fn end(mut self, signal: Signal) -> Vec<String> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a child's pid is not 0");
        kill_process(pid, signal).expect("the example runs");
        let rest = self.lines.by_ref().collect::<Result<_, _>>();
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "{status}");
        rest.expect("it prints text")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Check that maps, programs and memory are all there, and that what is in use is counted.
#[test]
fn stats_are_complete() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.max_profiles(16).max_rows(64));
    let named = watch.events().named("named");
    let passing = watch.events();
    stage.run_ok(1, "calls", &[getppid(10)]);
    let key = stage.key(&watch, "calls");
    watch.wait_for_kind("profile_created", key);

    let stats = watch.stats().expect("stats can be read");
    let map = |name: &str| {
        let found = stats.maps.iter().find(|map| map.name == name);
        found.unwrap_or_else(|| panic!("no map {name} in {:?}", stats.maps))
    };
    for (name, used, capacity) in [
        ("profiles", Some(2), Some(16)),
        ("slots", Some(2), Some(16)),
        // Row 0 is nobody's.
        ("rows", Some(stats.rows.used + 1), Some(65)),
        // The runner.
        ("tasks", Some(1), None),
        ("events", Some(0), Some(4 << 20)),
        ("kinds", None, Some(16384)),
    ] {
        let map = map(name);
        assert_eq!((map.used, map.capacity), (used, capacity), "{map:?}");
    }
    assert!(map("rows").bytes >= 65 * stats.rows.bytes);
    let maps: u64 = stats.maps.iter().map(|map| map.bytes).sum();
    assert_eq!(stats.memory.maps, maps);
    assert!(stats.memory.programs > 0);
    assert!((256..8192).contains(&stats.memory.threads), "{stats}");

    let receivers = &stats.receivers;
    assert_eq!(receivers.len(), 3, "{receivers:?}");
    assert!(receivers.iter().all(|one| one.kind == ReceiverKind::Events));
    assert_eq!(receivers[1].name.as_deref(), Some("named"));
    assert_eq!(receivers[1].waiting, receivers[1].delivered);
    assert_eq!(receivers[0].waiting, 0, "all were taken: {receivers:?}");

    // Those that are gone are in the sums.
    drop(passing);
    let after = watch.stats().expect("stats can be read");
    assert_eq!(after.receivers.len(), 2);
    assert_eq!(after.events.delivered, stats.events.delivered);
    drop(named);
    watch.finish();
}

/// Check that no counter goes back while threads hand in their calls: whoever reads them would take
/// it for a new beginning.
#[test]
fn counters_never_go_back() {
    let stage = Stage::new();
    let watch = stage.watch();
    let runs: Vec<_> = (0..2)
        .map(|_| stage.start("calls", &[getppid(3_000_000)]))
        .collect();
    let mut before = 0;
    while before < 5_000_000 {
        let now = watch.stats().expect("stats can be read").calls.recorded;
        assert!(now >= before, "{now} after {before}");
        before = now;
    }
    for run in runs {
        assert!(run.wait().success());
    }
    let now = watch.stats().expect("stats can be read").calls.recorded;
    assert!(now >= 6_000_000, "{now}");
    // The programs' own starts and ends, and the runner's.
    assert!(now < 6_000_200, "{now}");
    watch.finish();
}

/// Check that runs are told only while they are counted, and then exactly: one of the entry's for
/// each call of the machine, so no fewer than those watched.
#[test]
fn runs_are_measured_on_demand() {
    let stage = Stage::new();
    let watch = stage.watch();
    let measurement = watch.measure().expect("root may");
    let entry = || {
        let programs = watch.stats().expect("stats can be read").programs;
        let mut entries = programs.into_iter();
        let entry = entries.find(|program| program.name.starts_with("ebph_sys_enter"));
        entry.expect("an entry program is attached")
    };
    let before = entry();
    stage.run_ok(1, "calls", &[getppid(10_000)]);
    let after = entry();
    drop(measurement);
    let (from, to) = (before.run_count, after.run_count);
    let runs = to.expect("counted") - from.expect("counted");
    assert!(runs > 10_000, "{before:?} {after:?}");
    let time = after.run_time.expect("measured") - before.run_time.expect("measured");
    assert!(time.as_nanos() > 10_000, "{before:?} {after:?}");
    watch.finish();
}

/// What a scraper makes of a page, by Prometheus's own parser for Python.
fn parsed(page: &str) -> BTreeMap<String, f64> {
    const PROGRAM: &str = "
import json, sys
try:
    from prometheus_client.parser import text_string_to_metric_families as parse
except ImportError:
    sys.exit('this test needs Debian\\'s python3-prometheus-client')
for family in parse(sys.stdin.read()):
    assert family.documentation, family
    assert family.type in ('counter', 'gauge'), family
    for sample in family.samples:
        labels = ','.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))
        print(json.dumps([f'{sample.name}{{{labels}}}', sample.value]))
";
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs /usr/bin/python3");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(page.as_bytes()).expect("python reads it");
    drop(input);
    let output = child.wait_with_output().expect("it is our child");
    assert!(output.status.success(), "see above");
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("it prints pairs")
}

/// Check that Prometheus's parser finds in the page what the counters say.
#[test]
fn prometheus_reads_the_page() {
    let stage = Stage::new();
    let watch =
        stage.watch_with(|builder| builder.named_handler("odd \"name\\\n", |_: &ebph::Event| ()));
    let measurement = watch.measure().expect("root may");
    stage.run_ok(1, "calls", &[getppid(10)]);
    let key = stage.key(&watch, "calls");
    watch.normalize(key).expect("it was run");
    stage.run_ok(1, "calls", &[call(libc::SYS_getuid, 1)]);
    let stats = watch.stats().expect("stats can be read");
    drop(measurement);
    let found = parsed(&stats.to_prometheus());
    let value = |name: &str| {
        let value = found.get(name);
        *value.unwrap_or_else(|| panic!("no {name} in {found:#?}")) as u64
    };
    let recorded = value("ebph_syscalls_total{outcome=recorded}");
    assert_eq!(recorded, stats.calls.recorded);
    assert!(value("ebph_anomalies_total{}") > 0);
    assert_eq!(value("ebph_anomalies_total{}"), stats.detection.anomalies);
    assert_eq!(value("ebph_profiles{state=normal}"), 1);
    assert_eq!(value("ebph_memory_bytes{part=maps}"), stats.memory.maps);
    let name = "ebph_handler_events_delivered_total{handler=0-odd \"name\\\n}";
    assert_eq!(value(name), stats.receivers[0].delivered);
    for program in &stats.programs {
        let name = format!("ebph_program_runs_total{{program={}}}", program.name);
        assert_eq!(Some(value(&name)), program.run_count);
    }
    watch.finish();
}

/// Asks for something by HTTP, and returns the head and the body of the answer.
fn ask(address: &str, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("the example listens");
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head ends so");
    (head.to_owned(), body.to_owned())
}

/// Check that the example serves the counters at one place, to several at once, whoever hangs on,
/// and ends cleanly.
#[test]
fn metrics_are_served() {
    let stage = Stage::new();
    let scope = format!("tree:{}", stage.pid());
    let arguments = ["--listen", "127.0.0.1:0", "--scope", &scope];
    let mut example = Example::start("metrics", &arguments);
    let line = example.line();
    let address = line
        .strip_prefix("serving http://")
        .and_then(|rest| rest.strip_suffix("/metrics"))
        .unwrap_or_else(|| panic!("{line}"))
        .to_owned();
    // One that says nothing keeps nobody waiting.
    let silent = TcpStream::connect(&address).expect("the example listens");
    stage.run_ok(1, "calls", &[getppid(1000)]);
    let (head, page) = ask(&address, "GET /metrics");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let head = head.to_ascii_lowercase();
    let kind = format!("content-type: {}", Stats::PROMETHEUS_CONTENT_TYPE);
    assert!(head.contains(&kind), "{head}");
    let found = parsed(&page);
    assert!(found["ebph_syscalls_total{outcome=recorded}"] >= 1001.0);
    for (request, status) in [
        ("GET /", "404"),
        ("GET /metrics/", "404"),
        ("POST /metrics", "405"),
        ("HEAD /metrics", "200"),
    ] {
        let (head, _) = ask(&address, request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    assert_eq!(example.end(Signal::TERM), [""; 0]);
    drop(silent);
    let gone = TcpStream::connect(&address);
    assert!(gone.is_err(), "somebody still listens at {address}");
}

/// Check that the example for tokio prints each anomaly when it comes, and is told of the end.
#[test]
fn tokio_receives() {
    let stage = Stage::new();
    let profiles = tempfile::tempdir().expect("a temporary directory can be made");
    let watch = stage.watch_with(|builder| builder.profile_dir(profiles.path()));
    stage.run_ok(1, "calls", &[getppid(10)]);
    let key = stage.key(&watch, "calls");
    watch.normalize(key).expect("it was run");
    watch.finish();

    let pid = stage.pid().to_string();
    let dir = profiles.path().to_str().expect("test paths are UTF-8");
    let mut example = Example::start("tokio", &["--pid", &pid, "--profile-dir", dir]);
    assert_eq!(example.line(), "watching");
    // Each is waited for, so that each finds the receivers empty.
    let strange = [
        (libc::SYS_getuid, "getuid"),
        (libc::SYS_getgid, "getgid"),
        (libc::SYS_geteuid, "geteuid"),
        (libc::SYS_getegid, "getegid"),
        (libc::SYS_getpid, "getpid"),
    ];
    for (number, name) in strange {
        // The last call but one of the profile is new to it as well.
        stage.run_ok(1, "calls", &[getppid(2), call(number, 1), getppid(1)]);
        while !example.line().contains(name) {}
    }
    let said = example.end(Signal::INT);
    let count = |what: &str| -> u64 {
        let line = said.iter().find_map(|line| line.strip_suffix(what));
        let line = line.unwrap_or_else(|| panic!("no{what} in {said:#?}"));
        line.parse().expect("a number stands before it")
    };
    assert!(count(" anomalies") >= 5, "{said:#?}");
    assert_eq!(count(" anomaly"), count(" anomalies"));
    assert_eq!(count(" events lost"), 0);
}
