//! The unit file of the example monitor: what systemd says of it, and that a monitor with no more
//! than it grants can do its work. Needs systemd-analyze (systemd), unshare and setpriv
//! (util-linux), and no systemd that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use ebph::{Abi, Letter, Store, Symbol};
use seccompiler::{SeccompAction, SeccompFilter};
use serde_json::Value;

use crate::harness::{
    call, deadline, eventually, example, getppid, helper, kernel, program, require_root,
};
use crate::restricted::{Ended, for_plain_tracepoint};

const UNIT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/examples/systemd/ebph-monitor.service"
);

fn text() -> String {
    fs::read_to_string(UNIT).expect("the unit file is in the repository")
}

/// All values of a setting, in their order.
fn all(setting: &str) -> Vec<String> {
    let start = format!("{setting}=");
    let text = text();
    let lines = text.lines().filter_map(|line| line.strip_prefix(&start));
    lines.map(str::to_owned).collect()
}

/// The one value of a setting.
#[track_caller]
fn one(setting: &str) -> String {
    let mut values = all(setting);
    assert_eq!(values.len(), 1, "{setting}: {values:?}");
    values.remove(0)
}

fn systemd_analyze(arguments: &[&str]) -> String {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .output()
        .expect("this test needs systemd-analyze (systemd)");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{}: {errors}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Check that systemd understands every line of the unit, and holds it to be exposed little.
#[test]
fn understood() {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let copy = scratch.path().join("ebph-monitor.service");
    // The program is where the unit says only on a machine that it was installed on.
    let installed = "/usr/local/bin/monitor";
    let here = example("monitor");
    let here = here.to_str().expect("test paths are UTF-8");
    assert!(one("ExecStart").starts_with(installed));
    fs::write(&copy, text().replace(installed, here)).expect("it can be written");
    let copy = copy.to_str().expect("test paths are UTF-8");
    systemd_analyze(&["verify", copy]);
    // In tenths: 2.5 of 10.
    systemd_analyze(&["security", "--offline=true", "--threshold=25", copy]);
}

/// Names of the system calls that the unit lets through.
fn allowed() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in all("SystemCallFilter") {
        let (line, remove) = match line.strip_prefix('~') {
            Some(rest) => (rest, true),
            None => (line.as_str(), false),
        };
        for name in line.split(' ').flat_map(members) {
            if remove {
                names.remove(&name);
            } else {
                names.insert(name);
            }
        }
    }
    names
}

/// The system calls of a group such as `@system-service`, or the one of this name.
fn members(name: &str) -> Vec<String> {
    if !name.starts_with('@') {
        return vec![name.to_owned()];
    }
    let listing = systemd_analyze(&["--no-pager", "syscall-filter", name]);
    let lines = listing.lines().skip(1).map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .flat_map(members)
        .collect()
}

/// Does to a mount namespace what the unit asks for, as far as the monitor can notice.
const SANDBOX: &str = r#"
mount -t tmpfs none /usr/local/bin
cp "$EBPH_LIVE_MONITOR" /usr/local/bin/monitor
cp "$EBPH_LIVE_VICTIM" /usr/local/bin/victim
# What was built may lie below /tmp.
cp "$1" /usr/local/bin/part
shift
for place in /var/lib /var/log /run; do
    mount -t tmpfs none $place
    mkdir $place/ebph
    mount --bind "$EBPH_LIVE_SCRATCH$place" $place/ebph
done
test -z "$EBPH_LIVE_TRACEFS" || test -e /sys/kernel/tracing/events || mount -t tracefs none /sys/kernel/tracing
mount -t tmpfs none /tmp
mount --bind /proc/sys /proc/sys
for place in / /sys /proc/sys /usr/local/bin; do mount -o remount,bind,ro $place; done
exec /usr/local/bin/part "$@"
"#;

const CALLS: &str = "EBPH_LIVE_CALLS";
const WORDS: &str = "EBPH_LIVE_WORDS";

#[test]
fn part_in_the_sandbox() {
    if !helper::part("unit::part_in_the_sandbox") {
        return;
    }
    let variable = |name| std::env::var(name).expect("the test sets it");
    let numbers = variable(CALLS);
    let numbers = numbers.split(' ').map(|number| {
        let number: i64 = number.parse().expect("it is a number");
        (number, vec![])
    });
    let filter = SeccompFilter::new(
        numbers.collect::<BTreeMap<_, _>>(),
        SeccompAction::Errno(libc::EPERM.cast_unsigned()),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into().expect("it is known"),
    );
    let filter: seccompiler::BpfProgram = filter
        .and_then(TryInto::try_into)
        .expect("the filter is valid");
    seccompiler::apply_filter(&filter).expect("a process may restrict itself");
    let words = variable(WORDS);
    let mut words = words.split('\x1f');
    let program = words.next().expect("there is a program");
    let failed = Command::new(program).args(words).exec();
    panic!("{program} cannot be run: {failed}");
}

/// Check that what the unit starts learns a program, reports its anomaly in the log, keeps its
/// profile, answers on its socket and tells the manager how it is: with the capabilities, the
/// system calls and the view of the file system that the unit grants, and no more.
#[test]
fn works_with_what_it_is_granted() {
    in_the_sandbox("", &[], "anomaly");
}

/// Check that with the capability that the unit says to add for that it can delay as well: the rest of what it may
/// do lets it have a guardian, and that send its signals.
#[test]
fn delays_with_one_capability_more() {
    let delays = ["--delay-unit", "1ms", "--delay-cap", "5ms"];
    in_the_sandbox(",+kill", &delays, "response");
}

