//! Programs, maps and memory in the kernel.

use std::time::Duration;

use crate::plan::is_entry;
use serde::{Deserialize, Serialize};

/// One program attached to the kernel.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgramStats {
    /// Its name.
    pub name: String,
    /// How often the kernel skipped it because it was running already on that CPU: a loss.
    pub recursion_misses: u64,
    /// How often it ran while the kernel kept statistics of BPF programs; `None` unless it is known
    /// that it does ([`Monitor::measure`](crate::Monitor::measure), or the setting
    /// `kernel.bpf_stats_enabled`) or did.
    pub run_count: Option<u64>,
    /// How long it ran in all, likewise. As serde data these are nanoseconds, `run_time_ns`.
    #[serde(rename = "run_time_ns", with = "nanoseconds")]
    pub run_time: Option<Duration>,
    /// Instructions the verifier walked through when it was loaded.
    pub verified_instructions: u32,
}

impl ProgramStats {
    /// Returns whether it stands at the entry of system calls.
    pub(super) fn is_entry(&self) -> bool {
        is_entry(&self.name)
    }
}

/// One map in the kernel.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MapStats {
    /// Its name.
    pub name: String,
    /// Entries in use, where it is known. Of `events`, the ring buffer, bytes.
    pub used: Option<u64>,
    /// Entries that there is room for; `None` where there is no limit. Of `events`, bytes.
    pub capacity: Option<u64>,
    /// Memory that the kernel holds for it, in bytes, allocated whole at the start. What threads
    /// take is not in it, see [`MemoryStats::threads`].
    pub bytes: u64,
}

/// Memory of the kernel, in bytes.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    /// Held for maps, allocated whole at the start.
    pub maps: u64,
    /// Held for programs.
    pub programs: u64,
    /// Held for the state of the threads that are there now, estimated: the kernel does not say.
    pub threads: u64,
}

impl MemoryStats {
    /// Returns the sum of all parts, in bytes.
    pub fn total(&self) -> u64 {
        [self.maps, self.programs, self.threads]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

mod nanoseconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    /// A u64 holds 584 years.
    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let nanos = time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        nanos.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_nanos))
    }
}
