//! One line of the report, and the words it is made of.

use std::fmt;

use serde::Serialize;

/// How one requirement stands.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is there.
    Present,
    /// The kernel does not have it.
    Absent,
    /// The kernel has it, and this process may not use it.
    Refused,
    /// It could not be told, for want of something that is on a line of its own.
    Unknown,
}

impl Status {
    /// Returns the name that JSON uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Absent => "absent",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is looked at.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckId {
    /// The kernel's description of its own types.
    Types,
    /// The typed tracepoints that the monitor is attached to.
    Tracepoints,
    /// State that the kernel keeps for each thread.
    TaskStorage,
    /// The ring that events come through.
    RingBuffer,
    /// Loops in BPF programs (`bpf_loop`).
    Loops,
    /// Programs that user space calls (`SEC("syscall")`).
    Commands,
    /// Walks over all threads (`SEC("iter/task")`).
    TaskWalk,
    /// The capability that bpf(2) asks for.
    CapBpf,
    /// The capability that tracing asks for.
    CapPerfmon,
    /// Being in the first user namespace, the only one whose capabilities count here.
    UserNamespace,
    /// The system call bpf(2) itself.
    Bpf,
    /// Reading the kernel's memory, which kernel lockdown may forbid.
    Lockdown,
    /// The cheaper program at the entry of system calls.
    CheapEntry,
    /// The number of the plain tracepoint, which is in tracefs.
    Tracefs,
    /// The dearer program at the entry of system calls, as a perf event.
    PlainTracepoint,
    /// Seeing every fork, exec and exit.
    ProcessEvents,
    /// BPF programs as machine code.
    Compiler,
    /// Room for the pools: what BPF maps take is charged to the cgroup of who makes them.
    Memory,
    /// The file system of cgroups, version 2.
    Cgroups,
    /// Looking at processes of other users.
    OtherProcesses,
    /// Reading executables that only others may read.
    OtherFiles,
    /// Who logged in to begin with.
    LoginUid,
    /// The kernel's own clock of BPF programs.
    Statistics,
    /// The tracepoint at the submission of io_uring requests.
    IoUring,
    /// Sending signals from BPF programs.
    SendSignal,
    /// The capability that continuing stopped processes of others asks for.
    CapKill,
    /// BPF programs as a security module.
    BpfLsm,
    /// Changing what a function of the kernel returns.
    FmodRet,
}

impl CheckId {
    /// Returns what people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Types => "kernel types (BTF)",
            Self::Tracepoints => "tracepoints",
            Self::TaskStorage => "task storage",
            Self::RingBuffer => "ring buffer",
            Self::Loops => "bpf_loop",
            Self::Commands => "syscall programs",
            Self::TaskWalk => "task iterator",
            Self::CapBpf => "CAP_BPF",
            Self::CapPerfmon => "CAP_PERFMON",
            Self::UserNamespace => "first user namespace",
            Self::Bpf => "bpf(2)",
            Self::Lockdown => "kernel lockdown",
            Self::CheapEntry => "cheap system call entry",
            Self::Tracefs => "tracefs",
            Self::PlainTracepoint => "plain tracepoint",
            Self::ProcessEvents => "complete process events",
            Self::Compiler => "BPF compiler (JIT)",
            Self::Memory => "memory",
            Self::Cgroups => "cgroup v2",
            Self::OtherProcesses => "processes of others",
            Self::OtherFiles => "files of others",
            Self::LoginUid => "login uid",
            Self::Statistics => "BPF statistics",
            Self::IoUring => "io_uring tracepoint",
            Self::SendSignal => "signals from BPF",
            Self::CapKill => "CAP_KILL",
            Self::BpfLsm => "BPF security module",
            Self::FmodRet => "fmod_ret",
        }
    }

    /// Returns what it is for.
    pub const fn purpose(self) -> Purpose {
        match self {
            Self::Types
            | Self::Tracepoints
            | Self::TaskStorage
            | Self::RingBuffer
            | Self::Loops
            | Self::Commands
            | Self::TaskWalk
            | Self::CapBpf
            | Self::CapPerfmon
            | Self::UserNamespace
            | Self::Bpf
            | Self::Lockdown => Purpose::Monitor,
            Self::CheapEntry | Self::Compiler => Purpose::Cost,
            Self::Memory => Purpose::Pools,
            Self::Tracefs | Self::PlainTracepoint => Purpose::PlainEntry,
            Self::ProcessEvents => Purpose::Completeness,
            Self::Cgroups => Purpose::Cgroups,
            Self::OtherProcesses | Self::OtherFiles => Purpose::ProfileFiles,
            Self::LoginUid => Purpose::Circumstances,
            Self::Statistics => Purpose::Statistics,
            Self::IoUring => Purpose::IoUring,
            Self::SendSignal | Self::CapKill | Self::BpfLsm | Self::FmodRet => Purpose::Response,
        }
    }
}