/// Runs what the unit starts, with more capabilities and options, as it would be run there; what its victim does
/// causes such an event.
fn in_the_sandbox(more: &str, options: &[&str], kind: &str) {
    require_root();
    let user = 0x4000_0000 | std::process::id();
    let scratch = tempfile::tempdir().expect("a folder can be made");
    for folder in ["var/lib", "var/log", "run"] {
        let folder = scratch.path().join(folder);
        fs::create_dir_all(&folder).expect("it can be made");
        chown(&folder, Some(user), Some(user)).expect("root may");
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("root may");
    }
    let manager = scratch.path().join("run/notify");
    let told = UnixDatagram::bind(&manager).expect("a socket can be made");
    told.set_read_timeout(Some(deadline())).expect("it can be");
    fs::set_permissions(&manager, Permissions::from_mode(0o777)).expect("root may");

    let granted = one("CapabilityBoundingSet").to_lowercase();
    assert_eq!(granted, one("AmbientCapabilities").to_lowercase());
    let granted = granted.replace("cap_", "+").replace(' ', ",");
    let mut granted = format!("-all,{granted}{more}");
    if kernel::hides_calls() {
        // As the unit says of such kernels.
        let more = for_plain_tracepoint();
        granted.extend(more.iter().map(|name| format!(",+{name}")));
    }
    let user = user.to_string();
    let exec = one("ExecStart");
    let script = "read go; i=0; while [ $i -lt 200 ]; do /usr/local/bin/victim $0; i=$((i + 1)); done; \
                  /usr/local/bin/victim $0 $1; read end; exit 7";
    let (usual, unusual) = (getppid(10), call(libc::SYS_getuid, 1));
    let mut words = vec!["setpriv", "--reuid", &user, "--regid", &user];
    words.extend(["--clear-groups", "--inh-caps", &granted, "--ambient-caps"]);
    words.extend([&granted, "--bounding-set", &granted, "--no-new-privs"]);
    words.extend(exec.split(' '));
    words.extend(options);
    // The whole machine is not ours to watch.
    words.extend(["--normal-wait", "1ms", "--", "sh", "-c", script]);
    words.extend([usual.as_str(), &unusual]);
    let numbers: Vec<String> = allowed()
        .iter()
        .filter_map(|name| Symbol::from_name(Abi::NATIVE, name))
        .map(|symbol| symbol.number().to_string())
        .collect();
    assert!(numbers.len() > 200, "a filter of {} calls", numbers.len());

    let part = helper::command("unit::part_in_the_sandbox");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private"])
        .args(["sh", "-ec", SANDBOX, "sh"])
        .arg(part.get_program())
        .args(part.get_args());
    for (name, value) in part.get_envs() {
        command.env(name, value.expect("a part sets variables"));
    }
    let child = command
        .env(WORDS, words.join("\x1f"))
        .env(CALLS, numbers.join(" "))
        .env("EBPH_LIVE_MONITOR", example("monitor"))
        .env("EBPH_LIVE_VICTIM", program("calls"))
        .env("EBPH_LIVE_SCRATCH", scratch.path())
        .env(
            "EBPH_LIVE_TRACEFS",
            if kernel::hides_calls() { "1" } else { "" },
        )
        .env("NOTIFY_SOCKET", "/run/ebph/notify")
        .env("WATCHDOG_USEC", "200000")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("this test needs unshare (util-linux)");
    let mut child = Ended(child);
    let mut input = child.0.stdin.take().expect("it is piped");
    wait_to_be_told(&told, "READY=1");

    let socket = scratch.path().join("run/monitor.sock");
    let asked = Command::new(example("monitor"))
        .args(["admin", "status", "--json", "--socket"])
        .arg(&socket)
        .output()
        .expect("the example can be run");
    assert!(asked.status.success(), "{asked:?}");
    wait_to_be_told(&told, "WATCHDOG=1");

    input.write_all(b"go\n").expect("the shell reads");
    let log = scratch.path().join("var/log/events.json");
    let victim = "/usr/local/bin/victim";
    eventually("the event to be in the log", || {
        let text = fs::read_to_string(&log).ok()?;
        text.lines().find_map(|line| {
            // The last line may not be whole yet.
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == kind && event["profile"]["exe"] == victim).then_some(())
        })
    });
    drop(input);
    wait_to_be_told(&told, "STOPPING=1");
    let status = child.0.wait().expect("it is our child");
    assert_eq!(status.code(), Some(7), "the monitor ends as its command");

    let kept = scratch.path().join("var/lib");
    chown(&kept, Some(0), Some(0)).expect("root may");
    let store = Store::open(&kept).expect("it is root's now");
    let profiles = store.load().expect("it can be read").profiles;
    let profile = profiles.iter().map(|stored| &stored.profile);
    let mut of_victim = profile.filter(|profile| profile.exe() == Some(Path::new(victim)));
    let profile = of_victim.next().expect("it was saved");
    assert!(profile.is_normal());
    let identity = profile.identity().expect("the file could be looked at");
    assert!(identity.exe.sha256.is_some(), "it could be read");
    let getppid = Letter::from(Symbol::new(Abi::NATIVE, libc::SYS_getppid as u32));
    assert!(profile.pairs().any(|pair| pair.current == getppid));
}

/// Waits until the manager was told this line.
#[track_caller]
fn wait_to_be_told(told: &UnixDatagram, line: &str) {
    let mut buffer = [0; 4096];
    loop {
        let length = told.recv(&mut buffer);
        let length = length.unwrap_or_else(|error| panic!("waited in vain for {line}: {error}"));
        let text = String::from_utf8_lossy(&buffer[..length]);
        if text.lines().any(|told| told == line) {
            return;
        }
    }
}
