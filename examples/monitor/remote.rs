//! A monitor in another process, asked over its socket.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::protocol::{ANSWER_MAX, Answer, Code, Monitored, Refusal, Reply, Request};
use crate::socket;

/// Where a monitor is asked if nothing else is said.
pub const DEFAULT_SOCKET: &str = "/run/ebph/monitor.sock";

/// How long to wait for an answer: saving thousands of profiles to a slow disk takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to a monitor.
pub struct Remote {
    stream: BufReader<UnixStream>,
}

impl Remote {
    /// Connects to the socket of a running monitor.
    pub fn connect(path: &Path) -> Result<Self, Refusal> {
        let connect = || {
            let stream = socket::connect(path, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            io::Result::Ok(stream)
        };
        let stream = connect().map_err(|error| {
            let hint = match error.kind() {
                // As the kernel has it: Resource temporarily unavailable.
                io::ErrorKind::WouldBlock => "; it lets nobody in",
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    "; does a monitor run with --socket?"
                }
                _ => "",
            };
            let what = format!(
                "cannot ask the monitor at {}: {error}{hint}",
                path.display()
            );
            Refusal::new(Code::Unreachable, what)
        })?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        // A monitor that refuses may close before it has read: what it said is there all the same.
        let written = self.stream.get_mut().write_all(request);
        let mut answer = Vec::new();
        let mut limited = (&mut self.stream).take(ANSWER_MAX + 1);
        let read = limited.read_until(b'\n', &mut answer);
        if answer.last() == Some(&b'\n') {
            return Ok(answer);
        }
        written.and(read)?;
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl Monitored for Remote {
    fn ask(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let line = serde_json::to_string(request);
        let line = line.map_err(|error| Refusal::new(Code::BadRequest, error))? + "\n";
        let answer = self.exchange(line.as_bytes()).map_err(|error| {
            let what = match error.kind() {
                io::ErrorKind::UnexpectedEof => "the monitor has closed the connection".to_owned(),
                io::ErrorKind::WouldBlock => "the monitor does not answer".to_owned(),
                _ => format!("cannot ask the monitor: {error}"),
            };
            Refusal::new(Code::Unreachable, what)
        })?;
        let reply: Reply = serde_json::from_slice(&answer).map_err(|error| {
            Refusal::new(
                Code::Failed,
                format!("what the monitor answers is not understood: {error}"),
            )
        })?;
        reply.into()
    }
}
