//! The events of a monitor that runs already, as any program can have them: one line of JSON asks,
//! one answers.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use ebph::Event;
use serde::Deserialize;
use serde_json::{Value, json};

/// The most bytes an answer may have.
const ANSWER_MAX: u64 = 256 * 1024 * 1024;

/// A monitor behind a socket.
pub struct Running {
    path: PathBuf,
    stream: BufReader<UnixStream>,
    /// Tells it from another that may take its place: its process, and when it began.
    identity: (Value, Value),
    /// The number of the last event that was seen.
    last: u64,
}

#[derive(Deserialize)]
struct Batch {
    first: u64,
    events: Vec<Event>,
    gone: u64,
}

impl Running {
    /// Connects; events from now on count.
    pub fn connect(path: &Path) -> Result<Self, String> {
        let mut running = Self {
            path: path.to_owned(),
            stream: open(path).map_err(|error| format!("{}: {error}", path.display()))?,
            identity: (Value::Null, Value::Null),
            last: 0,
        };
        running.last = running.identify()?;
        Ok(running)
    }

    /// Returns what happened since it was asked last, some time from now. A monitor that is gone is
    /// waited for, and heard from its start.
    pub fn wait(&mut self, time: Duration) -> Result<Vec<Event>, String> {
        thread::sleep(time);
        let answer = self.ask(&json!({"request": "events", "after": self.last}));
        let Some(answer) = answer? else {
            if let Ok(stream) = open(&self.path) {
                self.stream = stream;
                self.identify()?;
            }
            return Ok(Vec::new());
        };
        let batch = Batch::deserialize(&answer["events"])
            .map_err(|error| format!("the monitor's events are not understood: {error}"))?;
        if batch.gone > 0 {
            eprintln!("notify: {} events were missed", batch.gone);
        }
        self.last = batch.first.saturating_sub(1) + batch.events.len() as u64;
        Ok(batch.events)
    }

    /// Looks who answers, and returns the number of its newest event.
    fn identify(&mut self) -> Result<u64, String> {
        let Some(answer) = self.ask(&json!({"request": "status"}))? else {
            return Ok(0);
        };
        let status = &answer["status"];
        let identity = (status["pid"].clone(), status["started"].clone());
        if self.identity != identity {
            self.identity = identity;
            self.last = 0;
        }
        Ok(status["last_event"].as_u64().unwrap_or_default())
    }

    /// Returns what stands under `ok`; None if nobody answers any more.
    fn ask(&mut self, request: &Value) -> Result<Option<Value>, String> {
        let mut exchange = || {
            self.stream
                .get_mut()
                .write_all(format!("{request}\n").as_bytes())?;
            let mut line = Vec::new();
            let mut limited = (&mut self.stream).take(ANSWER_MAX);
            limited.read_until(b'\n', &mut line)?;
            io::Result::Ok(line)
        };
        let Ok(line) = exchange() else {
            return Ok(None);
        };
        if line.is_empty() {
            return Ok(None);
        }
        let mut answer: Value = serde_json::from_slice(&line)
            .map_err(|error| format!("the monitor's answer is not understood: {error}"))?;
        match answer.get("error") {
            None => Ok(Some(answer["ok"].take())),
            Some(error) => Err(format!("the monitor refuses: {}", error["message"])),
        }
    }
}

fn open(path: &Path) -> io::Result<BufReader<UnixStream>> {
    let stream = UnixStream::connect(path)?;
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    Ok(BufReader::new(stream))
}
