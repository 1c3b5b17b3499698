//! The example monitor in processes that may do less: what preflight says there, and how a start
//! fails. Needs unshare, setpriv, mount and umount, which every Debian has (util-linux, mount).

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use serde_json::Value;

use crate::harness::{example, helper, kernel, require_root};

/// The capabilities that the plain tracepoint takes besides: its number is in tracefs, which only
/// root may read, and kernels of some distributions let only administrators open it unless a sysctl
/// says otherwise.
pub fn for_plain_tracepoint() -> Vec<&'static str> {
    let level = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    let level: i32 = level
        .expect("every kernel with perf events has it")
        .trim()
        .parse()
        .expect("it is a number");
    let mut names = vec!["dac_read_search"];
    names.extend((level > 2).then_some("sys_admin"));
    names
}

/// A process that is ended with the test, however that ends.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // SANITY: it fails if it has ended, and then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A way to take something from a process before it becomes the monitor.
enum Taken {
    /// Root without these capabilities.
    Capabilities(&'static [&'static str]),
    /// In a mount namespace of its own, in which this was done by a shell.
    Mounts(&'static str),
    /// In a user namespace of its own, as its root.
    Users,
    /// Behind a filter that answers bpf(2) with this error.
    Filter(i32),
    /// The same, but only where this is asked of bpf(2).
    FilterOf(i32, u64),
}

impl Taken {
    fn command(&self) -> Command {
        let mut command;
        match self {
            Self::Capabilities(without) => {
                let names: Vec<_> = without.iter().map(|name| format!("-{name}")).collect();
                command = Command::new("setpriv");
                command.arg(format!("--bounding-set={}", names.join(",")));
            }
            Self::Mounts(script) => command = in_mounts(script),
            Self::Users => {
                command = Command::new("unshare");
                command.args(["--user", "--map-root-user"]);
            }
            Self::Filter(number) | Self::FilterOf(number, _) => {
                command = helper::command("restricted::part_behind_a_filter");
                command.env(NUMBER, number.to_string());
                if let Self::FilterOf(_, asked) = self {
                    command.env(ASKED, asked.to_string());
                }
                return command;
            }
        }
        command.arg(example("monitor"));
        command
    }

    /// Runs the example's preflight and its watch of a command that would leave a mark.
    #[track_caller]
    fn run(&self) -> Restricted {
        let scratch = tempfile::tempdir().expect("a folder can be made");
        let mark = scratch.path().join("mark");
        let preflight = self.example(&["preflight", "--json"], Path::new("/"));
        let errors = String::from_utf8_lossy(&preflight.stderr);
        assert!(
            !errors.contains("unshare failed"),
            "this test needs user namespaces, which nobody can make in a chroot: {errors}"
        );
        assert!(errors.is_empty(), "{errors}");
        let text = String::from_utf8(preflight.stdout).expect("JSON is UTF-8");
        // A part prints the beginning of a line of its own before.
        let found = text.lines().find_map(|line| Some(&line[line.find('{')?..]));
        let line = found.unwrap_or_else(|| panic!("no report in {text}"));
        let report: Value = serde_json::from_str(line).expect("the report is JSON");
        let code = preflight.status.code();
        let ready = report["ready"] == true;
        assert_eq!(code, Some(if ready { 0 } else { 125 }), "{report}");
        assert_eq!(report["error"].is_null(), ready, "{report}");
        let mark_name = mark.to_str().expect("test paths are UTF-8");
        let watch = self.example(&["--", "touch", mark_name], Path::new("/"));
        Restricted {
            report,
            errors: String::from_utf8_lossy(&watch.stderr).into_owned(),
            code: watch.status.code(),
            touched: mark.exists(),
        }
    }

    fn example(&self, arguments: &[&str], directory: &Path) -> Output {
        require_root();
        let mut command = self.command();
        match self {
            Self::Filter(_) | Self::FilterOf(..) => command.env(ARGUMENTS, arguments.join("\x1f")),
            _ => command.args(arguments),
        };
        let command = command.current_dir(directory).stdin(Stdio::null());
        let program = command.get_program().to_owned();
        command.output().unwrap_or_else(|error| {
            panic!("{} cannot be run: {error}", Path::new(&program).display())
        })
    }
}

