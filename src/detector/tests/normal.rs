//! Normal profiles: how they begin and end, what they report, and commands.

use std::time::Duration;

use crate::limits::Limits;

use super::super::{Command, Did, HandlerFrame, Interrupted, ProfileId};
use super::{Rig, SP};

const EINVAL: i32 = 22;

fn limits() -> Limits {
    Limits::default().normal_wait(Duration::from_secs(10))
}

/// Check that a frozen profile becomes normal at its time, not before.
#[test]
fn waits_until_normal() {
    let mut rig = Rig::new(limits());
    rig.now = Duration::from_secs(5);
    assert!(rig.calls(&[1; 37]).contains(Did::FREEZE));
    rig.now = Duration::from_secs(15) - Duration::from_nanos(1);
    assert_eq!(rig.call(1).did, Did::RECORD);
    rig.now = Duration::from_secs(15);
    assert_eq!(rig.call(1).did, Did::RECORD | Did::START | Did::TEST);

    let profile = rig.profile();
    assert!(profile.is_normal() && !profile.is_frozen());
    assert_eq!(profile.train_count(), 0);
    assert_eq!(profile.last_mod_count(), 0);
    assert_eq!(profile.anomalies(), 0);
    assert_eq!(profile.sequences(), 8);
    assert_eq!(rig.bits(1, 1), (0xff, 0xff));
}

/// Check that without a wait a profile freezes, becomes normal and is tested in
/// one call.
#[test]
fn all_steps_in_one_call() {
    let mut rig = Rig::new(limits().normal_wait(Duration::ZERO));
    assert!(!rig.calls(&[1; 36]).contains(Did::FREEZE));
    assert_eq!(
        rig.call(1).did,
        Did::RECORD | Did::FREEZE | Did::START | Did::TEST
    );
}

/// Check that a normal profile goes on training, and in time replaces what it
/// holds as normal.
#[test]
fn normal_profile_is_refreshed() {
    let mut rig = Rig::normal(limits(), &[1, 2, 1, 2]);
    // An anomaly, learnt.
    assert!(rig.calls(&[1, 1]).contains(Did::ANOMALY | Did::NOVEL));
    assert_eq!(rig.profile().anomalies(), 1);
    let did = rig.calls(&[1; 100]);
    assert!(did.contains(Did::FREEZE | Did::STOP));

    let mut rig = Rig::normal(limits().anomaly_limit(1000).tolerize_limit(128), &[1, 2]);
    assert!(rig.calls(&[1; 100]).contains(Did::FREEZE | Did::ANOMALY));
    assert!(rig.profile().is_normal() && rig.profile().is_frozen());
    rig.now += Duration::from_secs(10);
    let verdict = rig.call(1);
    assert_eq!(
        verdict.did,
        Did::RECORD | Did::START | Did::REFRESH | Did::TEST
    );
    assert_eq!((verdict.missed, verdict.lfc), (0, 0));
    assert_eq!(rig.bits(1, 1), (0xff, 0xff));
    assert_eq!(rig.profile().anomalies(), 0);
}

/// Check that a call that does not fit is reported with the distances at which
/// it does not, each time it is made.
#[test]
fn anomaly() {
    let mut rig = Rig::normal(limits(), &[1, 2, 3, 1, 2, 3]);
    assert!(!rig.calls(&[1, 2, 3]).contains(Did::ANOMALY));
    let verdict = rig.call(3);
    assert!(verdict.is_anomaly() && verdict.is_novel());
    // A 3 directly after a 3, and everything before it moved on by one.
    assert_eq!(verdict.missed, 0b111);
    assert_eq!(verdict.novel, 0b111);
    assert_eq!((verdict.anomalies, verdict.lfc), (1, 1));

    rig.detector.exec(rig.task, rig.profile);
    rig.calls(&[1, 2, 3]);
    let verdict = rig.call(3);
    assert!(verdict.is_anomaly() && !verdict.is_novel());
    // The exec emptied the locality frame, not the profile's count.
    assert_eq!((verdict.anomalies, verdict.lfc), (2, 1));
}

/// Check that the verdict of a profile that is not normal says nothing missed.
#[test]
fn untested_calls_miss_nothing() {
    let mut rig = Rig::new(limits());
    rig.call(1);
    let verdict = rig.call(2);
    assert_eq!((verdict.novel, verdict.missed), (1, 0));
    assert!(!verdict.did.contains(Did::TEST));
}

