//! Decoding, JSON and Display together: from the kernel's bytes to what a person reads.

mod circumstances;
mod exports;
mod response;

use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, SystemTime};

use proptest::collection::vec;
use proptest::prelude::*;

use super::decode::{DecodeError, Decoded, decode};
use super::wire;
use super::*;
use crate::clock::Clock;
use crate::key::tests::any_key;
use crate::syscall::Abi;

/// The example that callers were promised.
const SAMPLE: &str = concat!(
    r#"{"schema":1,"event":"anomaly","time":"2026-11-22T09:00:00.123456789Z","boot_ns":123,"#,
    r#""pid":11162,"tid":11162,"ppid":11001,"start_boot_ns":99,"comm":"anomaly","#,
    r#""uid":0,"euid":0,"gid":0,"egid":0,"cgroup_id":1,"#,
    r#""profile":{"key":"8:1:5259631:0","exe":"/home/u/anomaly","script":null,"#,
    r#""state":"normal","train_count":75,"last_mod_count":75,"anomalies":1},"#,
    r#""symbol":{"abi":"x86_64","number":1,"name":"write"},"#,
    r#""window":["mprotect","mprotect","mprotect","munmap","fstat","brk","brk","write","write"],"#,
    r#""missed":[{"distance":1,"previous":"write"}],"#,
    r#""misses":1,"lfc":1,"max_lfc":1,"suppressed":0,"lost_before":0}"#,
);

/// A record as the kernel would write it.
#[derive(Clone, Debug)]
struct Record {
    kind: u16,
    flags: u32,
    time: u64,
    lost: u64,
    /// pid, tid, ppid, uid, euid, gid, egid
    ids: [u32; 7],
    comm: Vec<u8>,
    key: Key,
    /// train_count, last_mod_count, sequences, anomalies, normal_time, created, basis, execs
    counts: [u64; 8],
    state: u32,
    profile_flags: u32,
    exe: Vec<u8>,
    script: Vec<u8>,
    /// Most recent first.
    window: [u16; 8],
    symbol: u16,
    missed: u8,
    others: u8,
    /// The kind of a response, and its wait.
    response: (u32, u64),
}

impl Default for Record {
    fn default() -> Self {
        Self {
            kind: EventKind::Anomaly as u16,
            flags: 0,
            time: 123,
            lost: 0,
            ids: [11162, 11162, 11001, 0, 0, 0, 0],
            comm: b"anomaly".into(),
            key: Key::new(8, 1, 5_259_631, 0),
            counts: [75, 75, 12, 1, 0, 7, 4000, 3],
            state: 3,
            profile_flags: 0,
            exe: b"/home/u/anomaly".into(),
            script: Vec::new(),
            window: [1, 12, 12, 5, 11, 10, 10, 10],
            symbol: 1,
            missed: 1,
            others: 0,
            response: (0, 0),
        }
    }
}

