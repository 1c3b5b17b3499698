//! Counters as a table for people.

use std::fmt;

use super::Stats;

/// The lines of the table: a title, then names with values and remarks.
type Section = (&'static str, Vec<(&'static str, u64, String)>);

impl Stats {
    fn sections(&self) -> Vec<Section> {
        let Self {
            calls,
            threads,
            detection,
            responses,
            profiles,
            rows,
            events,
            store,
            failures,
            memory,
            ..
        } = self;
        let line = |name, value| (name, value, String::new());
        let of = |name, used, capacity: u64, unit| (name, used, format!("of {capacity}{unit}"));
        let dry =
            |name, done, would: u64| (name, done, format!("and {would} that would have been"));
        let requested = format!("of {} asked for", responses.requested_ns);
        let pool = format!(", {} bytes each", rows.bytes);
        vec![
            (
                "system calls",
                vec![
                    line("seen", calls.seen()),
                    line("recorded", calls.recorded),
                    line("restarted by the kernel", calls.restarts),
                    line("ignored", calls.ignored),
                    line("while paused", calls.paused),
                    line("without a profile", calls.unprofiled),
                    line("without thread state", calls.no_state),
                    line("recorded, not learnt", calls.unlearnt),
                    line("different, not told apart", calls.other_ids),
                    line("hook skipped by the kernel", self.recursion_misses()),
                ],
            ),
            (
                "detection",
                vec![
                    line("anomalies", detection.anomalies),
                    line("repeats not reported", detection.suppressed),
                ],
            ),
            (
                "responses",
                vec![
                    dry("delays", responses.delays, responses.would_delay),
                    dry(
                        "execs suspended",
                        responses.suspended_execs,
                        responses.would_suspend_exec,
                    ),
                    dry(
                        "execs denied",
                        responses.denied_execs,
                        responses.would_deny_exec,
                    ),
                    dry("processes killed", responses.kills, responses.would_kill),
                    line("prevented by exemptions", responses.exempted),
                    line("could not be stopped", responses.unheld),
                    line("stopping already", responses.already_stopping),
                    line("continued by others", responses.interrupted),
                    line("stopped now", responses.held),
                    line("stops ended", responses.released),
                    line("left stopped by others", responses.left_stopped),
                    ("stopped for, ns", responses.observed_ns, requested),
                    line("longest excess, ns", responses.worst_excess_ns),
                ],
            ),
            (
                "profiles",
                vec![
                    of("in use", profiles.used, profiles.capacity, ""),
                    line("training", profiles.training),
                    line("frozen", profiles.frozen),
                    line("normal", profiles.normal),
                    line("made", profiles.created),
                    line("refused", profiles.refused),
                    line("file changed", profiles.changed),
                    of("rows in use", rows.used, rows.capacity, &pool),
                    line("rows refused", rows.refused),
                ],
            ),
            (
                "threads",
                vec![
                    line("noticed late", threads.late_tasks),
                    line("execs noticed late", threads.late_execs),
                    line("bound to a profile anew", threads.late_binds),
                    line("restored", threads.restored),
                    line("signal handlers entered", threads.signals),
                    line("handlers nested too deep", threads.frames_overflow),
                    line("jumps out of handlers", threads.frames_dropped),
                    line("unbalanced sigreturns", threads.unbalanced),
                ],
            ),
            (
                "events",
                vec![
                    line("submitted", events.submitted),
                    line("delivered", events.delivered),
                    line("lost in the ring buffer", events.lost_in_ring),
                    line("lost in queues", events.lost_in_channels),
                    line("not understood", events.undecodable),
                    line("handler panics", events.handler_panics),
                ],
            ),
            (
                "profile files",
                vec![
                    line("loaded at the start", store.loaded),
                    line("returned", store.returned),
                    line("of changed programs", store.changed),
                    line("written", store.saved),
                    line("evicted", store.evicted),
                    line("evicted, not kept", store.dropped),
                    line("set aside", store.set_aside),
                    line("failures", store.failures),
                ],
            ),
            (
                "failures",
                vec![
                    line("contended updates", failures.contended),
                    line("thread states", failures.storage),
                    line("profile index", failures.index),
                    line("kernel reads", failures.read),
                    line("signals", failures.signals),
                ],
            ),
            (
                "memory of the kernel, bytes",
                vec![
                    line("maps", memory.maps),
                    line("programs", memory.programs),
                    line("threads, estimated", memory.threads),
                    line("all", memory.total()),
                ],
            ),
        ]
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, lines) in self.sections() {
            writeln!(f, "{title}")?;
            for (name, value, remark) in lines {
                let line = format!("  {name:<27} {value:>14} {remark}");
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        self.receivers_table(f)?;
        self.maps_table(f)?;
        self.programs_table(f)
    }
}

/// A number where there is one.
fn known(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

type Columns<'a> = [&'a dyn fmt::Display; 4];

/// A title, or a line below it, with four columns.
fn columns(
    f: &mut fmt::Formatter<'_>,
    title: bool,
    name: &str,
    columns: Columns<'_>,
) -> fmt::Result {
    let [one, two, three, four] = columns;
    let indent = if title { "" } else { "  " };
    let name = format!("{indent}{name}");
    let line = format!("{name:<29} {one:>14} {two:>14} {three:>14} {four:>14}");
    writeln!(f, "{}", line.trim_end())
}

impl Stats {
    fn receivers_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads: Columns<'_> = [&"delivered", &"lost", &"waiting", &"room"];
        columns(f, true, "handlers and receivers", heads)?;
        for one in &self.receivers {
            let kind = one.kind.as_str();
            let name = match &one.name {
                Some(name) => format!("{kind} {}", name.escape_debug()),
                None => kind.to_owned(),
            };
            let numbers: Columns<'_> = [&one.delivered, &one.lost, &one.waiting, &one.capacity];
            columns(f, false, &name, numbers)?;
        }
        Ok(())
    }

    fn maps_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        columns(f, true, "maps", [&"bytes", &"used", &"room", &""])?;
        for map in &self.maps {
            let (used, capacity) = (known(map.used), known(map.capacity));
            columns(f, false, &map.name, [&map.bytes, &used, &capacity, &""])?;
        }
        Ok(())
    }

    fn programs_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads: Columns<'_> = [&"skipped", &"runs", &"nanoseconds", &"verified insns"];
        columns(f, true, "programs", heads)?;
        for program in &self.programs {
            let (runs, verified) = (known(program.run_count), program.verified_instructions);
            let time = match program.run_time {
                Some(time) => time.as_nanos().to_string(),
                None => known(None),
            };
            let numbers: Columns<'_> = [&program.recursion_misses, &runs, &time, &verified];
            columns(f, false, &program.name, numbers)?;
        }
        Ok(())
    }
}
