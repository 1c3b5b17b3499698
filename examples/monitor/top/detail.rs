//! An event in full: who did what, after which calls, started by whom, how sure, and what is missing.

use std::ffi::OsString;
use std::path::Path;

use ebph::{Ancestor, Anomaly, Circumstances, Context, Event, Fact, Source};

use super::lines::{EventLine, clock};
use super::text::{printable, span};

/// A name and what there is to say under it.
pub type Detail = (&'static str, String);

/// Returns everything about an event, in an order that puts first what is asked first.
pub fn of(line: &EventLine) -> Vec<Detail> {
    let event = &line.event;
    let Some(context) = event.context() else {
        return vec![("what", printable(&event.to_string()))];
    };
    let mut details = Vec::new();
    if let Event::Anomaly(anomaly) = event {
        details.push(("what", what(anomaly)));
        details.push(("calls", calls(anomaly)));
    } else {
        details.push(("what", printable(&event.to_string())));
    }
    details.insert(1, ("lost", lost(event, context)));
    details.push(("who", who(context)));
    if let Some(circumstances) = &context.circumstances {
        let ancestors = fact(&circumstances.ancestors, |all| ancestors(all));
        details.push(("started by", ancestors));
    }
    details.push(("sure", sure(event, context)));
    if let Some(circumstances) = &context.circumstances {
        surroundings(circumstances, &mut details);
    }
    details
}

fn what(anomaly: &Anomaly) -> String {
    let pairs: Vec<_> = anomaly
        .missed
        .iter()
        .map(|pair| match pair.distance {
            1 => format!("right after {}", pair.previous),
            distance => format!("{distance} calls after {}", pair.previous),
        })
        .collect();
    format!("{} was never seen {}", anomaly.symbol, pairs.join(", "))
}

/// The window, oldest first; those that do not fit the call are marked.
fn calls(anomaly: &Anomaly) -> String {
    let last = anomaly.window.len().saturating_sub(1);
    let letters = anomaly.window.iter().enumerate().map(|(place, letter)| {
        let distance = last - place;
        let missed = |pair: &ebph::MissedPair| usize::from(pair.distance) == distance;
        match anomaly.missed.iter().any(missed) {
            _ if place == last => format!(">{letter}<"),
            true => format!("{letter}^"),
            false => letter.to_string(),
        }
    });
    letters.collect::<Vec<_>>().join(" ")
}

fn who(context: &Context) -> String {
    let actor = &context.actor;
    let number = |id: Option<u32>| id.map_or_else(|| "?".to_owned(), |id| id.to_string());
    let program = context.profile.as_ref().and_then(|view| {
        let path = view.script.as_ref().or(view.exe.as_ref());
        path.map(|path| show(path))
    });
    format!(
        "{} ({}), pid {}, thread {}, uid {} (acts as {}), at {} UTC",
        printable(&actor.comm),
        program.unwrap_or_else(|| "?".to_owned()),
        number(actor.pid),
        number(actor.tid),
        actor.uid,
        actor.euid,
        clock(context.time),
    )
}

fn surroundings(facts: &Circumstances, details: &mut Vec<Detail>) {
    let mut exe = fact(&facts.exe, |path| show(path));
    if facts.exe_deleted {
        exe += " (deleted)";
    }
    details.push(("runs", exe));
    details.push(("arguments", fact(&facts.args, |words| arguments(words))));
    details.push(("in", fact(&facts.cwd, |path| show(path))));
    details.push(("login", fact(&facts.login_uid, |uid| format!("uid {uid}"))));
    details.push(("cgroup", fact(&facts.cgroup, |path| show(path))));
    if facts.container.value.is_some() {
        details.push((
            "container",
            fact(&facts.container, |container| printable(&container.id)),
        ));
    }
    let names = |set: &ebph::Capabilities| match set.bits().count_ones() {
        0 => "none".to_owned(),
        count if count > 6 => format!("{count} capabilities"),
        _ => set.names().collect::<Vec<_>>().join(" "),
    };
    details.push(("may", fact(&facts.capabilities, names)));
}

/// A fact in words, with what is known of how it is known.
fn fact<T>(fact: &Fact<T>, show: impl Fn(&T) -> String) -> String {
    let mut text = match (&fact.value, fact.source) {
        (Some(value), _) => show(value),
        (None, Source::Call | Source::Late) => "none".to_owned(),
        (None, Source::Redacted) => "redacted".to_owned(),
        (None, _) => "unknown".to_owned(),
    };
    if fact.truncated {
        text += " (cut short)";
    }
    if fact.source == Source::Late {
        text += " (looked up later)";
    }
    text
}

fn show(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

fn arguments(words: &[OsString]) -> String {
    let words = words.iter().map(|word| {
        let word = printable(&word.to_string_lossy());
        if word.is_empty() || word.contains(' ') {
            format!("'{word}'")
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn ancestors(all: &[Ancestor]) -> String {
    let all = all.iter().map(|ancestor| {
        let pid = ancestor
            .pid
            .map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        let exe = ancestor.exe.value.as_deref().map(show);
        let exe = exe.map(|exe| format!(" {exe}")).unwrap_or_default();
        format!(
            "{} ({pid}, uid {}{exe})",
            printable(&ancestor.comm),
            ancestor.uid
        )
    });
    all.collect::<Vec<_>>().join(" < ")
}

fn sure(event: &Event, context: &Context) -> String {
    let mut parts: Vec<_> = event
        .confidence()
        .map(|how| how.to_string())
        .into_iter()
        .collect();
    match event {
        Event::Anomaly(anomaly) => parts.push(format!(
            "{} of the thread's last 128 calls anomalous, at most {}",
            anomaly.lfc, anomaly.max_lfc
        )),
        Event::Response(response) => parts.push(format!(
            "{} of the thread's last 128 calls anomalous, at most {} of its process",
            response.lfc, response.max_lfc
        )),
        Event::UnbalancedSigreturn(event) => parts.push(match event.certain {
            true => "certain".to_owned(),
            false => "not certain: a handler may have been entered unseen".to_owned(),
        }),
        _ => (),
    }
    if let Some(view) = &context.profile {
        parts.push(format!(
            "normal is what {}; {} calls since, of which {} did not fit; profile {} {}, {} old",
            match view.basis {
                0 => "it was told to be".to_owned(),
                basis => format!("was learnt from {basis} calls"),
            },
            view.train_count,
            view.anomalies,
            view.key,
            view.state,
            span(view.age),
        ));
        if view.marks.incomplete {
            parts.push("INCOMPLETE: some calls could not be learnt".to_owned());
        }
    }
    parts.join("; ")
}

fn lost(event: &Event, context: &Context) -> String {
    let suppressed = event.anomaly().map_or(0, |anomaly| anomaly.suppressed);
    match (context.lost_before, suppressed) {
        (0, 0) => "nothing".to_owned(),
        (0, repeats) => format!("nothing; {repeats} repeats were not reported"),
        (lost, 0) => format!("{lost} EVENTS BEFORE THIS ONE"),
        (lost, repeats) => {
            format!("{lost} EVENTS BEFORE THIS ONE; {repeats} repeats were not reported")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::samples;

    /// Check that an anomaly says what happened after what, by whom, how sure, and what was lost, and
    /// that nothing of it is hostile.
    #[test]
    fn anomaly() {
        let event = samples::events(1).remove(0);
        let details = of(&EventLine { number: 1, event });
        let about = |name| {
            let found = details.iter().find(|(of, _)| *of == name);
            &found.unwrap_or_else(|| panic!("nothing about {name}")).1
        };
        assert_eq!(about("what"), "write was never seen right after read");
        assert_eq!(about("calls"), "openat read^ >write<");
        assert!(about("who").starts_with("c\\u{1b}at\\u{202e} (/usr/bin/cat), pid 4000"));
        assert!(
            about("sure").contains("from 9000 calls; 48210 calls since")
                && about("sure").contains("1d 0h old")
        );
        assert_eq!(
            about("lost"),
            "4 EVENTS BEFORE THIS ONE; 3 repeats were not reported"
        );
    }

    /// Check that what is unknown, late, cut or left out is told apart.
    #[test]
    fn facts() {
        let text = |value: Fact<u32>| fact(&value, u32::to_string);
        assert_eq!(text(Fact::at_call(7)), "7");
        assert_eq!(
            text(Fact::late(7).cut(true)),
            "7 (cut short) (looked up later)"
        );
        assert_eq!(text(Fact::at_call(None)), "none");
        assert_eq!(text(Fact::redacted()), "redacted");
        assert_eq!(text(Fact::default()), "unknown");
        assert_eq!(
            arguments(&["a".into(), "b c".into(), "\u{1b}".into()]),
            "a 'b c' \\u{1b}"
        );
    }
}
