//! The view by its keys and by what it draws, without a terminal.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};

use super::command::OF_PROFILE;
use super::draw;
use super::keys::Effect;
use super::model::{Model, Prompt, Update, View};
use super::samples;
use super::theme::Theme;
use crate::protocol::{Answer, Code, EventBatch, Refusal, Request};

fn model() -> Model {
    let mut model = Model::new(None);
    model.update(Update::Status(Box::new(samples::status())), 0.0);
    let names = [
        "sshd",
        "cron",
        "evil\u{1b}[2J\nname\u{202e}",
        "\u{4e2d}\u{6587}",
    ];
    let rows = (1..).zip(names);
    let rows = rows.map(|(pid, name)| samples::process_row(pid, name));
    model.update(Update::Processes(rows.collect()), 0.0);
    model.update(
        Update::Profiles((0..50).map(samples::profile_row).collect()),
        0.0,
    );
    model.update(
        Update::Events(EventBatch {
            first: 1,
            events: samples::events(3),
            gone: 0,
        }),
        0.0,
    );
    model
}

fn buffer(model: &mut Model, colours: bool, columns: u16, rows: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let theme = Theme::new(colours);
    terminal
        .draw(|frame| draw::screen(model, theme, frame))
        .unwrap();
    terminal.backend().buffer().clone()
}

fn lines(model: &mut Model, columns: u16, rows: u16) -> Vec<String> {
    let buffer = buffer(model, true, columns, rows);
    let width = usize::from(columns.max(1));
    let rows = buffer.content.chunks(width);
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect())
        .collect()
}

fn text(model: &mut Model) -> String {
    lines(model, 80, 24).join("\n")
}

