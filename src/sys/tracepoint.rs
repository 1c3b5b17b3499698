//! Opening a plain tracepoint, whether or not tracefs is mounted.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{FromRawFd as _, OwnedFd};

use libbpf_rs::libbpf_sys;
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Where tracefs is mounted, if it is.
pub(crate) const MOUNTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Reads the tracepoint's number: from a mounted tracefs, or from a detached mount of our own that
/// shows up nowhere.
pub(crate) fn id(name: &str) -> io::Result<u32> {
    let path = format!("events/{name}/id");
    let text = MOUNTS
        .iter()
        .find_map(|mount| fs::read_to_string(format!("{mount}/{path}")).ok())
        .map_or_else(|| read_detached(&path), Ok)?;
    text.trim()
        .parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn read_detached(path: &str) -> io::Result<String> {
    let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let mount = fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?;
    let file = openat(
        &mount,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut text = String::new();
    fs::File::from(file).read_to_string(&mut text)?;
    Ok(text)
}

/// Opens the tracepoint as a perf event, which a BPF program can be attached to.
pub(crate) fn open(name: &str) -> io::Result<OwnedFd> {
    open_id(id(name)?)
}

/// The same for a tracepoint whose number is known.
///
/// The event is not enabled: whoever attaches a program to it does that.
pub(crate) fn open_id(id: u32) -> io::Result<OwnedFd> {
    const PERF_TYPE_TRACEPOINT: u32 = 2;
    const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;

    let mut attr = libbpf_sys::perf_event_attr {
        type_: PERF_TYPE_TRACEPOINT,
        size: size_of::<libbpf_sys::perf_event_attr>() as u32,
        config: id.into(),
        ..Default::default()
    };
    attr.__bindgen_anon_1.sample_period = 1;
    attr.set_disabled(1);
    // Any one CPU will do: a program on a tracepoint runs for all of them.
    let (pid, cpu, group) = (-1, 0, -1);
    // SAFETY: `attr` is a whole structure of the size it states, and outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            pid,
            cpu,
            group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