/// What of this crate something is for.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Every monitor.
    Monitor,
    /// Watching system calls through the plain tracepoint:
    /// [`EntryHook::Tracepoint`](crate::EntryHook::Tracepoint).
    PlainEntry,
    /// What watching costs.
    Cost,
    /// The pools of profiles and rows, and the ring:
    /// [`MonitorBuilder::max_profiles`](crate::MonitorBuilder::max_profiles) and its like.
    Pools,
    /// Seeing everything at the moment when it happens.
    Completeness,
    /// [`Scope::Cgroup`](crate::Scope::Cgroup) and
    /// [`Partition::Cgroup`](crate::Partition::Cgroup).
    Cgroups,
    /// Knowing programs again:
    /// [`MonitorBuilder::profile_dir`](crate::MonitorBuilder::profile_dir).
    ProfileFiles,
    /// What surrounds a call that is reported: [`Circumstances`](crate::Circumstances).
    Circumstances,
    /// The time that programs take, in [`Stats`](crate::Stats).
    Statistics,
    /// Seeing operations of io_uring:
    /// [`MonitorBuilder::io_uring`](crate::MonitorBuilder::io_uring).
    IoUring,
    /// Answering an anomaly by more than a report: [`Responses`](crate::Responses).
    Response,
}

impl Purpose {
    /// Returns the few words that a report has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Monitor => "every monitor",
            Self::PlainEntry => "the plain tracepoint",
            Self::Cost => "low cost",
            Self::Pools => "the pools",
            Self::Completeness => "completeness",
            Self::Cgroups => "cgroups",
            Self::ProfileFiles => "profile files",
            Self::Circumstances => "circumstances of alerts",
            Self::Statistics => "time in statistics",
            Self::IoUring => "io_uring",
            Self::Response => "responses",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that the monitor needs, or could use.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which thing, for programs.
    pub id: CheckId,
    /// What people call it.
    pub name: &'static str,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether the monitor cannot start, with everything at its default, without it.
    pub required: bool,
    /// How it stands.
    pub status: Status,
    /// What was looked at, and found.
    pub why: String,
    /// What to do about it; empty if nothing needs doing, or nothing can be done.
    pub remedy: &'static str,
}

impl Check {
    /// Says how something stands; what it is for decides whether it is required.
    pub(super) fn new(id: CheckId, status: Status, why: impl Into<String>) -> Self {
        Self {
            id,
            name: id.name(),
            purpose: id.purpose(),
            required: id.purpose() == Purpose::Monitor,
            status,
            why: why.into(),
            remedy: "",
        }
    }

    /// Says what to do, unless nothing needs doing.
    pub(super) fn or(mut self, remedy: &'static str) -> Self {
        if self.status != Status::Present {
            self.remedy = remedy;
        }
        self
    }

    /// Whether it keeps a monitor from starting.
    pub(super) fn blocks(&self) -> bool {
        self.required && matches!(self.status, Status::Absent | Status::Refused)
    }
}
