//! Where a detector stands otherwise than the model.

use ebph::detector::{ProfileId, TaskId, TaskStatus};
use ebph::{Detector, Profile};

use super::{Naive, OWN_IDS, Program, Task, id_at};

impl Naive {
    /// What a detector has otherwise after the same steps.
    pub fn differs(&self, detector: &Detector) -> Option<String> {
        let rows = (self.rows_used(), detector.rows_used());
        if rows.0 != rows.1 {
            return Some(format!("rows: {} expected, not {}", rows.0, rows.1));
        }
        let programs = self.programs.iter().enumerate();
        let programs = programs.filter_map(|(number, program)| {
            let profile = detector.profile(ProfileId::new(number));
            let profile = profile.expect("there are as many on both sides");
            let what = program_differs(program, self.distances, &profile)?;
            Some(format!("profile {number}: {what}"))
        });
        let tasks = self.tasks.iter().filter_map(|(number, task)| {
            let status = detector.task(TaskId::new((*number).into()));
            let what = match status {
                Some(status) => task_differs(task, &status)?,
                None => "is not there".to_owned(),
            };
            Some(format!("task {number}: {what}"))
        });
        programs.chain(tasks).next()
    }
}

fn task_differs(task: &Task, status: &TaskStatus) -> Option<String> {
    let expected = (
        (task.program, task.calls, task.anomalies),
        (task.lfc(), task.max_lfc),
        (task.depth(), !task.guessed),
    );
    let found = (
        (status.profile.number(), status.calls, status.anomalies),
        (status.lfc as usize, status.max_lfc as usize),
        (status.signal_depth, status.certain),
    );
    (expected != found).then(|| format!("{expected:?} expected, not {found:?}"))
}

fn program_differs(program: &Program, distances: usize, profile: &Profile) -> Option<String> {
    let expected = [
        ("normal", u64::from(program.normal)),
        ("frozen", program.frozen.into()),
        ("incomplete", program.incomplete.into()),
        ("sequences", program.sequences),
        ("calls", program.train_count),
        ("calls since", program.since_novelty),
        ("anomalies", program.anomalies),
        (
            "time",
            if program.frozen {
                program.normal_time
            } else {
                0
            },
        ),
        ("unlearnt", program.unlearnt),
        ("execs", program.execs),
        ("ended", program.ended),
        ("basis", program.basis),
        ("rows", program.rows.len() as u64),
        ("window", distances as u64 + 1),
    ];
    let time = profile.normal_time().unwrap_or_default().as_nanos() as u64;
    let found = [
        profile.is_normal().into(),
        profile.is_frozen().into(),
        profile.is_incomplete().into(),
        profile.sequences(),
        profile.train_count(),
        profile.last_mod_count(),
        profile.anomalies(),
        time,
        profile.unlearnt(),
        profile.execs(),
        profile.processes_ended(),
        profile.basis(),
        profile.rows(),
        profile.window().into(),
    ];
    for ((name, expected), found) in expected.into_iter().zip(found) {
        if expected != found {
            return Some(format!("{name}: {expected} expected, not {found}"));
        }
    }
    // In the order of their ids.
    let mut letters = program.letters.clone();
    if let Some(others) = letters.get_mut(OWN_IDS..) {
        others.sort_unstable();
    }
    if !profile.symbols().eq(letters.iter().copied()) {
        let found: Vec<_> = profile.symbols().collect();
        return Some(format!("letters: {letters:?} expected, not {found:?}"));
    }
    if let Some(last) = letters.last()
        && profile.id_of(*last) != Some(id_at(letters.len() - 1))
    {
        return Some(format!("{last} has another id"));
    }
    (1..=255).find_map(|id| {
        let expected = program.rows.contains(&id).then(|| row(program, id));
        (expected.as_ref() != profile.raw_row(id)).then(|| format!("row {id} differs"))
    })
}

/// The pairs of a call as a profile has them: bits by the earlier call, training in the low ones.
fn row(program: &Program, id: u8) -> [u16; 256] {
    let mut row = [0; 256];
    // No call fits before every call.
    row[0] = u16::MAX;
    for (pairs, shift) in [(&program.train, 0), (&program.test, 8)] {
        for (_, earlier, distance) in pairs.range((id, 0, 0)..=(id, 255, 255)) {
            row[usize::from(*earlier)] |= 1 << (shift + u32::from(*distance) - 1);
        }
    }
    row
}
