//! What each key does.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::command::Command;
use super::inspect::{Inspection, Mode};
use super::lines::EventLine;
use super::model::{Model, Prompt, View};
use super::table::{Move, Row, Table};

/// What a key asks of the world outside the model.
#[derive(Debug, PartialEq)]
pub enum Effect {
    None,
    Leave,
    /// Let somebody else have the terminal for a while, as a shell.
    Stop,
    /// Draw everything, whatever is there.
    Redraw,
    Ask(Command),
}

/// What is typed into a filter at most.
const FILTER_MAX: usize = 256;

impl Model {
    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> Effect {
        if key.kind == KeyEventKind::Release {
            return Effect::None;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control {
            return match key.code {
                KeyCode::Char('c' | 'C') => self.leave(),
                KeyCode::Char('z' | 'Z') => Effect::Stop,
                KeyCode::Char('l' | 'L') => Effect::Redraw,
                _ => Effect::None,
            };
        }
        match &self.prompt {
            Prompt::None => self.command_key(key.code),
            Prompt::Help => {
                self.prompt = Prompt::None;
                Effect::None
            }
            Prompt::Filter { before } => {
                let before = before.clone();
                self.filter_key(key.code, before);
                Effect::None
            }
            Prompt::Confirm(command) => {
                let command = command.clone();
                self.confirm_key(key.code, command)
            }
            Prompt::Leave => {
                self.prompt = Prompt::None;
                match key.code {
                    KeyCode::Char('y' | 'Y') => Effect::Leave,
                    _ => Effect::None,
                }
            }
        }
    }

    /// Takes what was pasted: into a filter that is being typed, otherwise nowhere. It is neither a
    /// command nor the answer to a question.
    pub fn paste(&mut self, text: &str) {
        if !matches!(self.prompt, Prompt::Filter { .. }) {
            self.complain("what is pasted is not taken for keys".to_owned());
            return;
        }
        let mut filter = self.filter().to_owned();
        for c in text.chars().filter(|c| !c.is_control()) {
            if filter.len() < FILTER_MAX {
                filter.push(c);
            }
        }
        self.set_filter(filter);
    }

    /// Leaves; while a command runs, which would be ended, only when asked twice.
    fn leave(&mut self) -> Effect {
        if self.command.is_none() || self.prompt == Prompt::Leave {
            return Effect::Leave;
        }
        self.prompt = Prompt::Leave;
        Effect::None
    }

    fn confirm_key(&mut self, key: KeyCode, command: Command) -> Effect {
        match key {
            KeyCode::Char('y' | 'Y') => {
                self.prompt = Prompt::None;
                self.tell(format!("{} ...", command.name));
                Effect::Ask(command)
            }
            KeyCode::Char('n' | 'N' | 'q') | KeyCode::Esc => {
                self.prompt = Prompt::None;
                self.tell(format!("{}: not done", command.name));
                Effect::None
            }
            _ => Effect::None,
        }
    }

    fn filter_key(&mut self, key: KeyCode, before: String) {
        let mut filter = self.filter().to_owned();
        match key {
            KeyCode::Enter => self.prompt = Prompt::None,
            KeyCode::Esc => {
                self.prompt = Prompt::None;
                self.set_filter(before);
            }
            KeyCode::Backspace => {
                filter.pop();
                self.set_filter(filter);
            }
            KeyCode::Char(c) if filter.len() < FILTER_MAX => {
                filter.push(c);
                self.set_filter(filter);
            }
            _ => (),
        }
    }

    fn command_key(&mut self, key: KeyCode) -> Effect {
        self.message = None;
        match key {
            KeyCode::Char('q') => return self.leave(),
            KeyCode::Esc => return self.back(),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.prompt = Prompt::Help,
            KeyCode::Char('/') if self.has_list() => {
                self.prompt = Prompt::Filter {
                    before: self.filter().to_owned(),
                };
            }
            KeyCode::Char('P') => {
                self.prompt = Prompt::Confirm(Command::pause(self.is_running()));
            }
            KeyCode::Char('S') => self.prompt = Prompt::Confirm(Command::save()),
            KeyCode::Char(c @ '1'..='4') => {
                let view = View::ALL[usize::from(c as u8 - b'1')];
                self.go_to(view);
            }
            KeyCode::Tab if self.inspection.is_some() => self.next_mode(),
            KeyCode::Tab => self.turn_view(1),
            KeyCode::BackTab => self.turn_view(-1),
            KeyCode::Enter => self.enter(),
            KeyCode::Char('a') if self.view == View::Events && self.inspection.is_none() => {
                self.all_events = !self.all_events;
                self.list_events();
            }
            KeyCode::Char('d') if self.view == View::Events && self.inspection.is_none() => {
                self.whole_detail = !self.whole_detail;
            }
            KeyCode::Char(c) if "nstfwRF".contains(c) => self.ask_about(c),
            other => self.move_key(other),
        }
        Effect::None
    }

    fn ask_about(&mut self, key: char) {
        let Some((profile, path)) = self.chosen() else {
            self.complain("no profile is selected".to_owned());
            return;
        };
        if let Some(command) = Command::of_profile(key, profile, path.as_deref()) {
            self.prompt = Prompt::Confirm(command);
        }
    }

    /// One step back: out of a profile, then out of a filter, then out of here.
    fn back(&mut self) -> Effect {
        if self.has_list() && !self.filter().is_empty() {
            self.set_filter(String::new());
        } else if self.inspection.take().is_none() {
            return self.leave();
        }
        Effect::None
    }

    fn enter(&mut self) {
        if let Some(inspection) = &mut self.inspection {
            inspection.show_on_map();
        } else if let Some((key, path)) = self.chosen() {
            let mut inspection = Inspection::new(key, path);
            if self.view == View::Events {
                inspection.wanted = self.events.selected().and_then(EventLine::pair);
            }
            self.inspection = Some(inspection);
        } else {
            self.complain("no profile is selected".to_owned());
        }
    }

    fn next_mode(&mut self) {
        if let Some(inspection) = &mut self.inspection {
            inspection.next_mode();
        }
    }

    fn go_to(&mut self, view: View) {
        self.inspection = None;
        self.view = view;
    }

    fn turn_view(&mut self, by: isize) {
        let here = View::ALL.iter().position(|view| *view == self.view);
        let count = View::ALL.len().cast_signed();
        let next = (here.unwrap_or(0).cast_signed() + by).rem_euclid(count);
        self.go_to(View::ALL[next.cast_unsigned()]);
    }

    fn move_key(&mut self, key: KeyCode) {
        if let Some(inspection) = &mut self.inspection
            && inspection.mode == Mode::Map
        {
            let map = &mut inspection.map;
            match key {
                KeyCode::Up | KeyCode::Char('k') => map.go(-1, 0),
                KeyCode::Down | KeyCode::Char('j') => map.go(1, 0),
                KeyCode::Left => map.go(0, -1),
                KeyCode::Right | KeyCode::Char('l') => map.go(0, 1),
                KeyCode::PageUp => map.turn(-1),
                KeyCode::PageDown => map.turn(1),
                KeyCode::Home => map.look_at(0, 0),
                KeyCode::End => map.go(isize::MAX, isize::MAX),
                _ => (),
            }
            return;
        }
        let by = match key {
            KeyCode::Up | KeyCode::Char('k') => Move::Rows(-1),
            KeyCode::Down | KeyCode::Char('j') => Move::Rows(1),
            KeyCode::PageUp => Move::Pages(-1),
            KeyCode::PageDown => Move::Pages(1),
            KeyCode::Home | KeyCode::Char('g') => Move::Start,
            KeyCode::End | KeyCode::Char('G') => Move::End,
            KeyCode::Char('<') | KeyCode::Left => return self.with_list(&mut |list| list.sort(-1)),
            KeyCode::Char('>') | KeyCode::Right => return self.with_list(&mut |list| list.sort(1)),
            KeyCode::Char('r') => return self.with_list(&mut |list| list.turn()),
            _ => return,
        };
        self.with_list(&mut |list| list.go(by));
    }

    /// Tells whether a list is shown, rather than a map.
    fn has_list(&self) -> bool {
        self.inspection
            .as_ref()
            .is_none_or(|inspection| inspection.mode != Mode::Map)
    }

    /// The filter of the list that is shown.
    pub fn filter(&self) -> &str {
        match (&self.inspection, self.view) {
            (Some(inspection), _) => match inspection.mode {
                Mode::Map => "",
                Mode::Pairs => inspection.pairs.filter(),
                Mode::Calls => inspection.calls.filter(),
            },
            (None, View::Processes) => self.processes.filter(),
            (None, View::Profiles) => self.profiles.filter(),
            (None, View::Events) => self.events.filter(),
            (None, View::Counters) => self.counters.filter(),
        }
    }

    /// How many lines of the list that is shown pass its filter.
    pub fn listed(&self) -> usize {
        match (&self.inspection, self.view) {
            (Some(inspection), _) => match inspection.mode {
                Mode::Map => 0,
                Mode::Pairs => inspection.pairs.len(),
                Mode::Calls => inspection.calls.len(),
            },
            (None, View::Processes) => self.processes.len(),
            (None, View::Profiles) => self.profiles.len(),
            (None, View::Events) => self.events.len(),
            (None, View::Counters) => self.counters.len(),
        }
    }

    fn set_filter(&mut self, filter: String) {
        self.with_list(&mut |list| list.filter_by(filter.clone()));
    }

    fn with_list(&mut self, act: &mut dyn FnMut(&mut dyn List)) {
        match (&mut self.inspection, self.view) {
            (Some(inspection), _) => match inspection.mode {
                Mode::Map => (),
                Mode::Pairs => act(&mut inspection.pairs),
                Mode::Calls => act(&mut inspection.calls),
            },
            (None, View::Processes) => act(&mut self.processes),
            (None, View::Profiles) => act(&mut self.profiles),
            (None, View::Events) => act(&mut self.events),
            (None, View::Counters) => act(&mut self.counters),
        }
    }
}

/// A table, whatever its lines are.
trait List {
    fn go(&mut self, by: Move);
    fn sort(&mut self, by: isize);
    fn turn(&mut self);
    fn filter_by(&mut self, text: String);
}

impl<R: Row> List for Table<R> {
    fn go(&mut self, by: Move) {
        Self::go(self, by);
    }

    fn sort(&mut self, by: isize) {
        self.sort_beside(by);
    }

    fn turn(&mut self) {
        self.reverse();
    }

    fn filter_by(&mut self, text: String) {
        self.set_filter(text);
    }
}