impl Record {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let padded = |text: &[u8], length| {
            let mut text = text.to_vec();
            text.resize(length, 0);
            text
        };
        let call = [
            EventKind::Anomaly,
            EventKind::NewSequence,
            EventKind::UnbalancedSigreturn,
            EventKind::Response,
        ]
        .iter()
        .any(|kind| *kind as u16 == self.kind);
        let size = if call {
            wire::CALL_EVENT_SIZE
        } else {
            wire::EVENT_SIZE
        };
        out.extend(self.kind.to_ne_bytes());
        out.extend(u16::try_from(size).unwrap().to_ne_bytes());
        out.extend(self.flags.to_ne_bytes());
        out.extend(
            [self.time, self.lost, 99, 1]
                .map(u64::to_ne_bytes)
                .as_flattened(),
        );
        out.extend(self.ids.map(u32::to_ne_bytes).as_flattened());
        out.extend([0; 4]);
        out.extend(padded(&self.comm, wire::COMM));
        let (ino, script, partition, dev, generation) = self.key.to_wire();
        out.extend(
            [ino, script, partition]
                .map(u64::to_ne_bytes)
                .as_flattened(),
        );
        out.extend([dev, generation].map(u32::to_ne_bytes).as_flattened());
        out.extend(self.counts.map(u64::to_ne_bytes).as_flattened());
        out.extend(
            [self.state, self.profile_flags, 0, 0]
                .map(u32::to_ne_bytes)
                .as_flattened(),
        );
        out.extend(padded(&self.exe, wire::PATH));
        out.extend(padded(&self.script, wire::PATH));
        if call {
            out.extend(self.window.map(u16::to_ne_bytes).as_flattened());
            out.extend(self.symbol.to_ne_bytes());
            out.extend([self.missed, self.others]);
            let (response, wait) = self.response;
            out.extend([1, 1, response].map(u32::to_ne_bytes).as_flattened());
            out.extend([0, wait].map(u64::to_ne_bytes).as_flattened());
        }
        assert_eq!(out.len(), size);
        out
    }

    fn event(&self) -> Event {
        decode(&self.bytes(), &clock(), 0).unwrap().event
    }
}

/// A clock that puts boot time 123 ns at the time of the sample.
fn clock() -> Clock {
    let sample = humantime::parse_rfc3339("2026-11-22T09:00:00.123456789Z").unwrap();
    Clock {
        boot: sample - Duration::from_nanos(123),
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    let head = (
        prop_oneof![1_u16..=13, 16_u16..=18, Just(20)],
        any::<u32>(),
        any::<u64>(),
        any::<u64>(),
        any::<[u32; 7]>(),
    );
    let names = (
        vec(any::<u8>(), 0..=16),
        vec(any::<u8>(), 0..=256),
        vec(any::<u8>(), 0..=256),
    );
    let profile = (any_key(), any::<[u64; 8]>(), any::<u32>(), any::<u32>());
    let letter = prop_oneof![Just(wire::SYMBOL_NONE), 0_u16..=1151];
    let call = (
        proptest::array::uniform8(letter),
        0_u16..=1151,
        any::<u8>(),
        any::<u8>(),
        (0_u32..=5, any::<u64>()),
    );
    (head, names, profile, call).prop_map(|(head, names, profile, call)| {
        let (kind, flags, time, lost, ids) = head;
        let (comm, exe, script) = names;
        let (key, counts, state, profile_flags) = profile;
        let (window, symbol, missed, others, response) = call;
        Record {
            kind,
            flags: flags & !wire::SURROUNDED,
            time,
            lost,
            ids,
            comm,
            key,
            counts,
            state,
            profile_flags,
            exe,
            script,
            window,
            symbol,
            missed,
            others,
            response,
        }
    })
}

fn read(json: &str) -> Event {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

proptest! {
    /// Check that no bytes whatever make the decoder panic.
    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..800), lost in any::<u64>()) {
        let _ = decode(&bytes, &clock(), lost);
    }

    /// Check that a good record with some bytes changed is read or refused, and can be shown.
    #[test]
    fn damaged_records(damage in vec((0..wire::CALL_EVENT_SIZE, any::<u8>()), 1..20)) {
        let mut bytes = Record::default().bytes();
        for (place, byte) in damage {
            bytes[place] = byte;
        }
        if let Ok(Decoded { event, .. }) = decode(&bytes, &clock(), 0) {
            prop_assert!(!event.to_string().contains(char::is_control));
            prop_assert_eq!(read(&event.to_json()).to_json(), event.to_json());
        }
    }

    /// Check that any record of the right shape is read, shown, written and read again alike.
    #[test]
    fn json_round_trip(record in any_record()) {
        let event = match decode(&record.bytes(), &clock(), 0) {
            Ok(Decoded { event, lost }) => {
                prop_assert_eq!(lost, record.lost);
                event
            }
            Err(error) => {
                prop_assert_eq!(error, DecodeError::Cause);
                return Ok(());
            }
        };
        prop_assert_eq!(event.kind() as u16, record.kind);
        let line = event.to_string();
        prop_assert!(!line.contains(char::is_control), "{:?}", line);
        let json = event.to_json();
        prop_assert!(!json.contains(char::is_control), "{:?}", json);
        let again = read(&json);
        prop_assert_eq!(again.to_json(), json);
        // Only paths that are not UTF-8 change on the way.
        let lossy = event.profile().is_some_and(|p| p.marks.exe_lossy || p.marks.script_lossy);
        prop_assert!(lossy || again == event);
    }
}