/// Check that a profile with too many anomalies stops being normal, keeps what
/// it has learnt, and becomes normal again without anything new.
#[test]
fn stops_at_the_anomaly_limit() {
    let mut rig = Rig::normal(limits().anomaly_limit(2), &[1, 2]);
    rig.call(1);
    assert_eq!(rig.call(1).anomalies, 1);
    assert_eq!(rig.call(1).anomalies, 2);
    let verdict = rig.call(1);
    assert_eq!(
        verdict.did,
        Did::RECORD | Did::NOVEL | Did::TEST | Did::ANOMALY | Did::STOP
    );
    assert_eq!((verdict.anomalies, verdict.lfc), (3, 3));
    assert!(!rig.profile().is_normal());
    assert_eq!(rig.bits(1, 1).0, 0b111);
    let status = rig.detector.task(rig.task).unwrap();
    assert_eq!((status.lfc, status.max_lfc), (0, 0));

    assert!(rig.calls(&[1; 200]).contains(Did::FREEZE));
    rig.now += Duration::from_secs(10);
    assert!(rig.call(1).did.contains(Did::START));
    assert!(rig.command(Command::Tolerize).did.contains(Did::STOP));
    let did = rig.calls(&[1; 200]);
    assert!(did.contains(Did::FREEZE) && !did.contains(Did::NOVEL));
}

/// Check that a run of anomalies wipes what is being learnt, once per excess,
/// and leaves what is normal alone.
#[test]
fn forgets_at_the_tolerize_limit() {
    let mut rig = Rig::normal(limits().tolerize_limit(2).anomaly_limit(1000), &[1, 2]);
    rig.calls(&[2, 2, 2]);
    let status = rig.detector.task(rig.task).unwrap();
    assert_eq!((status.lfc, status.max_lfc), (2, 2));
    let verdict = rig.call(2);
    assert!(verdict.did.contains(Did::ANOMALY | Did::RESET_TRAIN));
    assert_eq!(verdict.lfc, 3);
    let profile = rig.profile();
    assert!(profile.is_normal());
    assert_eq!(profile.train_count(), 0);
    assert_eq!(profile.last_mod_count(), 0);
    assert_eq!(profile.sequences(), 0);
    assert_eq!(profile.anomalies(), 3);
    assert_eq!(rig.bits(2, 1), (0, 0b1));
    assert_eq!(rig.profile().raw_row(1).unwrap()[0], 0xffff);

    let verdict = rig.call(2);
    assert_eq!(verdict.lfc, 1);
    assert!(verdict.is_novel());
    assert!(!verdict.did.contains(Did::RESET_TRAIN));
}

/// Check that a lowered limit takes hold at a call that fits.
#[test]
fn lowered_tolerize_limit() {
    let mut rig = Rig::normal(limits(), &[1, 2]);
    rig.calls(&[2, 2, 2]);
    rig.detector.set_limits(limits().tolerize_limit(1));
    rig.detector
        .signal(rig.task, Some(HandlerFrame::new(SP + 1)), Interrupted::None);
    let verdict = rig.call(1);
    assert_eq!(verdict.did, Did::RECORD | Did::TEST | Did::RESET_TRAIN);
    assert_eq!((verdict.missed, verdict.lfc), (0, 2));
}

/// Check that the anomaly limit comes before the tolerize limit.
#[test]
fn stop_forestalls_forgetting() {
    let mut rig = Rig::normal(limits().tolerize_limit(0).anomaly_limit(0), &[1, 2]);
    rig.call(1);
    let did = rig.call(1).did;
    assert!(did.contains(Did::STOP) && !did.contains(Did::RESET_TRAIN));
}

/// Check that an anomaly is counted among the thread's last 128 tested calls and
/// then no more.
#[test]
fn locality_frame_holds_128_calls() {
    let mut rig = Rig::normal(limits(), &[1, 2, 1, 2, 1, 2, 1, 2, 1, 2]);
    rig.calls(&[1, 2]);
    assert_eq!(rig.call(2).lfc, 1);
    // The odd call stays in the window for eight more: start afresh.
    rig.detector
        .signal(rig.task, Some(HandlerFrame::new(SP + 1)), Interrupted::None);
    for index in 0..127 {
        assert_eq!(rig.call(1 + index % 2).lfc, 1, "{index} calls later");
    }
    assert_eq!(rig.call(2).lfc, 0);
    assert_eq!(rig.detector.task(rig.task).unwrap().max_lfc, 1);
}

/// Check that the anomalies of many threads add up in the profile.
#[test]
fn anomalies_of_many_threads() {
    let mut rig = Rig::normal(limits(), &[1, 2]);
    for number in 1..=30 {
        let task = rig.detector.spawn(rig.profile);
        rig.call_of(task, 1);
        let verdict = rig.call_of(task, 1);
        assert_eq!((verdict.anomalies, verdict.lfc), (number, 1));
        assert_eq!(rig.detector.task(task).unwrap().anomalies, 1);
    }
    rig.call(1);
    assert!(rig.call(1).did.contains(Did::STOP));
}

/// Check that a transition empties the locality frames of all threads.
#[test]
fn transitions_empty_all_locality_frames() {
    for command in [Command::Normalize, Command::Sensitize, Command::Reset] {
        let mut rig = Rig::normal(limits(), &[1, 2]);
        let other = rig.detector.spawn(rig.profile);
        for task in [rig.task, other] {
            rig.call_of(task, 1);
            assert_eq!(rig.call_of(task, 1).lfc, 1);
        }
        rig.command(command);
        let status = rig.detector.task(other).unwrap();
        assert_eq!((status.lfc, status.max_lfc), (0, 0), "after {command:?}");
        rig.command(Command::Normalize);
        assert!(rig.call_of(other, 1).lfc <= 1, "after {command:?}");
    }
}

