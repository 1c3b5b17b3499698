//! `monitor ps`: what a running monitor watches.

use clap::Args;

use crate::asking::{self, Whom};
use crate::output;
use crate::protocol::{Answer, Monitored, Refusal, Request};
use crate::summary;

/// Lists what a running monitor watches: its processes, or threads, or all profiles.
///
/// COUNT, LAST_MOD, ANOMALIES and NORMAL TIME are those of the profile: calls since training began,
/// calls since something new was learnt, anomalous calls, and when it becomes normal (UTC). CALLS,
/// ANOMALIES, LFC and MAX_LFC of a thread are its own.
#[derive(Args)]
pub struct Listing {
    #[command(flatten)]
    whom: Whom,

    /// Threads
    #[arg(short = 't', long, conflicts_with = "profiles")]
    threads: bool,

    /// Profiles, whether something runs on them or not
    #[arg(short = 'p', long)]
    profiles: bool,

    /// All that is known, as one list of JSON
    #[arg(long)]
    json: bool,
}

pub fn run(listing: &Listing) -> Result<u8, String> {
    Ok(asking::report(list(listing), listing.json))
}

fn list(listing: &Listing) -> Result<String, Refusal> {
    let request = if listing.profiles {
        Request::Profiles {}
    } else {
        let threads = listing.threads;
        Request::Processes { threads }
    };
    match listing.whom.connect()?.ask(&request)? {
        Answer::Processes(rows) if listing.json => Ok(output::json(&rows)),
        Answer::Profiles(rows) if listing.json => Ok(output::json(&rows)),
        Answer::Processes(rows) if listing.threads => Ok(summary::threads(&rows)),
        Answer::Processes(rows) => Ok(summary::processes(&rows)),
        Answer::Profiles(rows) => Ok(summary::profiles(&rows)),
        other => Err(Refusal::unexpected(&other)),
    }
}
