//! Storms of executables: more different programs than there is room for.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ebph::{Monitor, MonitorBuilder, Scope, Store};
use tempfile::TempDir;

use super::{accounted, forget_all, many, map_bytes};
use crate::harness::{Gated, Watch, helper, program, require_root};

/// A program of one call, exit_group(7), in the fewest bytes that the kernel executes.
fn tiny() -> Vec<u8> {
    const BASE: u64 = 0x10_0000;
    const HEADERS: u64 = 64 + 56;
    let (machine, code): (u16, &[u8]) = if cfg!(target_arch = "x86_64") {
        // mov $231, %eax; mov $7, %edi; syscall
        (62, b"\xb8\xe7\0\0\0\xbf\x07\0\0\0\x0f\x05")
    } else {
        // mov x0, #7; mov x8, #94; svc #0
        (183, b"\xe0\0\x80\xd2\xc8\x0b\x80\xd2\x01\0\0\xd4")
    };
    let size = HEADERS + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |bytes: &[u8]| elf.extend_from_slice(bytes);
    // ET_EXEC, machine, version; entry, program headers, section headers; flags.
    put(&2_u16.to_le_bytes());
    put(&machine.to_le_bytes());
    put(&1_u32.to_le_bytes());
    for word in [BASE + HEADERS, 64, 0] {
        put(&word.to_le_bytes());
    }
    put(&0_u32.to_le_bytes());
    // Sizes and counts: one program header, no section.
    for half in [64_u16, 56, 1, 0, 0, 0] {
        put(&half.to_le_bytes());
    }
    // PT_LOAD, readable and executable, the whole file.
    put(&1_u32.to_le_bytes());
    put(&5_u32.to_le_bytes());
    for word in [0, BASE, BASE, size, size, 0x1000] {
        put(&word.to_le_bytes());
    }
    put(code);
    elf
}

/// So many programs, each with a content of its own.
fn programs(count: usize) -> TempDir {
    let directory = tempfile::Builder::new()
        .prefix("ebph-live-")
        .tempdir()
        .expect("a temporary directory can be made");
    let tiny = tiny();
    for number in 0..count {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(directory.path().join(number.to_string()))
            .expect("it is ours");
        let content = [&tiny[..], &number.to_le_bytes()].concat();
        file.write_all(&content).expect("there is room");
    }
    directory
}

/// What this process has in memory, in bytes.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .expect("it is there")
        .parse::<u64>()
        .expect("a number")
        * 1024
}

/// Executes all of them, once, while they are watched; returns the monitor.
fn execute(
    directory: &Path,
    count: usize,
    settings: impl FnOnce(MonitorBuilder) -> MonitorBuilder,
) -> Watch {
    let path = directory.to_str().expect("test paths are UTF-8");
    let gated = Gated::new(program("storm"), &["execs", path, &count.to_string()]);
    let builder = Monitor::builder().scope(Scope::Tree(gated.pid));
    let watch = Watch::start(settings(builder));
    let (maps, memory) = (map_bytes(&watch), resident());
    let status = gated.go().wait().expect("it is our child");
    assert!(
        status.success(),
        "each ends as it does without a monitor: {status}"
    );
    assert_eq!(map_bytes(&watch), maps);
    let more = resident().saturating_sub(memory);
    assert!(more < 16 << 20, "{more} bytes more in memory");
    watch
}

/// What all of them do: the storm's clone, execve, wait4 and last exit_group, and one call each.
fn made(count: usize) -> u64 {
    (4 * count + 1) as u64
}

/// Check that programs beyond the last profile run as ever and are counted, call by call, and that
/// there is room for others once those that have one are forgotten.
#[test]
fn without_a_folder() {
    require_root();
    helper::run("hostile::execs::part_without_a_folder");
}

#[test]
fn part_without_a_folder() {
    const PROFILES: u32 = 64;

    if !helper::part("hostile::execs::part_without_a_folder") {
        return;
    }
    let count = many(10_000);
    let directory = programs(count);
    let watch = execute(directory.path(), count, |builder| {
        builder.max_profiles(PROFILES).max_rows(256)
    });
    let stats = watch.stats().expect("stats can be read");
    assert_eq!(stats.profiles.used, u64::from(PROFILES));
    // The storm itself has one of them.
    let without = count as u64 - u64::from(PROFILES - 1);
    assert_eq!(stats.calls.unprofiled, without);
    assert_eq!(stats.profiles.refused, without);
    let said = |name: &str| stats.losses().find(|(what, _)| *what == name);
    assert_eq!(said("unprofiled"), Some(("unprofiled", without)));
    forget_all(&watch);
    let again = watch.stats().expect("stats can be read");
    assert_eq!((again.profiles.used, again.rows.used), (0, 0));
    let outcome = watch.finish();
    accounted(&outcome, made(count));
    let told: Vec<_> = outcome.all("capacity_exhausted").collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

/// Check that with a folder profiles make room for others as long as the storm lasts, and that in the
/// end each call is in a file or counted as unprofiled.
#[test]
fn with_a_folder() {
    require_root();
    helper::run("hostile::execs::part_with_a_folder");
}

#[test]
fn part_with_a_folder() {
    if !helper::part("hostile::execs::part_with_a_folder") {
        return;
    }
    let count = many(10_000);
    let directory = programs(count);
    let folder: PathBuf = directory.path().join("profiles");
    let watch = execute(directory.path(), count, |builder| {
        builder.max_profiles(64).max_rows(256).profile_dir(&folder)
    });
    let outcome = watch.finish();
    accounted(&outcome, made(count));
    let (calls, store) = (&outcome.stats.calls, &outcome.stats.store);
    assert!(store.evicted > 64, "{store:?}");
    assert_eq!((store.failures, store.dropped), (0, 0), "{store:?}");
    let loaded = Store::open(&folder)
        .expect("it is ours")
        .load()
        .expect("it can be read");
    let counts = loaded
        .profiles
        .iter()
        .map(|stored| stored.profile.train_count());
    assert_eq!(counts.sum::<u64>(), calls.recorded, "{store:?}");
    let profiled = loaded.profiles.iter().filter(|stored| {
        stored.profile.exe().is_some_and(|exe| {
            exe.as_os_str()
                .as_bytes()
                .starts_with(directory.path().as_os_str().as_bytes())
        })
    });
    assert_eq!(profiled.count() as u64 + calls.unprofiled, count as u64);
}
