//! Events as they may be, in all their forms: every sample, and alerts of which this or that is
//! not known, was cut short, or was chosen by somebody ill-meaning.

use ebph::{Event, EventKind, Host, testing};
use serde_json::{Value, json};

/// What a program might call itself to get at whoever reads of it.
pub const NASTY: &str = "a\"b]\\\n\u{1b}[2J\u{202e}é=\0<10>1 ";

/// A machine that is the same wherever the tests run.
pub fn host() -> Host {
    testing::sample_host()
}

/// Every event, with what makes it special.
pub fn all() -> Vec<(String, Event)> {
    let samples = EventKind::ALL
        .iter()
        .map(|kind| (kind.to_string(), testing::sample(*kind)));
    samples
        .chain(changed(EventKind::Anomaly))
        .chain(changed(EventKind::UnbalancedSigreturn))
        .chain(changed(EventKind::Response))
        .collect()
}

/// An alert with a field replaced; a pointer is as in RFC 6901.
fn with(kind: EventKind, changes: &[(&str, Value)]) -> Event {
    let mut event = serde_json::to_value(testing::sample(kind)).unwrap();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        event.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    serde_json::from_value(event).unwrap()
}

fn changed(kind: EventKind) -> Vec<(String, Event)> {
    let around = [
        "exe",
        "args",
        "cwd",
        "ancestors",
        "cgroup",
        "container",
        "login_uid",
        "audit_session",
        "capabilities",
    ];
    let mut list: Vec<(String, Event)> = Vec::new();
    let mut add = |what: &str, changes: &[(&str, Value)]| {
        list.push((format!("{kind}, {what}"), with(kind, changes)));
    };
    for field in around {
        for mark in ["truncated", "late", "unknown", "redacted"] {
            let mut changes = vec![("/marks", json!([format!("{field}_{mark}")]))];
            let pointer = format!("/{field}");
            if mark == "unknown" || mark == "redacted" {
                changes.push((&pointer, Value::Null));
            }
            add(&format!("{field} {mark}"), &changes);
        }
    }
    for field in ["pid", "tid", "ppid", "pid_inside", "profile"] {
        add(
            &format!("no {field}"),
            &[(&format!("/{field}"), Value::Null)],
        );
    }
    add("parent not visible", &[("/ancestors/0/pid", Value::Null)]);
    add(
        "a parent known late",
        &[(
            "/ancestors/0/marks",
            json!(["comm_lossy", "exe_truncated", "exe_late"]),
        )],
    );
    add("no runtime", &[("/container/runtime", Value::Null)]);
    add("no namespaces known", &[("/namespaces", json!({}))]);
    add(
        "somebody logged in",
        &[("/login_uid", json!(1000)), ("/audit_session", json!(4))],
    );
    add("set-user-id", &[("/euid", json!(0)), ("/egid", json!(0))]);
    add(
        "a capability of later",
        &[("/capabilities", json!(["CAP_BPF", "CAP_47"]))],
    );
    add("a deleted file", &[("/marks", json!(["exe_deleted"]))]);
    add(
        "a script",
        &[("/profile/script", json!("/usr/bin/a-script"))],
    );
    add(
        "an incomplete profile",
        &[("/profile/marks", json!(["incomplete"]))],
    );
    add(
        "an unknown executable",
        &[
            ("/profile/exe", Value::Null),
            ("/profile/marks", json!(["no_path"])),
        ],
    );
    add("after losses", &[("/lost_before", json!(77))]);
    add(
        "nasty names",
        &[
            ("/comm", json!(NASTY)),
            ("/exe", json!(format!("/{NASTY}/{NASTY}"))),
            ("/args", json!([NASTY, "", "it's"])),
            ("/cwd", json!(NASTY)),
            ("/profile/exe", json!(format!("/{NASTY}"))),
        ],
    );
    add(
        "very long names",
        &[
            ("/exe", json!(format!("/{}é", "x/é".repeat(1_300)))),
            ("/args", json!(vec!["\u{1f600}".repeat(60); 4])),
            ("/cwd", json!(format!("/{}", "y".repeat(4_000)))),
            ("/profile/exe", json!(format!("/{}", "é".repeat(120)))),
        ],
    );
    // More than any process can have: the most that a message must hold all the same.
    let quotes = json!("\"".repeat(300));
    let most = json!(u64::MAX);
    add(
        "everything as long as can be",
        &[
            ("/exe", quotes.clone()),
            ("/comm", quotes.clone()),
            ("/container/id", quotes.clone()),
            ("/profile/script", quotes),
            ("/start_boot_ns", most.clone()),
            ("/profile/train_count", most.clone()),
            ("/profile/anomalies", most.clone()),
            (
                "/profile/key",
                json!("4095:1048575:18446744073709551615:4294967295:sffffffffffffffff:u4294967295"),
            ),
            ("/lost_before", most),
            ("/login_uid", json!(u32::MAX)),
        ],
    );
    if kind == EventKind::Response {
        responses(&mut add);
    }
    if kind != EventKind::UnbalancedSigreturn {
        add(
            "every pair missed, more than once",
            &[
                (
                    "/window",
                    json!([
                        "read",
                        "?",
                        "other",
                        "io_uring:read",
                        "i386:write",
                        "x32:any",
                        "brk",
                        "brk",
                        "dup2"
                    ]),
                ),
                (
                    "/missed",
                    (1..=8)
                        .map(|distance| json!({"distance": distance, "previous": "other"}))
                        .collect(),
                ),
                ("/lfc", json!(9)),
                ("/max_lfc", json!(12)),
                ("/suppressed", json!(4_000)),
            ],
        );
    }
    list
}

