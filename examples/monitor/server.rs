//! Answers those who connect to the socket.
//!
//! Each client has a thread of its own, so none waits for another, and the monitor for none. There
//! are few: when one more comes, the one that has asked nothing for longest has to go. A request is
//! bounded in length, an answer in the time that it may take to be read.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::process::geteuid;

use crate::local::Local;
use crate::output;
use crate::peer::Peer;
use crate::protocol::{ANSWER_MAX, Answer, Code, REQUEST_MAX, Refusal, Reply, Request};
use crate::socket::Socket;

/// How many may be connected at once.
const CLIENTS_MAX: usize = 16;
/// How long a client may take to read an answer.
const READING_MAX: Duration = Duration::from_secs(30);
/// How long one that is sent away may take to read why.
const FAREWELL_MAX: Duration = Duration::from_millis(100);
/// How much of a request that is not understood is quoted.
const QUOTED_MAX: usize = 200;

/// A thread that lets clients in, until it is stopped.
pub struct Server {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

struct Stop {
    asked: AtomicBool,
    /// Readable once it is asked.
    signal: rustix::fd::OwnedFd,
}

/// One who is connected.
struct Client {
    /// Unlike its descriptor, never used again.
    number: u64,
    stream: UnixStream,
    /// When it last asked something; None while it is being answered.
    idle_since: Option<Instant>,
}

#[derive(Default)]
struct Clients(Mutex<Vec<Client>>);

impl Server {
    /// Begins to answer.
    pub fn start(socket: Socket, local: Arc<Local>) -> Result<Self, String> {
        let start = || {
            let stop = Arc::new(Stop {
                asked: AtomicBool::new(false),
                signal: eventfd(0, EventfdFlags::CLOEXEC)?,
            });
            // A client may be gone between its being announced and its being accepted.
            socket.listener().set_nonblocking(true)?;
            let told = Arc::clone(&stop);
            let thread = thread::Builder::new()
                .name("server".to_owned())
                .spawn(move || serve(&socket, &local, &told))?;
            io::Result::Ok(Self { stop, thread })
        };
        start().map_err(|error| format!("cannot answer at the socket: {error}"))
    }

    /// Removes the socket, ends all connections, and waits until nobody is being answered.
    pub fn stop(self) {
        self.stop.asked.store(true, Ordering::Release);
        // SANITY: a counter that is written once does not overflow; a panic has been told.
        let _ = rustix::io::write(&self.stop.signal, &1_u64.to_ne_bytes());
        let _ = self.thread.join();
    }
}

fn serve(socket: &Socket, local: &Arc<Local>, stop: &Stop) {
    let clients = Arc::new(Clients::default());
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    let mut refused = 0_u64;
    let mut number = 0;
    loop {
        let mut files = [
            PollFd::new(socket.listener(), PollFlags::IN),
            PollFd::new(&stop.signal, PollFlags::IN),
        ];
        // SANITY: interrupted, it finds nothing to accept and waits again.
        let _ = poll(&mut files, None);
        if stop.asked.load(Ordering::Acquire) {
            break;
        }
        let stream = match socket.listener().accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(_) => {
                // For want of descriptors, say: who waits stays announced, so not at full speed.
                if stop_within(stop, Duration::from_millis(100)) {
                    break;
                }
                continue;
            }
        };
        if let Err(refusal) = admit(&stream) {
            refused += 1;
            // Who tries a thousand times makes ten lines.
            if refused.is_power_of_two() {
                output::complain(&format!("{refusal} ({refused} such so far)"));
            }
            farewell(&stream, refusal);
            continue;
        }
        threads.retain(|thread| !thread.is_finished());
        number += 1;
        if let Err(refusal) = clients.add(number, &stream) {
            farewell(&stream, refusal);
            continue;
        }
        let (local, all) = (Arc::clone(local), Arc::clone(&clients));
        let thread = thread::Builder::new().name("client".to_owned());
        match thread.spawn(move || {
            attend(&stream, &local, &all, number);
            all.remove(number);
        }) {
            Ok(thread) => threads.push(thread),
            Err(_) => clients.remove(number),
        }
    }
    for client in clients.lock().iter() {
        end(&client.stream);
    }
    for thread in threads {
        // SANITY: a panic has been told.
        let _ = thread.join();
    }
}

/// Waits, and tells whether the end was asked for meanwhile.
fn stop_within(stop: &Stop, time: Duration) -> bool {
    let time = rustix::time::Timespec::try_from(time).ok();
    // SANITY: interrupted, it has waited for less.
    let _ = poll(
        &mut [PollFd::new(&stop.signal, PollFlags::IN)],
        time.as_ref(),
    );
    stop.asked.load(Ordering::Acquire)
}

