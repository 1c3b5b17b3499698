//! How an exec can be made to fail here, if at all.

use super::attempt::Attempt;
use super::facts::{DIRECT_CALLS, Essentials, NO_DIRECT_CALLS, security_modules};
use crate::plan::Denial;
use crate::sys::btf;
use crate::sys::probe::{self, Kind};

const LSM: &str = "bpf_lsm_bprm_check_security";
const FMOD_RET: &str = "security_bprm_check";

/// Tries both ways; nothing is attached.
pub(crate) fn denial(essentials: &Essentials) -> Denial {
    if essentials.map != Attempt::Worked || !essentials.missing_capabilities().is_empty() {
        return Denial::None("bpf(2) is not to be had".to_owned());
    }
    let numbers = btf::numbers([DIRECT_CALLS, LSM, FMOD_RET]).unwrap_or_default();
    if !numbers.contains_key(DIRECT_CALLS) {
        return Denial::None(NO_DIRECT_CALLS.to_owned());
    }
    let attempt = |kind, name| {
        numbers.get(name).map_or(Attempt::Untried, |number| {
            Attempt::of(probe::try_program(kind, *number))
        })
    };
    let modules = security_modules();
    let active = modules.map(|all| all.iter().any(|module| module == "bpf"));
    decide(
        attempt(Kind::Lsm, LSM),
        attempt(Kind::FmodRet, FMOD_RET),
        active,
    )
}

/// A program of the first kind loads, and never runs, where BPF is not among the active security
/// modules; where that is not known, the other kind is the safe choice.
fn decide(lsm: Attempt, fmod_ret: Attempt, active: Option<bool>) -> Denial {
    if lsm == Attempt::Worked && active == Some(true) {
        return Denial::Lsm;
    }
    if fmod_ret == Attempt::Worked {
        return Denial::FmodRet;
    }
    let lsm = match (lsm, active) {
        (Attempt::Worked, Some(_)) => "bpf is not among the active security modules".to_owned(),
        (Attempt::Worked, None) => "the active security modules cannot be read".to_owned(),
        (Attempt::Untried, _) => "the kernel has no BPF security module".to_owned(),
        (failed, _) => failed.reason(),
    };
    let fmod_ret = match fmod_ret {
        Attempt::Untried => "the kernel has no such function".to_owned(),
        failed => failed.reason(),
    };
    Denial::None(format!(
        "lsm/bprm_check_security: {lsm}; fmod_ret/security_bprm_check: {fmod_ret}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the security module is used where it is active, and else what works without it.
    #[test]
    fn choice() {
        let worked = Attempt::Worked;
        let refused = Attempt::Failed(libc::EPERM);
        assert_eq!(decide(worked, worked, Some(true)), Denial::Lsm);
        assert_eq!(decide(worked, worked, Some(false)), Denial::FmodRet);
        assert_eq!(decide(worked, worked, None), Denial::FmodRet);
        assert_eq!(decide(refused, worked, Some(true)), Denial::FmodRet);
        assert_eq!(decide(worked, refused, Some(true)), Denial::Lsm);
        let why = |lsm, fmod_ret, active| match decide(lsm, fmod_ret, active) {
            Denial::None(why) => why,
            other => panic!("{other:?}"),
        };
        assert!(why(worked, refused, Some(false)).contains("not among the active"));
        assert!(why(worked, refused, None).contains("cannot be read"));
        assert!(
            why(refused, refused, Some(true))
                .matches("not permitted")
                .count()
                == 2
        );
        assert!(why(Attempt::Untried, Attempt::Untried, None).contains("no BPF security module"));
    }
}
