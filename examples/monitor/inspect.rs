//! `monitor inspect`: a profile from within, and which windows made its pairs.
//!
//! This is figure 3.3 of the thesis in text: a lookahead pair as eight bits, and beside each bit the
//! window that sets it.

use std::path::{Path, PathBuf};

use clap::Args;
use ebph::{Pair, Profile};

use crate::asking;
use crate::output;
use crate::protocol::{Answer, Code, Monitored as _, Refusal, Request};
use crate::remote::Remote;

#[path = "inspect/json.rs"]
mod json;
#[path = "inspect/planes.rs"]
mod planes;
#[path = "inspect/text.rs"]
mod text;
#[path = "inspect/windows.rs"]
mod windows;

use planes::Planes;

/// Shows what a profile holds: where it comes from, its calls, and its lookahead pairs.
///
/// Of the pairs that --call or --pair name it shows as well by which windows each distance is
/// learnt. A profile does not keep these, but what it keeps tells which of them fit.
#[derive(Args)]
pub struct Inspection {
    /// A profile file; with --socket, the key of a profile or the path of its program
    profile: String,

    /// Asks a running monitor for the profile
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Only pairs with this call, before or after another
    #[arg(long, value_name = "NAME")]
    call: Option<String>,

    /// Only this pair, as in close,read for a close that comes after a read
    #[arg(long, value_name = "CURRENT,PREVIOUS", conflicts_with = "call", value_parser = two_names)]
    pair: Option<(String, String)>,

    /// Shows no more pairs than this; 0 for all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    /// As one line of JSON
    #[arg(long)]
    json: bool,
}

/// What is to be shown of a profile.
struct View<'a> {
    profile: &'a Profile,
    planes: Planes,
    /// By the names of the current and the previous call.
    pairs: Vec<Pair>,
    /// How many pairs there are of those that were asked for.
    all: usize,
    /// Whether windows are shown too.
    closely: bool,
}

pub fn run(inspection: &Inspection) -> Result<u8, String> {
    let shown = load(inspection).and_then(|profile| {
        let view = view(inspection, &profile)?;
        if inspection.json {
            Ok(output::json(&json::report(&view)))
        } else {
            Ok(text::report(&view))
        }
    });
    Ok(asking::report(shown, inspection.json))
}

fn load(inspection: &Inspection) -> Result<Profile, Refusal> {
    let Some(socket) = &inspection.socket else {
        return Ok(Profile::read_from(Path::new(&inspection.profile))?);
    };
    let mut monitor = Remote::connect(socket)?;
    let key = asking::key(&mut monitor, &inspection.profile)?;
    match monitor.ask(&Request::Profile { key })? {
        Answer::Profile(value) => Profile::from_json(value.to_string().as_bytes())
            .map_err(|error| Refusal::new(Code::Failed, error)),
        other => Err(Refusal::unexpected(&other)),
    }
}

fn two_names(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once(',') {
        Some((current, previous)) if !current.is_empty() && !previous.is_empty() => {
            Ok((current.to_owned(), previous.to_owned()))
        }
        _ => Err("expected two calls, as in close,read"),
    }
}

fn view<'a>(inspection: &Inspection, profile: &'a Profile) -> Result<View<'a>, Refusal> {
    let planes = Planes::of(profile);
    let known = |name: &str| {
        let letter = planes.letter(name);
        letter.ok_or_else(|| {
            let what = format!("the profile has no pair with a call named {name}");
            Refusal::new(Code::BadRequest, what)
        })
    };
    let mut pairs: Vec<Pair> = profile.pairs().collect();
    if let Some(name) = &inspection.call {
        let letter = known(name)?;
        pairs.retain(|pair| pair.current == letter || pair.previous == letter);
    }
    if let Some((current, previous)) = &inspection.pair {
        let (current, previous) = (known(current)?, known(previous)?);
        pairs.retain(|pair| pair.current == current && pair.previous == previous);
    }
    pairs.sort_by_cached_key(|pair| (pair.current.to_string(), pair.previous.to_string()));
    let all = pairs.len();
    if inspection.limit != 0 {
        pairs.truncate(inspection.limit);
    }
    Ok(View {
        profile,
        planes,
        pairs,
        all,
        closely: inspection.call.is_some() || inspection.pair.is_some(),
    })
}
