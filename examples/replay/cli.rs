//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ebph::Abi;

/// Learns from recorded traces which system calls follow which, and finds the calls that do not
/// fit.
#[derive(Parser)]
#[command(name = "replay", version)]
#[command(
    after_help = "Exit status: 0 if all went well; 1 if files that were not what they should be, \
                  or could not be read, were left out; 2 if nothing was done."
)]
pub struct Arguments {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Subcommand)]
pub enum Action {
    /// Makes a profile that holds everything in the traces as normal
    Train(Train),
    /// Tells for each trace how many of its calls do not fit a profile
    Score(Score),
    /// Prints a profile for people
    Show {
        /// The profile, or - for standard input
        profile: PathBuf,
    },
    /// Prints what only one of two profiles knows: + what is new in NEW, - what is gone from OLD
    Diff {
        /// The older profile, or - for standard input
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// The newer profile, or - for standard input
        #[arg(value_name = "NEW")]
        new: PathBuf,
    },
    /// Makes one profile of several of the same program
    Merge {
        /// Where to write it, or - for standard output
        #[arg(long, value_name = "PROFILE")]
        out: PathBuf,
        /// The profiles, or - for standard input
        #[arg(required = true, num_args = 2.., value_name = "PROFILE")]
        profiles: Vec<PathBuf>,
    },
}

#[derive(Args)]
pub struct Train {
    /// Where to write the profile, or - for standard output
    #[arg(long, value_name = "PROFILE")]
    pub out: PathBuf,

    /// How many calls are looked at together, 2 to 9; the kernel looks at nine
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u8).range(2..=9))]
    pub window: u8,

    #[command(flatten)]
    pub traces: Traces,
}

#[derive(Args)]
pub struct Score {
    /// The profile, or - for standard input
    #[arg(long, value_name = "PROFILE")]
    pub profile: PathBuf,

    /// Prints comma-separated values: trace,calls,anomalous,misses,max_lfc,first
    #[arg(long)]
    pub csv: bool,

    /// How many calls are looked at together, 2 to 9 [default: as the profile was trained]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=9))]
    pub window: Option<u8>,

    #[command(flatten)]
    pub traces: Traces,
}

/// What is read.
#[derive(Args)]
pub struct Traces {
    /// What the files are [default: told from the beginning of each]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Whose calls these are: raw, x86_64, i386, x32, aarch64 or arm [default: raw for numbers, this
    /// machine's for strace, where 32-bit calls are told apart]
    #[arg(long, value_name = "ABI")]
    pub abi: Option<Abi>,

    /// Which program is meant [default: the one that the first thread of the first strace file
    /// executes, or what runs already if that file begins with other calls]
    #[arg(long, value_name = "PATH")]
    pub exe: Option<PathBuf>,

    /// The traces, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// What a file of traces is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Format {
    /// System call numbers separated by white space: a file is a trace
    Numbers,
    /// A trace a line: its name, a tab, numbers separated by spaces
    Traces,
    /// What strace writes, best with `-f -n -o FILE`: each thread's life in the program is a trace
    Strace,
}

impl Format {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Numbers => "numbers",
            Self::Traces => "traces",
            Self::Strace => "strace",
        }
    }
}
