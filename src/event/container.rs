//! Which container a process is in, told from the names that runtimes give to cgroups.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A container.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// What runs it, where the name tells.
    pub runtime: Option<Runtime>,
    /// Its id: 64 hexadecimal digits.
    pub id: String,
}

/// What runs containers.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// containerd, as Kubernetes uses it.
    Containerd,
    /// CRI-O.
    Crio,
}

impl Runtime {
    /// Every runtime.
    pub const ALL: &'static [Self] = &[Self::Docker, Self::Podman, Self::Containerd, Self::Crio];

    /// Returns its name, as in `docker`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::Crio => "crio",
        }
    }
}

/// What stands before the id when systemd manages cgroups, as in `docker-ID.scope`; or before it
/// in one component, as in `libpod-ID`.
const PREFIXES: [(&str, Runtime); 4] = [
    ("docker-", Runtime::Docker),
    ("libpod-", Runtime::Podman),
    ("cri-containerd-", Runtime::Containerd),
    ("crio-", Runtime::Crio),
];

impl Container {
    /// Finds the innermost container that a cgroup's path names; `None` if it names none.
    ///
    /// # Examples
    ///
    /// ```
    /// use ebph::{Container, Runtime};
    ///
    /// let id = "4f66ad9a9b2e7c0f1d3b5a79c8e0f2d4b6a8091c3e5f7a9b0d2c4e6f8a1b3c5d";
    /// let path = format!("/system.slice/docker-{id}.scope");
    /// let container = Container::of_cgroup(path).unwrap();
    /// assert_eq!(container.runtime, Some(Runtime::Docker));
    /// assert_eq!(container.id, id);
    /// ```
    pub fn of_cgroup(path: impl AsRef<Path>) -> Option<Self> {
        let path = path.as_ref();
        let names: Vec<&[u8]> = path
            .as_os_str()
            .as_bytes()
            .split(|byte| *byte == b'/')
            .collect();
        (0..names.len()).rev().find_map(|at| {
            let name = std::str::from_utf8(names[at]).ok()?;
            let before = at.checked_sub(1).map(|at| names[at]);
            // Kubernetes under containerd: `SLICE:cri-containerd:ID`.
            if let Some((rest, id)) = name.rsplit_once(':') {
                let runtime = match rest.rsplit(':').next() {
                    Some("cri-containerd" | "containerd") => Some(Runtime::Containerd),
                    Some("crio") => Some(Runtime::Crio),
                    Some("docker") => Some(Runtime::Docker),
                    _ => None,
                };
                return is_id(id).then(|| Self::new(runtime, id));
            }
            let name = name.strip_suffix(".scope").unwrap_or(name);
            let prefixed = PREFIXES.iter().find_map(|(prefix, runtime)| {
                let id = name.strip_prefix(prefix)?;
                is_id(id).then(|| Self::new(Some(*runtime), id))
            });
            prefixed
                .or_else(|| is_id(name).then(|| Self::new(before.and_then(runtime_above), name)))
        })
    }

    fn new(runtime: Option<Runtime>, id: &str) -> Self {
        Self {
            runtime,
            id: id.to_owned(),
        }
    }
}

/// Tells what runs the containers in a directory of this name, where each is a plain id.
fn runtime_above(name: &[u8]) -> Option<Runtime> {
    match name {
        b"docker" => Some(Runtime::Docker),
        b"libpod_parent" => Some(Runtime::Podman),
        b"k8s.io" | b"default" | b"moby" => Some(Runtime::Containerd),
        _ => None,
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn of(path: &str) -> Option<(Option<Runtime>, String)> {
        Container::of_cgroup(path.replace("ID", ID))
            .map(|container| (container.runtime, container.id))
    }

    /// Check the forms that runtimes use, with systemd and without.
    #[test]
    fn forms() {
        let pod = "kubepods-burstable-pod2d3a_1.slice";
        for (path, runtime) in [
            ("/docker/ID", Some(Runtime::Docker)),
            ("/system.slice/docker-ID.scope", Some(Runtime::Docker)),
            ("/docker/ID/init.scope", Some(Runtime::Docker)),
            ("/machine.slice/libpod-ID.scope", Some(Runtime::Podman)),
            (
                "/machine.slice/libpod-ID.scope/container",
                Some(Runtime::Podman),
            ),
            ("/libpod_parent/libpod-ID", Some(Runtime::Podman)),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
                Some(Runtime::Podman),
            ),
            (
                &format!("/kubepods.slice/{pod}/cri-containerd-ID.scope"),
                Some(Runtime::Containerd),
            ),
            (
                &format!("/system.slice/containerd.service/{pod}:cri-containerd:ID"),
                Some(Runtime::Containerd),
            ),
            ("/k8s.io/ID", Some(Runtime::Containerd)),
            (
                &format!("/kubepods.slice/{pod}/crio-ID.scope"),
                Some(Runtime::Crio),
            ),
            ("/kubepods/burstable/pod2d3a-1/ID", None),
        ] {
            assert_eq!(of(path), Some((runtime, ID.to_owned())), "{path}");
        }
    }

    /// Check that the innermost of containers in containers is found.
    #[test]
    fn nested() {
        let inner = ID.replace('0', "f");
        let path = format!("/docker/{ID}/system.slice/docker-{inner}.scope");
        assert_eq!(Container::of_cgroup(path).unwrap().id, inner);
    }

    /// Check that what only resembles a container is none.
    #[test]
    fn none() {
        for path in [
            "",
            "/",
            "/system.slice/docker.service",
            "/docker",
            "/docker/ID0",
            "/system.slice/docker-0123.scope",
            "/machine.slice/libpod-conmon-ID.scope",
            "/user.slice/:",
            "/a/XID",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
        assert_eq!(of(&format!("/docker/{}", ID.to_uppercase())), None);
    }
}