/// Check that `normalize` makes a profile normal in any state, and again.
#[test]
fn normalize() {
    let mut rig = Rig::new(limits());
    rig.calls(&[1, 2]);
    assert_eq!(rig.command(Command::Normalize).did, Did::START);
    assert_eq!(rig.bits(2, 1), (1, 1));
    rig.call(2);
    assert_eq!(rig.bits(2, 2), (1, 0));
    let verdict = rig.command(Command::Normalize);
    assert_eq!(verdict.did, Did::START | Did::REFRESH);
    assert_eq!(verdict.result, 0);
    assert_eq!(rig.bits(2, 2), (1, 1));
    assert_eq!(rig.profile().anomalies(), 0);
}

/// Check that `sensitize` forgets what is being learnt and nothing else.
#[test]
fn sensitize() {
    let mut rig = Rig::normal(limits(), &[1, 2]);
    rig.calls(&[1, 1]);
    rig.command(Command::Freeze);
    assert_eq!(rig.command(Command::Sensitize).did, Did::RESET_TRAIN);
    let profile = rig.profile();
    assert!(profile.is_normal() && !profile.is_frozen());
    assert_eq!(profile.anomalies(), 1);
    assert_eq!((profile.train_count(), profile.sequences()), (0, 0));
    assert_eq!(rig.bits(2, 1), (0, 1));
}

/// Check that `tolerize` ends a normal profile, and needs one.
#[test]
fn tolerize() {
    let mut rig = Rig::normal(limits(), &[1, 2]);
    rig.command(Command::Freeze);
    assert_eq!(rig.command(Command::Tolerize).did, Did::STOP);
    assert!(!rig.profile().is_normal() && !rig.profile().is_frozen());
    assert_eq!(rig.bits(2, 1).0, 1);
    let verdict = rig.command(Command::Tolerize);
    assert_eq!((verdict.did, verdict.result), (Did::default(), -EINVAL));
}

/// Check that `freeze` and `thaw` begin and end a wait, and need its opposite.
#[test]
fn freeze_and_thaw() {
    let mut rig = Rig::new(limits());
    rig.calls(&[1, 2]);
    assert_eq!(rig.command(Command::Thaw).result, -EINVAL);
    rig.now = Duration::from_secs(3);
    assert_eq!(rig.command(Command::Freeze).did, Did::FREEZE);
    rig.now = Duration::from_secs(4);
    assert_eq!(rig.command(Command::Freeze).result, -EINVAL);
    assert!(rig.profile().is_frozen());
    assert_eq!(rig.command(Command::Thaw).did, Did::THAW);
    assert!(!rig.profile().is_frozen());

    assert_eq!(rig.command(Command::Freeze).did, Did::FREEZE);
    rig.detector.exec(rig.task, rig.profile);
    rig.now = Duration::from_secs(14) - Duration::from_nanos(1);
    assert!(!rig.call(1).did.contains(Did::START));
    rig.now = Duration::from_secs(14);
    assert!(rig.call(2).did.contains(Did::START));
}

/// Check that `reset` leaves nothing but the ids.
#[test]
fn reset() {
    let mut rig = Rig::normal(limits(), &[1, 2]);
    rig.detector = rig.detector.with_max_rows(2);
    rig.calls(&[1, 3, 1]);
    rig.command(Command::Freeze);
    assert!(rig.profile().is_incomplete());
    let verdict = rig.command(Command::Reset);
    assert_eq!((verdict.did, verdict.result), (Did::default(), 0));
    let profile = rig.profile();
    assert!(!profile.is_normal() && !profile.is_frozen() && !profile.is_incomplete());
    assert_eq!(profile.train_count(), 0);
    assert_eq!(profile.last_mod_count(), 0);
    assert_eq!(profile.sequences(), 0);
    assert_eq!(profile.anomalies(), 0);
    assert_eq!(profile.unlearnt(), 0);
    assert_eq!(profile.rows(), 2);
    assert_eq!(rig.bits(2, 1), (0, 0));
    assert_eq!(profile.raw_row(2).unwrap()[0], 0xffff);
    assert_eq!(rig.call(1).id, 1);
}

/// Check that a command to a profile that does not exist is refused.
#[test]
fn unknown_profile() {
    let mut rig = Rig::new(limits());
    let nobody = ProfileId::new(7);
    let verdict = rig.detector.command(nobody, Command::Reset, rig.now);
    assert_eq!(verdict.result, -EINVAL);
    assert!(rig.detector.profile(nobody).is_none());
    assert_eq!(rig.detector.profiles().count(), 1);
}