/// Check that the promised example is what such a record becomes, byte for byte, but for fields
/// that were added behind the others of their object.
#[test]
#[cfg(target_arch = "x86_64")]
fn sample_written() {
    let added = r#","sequences":12,"frozen":false,"age_ns":116,"basis":4000,"execs":3"#;
    let json = Record::default().event().to_json();
    let json = json.replace(r#","confidence":"medium"}"#, "}");
    assert_eq!(json.replace(added, ""), SAMPLE);
    assert!(json.contains(added));
}

/// Check that JSON has no effect on a terminal, and still says what it should.
#[test]
fn json_on_a_terminal() {
    let mut event = Record::default().event();
    let hostile = "\u{9b}2J\u{7f}\u{202e}\u{e0041}é\"\\";
    event.alert_mut().unwrap().actor.comm = hostile.to_owned();
    let json = event.to_json();
    assert!(
        json.contains(r#""\u009b2J\u007f\u202e\udb40\udc41é\"\\""#),
        "{json}"
    );
    assert_eq!(read(&json), event);
}

/// Check that a profile which seems to be from the future, since the clock was set back, has no
/// age, rather than centuries of it.
#[test]
fn profile_from_the_future() {
    let bytes = Record::default().bytes();
    let view = bytes.len() - wire::CALL_EVENT_SIZE + 24 + 64;
    let age = |created: i64| {
        let mut bytes = bytes.clone();
        // Behind the key and five counts.
        bytes[view + 72..][..8].copy_from_slice(&created.to_ne_bytes());
        let decoded = decode(&bytes, &clock(), 0).unwrap();
        decoded.event.profile().unwrap().age
    };
    let now = Record::default().event().context().unwrap().boot;
    assert_eq!(age(0), now);
    assert_eq!(age(-5), now + Duration::from_nanos(5));
    assert_eq!(age(1 << 60), Duration::ZERO);
}

/// Check that the promised example is read, with fields that nobody knows yet.
#[test]
fn sample_read() {
    let event = read(&SAMPLE.replace(r#""misses":1"#, r#""misses":1,"news":{"x":[1]}"#));
    let anomaly = event.anomaly().unwrap();
    assert_eq!(anomaly.window.len(), 9);
    assert_eq!(anomaly.symbol, Symbol::new(Abi::X86_64, 1));
    assert_eq!(anomaly.context.actor.pid, Some(11162));
    assert_eq!(event.profile().unwrap().state, State::Normal);
}

/// Check what is said about objects that are no events.
#[test]
fn json_refused() {
    let message = |json: &str| serde_json::from_str::<Event>(json).unwrap_err().to_string();
    assert!(message(&SAMPLE.replace(r#""schema":1"#, r#""schema":2"#)).contains("schema 2"));
    assert!(message(&SAMPLE.replace(r#""lfc":1,"#, "")).contains("`lfc`"));
    assert!(message(&SAMPLE.replace(r#""brk","#, r#""bark","#)).contains("bark"));
    assert!(message(&SAMPLE.replace("T09:", " noon ")).contains("`time`"));
    assert!(message("{}").contains("`schema`"));
}

/// Check that calls of other interfaces are told apart from the machine's own.
#[test]
#[cfg(target_arch = "x86_64")]
fn interfaces() {
    let mut record = Record {
        symbol: 512 + 4,
        others: 2,
        ..Record::default()
    };
    record.window = [
        512 + 4,
        0,
        1024,
        1025 + 22,
        1,
        wire::SYMBOL_NONE,
        wire::SYMBOL_NONE,
        wire::SYMBOL_NONE,
    ];
    let json = record.event().to_json();
    let window = r#"["write","io_uring:read","x32:any","other","i386:write","i386:write"]"#;
    assert!(json.contains(window), "{json}");
    assert_eq!(read(&json), record.event());
}

/// Check that events which the kernel does not send survive JSON too.
#[test]
fn monitor_events() {
    let (time, boot) = (SystemTime::UNIX_EPOCH, Duration::from_nanos(5));
    let lost = Event::Lost(Lost {
        time,
        boot,
        count: 3,
        place: LossPlace::Channel,
    });
    assert_eq!(
        lost.to_json(),
        r#"{"schema":1,"event":"lost","time":"1970-01-01T00:00:00.000000000Z","boot_ns":5,"place":"channel","count":3}"#
    );
    assert_eq!(read(&lost.to_json()), lost);
    let warning = Event::Warning(Warning {
        time,
        boot,
        what: WarningKind::HandlerPanic,
        count: 1,
    });
    assert_eq!(read(&warning.to_json()), warning);
    let aside = Event::ProfileSetAside(Box::new(ProfileSetAside {
        time,
        boot,
        path: "/var/lib/ebph/set-aside/x.json".into(),
        reason: "it ends\n early".to_owned(),
    }));
    assert_eq!(read(&aside.to_json()), aside);
    assert!(!aside.to_string().contains('\n'), "{aside}");
    assert!(lost.context().is_none() && lost.profile().is_none());
}

/// Check that records which are cut short or make no sense are told from good ones.
#[test]
fn broken_records() {
    let good = Record::default().bytes();
    let error = |bytes: &[u8]| decode(bytes, &clock(), 0).unwrap_err();
    for length in 0..good.len() {
        assert!(
            matches!(error(&good[..length]), DecodeError::Length { .. }),
            "{length}"
        );
    }
    let longer: Vec<u8> = good.iter().copied().chain([0]).collect();
    assert!(matches!(error(&longer), DecodeError::Length { .. }));
    let mut size = good.clone();
    size[2] ^= 1;
    assert!(matches!(error(&size), DecodeError::Length { .. }));
    let kind = |kind| {
        Record {
            kind,
            ..Record::default()
        }
        .bytes()
    };
    assert_eq!(error(&kind(0)), DecodeError::Kind(0));
    assert_eq!(error(&kind(14)), DecodeError::Kind(14));
    let symbol = Record {
        symbol: 1152,
        ..Record::default()
    }
    .bytes();
    assert_eq!(error(&symbol), DecodeError::Symbol(1152));
    let cause = Record {
        kind: EventKind::CapacityExhausted as u16,
        ..Record::default()
    }
    .bytes();
    assert_eq!(error(&cause), DecodeError::Cause);
}

/// Check that what is not known is absent, not zero or empty.
#[test]
fn unknown_is_none() {
    let record = Record {
        ids: [0; 7],
        exe: Vec::new(),
        ..Record::default()
    };
    let event = record.event();
    let context = event.context().unwrap();
    assert_eq!(
        (context.actor.pid, context.actor.tid, context.actor.ppid),
        (None, None, None)
    );
    assert_eq!(event.profile().unwrap().exe, None);
    assert!(
        event
            .to_json()
            .contains(r#""pid":null,"tid":null,"ppid":null"#)
    );
    assert!(
        event
            .to_string()
            .contains("a program without a known path (pid not visible here")
    );

    let record = Record {
        kind: 13,
        flags: wire::CAUSE_SLOTS | wire::NO_PROFILE,
        ..Record::default()
    };
    assert!(record.event().profile().is_none());
    assert!(record.event().to_json().contains(r#""profile":null"#));
}

/// Check that a window shorter than eight calls is shown as short, and that a forgotten call in
/// it stays countable.
#[test]
fn short_window() {
    let none = wire::SYMBOL_NONE;
    let window = [1, none, 0, none, none, none, none, none];
    let event = Record {
        window,
        missed: 0b10,
        ..Record::default()
    }
    .event();
    let anomaly = event.anomaly().unwrap();
    assert_eq!(anomaly.window.len(), 4);
    assert_eq!(
        anomaly.missed,
        [MissedPair {
            distance: 2,
            previous: Letter::Unknown
        }]
    );
}

/// Check that losses are counted between one event and the next.
#[test]
fn losses() {
    let bytes = Record {
        lost: 10,
        ..Record::default()
    }
    .bytes();
    let before = |seen| {
        let Decoded { event, lost } = decode(&bytes, &clock(), seen).unwrap();
        assert_eq!(lost, 10);
        event.context().unwrap().lost_before
    };
    assert_eq!(
        (before(0), before(7), before(10), before(11)),
        (10, 3, 0, 0)
    );
}

/// Check that names which are not text stay what they are, and are marked where they are shown.
#[test]
fn not_utf8() {
    let event = Record {
        exe: b"/tmp/\xff".into(),
        comm: b"\xfe".into(),
        ..Record::default()
    }
    .event();
    assert_eq!(
        event
            .profile()
            .unwrap()
            .exe
            .as_ref()
            .unwrap()
            .as_os_str()
            .as_bytes(),
        b"/tmp/\xff"
    );
    let json = event.to_json();
    assert!(
        json.contains("/tmp/\u{fffd}") && json.contains(r#""marks":["exe_lossy"]"#),
        "{json}"
    );
    assert!(
        json.contains(r#","marks":["comm_lossy"],"confidence""#),
        "{json}"
    );
}

/// Check the line that wakes somebody up.
#[test]
#[cfg(target_arch = "x86_64")]
fn anomaly_line() {
    let event = Record {
        missed: 0b101,
        lost: 2,
        ..Record::default()
    }
    .event();
    assert_eq!(
        event.to_string(),
        "2026-11-22T09:00:00.123Z ANOMALY: /home/u/anomaly (pid 11162, uid 0): write is not normal \
         right after write or 3 calls after brk (2 of 8 pairs); calls: mprotect mprotect mprotect \
         munmap fstat brk brk write >write<; anomaly 1 of this profile (8:1:5259631:0); 1 of this \
         thread's last 128 calls anomalous, at most 1; 2 events lost before it"
    );
}

/// Check that a program cannot write to the terminal through its name.
#[test]
fn terminal_injection() {
    let comm = b"x\x1b[2J\n\xe2\x80\xae".to_vec();
    let event = Record {
        comm,
        exe: b"/tmp/\x07a\nb".into(),
        ..Record::default()
    }
    .event();
    let line = event.to_string();
    assert!(line.contains(r#"/tmp/\u{7}a\nb (pid"#), "{line}");
    assert!(line.contains(r#"comm "x\u{1b}[2J\n\u{202e}""#), "{line}");
}

/// Check that every kind reads as one line that begins with its time.
#[test]
fn every_kind_reads() {
    let causes = wire::CAUSE_LIMIT | wire::CAUSE_ROWS;
    for kind in (1..=13).chain(16..=18).chain([20]) {
        let line = Record {
            kind,
            response: (1, 1),
            flags: causes,
            state: 1 | 4,
            ..Record::default()
        }
        .event()
        .to_string();
        assert!(
            line.starts_with("2026-11-22T09:00:00.123Z ") && !line.contains('\n'),
            "{line}"
        );
        assert!(line.contains("/home/u/anomaly"), "{line}");
        // What the monitor does by itself is nobody else's doing.
        let own = line.contains("loaded") || line.contains("evicted") || line.contains("changed:");
        assert_eq!(line.contains(" (pid 11162, uid 0)"), !own, "{line}");
    }
}