/// Lets in root and the user that the monitor runs as.
fn admit(stream: &UnixStream) -> Result<(), Refusal> {
    let refuse = |what: String| Err(Refusal::new(Code::NotAllowed, what));
    match Peer::of(stream) {
        Ok(peer) if peer.uid == 0 || peer.uid == geteuid().as_raw() => Ok(()),
        Ok(Peer { pid, uid }) => refuse(format!(
            "a client was refused: process {pid} of user {uid} may not ask this monitor"
        )),
        Err(error) => refuse(format!(
            "a client was refused: who it is cannot be told: {error}"
        )),
    }
}

/// Says why, if that can be said at once.
fn farewell(stream: &UnixStream, refusal: Refusal) {
    // SANITY: who does not listen is not told.
    let _ = send(stream, &Reply::Error(refusal), FAREWELL_MAX);
    end(stream);
}

fn end(stream: &UnixStream) {
    // SANITY: fails if the other end is gone already.
    let _ = stream.shutdown(Shutdown::Both);
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, Vec<Client>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one, for whom the one that is idle for longest makes room if need be.
    fn add(&self, number: u64, stream: &UnixStream) -> Result<(), Refusal> {
        let failed = |error| Refusal::new(Code::Failed, error);
        let stream = stream.try_clone().map_err(failed)?;
        let mut clients = self.lock();
        if clients.len() >= CLIENTS_MAX {
            let idle = clients.iter().enumerate();
            let idle = idle.filter_map(|(i, client)| Some((client.idle_since?, i)));
            let Some((_, longest)) = idle.min() else {
                let what = "too many clients are being answered: try again";
                return Err(Refusal::new(Code::Busy, what));
            };
            // Its own thread finds the end and goes.
            end(&clients.swap_remove(longest).stream);
        }
        clients.push(Client {
            number,
            stream,
            idle_since: Some(Instant::now()),
        });
        Ok(())
    }

    fn remove(&self, number: u64) {
        self.lock().retain(|client| client.number != number);
    }

    fn set_idle(&self, number: u64, idle: bool) {
        let mut clients = self.lock();
        let client = clients.iter_mut().find(|client| client.number == number);
        if let Some(client) = client {
            client.idle_since = idle.then(Instant::now);
        }
    }
}

/// Answers one client until it has gone.
fn attend(stream: &UnixStream, local: &Local, clients: &Clients, number: u64) {
    let mut lines = Lines {
        stream,
        buffer: Vec::new(),
    };
    loop {
        let (reply, last) = match lines.next() {
            Ok(None) | Err(_) => return,
            Ok(Some(Ok(line))) => {
                clients.set_idle(number, false);
                (Reply::from(answer(&line, local)), false)
            }
            // Where the next request begins cannot be told.
            Ok(Some(Err(refusal))) => (Reply::Error(refusal), true),
        };
        if send(stream, &reply, READING_MAX).is_err() || last {
            return end(stream);
        }
        clients.set_idle(number, true);
    }
}

fn answer(line: &[u8], local: &Local) -> Result<Answer, Refusal> {
    let request: Request = serde_json::from_slice(line).map_err(|error| {
        let mut what: String = error.to_string().chars().take(QUOTED_MAX).collect();
        what.insert_str(0, "this is no request: ");
        Refusal::new(Code::BadRequest, what)
    })?;
    local.answer(&request)
}

/// Sends a line, and gives up when not all of it was read in time.
fn send(mut stream: &UnixStream, reply: &Reply, time: Duration) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    if line.len() as u64 >= ANSWER_MAX {
        let what = format!("the answer would have {} bytes", line.len());
        line = serde_json::to_vec(&Reply::Error(Refusal::new(Code::TooLarge, what)))?;
    }
    line.push(b'\n');
    let until = Instant::now() + time;
    let mut rest = line.as_slice();
    while !rest.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(Some(left))?;
        match stream.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The lines that a client sends.
struct Lines<'a> {
    stream: &'a UnixStream,
    /// What was read and not yet returned.
    buffer: Vec<u8>,
}

impl Lines<'_> {
    /// Returns the next line, of which the last may lack its end; None when there is none.
    fn next(&mut self) -> io::Result<Option<Result<Vec<u8>, Refusal>>> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.buffer[seen..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(seen + at + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                return Ok(Some(Ok(line)));
            }
            seen = self.buffer.len();
            if seen > REQUEST_MAX {
                let what = format!("a request has at most {REQUEST_MAX} bytes");
                return Ok(Some(Err(Refusal::new(Code::TooLong, what))));
            }
            let mut bytes = [0; 4096];
            match (&mut &*self.stream).read(&mut bytes) {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Ok(Some(Ok(std::mem::take(&mut self.buffer)))),
                Ok(read) => self.buffer.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
    }
}
