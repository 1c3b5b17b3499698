//! The alphabet, training, and freezing.

use std::time::Duration;

use crate::limits::Limits;
use crate::syscall::Symbol;

use super::super::{Command, Did, Verdict};
use super::{Rig, SP, key};

/// Calls of one kind, one after the other, until all distances are learnt.
const SETTLED: u64 = 9;

/// Check that the first call of a program is learnt as a symbol, but says
/// nothing about what comes before it.
#[test]
fn first_call_is_never_new() {
    let mut rig = Rig::new(Limits::default());
    let verdict = rig.call(1);
    assert_eq!(verdict.did, Did::RECORD | Did::NEW_ID);
    assert_eq!(
        verdict,
        Verdict {
            did: verdict.did,
            id: 1,
            ..Verdict::default()
        }
    );
    let profile = rig.profile();
    assert_eq!(profile.train_count(), 1);
    assert_eq!(profile.last_mod_count(), 1);
    assert_eq!(profile.sequences(), 0);
    assert_eq!(profile.raw_row(1).unwrap()[0], 0xffff);
    assert!(
        profile.raw_row(1).unwrap()[1..]
            .iter()
            .all(|bits| *bits == 0)
    );
}

/// Check that each pair is learnt at the distance at which it was seen.
#[test]
fn pairs_are_learnt_by_distance() {
    let mut rig = Rig::new(Limits::default());
    rig.calls(&[1, 2]);
    // Two places back, and one place back.
    assert_eq!(rig.call(3).novel, 0b11);
    assert_eq!(rig.bits(3, 2), (0b01, 0));
    assert_eq!(rig.bits(3, 1), (0b10, 0));
    assert_eq!(rig.bits(2, 1), (0b01, 0));
    assert_eq!(rig.bits(1, 3), (0, 0));
}

/// Check that a call is compared with eight previous ones and no more.
#[test]
fn window_holds_eight_calls() {
    let mut rig = Rig::new(Limits::default());
    rig.calls(&[1, 2, 2, 2, 2, 2, 2, 2, 3]);
    assert_eq!(rig.bits(3, 1), (0b1000_0000, 0));
    rig.call(4);
    assert_eq!(rig.bits(4, 1), (0, 0));
    assert_eq!(rig.bits(4, 3), (1, 0));
}

/// Check that a call that is new at several distances counts once.
#[test]
fn sequences_count_calls() {
    let mut rig = Rig::new(Limits::default());
    rig.calls(&[1, 2, 3, 4]);
    assert_eq!(rig.profile().sequences(), 3);
    assert_eq!(rig.profile().last_mod_count(), 0);
    assert_eq!(rig.call(4).did, Did::RECORD | Did::NOVEL);
}

/// Check that numbers of different ABIs are different letters, and that unknown
/// numbers are one.
#[test]
fn letters() {
    let mut rig = Rig::new(Limits::default());
    assert_eq!(rig.call(5).id, 1);
    assert_eq!(rig.call_at(SP, Symbol::compat(5)).id, 2);
    assert_eq!(rig.call_at(SP, Symbol::raw(5)).id, 3);
    assert_eq!(rig.call(511).id, 4);
    let verdict = rig.call(70_000);
    assert_eq!(verdict.id, 4);
    assert!(!verdict.did.contains(Did::NEW_ID));
}

/// Check that the symbols after the 254th share an id.
#[test]
fn ids_run_out() {
    let mut rig = Rig::new(Limits::default());
    for number in 0..254 {
        let verdict = rig.call_at(SP, Symbol::raw(number));
        assert_eq!(u32::from(verdict.id), number + 1);
        assert!(verdict.did.contains(Did::NEW_ID));
    }
    for number in [254, 255, 300] {
        let verdict = rig.call_at(SP, Symbol::raw(number));
        assert_eq!(verdict.id, 255);
        assert!(verdict.did.contains(Did::OTHER_ID));
        assert!(!verdict.did.contains(Did::NEW_ID));
        let verdict = rig.call_at(SP, Symbol::raw(number));
        assert_eq!(verdict.id, 255);
        assert!(!verdict.did.contains(Did::OTHER_ID));
    }
    assert_eq!(rig.detector.rows_used(), 255);
    assert_eq!(rig.profile().id_of(Symbol::raw(300)), Some(255));
    // One after the other, the three are one letter to themselves.
    assert_eq!(rig.profile().raw_row(255).unwrap()[255], 0b1_1111);
}

/// Check that a call without a row is counted, not learnt, and keeps the profile
/// from becoming normal on its own.
#[test]
fn rows_run_out() {
    let mut rig = Rig::new(Limits::default().normal_wait(Duration::ZERO));
    rig.detector = rig.detector.with_max_rows(1);
    rig.call(1);
    let verdict = rig.call(2);
    assert_eq!(verdict.did, Did::RECORD | Did::NEW_ID | Did::NO_ROW);
    assert_eq!((verdict.id, verdict.novel), (2, 1));
    assert!(rig.profile().is_incomplete());
    assert_eq!(rig.profile().unlearnt(), 1);
    assert_eq!(rig.profile().train_count(), 1);
    assert_eq!(rig.profile().rows(), 1);

    let did = rig.calls(&[1; 200]);
    assert!(did.contains(Did::FREEZE) && !did.contains(Did::START));
    assert!(rig.profile().is_frozen());
    // It has an id, and looks for a row each time.
    assert_eq!(rig.call(2).did, Did::RECORD | Did::NO_ROW);
    assert_eq!(rig.profile().unlearnt(), 2);
    rig.detector = rig.detector.with_max_rows(2);
    assert_eq!(rig.call(2).did, Did::RECORD | Did::NOVEL | Did::THAW);
    assert!(rig.profile().is_incomplete());
}

