//! Watches, and serves its counters to Prometheus.
//!
//! `cargo run --example metrics`, as root; then `curl http://127.0.0.1:9898/metrics`. Ctrl-C or
//! SIGTERM ends it. Served are counters alone, neither names of processes nor profiles; still,
//! they are for this machine only unless another address is asked for.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use ebph::{Monitor, Scope, Stats};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Connections at a time; more wait for their turn.
const CONNECTIONS: usize = 16;
/// How long a connection may last.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the head of a request may take to arrive.
const HEAD: Duration = Duration::from_secs(5);

type Failure = Box<dyn std::error::Error>;

/// Watches, and serves its counters to Prometheus.
#[derive(Parser)]
#[command(name = "metrics", version)]
struct Arguments {
    /// Where to serve them, at /metrics; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9898")]
    listen: SocketAddr,

    /// Who is watched: system, tree:PID or cgroup:PATH
    #[arg(long, value_name = "SCOPE", default_value = "system", value_parser = scope)]
    scope: Scope,

    /// Keeps profiles in this folder
    #[arg(long, value_name = "DIR")]
    profile_dir: Option<PathBuf>,

    /// Has the kernel measure the programs, at some tens of nanoseconds for each run of any BPF
    /// program of the machine
    #[arg(long)]
    measure: bool,
}

fn scope(text: &str) -> Result<Scope, String> {
    if text == "system" {
        return Ok(Scope::System);
    }
    match text.split_once(':') {
        Some(("tree", pid)) => match pid.parse() {
            Ok(pid) => Ok(Scope::Tree(pid)),
            Err(error) => Err(format!("{pid} is no pid: {error}")),
        },
        Some(("cgroup", path)) if !path.is_empty() => Ok(Scope::Cgroup(path.into())),
        _ => Err("expected system, tree:PID or cgroup:PATH".to_owned()),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("metrics: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // What libbpf has to say goes to a logger, of which there is none.
    ebph::log_libbpf();
    let mut builder = Monitor::builder().scope(arguments.scope);
    if let Some(dir) = arguments.profile_dir {
        builder = builder.profile_dir(dir);
    }
    runtime
        .block_on(async {
            // An address that cannot be had is found out before anything is loaded.
            let listener = TcpListener::bind(arguments.listen)
                .await
                .map_err(|error| format!("cannot listen on {}: {error}", arguments.listen))?;
            let mut interrupted = signal(SignalKind::interrupt())?;
            let mut terminated = signal(SignalKind::terminate())?;
            let monitor = Arc::new(builder.start()?);
            let measurement = match arguments.measure {
                true => Some(monitor.measure()?),
                false => None,
            };
            writeln!(
                io::stdout(),
                "serving http://{}/metrics",
                listener.local_addr()?
            )?;
            tokio::select! {
                never = serve(&listener, &monitor) => match never {},
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            drop(measurement);
            Ok::<_, Failure>(monitor)
        })
        .and_then(|monitor| {
            // Connections still open end with the runtime, and with them their hold of the monitor.
            drop(runtime);
            match Arc::try_unwrap(monitor) {
                Ok(monitor) => monitor.stop().map(drop).map_err(Failure::from),
                Err(_) => Err("a request is still being answered".into()),
            }
        })
}

/// Takes connections as long as it is polled.
async fn serve(listener: &TcpListener, monitor: &Arc<Monitor>) -> Infallible {
    let turns = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // SANITY: it is never closed.
        let turn = Arc::clone(&turns).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let monitor = Arc::clone(monitor);
                tokio::spawn(async move {
                    // SANITY: whoever is too slow, or hangs up, asked for no more.
                    let _ended = timeout(PATIENCE, connection(stream, monitor)).await;
                    drop(turn);
                });
            }
            // Too many open files, say: the next moment may be better.
            Err(error) => {
                eprintln!("metrics: cannot take a connection: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, monitor: Arc<Monitor>) -> hyper::Result<()> {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(&monitor, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// To gather the counters takes about a millisecond, so nobody else waits for long meanwhile.
fn answer(monitor: &Monitor, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if path != "/metrics" {
        return text(StatusCode::NOT_FOUND, "the counters are at /metrics\n");
    }
    if method != Method::GET && method != Method::HEAD {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "they can be read only\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, allowed);
        return refusal;
    }
    match monitor.stats() {
        Ok(stats) => {
            let mut page = Response::new(Full::from(stats.to_prometheus()));
            let kind = HeaderValue::from_static(Stats::PROMETHEUS_CONTENT_TYPE);
            page.headers_mut().insert(CONTENT_TYPE, kind);
            page
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_owned()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
