//! The generated skeleton, and what makes its types safe to read from bytes.
#![allow(unsafe_code)]

#[allow(
    dead_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/ebph.skel.rs"));
}

pub(crate) use generated::*;

/// A type of the wire: plain integers without padding, in words of eight bytes.
///
/// # Safety
///
/// Every bit pattern must be a valid value, there must be no padding, and the size must be a
/// multiple of eight.
pub(crate) unsafe trait Wire: Copy + Default {}

/// Declares types of the wire, each with the size that `wire.h` asserts.
macro_rules! wire {
    ($($name:ident = $size:expr;)*) => {$(
        const _: () = assert!(size_of::<types::$name>() == $size);
        const _: () = assert!($size % 8 == 0);
        // SAFETY: the C side is padded by hand (its build fails on a wrong size, and -Wpadded is
        // clean), it has integers and arrays of integers only.
        unsafe impl Wire for types::$name {}
        // SAFETY: as above.
        unsafe impl plain::Plain for types::$name {}
    )*};
}

wire! {
    ebph_profile = 2880;
    ebph_row = 512;
    ebph_names = 512;
    ebph_counters = 384;
    ebph_globals = 72 + 80 + 40 + 40;
    ebph_command = 192;
    ebph_hold = 64;
    ebph_exempt = 32;
    ebph_stage = 32 + 16 + 512 + 8 + 2 * 1152 + 13 * 8;
    ebph_task_record = 120;
    ebph_replay_op = 48;
    ebph_verdict = 24;
    ebph_replay = 16;
}

// Mapped from the start of the object's variables, of which there are others.
const _: () = assert!(std::mem::offset_of!(types::bss, globals) == 0);