/// Each that there is, done and not done, and what is special about them.
fn responses(add: &mut impl FnMut(&str, &[(&str, Value)])) {
    let long = format!("/{}", "\"".repeat(4_000));
    for (response, wait, targets) in [
        ("delay", json!(u64::MAX), &[Value::Null] as &[Value]),
        (
            "suspend_exec",
            json!(10_000_000_000_u64),
            &[json!("/bin/sh"), Value::Null],
        ),
        (
            "deny_exec",
            Value::Null,
            &[json!("/bin/sh"), Value::Null, json!(NASTY), json!(long)],
        ),
        ("kill", Value::Null, &[Value::Null]),
    ] {
        for (would_have, target) in [false, true]
            .into_iter()
            .flat_map(|would_have| targets.iter().map(move |target| (would_have, target)))
        {
            let what = if would_have { "would have" } else { "done" };
            let which = match target.as_str() {
                Some(path) if path.len() > 100 => "a long path".to_owned(),
                _ => target.to_string(),
            };
            add(
                &format!("{response} {which} {what}"),
                &[
                    ("/response", json!(response)),
                    ("/would_have", json!(would_have)),
                    ("/wait_ns", wait.clone()),
                    ("/target", target.clone()),
                ],
            );
        }
    }
    add(
        "an earlier call is the cause",
        &[("/missed", json!([])), ("/response", json!("kill"))],
    );
    let quotes = json!("\"".repeat(300));
    add(
        "all of a denied exec as long as can be",
        &[
            ("/response", json!("suspend_exec")),
            ("/wait_ns", json!(u64::MAX)),
            ("/target", quotes.clone()),
            ("/exe", quotes.clone()),
            ("/comm", quotes.clone()),
            ("/container/id", quotes.clone()),
            ("/profile/script", quotes),
            ("/start_boot_ns", json!(u64::MAX)),
            ("/profile/train_count", json!(u64::MAX)),
            ("/profile/anomalies", json!(u64::MAX)),
            (
                "/profile/key",
                json!("4095:1048575:18446744073709551615:4294967295:sffffffffffffffff:u4294967295"),
            ),
            ("/window", json!(vec!["io_uring:read"; 9])),
            (
                "/missed",
                (1..=8)
                    .map(|distance| json!({"distance": distance, "previous": "other"}))
                    .collect(),
            ),
            ("/lost_before", json!(u64::MAX)),
            ("/suppressed", json!(u64::MAX)),
            ("/login_uid", json!(u32::MAX)),
        ],
    );
}
