//! Learns profiles from recorded traces and scores traces by them, without privileges.
//!
//! `replay train` makes a profile of files of system call numbers or of `strace -f` output,
//! `replay score` tells which calls of other traces do not fit it; `show`, `diff` and `merge` are
//! for profiles from anywhere. `replay --help` lists the options.

#[path = "replay/cli.rs"]
mod cli;
#[path = "replay/input.rs"]
mod input;
#[path = "replay/output.rs"]
mod output;
#[path = "replay/profiles.rs"]
mod profiles;
#[path = "replay/program.rs"]
mod program;
#[path = "replay/rows.rs"]
mod rows;
#[path = "replay/score.rs"]
mod score;
#[path = "replay/train.rs"]
mod train;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Action, Arguments};
use output::{Failure, Outcome};

/// The exit status when some files were left out.
const INCOMPLETE: u8 = 1;
/// The exit status when nothing was done.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let result = match Arguments::parse().action {
        Action::Train(train) => train::run(&train),
        Action::Score(score) => score::run(&score),
        Action::Show { profile } => profiles::show(&profile),
        Action::Diff { old, new } => profiles::diff(&old, &new),
        Action::Merge { out, profiles } => profiles::merge(&out, &profiles),
    };
    match result {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Incomplete) => ExitCode::from(INCOMPLETE),
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(Failure::Said) => ExitCode::from(FAILED),
        Err(failure) => {
            output::note(&failure);
            ExitCode::from(FAILED)
        }
    }
}
