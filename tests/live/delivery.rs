//! How events reach their receivers, and what happens to those who are slow.

use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::sync::mpsc;
use std::time::Duration;

use ebph::{Event, EventKind, EventMask};
use rustix::event::{PollFd, PollFlags, poll};

use crate::harness::{Seen, Stage, deadline, eventually, getppid};

/// Check that every receiver gets every event, in the same order.
#[test]
fn every_receiver_gets_every_event() {
    let stage = Stage::new();
    let (sender, by_std) = mpsc::channel();
    let (crossbeam, by_crossbeam) = crossbeam_channel::unbounded();
    let (from_closure, by_closure) = mpsc::channel();
    let watch = stage.watch_with(|builder| {
        builder
            .handler(sender)
            .handler(crossbeam)
            .handler(move |event: &Event| from_closure.send(event.clone()).expect("test listens"))
    });
    let second = watch.events();
    stage.run_ok(2, "calls", &[getppid(10)]);
    watch
        .normalize(stage.key(&watch, "calls"))
        .expect("the profile exists");
    stage.run_ok(1, "calls", &["39x1".to_owned(), getppid(10)]);
    let outcome = watch.finish();
    let kinds = |events: Vec<Event>| -> Vec<String> {
        events
            .iter()
            .map(|event| Seen::new(event).0.to_string())
            .collect()
    };
    let expected: Vec<_> = outcome
        .events
        .iter()
        .map(|seen| seen.0.to_string())
        .collect();
    assert!(expected.len() > 3);
    assert_eq!(kinds(second.iter().collect()), expected);
    // Receivers of a handler also get what came before the first `events()`.
    for others in [
        by_std.iter().collect(),
        by_crossbeam.iter().collect(),
        by_closure.iter().collect::<Vec<Event>>(),
    ] {
        assert!(kinds(others).ends_with(&expected));
    }
}

/// Check that a slow receiver loses its own events only, and is told how many.
#[test]
fn a_slow_receiver_loses_its_own() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.channel_capacity(8));
    stage.run_ok(1, "calls", &[getppid(10)]);
    let key = stage.key(&watch, "calls");
    watch.wait_for_kind("profile_created", key);
    let slow = watch.events();
    for _ in 0..40 {
        watch.normalize(key).expect("any state will do");
        watch.wait_for_kind("start_normal", key);
    }
    let outcome = watch.finish();
    assert_eq!(outcome.of("start_normal", key).len(), 40);
    assert_eq!(outcome.all("lost").count(), 0, "the fast one lost nothing");
    let slow: Vec<_> = std::iter::from_fn(|| slow.recv_timeout(Duration::from_secs(60)).ok())
        .map(|event| Seen::new(&event))
        .collect();
    let (lost, got): (Vec<_>, Vec<_>) = slow.iter().partition(|seen| seen.kind() == "lost");
    assert!(!lost.is_empty(), "{slow:?}");
    for seen in &lost {
        assert_eq!(seen.text("place"), "channel");
    }
    let count: u64 = lost.iter().map(|seen| seen.number("count")).sum();
    assert_eq!(got.len() as u64 + count, 40);
    assert_eq!(outcome.stats.events.lost_in_channels, count);
}

/// Check that a handler that panics neither ends the monitoring nor keeps others from being told.
#[test]
fn a_panicking_handler_harms_nobody() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| {
        // Without the panic's message.
        builder.handler(|_: &Event| resume_unwind(Box::new("handler")))
    });
    stage.run_ok(1, "calls", &[getppid(10)]);
    let key = stage.key(&watch, "calls");
    watch.wait_for_kind("profile_created", key);
    watch.normalize(key).expect("the profile exists");
    watch.wait_for_kind("start_normal", key);
    assert_eq!(stage.profile(&watch, "calls").train_count(), 0);
    let outcome = watch.finish_unchecked();
    assert!(
        outcome.stats.events.handler_panics >= 2,
        "{}",
        outcome.stats
    );
    assert!(
        outcome
            .all("warning")
            .any(|seen| seen.text("what") == "handler_panic")
    );
}

/// Check that the descriptor of a receiver is readable while events wait, and not once the
/// receiver was seen to be empty.
#[test]
fn a_receiver_can_be_polled() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "calls", &[getppid(10)]);
    let key = stage.key(&watch, "calls");
    watch.wait_for_kind("profile_created", key);
    let events = watch.events();
    let readable = |wait: Duration| {
        let mut fds = [PollFd::new(&events, PollFlags::IN)];
        let wait = rustix::event::Timespec::try_from(wait).expect("it is short");
        poll(&mut fds, Some(&wait)).expect("poll works") == 1
    };
    let _: std::os::fd::BorrowedFd<'_> = events.as_fd();
    assert!(!readable(Duration::ZERO), "nothing happened yet");
    assert!(events.try_recv().is_err());
    for _ in 0..3 {
        watch.normalize(key).expect("the profile exists");
    }
    for left in (0..3).rev() {
        assert!(readable(deadline()));
        let event = events.recv().expect("an event waits");
        assert_eq!(event.kind(), EventKind::StartNormal);
        if left > 0 {
            assert!(readable(deadline()), "{left} more are to come");
        }
    }
    assert!(events.try_recv().is_err(), "all were taken");
    assert!(!readable(Duration::ZERO), "all were taken");
    assert!(events.recv_timeout(Duration::from_millis(1)).is_err());
    watch.finish();
    assert!(readable(deadline()), "the end is readable too");
    assert!(events.recv().is_err(), "no more can come");
}

/// Check that only the kinds that were asked for are sent, and new sequences only when asked.
#[test]
fn kinds_can_be_chosen() {
    let stage = Stage::new();
    let mask: EventMask = "new_sequence,start_normal"
        .parse()
        .expect("these are names");
    let watch = stage.watch_with(|builder| builder.events(mask));
    stage.run_ok(1, "calls", &[getppid(3)]);
    let key = stage.key(&watch, "calls");
    watch.normalize(key).expect("the profile exists");
    let outcome = watch.finish();
    // The second and third getppid and the exit_group taught something.
    let new = outcome.of("new_sequence", key);
    assert_eq!(new.len(), 3, "{new:#?}");
    assert_eq!(new[0].window(), ["getppid", "getppid"]);
    assert_eq!(new[2].text("symbol.name"), "exit_group");
    outcome.one("start_normal", key);
    let other = outcome
        .events
        .iter()
        .find(|seen| !["new_sequence", "start_normal"].contains(&seen.kind()));
    assert!(other.is_none(), "{other:?}");
    // Nor did the kernel's part make any that was left out later.
    let events = &outcome.stats.events;
    assert_eq!(events.submitted, outcome.events.len() as u64);
}

/// Check that a receiver dropped in mid-stream disturbs nobody.
#[test]
fn receivers_come_and_go() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "calls", &[getppid(10)]);
    let key = stage.key(&watch, "calls");
    for _ in 0..3 {
        let passing = watch.events();
        watch.normalize(key).expect("the profile exists");
        eventually("the event to arrive", || passing.try_recv().ok());
        drop(passing);
        watch.wait_for_kind("start_normal", key);
    }
    watch.finish();
}
