//! Messages for syslog, read by a parser of others.

use ebph::{Event, EventKind, Host, Severity, testing};
use syslog_loose::{Message, Protocol, SyslogFacility, SyslogSeverity, Variant};

use crate::variants::{self, NASTY};

fn parse(line: &str) -> Message<&str> {
    syslog_loose::parse_message_with_year_exact(line, |_| 1970, Variant::RFC5424)
        .unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn param(message: &Message<&str>, name: &str) -> Option<String> {
    let element = &message.structured_data[0];
    let mut params = element.params();
    params.find_map(|(known, value)| (*known == name).then_some(value))
}

/// Check that every event, in all its forms, is one message of RFC 5424 that keeps to its limits.
#[test]
fn every_event() {
    let nasty = Host::named(format!("{NASTY}{}", "h".repeat(300)));
    for (what, event) in variants::all() {
        for host in [variants::host(), Host::default(), nasty.clone()] {
            let line = event.to_syslog_of(&host);
            assert!(
                line.len() <= Event::SYSLOG_MAX,
                "{what}: {} bytes",
                line.len()
            );
            assert!(!line.contains(char::is_control), "{what}: {line:?}");
            assert!(!line.contains('\u{202e}'), "{what}: {line:?}");
            let message = parse(&line);
            assert_eq!(message.protocol, Protocol::RFC5424(1), "{what}");
            assert_eq!(
                message.facility,
                Some(SyslogFacility::LOG_AUTHPRIV),
                "{what}"
            );
            let severity = match event.severity() {
                Severity::High => SyslogSeverity::SEV_CRIT,
                Severity::Medium => SyslogSeverity::SEV_WARNING,
                Severity::Low => SyslogSeverity::SEV_NOTICE,
                Severity::Informational => SyslogSeverity::SEV_INFO,
                other => panic!("{other:?}"),
            };
            assert_eq!(message.severity, Some(severity), "{what}");
            assert_eq!(message.appname, Some("ebph"), "{what}");
            assert_eq!(message.msgid, Some(event.kind().as_str()), "{what}");
            assert_eq!(message.hostname.is_some(), host.name.is_some(), "{what}");
            assert!(
                message.hostname.is_none_or(|name| name.len() <= 255),
                "{what}"
            );
            let time = message.timestamp.unwrap();
            assert_eq!(time.timestamp_micros(), 1_795_338_000_123_456, "{what}");
            assert_eq!(message.structured_data.len(), 1, "{what}");
            assert_eq!(message.structured_data[0].id, Event::SYSLOG_ID, "{what}");
            // The text is all there, or is said not to be.
            let text = message.msg.trim_start_matches('\u{feff}');
            let whole = event.to_string().split_once(' ').unwrap().1 == text;
            let cut =
                param(&message, "cut").is_some_and(|cut| cut.split(',').any(|x| x == "message"));
            assert_eq!(whole, !cut, "{what}: {line}");
            assert_eq!(
                message.msg.is_ascii(),
                !message.msg.starts_with('\u{feff}'),
                "{what}"
            );
            if cut {
                assert!(text.len() > 20 || host.name == nasty.name, "{what}: {line}");
                assert!(text.ends_with("..."), "{what}: {line}");
            }
        }
    }
}

/// Check the whole of one line, and what the parser makes of it.
#[test]
fn evidence() {
    let line = testing::sample(EventKind::Anomaly).to_syslog_of(&variants::host());
    let head = "<84>1 2026-11-22T09:00:00.123456Z web-3 ebph - anomaly [ebph@32473 pid=\"2212\" ";
    assert!(line.starts_with(head), "{line}");
    let message = parse(&line);
    let is = |name: &str, value: &str| assert_eq!(param(&message, name).as_deref(), Some(value));
    is("exe", "/usr/sbin/nginx");
    is("program", "/usr/sbin/nginx");
    is("profile", "254:0:10240041:3818136664");
    is("call", "dup2");
    is("missed", "1 2 3");
    is("lfc", "3");
    is("lost_before", "0");
    assert_eq!(param(&message, "login_uid"), None);
    assert_eq!(param(&message, "cut"), None);
}

/// Check that no name can end its value, its element or its message, and that what it looks like
/// is told from what it is.
#[test]
fn injection() {
    for (what, event) in variants::all() {
        if !what.ends_with("nasty names") {
            continue;
        }
        let line = event.to_syslog_of(&variants::host());
        let message = parse(&line);
        let shown = r#"a"b]\\\n\u{1b}[2J\u{202e}é=\0<10>1 "#;
        assert_eq!(param(&message, "comm").as_deref(), Some(shown), "{line}");
        assert_eq!(param(&message, "uid").as_deref(), Some("33"), "{line}");
    }
}

/// Check that a long value keeps its end, and says that it lacks its beginning.
#[test]
fn long_values() {
    for (what, event) in variants::all() {
        if !what.ends_with("very long names") {
            continue;
        }
        let message_line = event.to_syslog_of(&variants::host());
        let message = parse(&message_line);
        let exe = param(&message, "exe").unwrap();
        assert!(exe.starts_with("...") && exe.ends_with("x/éé"), "{exe}");
        let cut = param(&message, "cut").unwrap();
        assert!(cut.starts_with("exe,program"), "{cut}");
    }
}
