//! Signals: handlers, nesting, `siglongjmp`, and restarts.

use crate::limits::Limits;
use crate::syscall::Symbol;

use super::super::{Did, HandlerFrame, Interrupted};
use super::{Rig, SP, restart_syscall, sigreturn};

/// The stack pointer of a handler's calls: the stack grows downwards.
const IN_HANDLER: u64 = SP - 0x400;

impl Rig {
    fn enter(&mut self, interrupted: Interrupted) -> Did {
        self.enter_at(HandlerFrame::new(SP), interrupted)
    }

    fn enter_at(&mut self, frame: HandlerFrame, interrupted: Interrupted) -> Did {
        self.detector
            .signal(self.task, Some(frame), interrupted)
            .did
    }

    fn handler_call(&mut self, number: u32) -> Did {
        self.call_at(IN_HANDLER, Symbol::native(number)).did
    }

    fn sigreturn(&mut self) -> Did {
        self.call_at(IN_HANDLER, sigreturn()).did
    }

    fn depth(&self) -> usize {
        self.detector.task(self.task).unwrap().signal_depth
    }
}

/// Check that a handler's calls are learnt apart from the code it interrupted,
/// the return among them.
#[test]
fn handler_has_its_own_window() {
    let mut rig = Rig::new(Limits::default());
    rig.calls(&[1, 2]);
    assert_eq!(rig.enter(Interrupted::None), Did::PUSH);
    assert_eq!(rig.depth(), 1);
    // The first call of a handler is never judged.
    assert_eq!(rig.handler_call(3), Did::RECORD | Did::NEW_ID);
    assert!(
        rig.sigreturn()
            .contains(Did::RECORD | Did::NOVEL | Did::POP)
    );
    assert_eq!(rig.depth(), 0);
    rig.call(4);
    assert_eq!(rig.bits(3, 2), (0, 0));
    assert_eq!(rig.bits(4, 3), (0, 0));
    assert_eq!(rig.bits(4, 2), (1, 0));
    let profile = rig.profile();
    let row = profile
        .raw_row(profile.id_of(sigreturn()).unwrap())
        .unwrap();
    assert_eq!(row[3], 1, "the return comes after the handler's call");
    assert_eq!(row[2], 0, "the return comes after nothing else");
}

/// Check that handlers nested more deeply than there are frames are counted and
/// stay balanced.
#[test]
fn deep_nesting_stays_balanced() {
    let mut rig = Rig::new(Limits::default());
    rig.calls(&[1, 2]);
    for depth in 0..11 {
        let did = rig.enter(Interrupted::Restarts(Symbol::native(3)));
        let expected = if depth < 8 { Did::PUSH } else { Did::PUSH_DEEP };
        assert_eq!(did, expected, "at depth {depth}");
        assert_eq!(rig.depth(), depth + 1);
    }
    let below = rig.call_at(IN_HANDLER, Symbol::native(3)).did;
    assert!(!below.contains(Did::DROP_FRAME));
    for depth in (0..11).rev() {
        let did = rig.sigreturn();
        assert!(did.contains(Did::POP));
        assert_eq!(did.contains(Did::POP_DEEP), depth >= 8, "at depth {depth}");
        let restarted = rig.call_at(IN_HANDLER, Symbol::native(3)).did;
        assert_eq!(restarted == Did::RESTART, depth < 8, "at depth {depth}");
    }
    assert_eq!(rig.depth(), 0);
    rig.call(4);
    assert_eq!(rig.bits(4, 2), (1, 0));
    assert!(rig.sigreturn().contains(Did::UNBALANCED));
}

/// Check that a jump out of handlers nested more deeply than there are frames is seen by the last
/// frame that was kept.
#[test]
fn a_jump_from_deep_below() {
    let mut rig = Rig::new(Limits::default());
    rig.calls(&[1, 2]);
    for _ in 0..11 {
        rig.enter(Interrupted::None);
    }
    let out = rig.call_at(SP, Symbol::native(4)).did;
    assert!(out.contains(Did::DROP_FRAME));
    assert_eq!(rig.depth(), 0);
    assert_eq!(rig.bits(4, 2), (1, 0));
}

/// Check that a return from a handler that was never entered is reported.
#[test]
fn unbalanced_sigreturn() {
    let mut rig = Rig::new(Limits::default());
    let did = rig.call_at(SP, sigreturn()).did;
    assert_eq!(did, Did::RECORD | Did::NEW_ID | Did::UNBALANCED);
    assert!(rig.detector.task(rig.task).unwrap().certain);
}

/// Check that a call from above the interrupted stack shows that the handler was
/// left by a jump.
#[test]
fn siglongjmp_drops_the_frame() {
    let mut rig = Rig::new(Limits::default());
    rig.calls(&[1, 2]);
    rig.enter(Interrupted::Restarts(Symbol::native(4)));
    assert!(!rig.handler_call(3).contains(Did::DROP_FRAME));
    // Not a restart: the jump gave the call up.
    let verdict = rig.call_at(SP, Symbol::native(4));
    assert_eq!(
        verdict.did,
        Did::RECORD | Did::NEW_ID | Did::NOVEL | Did::DROP_FRAME
    );
    assert_eq!(rig.depth(), 0);
    assert_eq!(rig.bits(4, 2), (1, 0));
    assert_eq!(rig.bits(4, 3), (0, 0));
    assert!(!rig.detector.task(rig.task).unwrap().certain);
    // An exec wipes the doubt.
    rig.detector.exec(rig.task, rig.profile);
    assert!(rig.detector.task(rig.task).unwrap().certain);
}