/// A command in a mount namespace of its own, after a shell did this there.
pub fn in_mounts(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-ec"])
        .args([&format!("{script}\nexec \"$@\""), "sh"]);
    command
}

/// What became of the example.
struct Restricted {
    report: Value,
    errors: String,
    code: Option<i32>,
    touched: bool,
}

impl Restricted {
    #[track_caller]
    fn check(&self, id: &str) -> &Value {
        let checks = self.report["checks"].as_array().expect("a list");
        let found = checks.iter().find(|check| check["id"] == id);
        found.unwrap_or_else(|| panic!("no {id} in {}", self.report))
    }

    /// Checks that preflight says so of this check, and what to do; and that the start failed, in
    /// one line that has all of these words, and ran nothing.
    #[track_caller]
    fn is_refused(&self, id: &str, status: &str, words: &[&str]) {
        let check = self.check(id);
        assert_eq!(check["status"], status, "{check}");
        assert_ne!(check["why"], "", "{check}");
        assert_ne!(check["remedy"], "", "{check}");
        assert_eq!(self.report["ready"], false, "{}", self.report);
        assert_eq!(self.code, Some(125), "{}", self.errors);
        let error = self.report["error"].as_str().expect("it says why");
        assert_eq!(self.errors.trim_end(), format!("monitor: {error}"));
        for word in words {
            assert!(error.contains(word), "no {word} in {error}");
        }
        assert!(!self.touched, "the command was run");
    }

    /// Names of the checks in this state.
    fn all(&self, status: &str) -> Vec<&str> {
        let checks = self.report["checks"].as_array().expect("a list");
        let checks = checks.iter().filter(|check| check["status"] == status);
        checks.filter_map(|check| check["id"].as_str()).collect()
    }
}

const ARGUMENTS: &str = "EBPH_LIVE_ARGUMENTS";
const NUMBER: &str = "EBPH_LIVE_ERRNO";
const ASKED: &str = "EBPH_LIVE_ASKED";

#[test]
fn part_behind_a_filter() {
    if !helper::part("restricted::part_behind_a_filter") {
        return;
    }
    let variable = |name| std::env::var(name).expect("the test sets it");
    let number: u32 = variable(NUMBER).parse().expect("it is a number");
    let rules = std::env::var(ASKED).ok().map(|asked| {
        let asked = asked.parse().expect("it is a number");
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, asked)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .expect("the rule is valid")
    });
    let filter = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_bpf, rules.into_iter().collect())]),
        SeccompAction::Allow,
        SeccompAction::Errno(number),
        std::env::consts::ARCH.try_into().expect("it is known"),
    );
    let filter: seccompiler::BpfProgram = filter
        .and_then(TryInto::try_into)
        .expect("the filter is valid");
    seccompiler::apply_filter(&filter).expect("a process may restrict itself");
    let arguments = variable(ARGUMENTS);
    let failed = Command::new(example("monitor"))
        .args(arguments.split('\x1f'))
        .exec();
    panic!("the example cannot be run: {failed}");
}

/// Check that each of the two capabilities is named when it alone is missing, and the other is not.
#[test]
fn without_one_capability() {
    let without_bpf = Taken::Capabilities(&["sys_admin", "bpf"]).run();
    without_bpf.is_refused("cap_bpf", "refused", &["CAP_BPF"]);
    assert_eq!(without_bpf.check("cap_perfmon")["status"], "present");
    assert!(!without_bpf.errors.contains("CAP_PERFMON"));
    let without_perfmon = Taken::Capabilities(&["sys_admin", "perfmon"]).run();
    without_perfmon.is_refused("cap_perfmon", "refused", &["CAP_PERFMON"]);
    assert_eq!(without_perfmon.check("cap_bpf")["status"], "present");
    assert!(!without_perfmon.errors.contains("CAP_BPF"));
}

