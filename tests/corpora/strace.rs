//! Any text as the output of strace, or as numbers.

use std::io::BufReader;
use std::time::Duration;

use ebph::trace::{Event, EventKind, Focus, Lesson, Numbers, Strace, TraceError, Traces};
use ebph::{Abi, Detector, Key, Limits};

/// Parts of one text that are files of their own begin with this.
const NEXT_FILE: u8 = 0;

/// Reads a text; answers how many calls it has if it is strace's.
pub fn strace(text: &[u8]) -> usize {
    let abi = match text.first() {
        Some(b' ') => Abi::Aarch64,
        _ => Abi::X86_64,
    };
    let events = events(abi, text, usize::MAX);
    // Something else besides, by chance: all of it would take several times as long.
    match text.len() % 4 {
        // Where a buffer ends decides nothing, nor does the order in a map.
        0 => assert_eq!(events, self::events(abi, text, 3)),
        1 => learn(&events),
        2 => numbers(text),
        _ => (),
    }
    let is_call = |event: &&Event| matches!(event.kind, EventKind::Call(_));
    events.iter().filter(is_call).count()
}

fn numbers(text: &[u8]) {
    for entry in Traces::new("traces", text) {
        let _ = entry.map_err(presentable);
    }
    for number in Numbers::new("numbers", text) {
        let _ = number.map_err(presentable);
    }
}

/// What happens in the files of a text, each up to its first error.
fn events(abi: Abi, text: &[u8], buffer: usize) -> Vec<Event> {
    let mut strace = Strace::new(abi);
    let mut all = Vec::new();
    for (number, file) in text.split(|byte| *byte == NEXT_FILE).enumerate() {
        // Named as by `strace -ff`, but for the first.
        let name = match number {
            0 => "trace".to_owned(),
            _ => format!("trace.{number}"),
        };
        let reader = BufReader::with_capacity(buffer.min(file.len().max(1)), file);
        for event in strace.read(name, reader) {
            match event {
                Ok(event) => all.push(event),
                Err(error) => presentable(error),
            }
        }
    }
    assert!(strace.unknown().count() <= 64);
    // A line that says one thing can end a thread, make another, and give back those that waited.
    assert!(all.len() <= 8 * text.len() + 8, "{} events", all.len());
    all
}

fn presentable(error: TraceError) {
    let line = error.to_string();
    assert!(!line.contains(char::is_control), "{line:?}");
    assert!(line.len() < 500, "{line:?}");
}

/// Teaches a detector the first program that runs.
fn learn(events: &[Event]) {
    let mut detector = Detector::new(Limits::default());
    let profile = detector.add_profile(Key::new(0, 0, 0, 0));
    let mut lesson = Lesson::new(profile);
    let mut focus = Focus::first();
    let mut calls = 0;
    for event in events {
        if let Some(event) = focus.pass(event.clone()) {
            calls += u64::from(matches!(event.kind, EventKind::Call(_)));
            lesson.take(&mut detector, &event, Duration::ZERO);
        }
    }
    let learnt = detector.profile(profile).expect("it was added");
    assert!(learnt.train_count() <= calls);
    assert!(focus.left_out().iter().all(|program| program.calls > 0));
}
