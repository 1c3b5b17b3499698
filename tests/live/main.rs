//! The monitor on the live kernel.
//!
//! Needs root (or `make test`, which uses sudo) and a C compiler; single tests name what else
//! they need and fail when it is absent. See `harness` for how they are written.

mod harness;

mod abi;
mod agent;
mod capacity;
mod cli;
mod commands;
mod context;
mod delay;
mod delivery;
mod deny;
mod detection;
mod eviction;
mod exec;
mod grudges;
mod hostile;
mod identity;
mod inspect;
mod least;
mod lifecycle;
mod loss;
mod metrics;
mod misuse;
mod portable;
mod processes;
mod response;
mod restricted;
mod scope;
mod service;
mod signals;
mod store;
mod threats;
mod top;
mod unit;
mod uring;
mod verifier;