fn press(model: &mut Model, code: KeyCode) -> Effect {
    model.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn typed(model: &mut Model, keys: &str) -> Effect {
    let mut effect = Effect::None;
    for key in keys.chars() {
        effect = press(model, KeyCode::Char(key));
    }
    effect
}

fn inspect(model: &mut Model) {
    typed(model, "2");
    press(model, KeyCode::Enter);
    let key = model.inspection.as_ref().unwrap().key;
    let profile = Box::new(samples::profile());
    model.update(Update::Profile(key, Ok(profile)), 0.0);
}

/// Check that a list that has not come is not taken for an empty one.
#[test]
fn nothing_yet() {
    let mut model = Model::new(None);
    assert!(text(&mut model).contains("asking for them"));
    model.update(Update::Status(Box::new(samples::status())), 0.0);
    model.update(Update::Processes(Vec::new()), 0.0);
    for (view, shown) in [("1", "none"), ("2", "asking for them"), ("3", "none")] {
        typed(&mut model, view);
        assert!(
            lines(&mut model, 80, 24)[5].starts_with(shown),
            "view {view}"
        );
    }
}

/// Check that the header says at 80 columns how the monitor is, and that nothing was lost.
#[test]
fn header() {
    let mut model = model();
    let lines = lines(&mut model, 80, 24);
    assert!(lines[0].contains("system, 3m 5s"), "{lines:#?}");
    assert!(
        lines[0].contains("profiles 5/2048: 4 training, 0 frozen, 1 normal   pid 700"),
        "{lines:#?}"
    );
    assert!(lines[1].contains("calls/s") && lines[1].contains("anomalies/s"));
    assert!(lines[2].contains("nothing lost"));
    assert!(lines[3].contains("1 processes 12") && lines[3].contains("3 anomalies 3"));
}

/// Check that the header counts what was done about anomalies, which stands out, and what would have
/// been, which does not; and that the list of alerts says what it was.
#[test]
fn responses() {
    let mut model = model();
    let mut status = samples::status();
    status.stats.responses.would_delay = 12;
    status.stats.responses.would_kill = 3;
    model.update(Update::Status(Box::new(status.clone())), 1.0);
    let first = |model: &mut Model| lines(model, 120, 24)[0].clone();
    assert!(
        first(&mut model).contains("15 would have been"),
        "{}",
        first(&mut model)
    );
    let cell = buffer(&mut model, true, 120, 24)[(7, 0)].clone();
    assert_ne!(cell.bg, Color::Red);

    status.stats.responses.delays = 7;
    status.stats.responses.kills = 1;
    model.update(Update::Status(Box::new(status)), 2.0);
    let line = first(&mut model);
    assert!(
        line.contains("7 delayed, 1 killed, 15 would have been"),
        "{line}"
    );
    for colours in [true, false] {
        let cell = buffer(&mut model, colours, 120, 24)[(7, 0)].clone();
        let stands_out = cell.bg == Color::Red || cell.modifier.contains(Modifier::REVERSED);
        assert!(stands_out, "{cell:?}");
    }

    let batch = EventBatch {
        first: 1,
        events: vec![ebph::testing::sample(ebph::EventKind::Response)],
        gone: 0,
    };
    model.update(Update::Events(batch), 3.0);
    typed(&mut model, "3");
    let shown = lines(&mut model, 120, 24);
    assert!(
        shown.iter().any(|line| line.contains("delay 80ms")),
        "{shown:#?}"
    );
}

/// Check that a loss is on the screen in every view, at every size, and stands out without colours
/// as well.
#[test]
fn losses_stand_out() {
    let mut model = model();
    let mut status = samples::status();
    status.stats.events.lost_in_ring = 12;
    model.update(Update::Status(Box::new(status)), 1.0);
    for (columns, rows) in [draw::SMALLEST, (80, 24), (200, 60)] {
        for view in "1234".chars() {
            typed(&mut model, &view.to_string());
            for colours in [true, false] {
                let buffer = buffer(&mut model, colours, columns, rows);
                let line: String = (0..columns).map(|x| buffer[(x, 2)].symbol()).collect();
                assert!(
                    line.contains("LOST NOW: 12 reports lost in the ring"),
                    "{line}"
                );
                let cell = &buffer[(1, 2)];
                let seen = if colours {
                    cell.bg == Color::Red
                } else {
                    cell.modifier.contains(Modifier::REVERSED)
                };
                assert!(seen, "{cell:?}");
            }
        }
    }
}

/// Check that events which the monitor no longer had are a loss too, and a lost connection is said.
#[test]
fn other_losses() {
    let mut model = model();
    let batch = EventBatch {
        first: 9,
        events: Vec::new(),
        gone: 5,
    };
    model.update(Update::Events(batch), 1.0);
    assert!(text(&mut model).contains("LOST: 5 events came too fast"));
    model.update(Update::Unreachable("it was\u{1b} closed".to_owned()), 2.0);
    let shown = text(&mut model);
    assert!(
        shown.contains("CONNECTION LOST, what is shown is old: it was\\u{1b} closed"),
        "{shown}"
    );
    assert!(shown.contains("sshd"), "what was known stays");
    model.update(Update::Status(Box::new(samples::status())), 3.0);
    let shown = text(&mut model);
    assert!(
        shown.contains("answers again") && !shown.contains("CONNECTION LOST"),
        "{shown}"
    );
}

/// Check that another monitor under the same name is not taken for the one before.
#[test]
fn another_monitor() {
    let mut model = model();
    let mut other = samples::status();
    (other.pid, other.started) = (701, samples::second(9));
    model.update(Update::Status(Box::new(other)), 5.0);
    assert_eq!(model.events.rows().len(), 0);
    assert!(text(&mut model).contains("another monitor answers, pid 701"));
    let batch = EventBatch {
        first: 1,
        events: samples::events(1),
        gone: 0,
    };
    model.update(Update::Events(batch), 5.0);
    assert_eq!(model.events.rows().len(), 1);
}

/// Check that nothing hostile is drawn, in any view, box or line.
#[test]
fn hostile_names_are_escaped() {
    let mut model = model();
    let check = |model: &mut Model, what: &str| {
        for line in lines(model, 120, 30) {
            let bad = line.chars().find(|c| c.is_control() || *c == '\u{202e}');
            assert_eq!(bad, None, "{what}: {line:?}");
        }
    };
    check(&mut model, "processes");
    assert!(text(&mut model).contains("evil\\u{1b}[2J"));
    typed(&mut model, "3");
    check(&mut model, "anomalies");
    typed(&mut model, "1/\u{202e}");
    check(&mut model, "a filter");
    press(&mut model, KeyCode::Esc);
    let mut row = samples::process_row(9, "x");
    row.profile.as_mut().unwrap().exe = Some("/tmp/\u{1b}c\u{202e}\n".to_owned());
    model.update(Update::Processes(vec![row]), 1.0);
    typed(&mut model, "n");
    check(&mut model, "a question");
    typed(&mut model, "n");
    let refusal = Refusal {
        code: Code::Failed,
        message: "\u{1b}c\u{202e}".to_owned(),
    };
    typed(&mut model, "S");
    let Effect::Ask(command) = typed(&mut model, "y") else {
        panic!("it is asked for");
    };
    model.update(Update::Done(Box::new(command), Err(refusal)), 1.0);
    check(&mut model, "an error");
    model.update(Update::Ended("\\u{1b}".to_owned()), 1.0);
    inspect(&mut model);
    check(&mut model, "a profile");
}

/// Check that every view, box and profile can be drawn at any size, and that less than can be read
/// is said to be too small.
#[test]
fn any_size() {
    for columns in [0, 1, 7, 39, 40, 41, 60, 79, 80, 81, 132, 250] {
        for rows in [0, 1, 2, 9, 10, 11, 23, 24, 25, 70] {
            let mut model = model();
            for keys in ["1", "2", "3", "4", "?", "x1R", "n1/ab"] {
                typed(&mut model, keys);
                lines(&mut model, columns, rows);
                press(&mut model, KeyCode::Esc);
                press(&mut model, KeyCode::Esc);
            }
            inspect(&mut model);
            for _ in 0..3 {
                lines(&mut model, columns, rows);
                press(&mut model, KeyCode::End);
                lines(&mut model, columns, rows);
                press(&mut model, KeyCode::Tab);
            }
        }
    }
    assert!(lines(&mut model(), 39, 24).concat().contains("too small"));
    assert!(!lines(&mut model(), 40, 10).concat().contains("too small"));
}

/// Check that the columns that matter are all there at 80, and are left out from the right below.
#[test]
fn columns() {
    let mut model = model();
    let titles = lines(&mut model, 80, 24).remove(4);
    for title in [
        "PID",
        "NAME",
        "STATE",
        "CALLS",
        "CALLS/S\u{25be}",
        "ANOM",
        "LFC",
        "THR",
        "PROGRAM",
    ] {
        assert!(titles.contains(title), "{titles}");
    }
    let titles = lines(&mut model, 40, 24).remove(4);
    assert!(
        titles.contains("PID") && titles.contains("STATE"),
        "{titles}"
    );
    assert!(!titles.contains("PROGRAM"), "{titles}");
    let wide = lines(&mut model, 80, 24).into_iter();
    let wide: Vec<_> = wide.filter(|line| line.contains('\u{4e2d}')).collect();
    assert!(wide[0].contains("/tool-0004"), "{wide:?}");
}

/// Check that a filter shows what it leaves, while it is typed as well, and can be undone.
#[test]
fn filter() {
    let mut model = model();
    typed(&mut model, "2/TOOL-004");
    assert!(text(&mut model).contains("/TOOL-004"));
    assert_eq!(model.profiles.len(), 10);
    press(&mut model, KeyCode::Backspace);
    assert_eq!(model.profiles.len(), 50);
    typed(&mut model, "42");
    press(&mut model, KeyCode::Enter);
    assert!(text(&mut model).contains("1 with: TOOL-0042"));
    typed(&mut model, "/x");
    press(&mut model, KeyCode::Esc);
    assert_eq!((model.filter(), model.profiles.len()), ("TOOL-0042", 1));
    assert_eq!(press(&mut model, KeyCode::Esc), Effect::None);
    assert_eq!(model.profiles.len(), 50);
    assert_eq!(press(&mut model, KeyCode::Esc), Effect::Leave);
}

/// Check that each command says what it will do and to whom, does nothing but after `y`, and that
/// its outcome is shown.
#[test]
fn commands() {
    for (key, name, effect, _) in OF_PROFILE {
        let mut model = model();
        typed(&mut model, "2");
        press(&mut model, KeyCode::Down);
        let (profile, path) = model.chosen().unwrap();
        typed(&mut model, &key.to_string());
        let shown = text(&mut model);
        assert!(
            shown.contains(name) && shown.contains(&path.unwrap()),
            "{shown}"
        );
        assert!(shown.contains(effect.split(',').next().unwrap().split(' ').next().unwrap()));
        for not_yet in [KeyCode::Char('z'), KeyCode::Enter, KeyCode::Down] {
            assert_eq!(press(&mut model, not_yet), Effect::None);
            assert!(matches!(model.prompt, Prompt::Confirm(_)));
        }
        assert_eq!(typed(&mut model, "n"), Effect::None);
        assert!(text(&mut model).contains("not done"));
        let Effect::Ask(command) = typed(&mut model, &format!("{key}y")) else {
            panic!("{name} was confirmed");
        };
        let json = serde_json::to_value(&command.request).unwrap();
        assert_eq!(
            (json["request"].as_str(), json["key"].as_str()),
            (Some(name), Some(&*profile.to_string()))
        );
        model.update(
            Update::Done(Box::new(command.clone()), Ok(Answer::Done)),
            1.0,
        );
        assert!(text(&mut model).contains(&format!("{name}: done")));
        let refusal = Refusal::new(Code::NotFrozen, "it is not frozen");
        model.update(Update::Done(Box::new(command), Err(refusal)), 1.0);
        assert!(text(&mut model).contains(&format!("{name}: it is not frozen")));
    }
}

/// Check that the monitor is paused or resumed, whichever it is not, and saved.
#[test]
fn commands_of_the_monitor() {
    let mut model = model();
    let request = |effect| match effect {
        Effect::Ask(command) => command.request,
        other => panic!("{other:?}"),
    };
    assert_eq!(request(typed(&mut model, "Py")), Request::Pause {});
    assert_eq!(request(typed(&mut model, "Sy")), Request::Save {});
    let mut status = samples::status();
    status.running = false;
    model.update(Update::Status(Box::new(status)), 1.0);
    assert!(text(&mut model).contains("PAUSED"));
    assert_eq!(request(typed(&mut model, "Py")), Request::Resume {});
}

/// Check that a selected alert shows in full what happened, and leads to its profile.
#[test]
fn alert() {
    let mut model = model();
    typed(&mut model, "3");
    let shown = text(&mut model);
    for wanted in [
        "write after read",
        "never seen right after read",
        "openat read^ >write<",
        "4 EVENTS BEFORE",
    ] {
        assert!(shown.contains(wanted), "{wanted} in {shown}");
    }
    assert_eq!(
        model.events.selected().unwrap().number,
        3,
        "the newest first"
    );
    typed(&mut model, "d");
    assert!(text(&mut model).contains("3 repeats were not reported"));
    typed(&mut model, "d");
    press(&mut model, KeyCode::Enter);
    assert_eq!(model.inspection.as_ref().unwrap().key, samples::key());
    let profile = Box::new(samples::profile());
    model.update(Update::Profile(samples::key(), Ok(profile)), 1.0);
    let shown = text(&mut model);
    assert!(
        shown.contains("write, calls after read: learnt 8"),
        "the pair is looked at: {shown}"
    );
    assert_eq!(model.interest().profile, Some(samples::key()));
}

/// Check that where there is no room for all about an alert it is said how much is left out, what
/// was lost is not, and all is to be had.
#[test]
fn little_room() {
    let mut model = model();
    typed(&mut model, "3");
    let shown = lines(&mut model, 40, 16).join("\n");
    assert!(shown.contains("more lines"), "{shown}");
    assert!(shown.contains("4 EVENTS BEFORE"), "{shown}");
    typed(&mut model, "d");
    let shown = lines(&mut model, 40, 24).join("\n");
    assert!(
        shown.contains("anomalies") && !shown.contains("more lines"),
        "{shown}"
    );
}

/// Check that the map shows how many distances in which planes, without colours as well, and what
/// is looked at in words.
#[test]
fn heat_map() {
    let mut model = model();
    inspect(&mut model);
    let shown = text(&mut model);
    let row = |name: &str| {
        let found = shown
            .lines()
            .find(|line| line.trim_start().starts_with(name));
        found
            .unwrap_or_else(|| panic!("no {name} in {shown}"))
            .trim()
            .to_owned()
    };
    assert_eq!(row("read"), "read 2=  · 1-");
    assert_eq!(row("write"), "write  · 1+  ·");
    assert!(shown.contains("openat was never seen within 8 calls after openat"));
    assert!(
        shown.contains("+ only learnt") && shown.contains("- only normal"),
        "{shown}"
    );
    press(&mut model, KeyCode::Down);
    assert!(text(&mut model).contains("read, calls after openat: learnt 1 3; normal 1"));
    let coloured = buffer(&mut model, true, 80, 24);
    let backgrounds = coloured
        .content
        .iter()
        .filter(|cell| matches!(cell.bg, Color::Indexed(_)));
    assert!(backgrounds.count() >= 4);
    let plain = buffer(&mut model, false, 80, 24);
    assert!(
        plain
            .content
            .iter()
            .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
    press(&mut model, KeyCode::Tab);
    let list = text(&mut model);
    assert!(
        list.contains("only learnt") && list.contains("13"),
        "{list}"
    );
    typed(&mut model, "/write");
    press(&mut model, KeyCode::Enter);
    press(&mut model, KeyCode::End);
    press(&mut model, KeyCode::Enter);
    assert!(text(&mut model).contains("write, calls after read: learnt 8; normal never"));
}

/// Check that a view of a command's own monitor is not left by one slip, and that ends are told.
#[test]
fn leaving() {
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    for keys in ["q", "2q", "?"] {
        let mut model = model();
        typed(&mut model, keys);
        assert_eq!(model.key(control_c), Effect::Leave);
    }
    let mut model = Model::new(Some("sh\u{1b}".to_owned()));
    assert_eq!(typed(&mut model, "q"), Effect::None);
    assert!(text(&mut model).contains("leave, and end sh\\u{1b}?"));
    assert_eq!(typed(&mut model, "x"), Effect::None);
    assert_eq!(model.prompt, Prompt::None);
    assert_eq!(model.key(control_c), Effect::None);
    assert_eq!(model.key(control_c), Effect::Leave);
    model.update(
        Update::Ended("the command has ended with status 3".to_owned()),
        1.0,
    );
    assert!(text(&mut model).contains("ended with status 3"));
    typed(&mut model, "x");
    assert_eq!(typed(&mut model, "q"), Effect::Leave);
}

/// Check that thousands of lines are shown a screen at a time, from either end.
#[test]
fn thousands() {
    let mut model = model();
    model.update(
        Update::Profiles((0..9000).map(samples::profile_row).collect()),
        1.0,
    );
    typed(&mut model, "2>>>>");
    assert_eq!(model.profiles.sorting().0, 0, "by program");
    assert!(text(&mut model).contains("tool-0000"));
    press(&mut model, KeyCode::End);
    let shown = text(&mut model);
    assert!(
        shown.contains("tool-8999") && !shown.contains("tool-0000"),
        "{shown}"
    );
    assert_eq!(model.view, View::Profiles);
}

/// Check that what is pasted is neither a command nor a yes, but can be filtered by.
#[test]
fn pasted() {
    let mut model = model();
    typed(&mut model, "2");
    model.paste("Ry");
    assert_eq!(model.prompt, Prompt::None);
    typed(&mut model, "R");
    model.paste("y");
    assert!(matches!(model.prompt, Prompt::Confirm(_)));
    typed(&mut model, "n/");
    model.paste("a\u{1b}\nb");
    assert_eq!(model.filter(), "ab");
    model.paste(&"x".repeat(100_000));
    assert!(model.filter().len() <= 256);
}