/// Check that all profiles draw on the same rows.
#[test]
fn rows_are_shared_by_profiles() {
    let mut rig = Rig::new(Limits::default());
    rig.detector = rig.detector.with_max_rows(2);
    rig.calls(&[1, 2]);
    let other = rig.detector.add_profile(key());
    let task = rig.detector.spawn(other);
    assert!(rig.call_of(task, 1).did.contains(Did::NO_ROW));
    assert!(!rig.profile().is_incomplete());
    assert!(rig.detector.profile(other).unwrap().is_incomplete());
}

/// Check that a call without a row misses against all of the window once the
/// profile is normal.
#[test]
fn a_call_without_row_misses() {
    let mut rig = Rig::normal(Limits::default(), &[1, 1]);
    rig.detector = rig.detector.with_max_rows(1);
    rig.call(1);
    let verdict = rig.call(2);
    assert!(verdict.did.contains(Did::NO_ROW | Did::ANOMALY));
    assert_eq!(verdict.missed, 1);
    // The first call of a program is not judged, row or no row.
    rig.detector.exec(rig.task, rig.profile);
    let verdict = rig.call(2);
    assert!(verdict.did.contains(Did::NO_ROW | Did::TEST));
    assert!(!verdict.is_anomaly());
}

/// Check that a profile freezes at the very call that passes four times the
/// count at the last novelty.
#[test]
fn freezes_after_four_times_as_many_calls() {
    let mut rig = Rig::new(Limits::default());
    for count in 1..SETTLED * 4 + 1 {
        let did = rig.call(1).did;
        assert!(!did.contains(Did::FREEZE), "froze at call {count}");
        assert_eq!(
            did.contains(Did::NOVEL),
            (2..=SETTLED).contains(&count),
            "at call {count}"
        );
    }
    assert_eq!(rig.call(1).did, Did::RECORD | Did::FREEZE);
    assert!(rig.profile().is_frozen());
    assert!(!rig.profile().is_normal());
}

/// Check that a profile that has learnt nothing never freezes.
#[test]
fn an_empty_profile_never_freezes() {
    let mut rig = Rig::new(Limits::default());
    for _ in 0..1000 {
        let task = rig.detector.spawn(rig.profile);
        let did = rig.call_of(task, 1).did;
        assert!(!did.contains(Did::FREEZE));
        rig.detector.exit(task);
    }
    assert_eq!(rig.profile().train_count(), 1000);
    assert_eq!(rig.profile().sequences(), 0);
}

/// Check that neither floor lets a profile freeze early.
#[test]
fn floors() {
    let mut rig = Rig::new(Limits::default().min_train_calls(100));
    assert!(!rig.calls(&[1; 99]).contains(Did::FREEZE));
    assert!(rig.call(1).did.contains(Did::FREEZE));

    let mut rig = Rig::new(Limits::default().min_train_processes(2));
    for _ in 0..2 {
        assert!(!rig.calls(&[1; 99]).contains(Did::FREEZE));
        let task = rig.detector.spawn(rig.profile);
        rig.detector.exit(task);
    }
    assert_eq!(rig.profile().processes_ended(), 2);
    assert!(rig.call(1).did.contains(Did::FREEZE));
}

/// Check from how many calls a profile is said to know what is normal: from all it learnt, until what
/// it was learning is wiped.
#[test]
fn basis() {
    let mut rig = Rig::new(Limits::default());
    assert_eq!(rig.profile().basis(), 0);
    rig.calls(&[1; 20]);
    rig.command(Command::Normalize);
    assert_eq!(rig.profile().basis(), 20);
    rig.calls(&[1; 5]);
    rig.command(Command::Normalize);
    assert_eq!(rig.profile().basis(), 25);
    rig.calls(&[1; 3]);
    rig.command(Command::Sensitize);
    assert_eq!(rig.profile().basis(), 25, "what is normal stays");
    rig.calls(&[1; 2]);
    rig.command(Command::Normalize);
    assert_eq!(rig.profile().basis(), 2);
    rig.command(Command::Reset);
    assert_eq!(rig.profile().basis(), 0);
}

/// Check that something new thaws a frozen profile.
#[test]
fn novelty_thaws() {
    let mut rig = Rig::new(Limits::default());
    assert!(rig.calls(&[1; 37]).contains(Did::FREEZE));
    assert_eq!(
        rig.call(2).did,
        Did::RECORD | Did::NEW_ID | Did::NOVEL | Did::THAW
    );
    assert!(!rig.profile().is_frozen());
}

/// Check that counts which no real trace reaches are compared without overflow.
#[test]
fn extreme_limits() {
    let limits = Limits::default()
        .freeze_factor(u64::MAX, u64::MAX)
        .normal_wait(Duration::MAX);
    let mut rig = Rig::new(limits);
    rig.now = Duration::MAX;
    assert!(rig.calls(&[1; 11]).contains(Did::FREEZE));
}
