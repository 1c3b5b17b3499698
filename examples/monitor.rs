//! Watches a command, a cgroup or the whole machine, and prints what happens.
//!
//! `monitor -- COMMAND` watches the command and all its descendants from its first system call
//! and ends as it did; `monitor` watches every process until Ctrl-C; `monitor preflight` says what
//! this kernel and these privileges allow.
//!
//! One that runs with `--socket PATH` can be asked and told: `monitor ps` lists the processes it
//! watches, `monitor admin` says how it is and takes commands. `monitor inspect` shows a profile from
//! within. `monitor --help` lists the options.
//!
//! Under a service manager that asks for it (`Type=notify`) it says when it is ready, what it does
//! and when it ends, and shows at intervals that it still answers (`WatchdogSec=`).

#[path = "monitor/admin.rs"]
mod admin;
#[path = "monitor/asking.rs"]
mod asking;
#[path = "monitor/cli.rs"]
mod cli;
#[path = "monitor/command.rs"]
mod command;
#[path = "monitor/format.rs"]
mod format;
#[path = "monitor/inspect.rs"]
mod inspect;
#[path = "monitor/kept.rs"]
mod kept;
#[path = "monitor/local.rs"]
mod local;
#[path = "monitor/log_file.rs"]
mod log_file;
#[path = "monitor/manager.rs"]
mod manager;
#[path = "monitor/output.rs"]
mod output;
#[path = "monitor/peer.rs"]
mod peer;
#[path = "monitor/preflight.rs"]
mod preflight;
#[path = "monitor/protocol.rs"]
mod protocol;
#[path = "monitor/ps.rs"]
mod ps;
#[path = "monitor/remote.rs"]
mod remote;
#[path = "monitor/responses.rs"]
mod responses;
#[path = "monitor/rows.rs"]
mod rows;
#[path = "monitor/server.rs"]
mod server;
#[path = "monitor/service.rs"]
mod service;
#[path = "monitor/settings.rs"]
mod settings;
#[path = "monitor/signals.rs"]
mod signals;
#[path = "monitor/socket.rs"]
mod socket;
#[path = "monitor/summary.rs"]
mod summary;
#[path = "monitor/top/mod.rs"]
mod top;
#[path = "monitor/watch.rs"]
mod watch;

use std::process::ExitCode;

use cli::Asked;

/// The exit status for failures of the monitor itself.
const FAILED: u8 = 125;

fn main() -> ExitCode {
    let asked = match cli::read() {
        Ok(asked) => asked,
        Err(usage) => return usage.report(),
    };
    let result = match asked {
        Asked::Preflight { json } => preflight::run(json),
        Asked::Watch(watch, service) => service::run(&watch, service),
        Asked::Ps(listing) => ps::run(&listing),
        Asked::Inspect(inspection) => inspect::run(&inspection),
        Asked::Admin(administration) => admin::run(administration),
        Asked::Top(top) => top::run(top),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(message) => {
            output::complain(&message);
            ExitCode::from(FAILED)
        }
    }
}
