//! What BPF objects there are, asked of the kernel without the crate under test.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::num::ParseIntError;
use std::str::FromStr;

use libbpf_rs::btf::{self, Btf};
use libbpf_rs::query;

use super::eventually;

/// Ids of programs, maps and links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    pub programs: BTreeSet<u32>,
    pub maps: BTreeSet<u32>,
    pub links: BTreeSet<u32>,
}

impl Objects {
    /// Everything that this process holds by descriptors, and what hangs on it: a link keeps its
    /// program, a program its maps. Other monitors of this machine stay out of it.
    pub fn held() -> Self {
        let mut held = Self::default();
        let entries = fs::read_dir("/proc/self/fdinfo").expect("/proc is mounted");
        for entry in entries {
            let Ok(info) = fs::read_to_string(entry.expect("it can be listed").path()) else {
                continue;
            };
            for line in info.lines() {
                let Some((name, value)) = line.split_once(":\t") else {
                    continue;
                };
                let set = match name {
                    "prog_id" => &mut held.programs,
                    "map_id" => &mut held.maps,
                    "link_id" => &mut held.links,
                    _ => continue,
                };
                set.insert(value.trim().parse().expect("ids are numbers"));
            }
        }
        for link in query::LinkInfoIter::default() {
            if held.links.contains(&link.id) {
                held.programs.insert(link.prog_id);
            }
        }
        for program in query::ProgInfoIter::default() {
            if held.programs.contains(&program.id) {
                held.maps.extend(program.map_ids);
            }
        }
        held
    }

    pub fn is_empty(&self) -> bool {
        self.programs.is_empty() && self.maps.is_empty() && self.links.is_empty()
    }

    /// Those of them that the kernel still has.
    pub fn left(&self) -> Self {
        let programs: BTreeSet<_> = query::ProgInfoIter::default().map(|info| info.id).collect();
        let maps: BTreeSet<_> = query::MapInfoIter::default().map(|info| info.id).collect();
        let links: BTreeSet<_> = query::LinkInfoIter::default().map(|info| info.id).collect();
        Self {
            programs: &self.programs & &programs,
            maps: &self.maps & &maps,
            links: &self.links & &links,
        }
    }

    /// Waits until the kernel has none of them any more; it frees them in its own time.
    #[track_caller]
    pub fn until_gone(&self) {
        eventually(&format!("all of {self:?} to be gone"), || {
            self.left().is_empty().then_some(())
        });
    }
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |set: &BTreeSet<u32>| {
            let ids: Vec<_> = set.iter().map(u32::to_string).collect();
            ids.join(",")
        };
        write!(
            f,
            "{};{};{}",
            list(&self.programs),
            list(&self.maps),
            list(&self.links)
        )
    }
}

impl FromStr for Objects {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let mut sets = text.trim().split(';').map(|list| {
            let ids = list.split(',').filter(|id| !id.is_empty());
            ids.map(str::parse).collect::<Result<BTreeSet<u32>, _>>()
        });
        let mut next = || sets.next().unwrap_or_else(|| Ok(BTreeSet::new()));
        Ok(Self {
            programs: next()?,
            maps: next()?,
            links: next()?,
        })
    }
}

/// Tells whether system calls are watched through the plain tracepoint by default, which sees
/// nothing on a processor while some process is in the middle of a bpf(2) map update there.
pub fn hides_calls() -> bool {
    let types = Btf::from_vmlinux().expect("the live tests need /sys/kernel/btf/vmlinux");
    let preemptible = types.type_by_name::<btf::types::Func<'_>>("trace_call_bpf_faultable");
    preemptible.is_some()
}

/// Tells whether this kernel counts every call that it hides from the plain tracepoint: not before
/// 6.7, and not where hooks can be preempted.
pub fn counts_hidden_calls() -> bool {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok);
    next()
        .zip(next())
        .expect("a release begins with two numbers")
        >= (6, 7)
        && !hides_calls()
}

/// What each of this process's descriptors is, without the numbers.
pub fn descriptors() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").expect("/proc is mounted");
    let mut links: Vec<_> = entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        // The listing itself has a descriptor.
        .filter(|link| !link.ends_with("/fd"))
        .collect();
    links.sort();
    links
}
