//! A program in a real terminal: a pseudo-terminal, and an emulator that keeps what is on its screen.

use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::fd::AsRawFd as _;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

use pty_process::Size;
use pty_process::blocking::{Command, Pts, Pty, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

use crate::harness::{deadline, eventually};

/// The terminal, and the program in it.
pub struct Terminal {
    pty: Arc<Pty>,
    /// Kept open, so that the terminal outlives the program and shows how it was left.
    slave: Option<Pts>,
    child: Child,
    shown: Arc<Mutex<Shown>>,
    reader: Option<JoinHandle<()>>,
}

struct Shown {
    emulator: vt100::Parser,
    /// Everything that was written.
    raw: Vec<u8>,
}

impl Terminal {
    /// Starts a program in a terminal of this size.
    pub fn start(command: Command, columns: u16, rows: u16) -> Self {
        let (pty, slave) = open().expect("there are pseudo-terminals");
        pty.resize(Size::new(rows, columns)).expect("it is ours");
        let mut command = command.env("TERM", "xterm-256color");
        let child = command
            .spawn_borrowed(&slave)
            .expect("the example can be run");
        let shown = Arc::new(Mutex::new(Shown {
            emulator: vt100::Parser::new(size(rows), size(columns), 0),
            raw: Vec::new(),
        }));
        let pty = Arc::new(pty);
        let (source, sink) = (pty.clone(), shown.clone());
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 65536];
            // It ends with an error when nobody has the other side any more.
            while let Ok(count @ 1..) = (&*source).read(&mut bytes) {
                let mut shown = sink.lock().expect("no emulator panicked");
                shown.emulator.process(&bytes[..count]);
                shown.raw.extend(&bytes[..count]);
            }
        });
        Self {
            pty,
            slave: Some(slave),
            child,
            shown,
            reader: Some(reader),
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().expect("no emulator panicked")
    }

    /// What is on the screen, line by line, without the spaces at the ends.
    pub fn lines(&self) -> Vec<String> {
        let shown = self.shown();
        let (_, columns) = shown.emulator.screen().size();
        let rows = shown.emulator.screen().rows(0, columns.get());
        rows.map(|row| row.trim_end().to_owned()).collect()
    }

    /// Tells whether anything on the screen has a colour.
    pub fn is_coloured(&self) -> bool {
        let shown = self.shown();
        let screen = shown.emulator.screen();
        let (rows, columns) = screen.size();
        let mut places = (0..rows.get()).flat_map(|y| (0..columns.get()).map(move |x| (y, x)));
        places.any(|(y, x)| {
            let cell = screen.cell(y, x).expect("it is on the screen");
            [cell.fgcolor(), cell.bgcolor()] != [vt100::Color::Default; 2]
        })
    }

    /// Everything that was ever written to it.
    pub fn raw(&self) -> Vec<u8> {
        self.shown().raw.clone()
    }

    /// Types; a key that is no letter by what it sends.
    pub fn type_keys(&self, keys: &str) {
        (&*self.pty)
            .write_all(keys.as_bytes())
            .expect("it reads keys");
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        let mut shown = self.shown();
        shown
            .emulator
            .screen_mut()
            .set_size(size(rows), size(columns));
        self.pty
            .resize(Size::new(rows, columns))
            .expect("it is ours");
    }

    /// Waits until the screen is as wanted, and returns it.
    #[track_caller]
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let end = Instant::now() + deadline();
        loop {
            let lines = self.lines();
            if wanted(&lines) {
                return lines;
            }
            assert!(
                Instant::now() < end,
                "waited in vain for {what}:\n{}",
                lines.join("\n")
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits until a line has all of these texts in it.
    #[track_caller]
    pub fn wait_for_line(&self, texts: &[&str]) -> String {
        let has = |line: &String| texts.iter().all(|text| line.contains(text));
        let lines = self.wait_for(&format!("{texts:?}"), |lines| lines.iter().any(has));
        lines.into_iter().find(has).expect("it was there")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Tells whether the program has the terminal for itself: another screen, and each key at once.
    pub fn is_taken(&self) -> bool {
        let modes = tcgetattr(&*self.pty).expect("it is a terminal").local_modes;
        let other = self.shown().emulator.screen().alternate_screen();
        other && !modes.contains(LocalModes::ICANON)
    }

    /// Waits for the end of the program, checks that the terminal is as it was before, and returns
    /// how it ended and what is left on the screen.
    #[track_caller]
    pub fn finish(mut self) -> (ExitStatus, String) {
        let status = eventually("the end of the program", || {
            self.child.try_wait().expect("it is our child")
        });
        let modes = tcgetattr(&*self.pty).expect("it is a terminal").local_modes;
        let usual = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        assert!(modes.contains(usual), "{modes:?}");
        drop(self.slave.take());
        let reader = self.reader.take().expect("it was not yet taken");
        reader.join().expect("no emulator panicked");
        let shown = self.shown();
        let screen = shown.emulator.screen();
        assert!(
            !screen.alternate_screen(),
            "the other screen is still shown"
        );
        assert!(!screen.hide_cursor(), "the cursor is still hidden");
        let left = screen.contents();
        drop(shown);
        (status, left)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("a terminal has lines and columns")
}

/// A shell that does what it is told, line by line, and nothing else.
pub struct Told {
    reader: PipeReader,
    writer: Option<PipeWriter>,
}

impl Told {
    pub fn new() -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        Self {
            reader,
            writer: Some(writer),
        }
    }

    /// The words of the command that the monitor is to run.
    pub fn words(&self) -> [String; 3] {
        // The shell has no input of its own, so it opens ours.
        let pipe = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.reader.as_raw_fd()
        );
        let script = format!("while read -r line; do eval \"$line\"; done <{pipe}");
        ["sh".to_owned(), "-c".to_owned(), script]
    }

    pub fn tell(&self, line: &str) {
        let mut writer = self.writer.as_ref().expect("it was not told to end");
        writeln!(writer, "{line}").expect("the pipe has room");
    }

    /// Lets it end.
    pub fn end(&mut self) {
        self.writer = None;
    }
}