/// Check that kernel types which cannot be seen are what is reported, and that what they would tell
/// is not reported as absent.
#[test]
fn without_types() {
    let run = Taken::Mounts("mount -t tmpfs none /sys/kernel/btf").run();
    run.is_refused("types", "absent", &["/sys/kernel/btf/vmlinux"]);
    assert_eq!(run.check("ring_buffer")["status"], "unknown");
    assert_eq!(run.check("bpf")["status"], "present");
}

/// Check that a bpf(2) which a filter denies is refused, whatever it answers, and that the filter is
/// named.
#[test]
fn behind_a_filter() {
    for number in [libc::EPERM, libc::ENOSYS] {
        let run = Taken::Filter(number).run();
        run.is_refused("bpf", "refused", &["bpf(2)", "seccomp"]);
        assert_eq!(run.check("cap_bpf")["status"], "present");
    }
}

/// Check that a filter which lets maps be made and no programs is found out by trying, and that a
/// start says in one line what the kernel refused, with nothing of libbpf's.
#[test]
fn behind_a_filter_of_programs() {
    const BPF_PROG_LOAD: u64 = 5;
    let run = Taken::FilterOf(libc::EPERM, BPF_PROG_LOAD).run();
    assert_eq!(run.check("bpf")["status"], "present");
    for id in ["tracepoints", "commands", "task_walk"] {
        let check = run.check(id);
        assert_eq!(check["status"], "refused", "{check}");
        assert_ne!(check["remedy"], "", "{check}");
    }
    assert_eq!(run.report["ready"], false);
    assert_eq!(run.code, Some(125), "{}", run.errors);
    assert_eq!(run.errors.trim_end().lines().count(), 1, "{}", run.errors);
    assert!(run.errors.contains("refused bpf(2)"), "{}", run.errors);
    assert!(!run.touched);
}

/// Check that the capabilities of another user namespace are not taken for real ones.
#[test]
fn in_a_user_namespace() {
    let run = Taken::Users.run();
    run.is_refused("user_namespace", "refused", &["user namespace"]);
    assert_eq!(run.check("bpf")["status"], "refused");
}

/// Takes tracefs away, wherever it is mounted.
const NO_TRACEFS: &str = "
while umount -l /sys/kernel/tracing 2>/dev/null; do :; done
while umount -l /sys/kernel/debug 2>/dev/null; do :; done
test ! -e /sys/kernel/tracing/events && test ! -e /sys/kernel/debug/tracing";

/// Check that a tracefs which is not mounted is no hindrance for those who may mount it, and is
/// reported to those who may not; who then can start only where it is not needed.
#[test]
fn without_tracefs() {
    let root = Taken::Mounts(NO_TRACEFS).run();
    assert_eq!(root.check("tracefs")["status"], "present");
    assert_eq!(root.check("plain_tracepoint")["status"], "present");
    assert_eq!(root.code, Some(0), "{}", root.errors);
    assert!(root.touched);
    const BELOW: &str = "
while umount -l /sys/kernel/tracing 2>/dev/null; do :; done
while umount -l /sys/kernel/debug 2>/dev/null; do :; done
set -- setpriv --bounding-set=-sys_admin \"$@\"";
    let run = Taken::Mounts(BELOW).run();
    assert_eq!(run.check("plain_tracepoint")["status"], "unknown");
    if kernel::hides_calls() {
        run.is_refused("tracefs", "refused", &["CAP_SYS_ADMIN"]);
    } else {
        let check = run.check("tracefs");
        assert_eq!(check["status"], "refused", "{check}");
        assert_eq!(check["required"], false, "{check}");
        assert_eq!(run.code, Some(0), "{}", run.errors);
        assert!(run.touched);
    }
}

/// Check that a preflight of root finds all that is needed, and knows of all that it is there.
#[test]
fn with_all_privileges() {
    let all = Taken::Capabilities(&["chown"]).run();
    assert_eq!(all.report["ready"], true, "{}", all.report);
    let unknown = all.all("unknown");
    for check in all.report["checks"].as_array().expect("a list") {
        let id = check["id"].as_str().expect("a name");
        assert!(
            check["required"] == false || !unknown.contains(&id),
            "{check}"
        );
    }
}
