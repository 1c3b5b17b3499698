//! What each program costs the verifier, so that growth is seen before a kernel refuses it.

use ebph::EntryHook;

use crate::harness::{Stage, getppid, require_root};

/// Check that every program there is loads on this kernel, those of scopes that no test watches
/// included, and print the instructions that the verifier walked for each.
#[test]
fn instruction_counts() {
    require_root();
    let counts = ebph::verified_instructions().expect("this kernel takes all programs");
    for (name, count) in &counts {
        println!("{name:28} {count:>8}");
        // A tenth of what the verifier walks before it gives up.
        assert!((1..100_000).contains(count), "{name}: {count}");
    }
    for needed in [
        "ebph_sys_enter_system",
        "ebph_sys_enter_system_tp",
        "ebph_sys_enter_tree",
        "ebph_sys_enter_tree_tp",
        "ebph_sys_enter_cgroup",
        "ebph_sys_enter_cgroup_tp",
        "ebph_fork",
        "ebph_exec",
        "ebph_exit",
        "ebph_signal",
        "ebph_signalled",
        "ebph_command",
        "ebph_replay",
        "ebph_tasks",
        "ebph_adopt",
    ] {
        assert!(counts.iter().any(|(name, _)| name == needed), "{needed}");
    }
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
