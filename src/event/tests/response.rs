//! What is told of what was done about anomalies.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::{DecodeError, Record, clock, decode, read, wire};
use crate::event::export::{Confidence, Severity};
use crate::event::samples::sample;
use crate::event::{Event, EventKind, Response, ResponseAction};

const ACTIONS: [ResponseAction; 4] = [
    ResponseAction::Delay(Duration::from_millis(80)),
    ResponseAction::SuspendExec(Duration::from_secs(10)),
    ResponseAction::DenyExec,
    ResponseAction::Kill,
];

/// The sample, with something else done.
fn response(action: ResponseAction, would_have: bool) -> Response {
    let Event::Response(sample) = sample(EventKind::Response) else {
        unreachable!("a sample is of the kind that was asked for")
    };
    let target = matches!(
        action,
        ResponseAction::SuspendExec(_) | ResponseAction::DenyExec
    );
    Response {
        action,
        would_have,
        target: target.then(|| PathBuf::from("/bin/sh")),
        ..*sample
    }
}

fn event(action: ResponseAction, would_have: bool) -> Event {
    Event::Response(Box::new(response(action, would_have)))
}

/// Check that each response is written and read again alike, and what stands in its fields.
#[test]
fn json() {
    for (action, fields) in ACTIONS.into_iter().zip([
        r#""response":"delay","would_have":false,"wait_ns":80000000,"target":null,"symbol":"#,
        r#""response":"suspend_exec","would_have":false,"wait_ns":10000000000,"target":"/bin/sh","#,
        r#""response":"deny_exec","would_have":false,"wait_ns":null,"target":"/bin/sh","#,
        r#""response":"kill","would_have":false,"wait_ns":null,"target":null,"#,
    ]) {
        let json = event(action, false).to_json();
        assert!(json.contains(fields), "{json}");
        for would_have in [false, true] {
            let event = event(action, would_have);
            assert_eq!(read(&event.to_json()), event);
            assert_eq!(event.to_json().contains(r#""would_have":true"#), would_have);
        }
    }
}

/// Check what is said about objects that are no responses.
#[test]
fn json_refused() {
    let json = event(ACTIONS[0], false).to_json();
    let message = |from: &str, to: &str| {
        assert!(json.contains(from), "{json}");
        let error = serde_json::from_str::<Event>(&json.replace(from, to)).unwrap_err();
        error.to_string()
    };
    assert!(message(r#""wait_ns":80000000"#, r#""wait_ns":null"#).contains("`wait_ns`"));
    assert!(message(r#""response":"delay""#, r#""response":"scold""#).contains("`scold`"));
    assert!(message(r#""would_have":false,"#, "").contains("`would_have`"));
}

/// Check that a path that is not text is marked as changed where it is shown, however often it is
/// written and read.
#[test]
fn target_that_is_no_text() {
    let mut denied = response(ResponseAction::DenyExec, false);
    denied.target = Some(OsStr::from_bytes(b"/tmp/\xff\x1b[2J").into());
    let event = Event::Response(Box::new(denied));
    let json = event.to_json();
    assert!(json.contains(r#""target_lossy""#), "{json}");
    assert_eq!(read(&json).to_json(), json);
    let line = event.to_string();
    assert!(
        line.contains("of /tmp/\u{fffd}\\u{1b}[2J, because"),
        "{line}"
    );
    let explained = format!("{event:#}");
    assert!(explained.contains("/tmp/\u{fffd}\\u{1b}[2J"), "{explained}");
}

/// Check the lines that wake somebody up.
#[test]
fn lines() {
    let line = |action, would_have| {
        let line = event(action, would_have).to_string();
        let (_time, rest) = line.split_once(' ').unwrap();
        let (start, _) = rest.split_once("; ").unwrap();
        start.to_owned()
    };
    let [delay, suspend, deny, kill] = ACTIONS;
    let who = "/usr/sbin/nginx (pid 2212, uid 33): at dup2";
    let this = "because 3 of this thread's last 128 calls were anomalous";
    let any =
        "because up to 3 of 128 calls of its threads, or of those that started it, were anomalous";
    for (would_have, would) in [(false, ""), (true, "WOULD HAVE ")] {
        assert_eq!(
            line(delay, would_have),
            format!("{would}DELAYED for 80ms: {who}, {this}")
        );
        assert_eq!(
            line(suspend, would_have),
            format!("{would}SUSPENDED EXEC for 10s: {who} of /bin/sh, {any}")
        );
        assert_eq!(
            line(deny, would_have),
            format!("{would}DENIED EXEC: {who} of /bin/sh, {any}")
        );
        assert_eq!(
            line(kill, would_have),
            format!("{would}KILLED: {who}, {this}")
        );
    }
    assert!(
        event(kill, false)
            .to_string()
            .ends_with("; profile 254:0:10240041:3818136664 with 3 anomalies")
    );
}

/// Check that the explanation says what it means for the process, and where an earlier call is the
/// cause.
#[test]
fn explained() {
    for action in ACTIONS {
        let text = format!("{:#}", event(action, true));
        assert!(
            text.contains("\n  meaning     nothing was done: dry run\n"),
            "{text}"
        );
        let text = format!("{:#}", event(action, false));
        assert!(!text.contains("nothing was done"), "{text}");
        assert!(text.contains("\n  process     pid 2212"), "{text}");
        assert!(
            text.contains("at          dup2, never seen right after connect"),
            "{text}"
        );
    }
    let mut later = response(ResponseAction::Kill, false);
    later.missed = Vec::new();
    let text = format!("{later:#}");
    assert!(
        text.contains("dup2, which is normal here: earlier calls were not"),
        "{text}"
    );
    let json = Event::Response(Box::new(later)).to_ocsf();
    assert!(json.get("anomaly_analyses").is_none(), "{json}");
}

/// Check that what was done is graver than what would have been, that it is as sure as what it rests
/// on, and that two things done at one call are two events.
#[test]
fn gravity() {
    for action in ACTIONS {
        assert_eq!(event(action, false).severity(), Severity::High);
        assert_eq!(event(action, true).severity(), Severity::Medium);
        assert!(event(action, true).is_alert());
        assert_eq!(event(action, true).confidence(), Some(Confidence::High));
        let mut unsure = response(action, false);
        unsure.context.profile = None;
        let unsure = Event::Response(Box::new(unsure));
        assert_eq!(unsure.confidence(), Some(Confidence::Low));
    }
    let mut ids = ACTIONS.map(|action| event(action, false).uid());
    ids.sort();
    assert!(ids.windows(2).all(|two| two[0] != two[1]), "{ids:?}");
}

/// Check what a record of the kernel becomes, and that one of a kind that is not known is refused.
#[test]
fn decoded() {
    let record = |response, flags| Record {
        kind: EventKind::Response as u16,
        flags,
        response: (response, 5_000_000),
        ..Record::default()
    };
    let wait = Duration::from_millis(5);
    for (number, action) in [
        (1, ResponseAction::Delay(wait)),
        (2, ResponseAction::SuspendExec(wait)),
        (3, ResponseAction::DenyExec),
        (4, ResponseAction::Kill),
    ] {
        for (flags, would_have) in [(0, false), (wire::WOULD_HAVE, true)] {
            let Event::Response(event) = record(number, flags).event() else {
                panic!("it is another event");
            };
            assert_eq!((event.action, event.would_have), (action, would_have));
            assert_eq!(event.target, None);
            assert_eq!(event.window.len(), 9);
        }
    }
    for number in [0, 5] {
        let error = decode(&record(number, 0).bytes(), &clock(), 0).unwrap_err();
        assert_eq!(error, DecodeError::Cause);
    }
}
