//! ebph
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod clock;
pub mod detector;
mod error;
#[allow(dead_code)]
mod kernel;
mod key;
mod limits;
#[allow(dead_code)]
mod loader;
#[allow(dead_code)]
mod maps;
#[allow(dead_code)]
mod plan;
mod profile;
mod replay;
#[allow(dead_code)]
mod skel;
#[allow(dead_code)]
mod snapshot;
mod syscall;
#[allow(dead_code)]
mod tracepoint;

pub use detector::{Detector};
pub use error::{Error, Result};
pub use key::{Key, KeyPartition};
pub use limits::Limits;
pub use profile::{Profile, State};
pub use replay::KernelReplay;
pub use syscall::{Abi, Symbol};
