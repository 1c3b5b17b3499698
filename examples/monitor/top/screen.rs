//! The terminal: taken, drawn on, and given back as it was whatever happens.

use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, enable_raw_mode};

use super::draw;
use super::keys::Effect;
use super::model::{Model, Update};
use super::source::{self, Connect, Order};
use super::theme::Theme;
use crate::signals;

/// What the view waits for.
pub enum Input {
    Terminal(Event),
    Update(Update),
    /// The terminal is gone.
    Gone(io::Error),
    /// Nobody asks the monitor any more.
    AskedLast,
    /// A signal asks to leave.
    Leave,
    /// Somebody else is to have the terminal for a while.
    Stop,
    /// We have it back.
    GoOn,
}

/// How long nothing has to come before an old message is drawn over; nothing else is drawn by
/// the clock.
const MESSAGE: Duration = Duration::from_secs(8);

/// Tells whether there is a terminal to draw on.
pub fn check() -> Result<(), String> {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    if dumb || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(
            "top needs a terminal; `monitor ps` and `monitor admin status` do without".to_owned(),
        );
    }
    Ok(())
}

/// Gives the terminal back when it goes out of scope.
struct Terminal(ratatui::DefaultTerminal);

impl Terminal {
    fn take() -> io::Result<Self> {
        // This also makes a panic, in any thread, give it back before it is told of.
        let terminal = ratatui::try_init().map(Self)?;
        // So that what is pasted is known to be no answer to a question.
        execute!(io::stdout(), EnableBracketedPaste)?;
        Ok(terminal)
    }

    fn give_back(&mut self) {
        // SANITY: a terminal that is gone needs nothing given back.
        let _ = self.0.show_cursor();
        let _ = execute!(io::stdout(), DisableBracketedPaste);
        let _ = ratatui::try_restore();
    }

    /// Takes it again from whoever had it meanwhile, and may have changed it.
    fn take_again(&mut self) -> io::Result<()> {
        self.give_back();
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        self.forget()
    }

    /// Has everything drawn anew, whatever is on the screen.
    fn forget(&mut self) -> io::Result<()> {
        // Clearing by ratatui asks the terminal where the cursor is, and the thread that reads keys
        // would have the answer.
        execute!(io::stdout(), Clear(ClearType::All))?;
        self.0 = ratatui::DefaultTerminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Says so when the thread that asks has ended, whatever ended it.
struct Asking(Sender<Input>);

impl Drop for Asking {
    fn drop(&mut self) {
        // SANITY: fails only when the view was left, which ends the thread.
        let _ = self.0.send(Input::AskedLast);
    }
}

/// Shows the monitor that `connect` gives until it is left. `command` is what runs in it. Also
/// returns the thread that asks, which ends by itself after its last answer.
pub fn show(
    connect: Box<Connect<'static>>,
    command: Option<String>,
    inputs: Sender<Input>,
    input: &Receiver<Input>,
) -> (Result<(), String>, JoinHandle<()>) {
    let mut model = Model::new(command);
    let (orders, taken) = std::sync::mpsc::channel();
    let interest = model.interest();
    let asking = Asking(inputs.clone());
    let thread = thread::spawn(move || {
        let send = |update| asking.0.send(Input::Update(update)).is_ok();
        source::run(connect, interest, &taken, &send);
    });
    let result = match Terminal::take() {
        Ok(mut terminal) => {
            read_keys(inputs);
            let result = watch(&mut model, &mut terminal, &orders, input);
            drop(terminal);
            result.map_err(|error| format!("cannot go on: {error}"))
        }
        Err(error) => Err(format!("cannot use the terminal: {error}")),
    };
    (result, thread)
}

/// Reads keys and changes of size, in a thread of their own that ends with the process.
fn read_keys(inputs: Sender<Input>) {
    thread::spawn(move || {
        loop {
            let (input, last) = match event::read() {
                Ok(event) => (Input::Terminal(event), false),
                Err(error) => (Input::Gone(error), true),
            };
            if inputs.send(input).is_err() || last {
                return;
            }
        }
    });
}

fn watch(
    model: &mut Model,
    terminal: &mut Terminal,
    orders: &Sender<Order>,
    received: &Receiver<Input>,
) -> io::Result<()> {
    let theme = Theme::from_environment();
    let began = Instant::now();
    let mut interest = model.interest();
    loop {
        terminal.0.draw(|frame| draw::screen(model, theme, frame))?;
        let mut next = match received.recv_timeout(MESSAGE) {
            Ok(input) => Some(input),
            Err(RecvTimeoutError::Timeout) => {
                model.message = None;
                None
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        // All that has come meanwhile is drawn at once.
        while let Some(input) = next {
            let effect = match input {
                Input::Terminal(Event::Key(key)) => model.key(key),
                Input::Terminal(Event::Paste(text)) => {
                    model.paste(&text);
                    Effect::None
                }
                Input::Terminal(_) => Effect::None,
                Input::Update(update) => {
                    model.update(update, began.elapsed().as_secs_f64());
                    Effect::None
                }
                Input::Gone(error) => return Err(error),
                Input::AskedLast => {
                    return Err(io::Error::other("nobody asks the monitor any more"));
                }
                Input::Leave => Effect::Leave,
                Input::Stop => Effect::Stop,
                Input::GoOn => {
                    terminal.take_again()?;
                    Effect::None
                }
            };
            match effect {
                Effect::None => (),
                Effect::Leave => return Ok(()),
                Effect::Redraw => terminal.forget()?,
                Effect::Stop => {
                    terminal.give_back();
                    signals::stop()?;
                    terminal.take_again()?;
                }
                // SANITY: fails only if the thread has ended, which is told.
                Effect::Ask(command) => drop(orders.send(Order::Ask(Box::new(command)))),
            }
            next = match received.try_recv() {
                Ok(input) => Some(input),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return Ok(()),
            };
        }
        if model.interest() != interest {
            interest = model.interest();
            // SANITY: as above.
            let _ = orders.send(Order::Look(interest));
        }
    }
}
