//! What is so on some kernels only. Run by name, on these: `make test-kernels`.

use std::process::Command;

use ebph::{CheckId, Error, Monitor, Scope, Status};
use serde_json::Value;

use crate::harness::require_root;
use crate::restricted::built;

/// Check that a kernel without task storage is refused by a typed error, in the library and in the
/// example, and that preflight says which thing is absent and what to do.
#[test]
#[ignore = "only for kernels before 5.12, which lack task storage: make test-kernels KERNELS=5.10"]
fn without_task_storage() {
    require_root();
    let release = rustix::system::uname();
    let release = release.release().to_str().expect("a release is ASCII");

    let error = Monitor::builder()
        .scope(Scope::Tree(std::process::id()))
        .start()
        .expect_err("this test is for kernels without task storage");
    let Error::KernelTooOld { needs, found } = &error else {
        panic!("refused otherwise: {error}");
    };
    assert!(needs.contains("task storage"), "{needs}");
    assert_eq!(found, release);

    let report = Monitor::preflight();
    assert!(!report.ready());
    let required = report.require().expect_err("it is not ready");
    assert_eq!(required.to_string(), error.to_string());
    let check = report.check(CheckId::TaskStorage).expect("it is looked at");
    assert!(check.required);
    assert_eq!(check.status, Status::Absent);
    assert!(check.why.contains("bpf_task_storage_get"), "{}", check.why);
    assert!(check.remedy.contains("Linux 6.1"), "{}", check.remedy);

    let preflight = Command::new(built())
        .args(["preflight", "--json"])
        .output()
        .expect("the example can be run");
    let said: Value = serde_json::from_slice(&preflight.stdout).expect("it prints JSON");
    assert!(!preflight.status.success());
    assert_eq!(said["ready"], false);
    assert_eq!(said["error"], error.to_string());

    let watch = Command::new(built())
        .args(["--", "true"])
        .output()
        .expect("the example can be run");
    assert_eq!(watch.status.code(), Some(125));
    let errors = String::from_utf8_lossy(&watch.stderr);
    assert!(errors.contains(&error.to_string()), "{errors}");
}

/// How an exec can be denied, which the tests of denying take as preflight has it.
mod deny {
    use ebph::{CheckId, Monitor, Status};

    use crate::harness::require_root;

    fn status(id: CheckId) -> Status {
        require_root();
        let report = Monitor::preflight();
        report.check(id).expect("it is looked at").status
    }

    /// Check that a kernel with BPF among its security modules denies by that.
    #[test]
    #[ignore = "only for kernels booted with bpf in lsm=: make test-kernels"]
    fn by_lsm() {
        assert_eq!(status(CheckId::BpfLsm), Status::Present);
    }

    /// Check that a kernel without BPF among its security modules, where a program for them would
    /// load and never run, can deny all the same.
    #[test]
    #[ignore = "only for kernels booted without bpf in lsm=: make test-kernels KERNELS=6.1:without-bpf-lsm"]
    fn by_fmod_ret() {
        assert_eq!(status(CheckId::BpfLsm), Status::Refused);
        assert_eq!(status(CheckId::FmodRet), Status::Present);
    }
}