/// Check that one jump can leave several handlers, and no more than it left.
#[test]
fn siglongjmp_out_of_nested_handlers() {
    let mut rig = Rig::new(Limits::default());
    rig.call(1);
    for depth in 0..3 {
        rig.enter_at(HandlerFrame::new(SP - depth * 0x100), Interrupted::None);
    }
    let did = rig.call_at(SP - 0x100, Symbol::native(2)).did;
    assert!(did.contains(Did::DROP_FRAME));
    assert_eq!(rig.depth(), 1);
    assert!(
        rig.call_at(SP, Symbol::native(2))
            .did
            .contains(Did::DROP_FRAME)
    );
    assert_eq!(rig.depth(), 0);
}

/// Check that skipped calls can show the jump too.
#[test]
fn siglongjmp_before_a_skipped_call() {
    let mut rig = Rig::new(Limits::default());
    rig.enter(Interrupted::None);
    let did = rig.call_at(SP, restart_syscall()).did;
    assert_eq!(did, Did::DROP_FRAME | Did::IGNORE);
}

/// Check that a handler on an alternate stack is left by any call from outside
/// of it, wherever that stack lies.
#[test]
fn siglongjmp_from_an_alternate_stack() {
    for sp in [SP - 0x10_0000, SP] {
        let mut rig = Rig::new(Limits::default());
        let low = SP - 0x2000;
        let frame = HandlerFrame::on_alternate_stack(u64::MAX, low, low + 0x1000);
        rig.enter_at(frame, Interrupted::None);
        for inside in [low, low + 0xfff] {
            let did = rig.call_at(inside, Symbol::native(1)).did;
            assert!(!did.contains(Did::DROP_FRAME));
        }
        assert!(
            rig.call_at(sp, Symbol::native(1))
                .did
                .contains(Did::DROP_FRAME)
        );
    }
    // One byte above is outside.
    let mut rig = Rig::new(Limits::default());
    rig.enter_at(
        HandlerFrame::on_alternate_stack(u64::MAX, 0x1000, 0x2000),
        Interrupted::None,
    );
    assert!(
        rig.call_at(0x2000, Symbol::native(1))
            .did
            .contains(Did::DROP_FRAME)
    );
}

/// Check that a nested handler which was already on the alternate stack is
/// bounded by both.
#[test]
fn nested_handler_on_the_same_alternate_stack() {
    let mut rig = Rig::new(Limits::default());
    rig.enter_at(
        HandlerFrame::on_alternate_stack(0x1800, 0x1000, 0x2000),
        Interrupted::None,
    );
    assert!(
        !rig.call_at(0x17ff, Symbol::native(1))
            .did
            .contains(Did::DROP_FRAME)
    );
    assert!(
        rig.call_at(0x1800, Symbol::native(1))
            .did
            .contains(Did::DROP_FRAME)
    );
}

/// Check that a call which the kernel issues again after a signal without a
/// handler is recorded once.
#[test]
fn restart_without_handler() {
    let mut rig = Rig::new(Limits::default());
    rig.calls(&[1, 2]);
    let call = Symbol::native(2);
    rig.detector
        .signal(rig.task, None, Interrupted::Restarts(call));
    assert_eq!(rig.call(2).did, Did::RESTART);
    assert_eq!(rig.profile().train_count(), 2);
    // The mark is good for one call.
    assert!(rig.call(2).did.contains(Did::RECORD));
}

/// Check that the handler runs before the call is issued again.
#[test]
fn restart_after_a_handler() {
    let mut rig = Rig::new(Limits::default());
    rig.calls(&[1, 2]);
    rig.enter(Interrupted::Restarts(Symbol::native(2)));
    // The handler itself makes the same call: that is another one.
    assert!(rig.handler_call(2).contains(Did::RECORD));
    rig.sigreturn();
    assert_eq!(rig.call(2).did, Did::RESTART);
}

/// Check that any other call clears the mark, and is recorded.
#[test]
fn restart_that_never_comes() {
    let mut rig = Rig::new(Limits::default());
    rig.calls(&[1, 2]);
    let call = Symbol::native(2);
    rig.detector
        .signal(rig.task, None, Interrupted::Restarts(call));
    assert!(rig.call(1).did.contains(Did::RECORD));
    assert!(rig.call(2).did.contains(Did::RECORD));
    // Even one that is never recorded.
    rig.detector
        .signal(rig.task, None, Interrupted::Restarts(call));
    assert_eq!(rig.call_at(SP, restart_syscall()).did, Did::IGNORE);
    assert!(rig.call(2).did.contains(Did::RECORD));
}

/// Check that a second signal, before the call is issued again, keeps the mark
/// unless it says otherwise.
#[test]
fn restart_and_a_second_signal() {
    let call = Symbol::native(2);
    let marked = || {
        let mut rig = Rig::new(Limits::default());
        rig.calls(&[1, 2]);
        rig.detector
            .signal(rig.task, None, Interrupted::Restarts(call));
        rig
    };

    let mut rig = marked();
    rig.detector.signal(rig.task, None, Interrupted::None);
    assert_eq!(rig.call(2).did, Did::RESTART);

    let mut rig = marked();
    rig.detector.signal(rig.task, None, Interrupted::Aborted);
    assert!(rig.call(2).did.contains(Did::RECORD));

    // A handler that is entered in between keeps it for after its return.
    let mut rig = marked();
    rig.enter(Interrupted::None);
    assert!(rig.handler_call(2).contains(Did::RECORD));
    rig.sigreturn();
    assert_eq!(rig.call(2).did, Did::RESTART);
}

/// Check that `restart_syscall` is never recorded.
#[test]
fn restart_syscall_is_ignored() {
    let mut rig = Rig::new(Limits::default());
    assert_eq!(rig.call_at(SP, restart_syscall()).did, Did::IGNORE);
    assert_eq!(rig.profile().train_count(), 0);
    assert_eq!(rig.detector.task(rig.task).unwrap().calls, 0);
}
