//! What each program costs the verifier, so that growth is seen before a kernel refuses it.

use ebph::EntryHook;

use crate::harness::{Stage, getppid, require_root};

/// Check that the programs load on this kernel, and print the instructions that the verifier
/// walked for each.
#[test]
fn instruction_counts() {
    require_root();
    let stage = Stage::new();
    let watch = stage.watch();
    let stats = watch.stats().expect("stats can be read");
    assert!(!stats.programs.is_empty());
    for program in &stats.programs {
        println!("{:24} {:>8}", program.name, program.verified_instructions);
    }
    println!("{:24} {:>8} bytes of maps", "memory", stats.memory);
    watch.finish();
}

/// Check that both kinds of hook on system calls load, and that what either does not see is
/// counted.
#[test]
fn both_hooks() {
    for hook in [EntryHook::TpBtf, EntryHook::Tracepoint] {
        let stage = Stage::new();
        let watch = stage.watch_with(|builder| builder.hook(hook));
        stage.run_ok(1, "calls", &[getppid(1000)]);
        let counted = stage.profile(&watch, "calls").train_count();
        let missed = watch.finish().stats.recursion_misses();
        assert!(counted <= 1001, "{hook:?}: {counted}");
        assert!(
            counted + missed >= 1001,
            "{hook:?}: {counted}, {missed} missed"
        );
    }
}
