//! The monitor on the live kernel.
//!
//! Needs root (or `make test`, which uses sudo) and a C compiler; single tests name what else
//! they need and fail when it is absent. See `harness` for how they are written.

mod harness;

mod abi;
mod capacity;
mod cli;
mod commands;
mod delivery;
mod detection;
mod eviction;
mod exec;
mod grudges;
mod identity;
mod lifecycle;
mod misuse;
mod portable;
mod processes;
mod scope;
mod signals;
mod store;
mod verifier;
