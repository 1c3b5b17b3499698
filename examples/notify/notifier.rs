//! Notifications about anomalies, at a bounded rate.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ebph::{Anomaly, Context, Event, EventHandler, ResponseAction};

/// How long a notification may take to be delivered.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many bytes of a path or of a name are shown.
const NAME_MAX: usize = 200;

/// How many programs are named of which reports were held back.
const NAMED_MAX: usize = 4;

/// Tells people of what a monitor reports.
pub struct Notifier {
    /// The least time between two notifications.
    every: Duration,
    last: Option<Instant>,
    held_back: HeldBack,
}

/// Reports that came too soon after another one.
#[derive(Default)]
struct HeldBack {
    count: u64,
    /// Of whom, each once.
    programs: Vec<String>,
}

/// One notification, as plain text.
struct Notification {
    urgency: &'static str,
    title: String,
    text: String,
}

impl EventHandler for Notifier {
    fn handle(&mut self, event: &Event) {
        let Some((program, notification)) = about(event) else {
            return;
        };
        if self.may_tell() {
            tell(&notification);
            return;
        }
        let HeldBack { count, programs } = &mut self.held_back;
        *count += 1;
        if !programs.contains(&program) && programs.len() < NAMED_MAX {
            programs.push(program);
        }
    }
}

impl Notifier {
    /// Raises at most one notification in so much time.
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            last: None,
            held_back: HeldBack::default(),
        }
    }

    /// Says what was held back, when there may be another notification.
    pub fn tell_rest(&mut self) {
        if self.held_back.count == 0 || !self.may_tell() {
            return;
        }
        let HeldBack { count, programs } = std::mem::take(&mut self.held_back);
        let title = match count {
            1 => "One more report".to_owned(),
            _ => format!("{count} more reports"),
        };
        tell(&Notification {
            urgency: "normal",
            title,
            text: format!("Of {}.", programs.join(", ")),
        });
    }

    fn may_tell(&mut self) -> bool {
        let may = self.last.is_none_or(|last| last.elapsed() >= self.every);
        if may {
            self.last = Some(Instant::now());
        }
        may
    }
}

/// Returns what to say about an event, if it is worth it, and the program's name.
fn about(event: &Event) -> Option<(String, Notification)> {
    let context = match event {
        Event::Anomaly(anomaly) => &anomaly.context,
        Event::UnbalancedSigreturn(event) => &event.context,
        // Who only wants to know what would be done reads the log.
        Event::Response(response) if !response.would_have => &response.context,
        _ => return None,
    };
    let program = program(context);
    let (urgency, title, what) = match event {
        Event::Anomaly(anomaly) => (
            urgency(anomaly),
            format!("{program} does something new"),
            evidence(anomaly),
        ),
        Event::UnbalancedSigreturn(event) => (
            if event.certain { "critical" } else { "normal" },
            format!("{program} leaves a signal handler it never entered"),
            "This may be sigreturn-oriented programming.".to_owned(),
        ),
        Event::Response(response) => (
            "critical",
            match response.action {
                ResponseAction::Delay(_) => format!("{program} is slowed down"),
                ResponseAction::SuspendExec(_) => format!("{program} is held for a while"),
                ResponseAction::DenyExec => format!("{program} was kept from an exec"),
                _ => format!("{program} was killed"),
            },
            format!("{} of its last 128 calls were anomalous.", response.lfc),
        ),
        _ => return None,
    };
    let actor = &context.actor;
    let pid = actor.pid.map_or("?".to_owned(), |pid| pid.to_string());
    let mut text = format!(
        "{what}\nProcess {pid} ({}), user {}.",
        short(&actor.comm),
        actor.uid
    );
    if context.lost_before > 0 {
        text += &format!(
            "\n{} reports before this one were lost.",
            context.lost_before
        );
    }
    let notification = Notification {
        urgency,
        title,
        text,
    };
    Some((program, notification))
}

/// A single pair that was never seen may be a rare path of the program; several at once, or several
/// such calls in a row, are hardly one. A profile with gaps proves little.
fn urgency(anomaly: &Anomaly) -> &'static str {
    let profile = anomaly.context.profile.as_ref();
    let incomplete = profile.is_some_and(|profile| profile.marks.incomplete);
    if !incomplete && (anomaly.misses() >= 3 || anomaly.lfc >= 4) {
        "critical"
    } else {
        "normal"
    }
}

fn evidence(anomaly: &Anomaly) -> String {
    let before: Vec<_> = anomaly.window.iter().map(ToString::to_string).collect();
    let before = before.split_last().map_or(&[][..], |(_, before)| before);
    let mut text = format!(
        "System call {} after {}: {} of {} pairs were never seen.",
        anomaly.symbol,
        before.join(" "),
        anomaly.misses(),
        before.len()
    );
    if let Some(profile) = &anomaly.context.profile {
        text += &format!(
            "\nAnomaly {} of {} calls since it is normal, which it learnt from {}.",
            profile.anomalies, profile.train_count, profile.basis
        );
    }
    text
}

fn program(context: &Context) -> String {
    let profile = context.profile.as_ref();
    let path = profile.and_then(|profile| profile.script.as_ref().or(profile.exe.as_ref()));
    match path {
        Some(path) => short(&path.to_string_lossy()),
        None => short(&context.actor.comm),
    }
}

/// Bounds a name that somebody else chose, from its end, and escapes what is no plain character.
fn short(name: &str) -> String {
    let escaped = name.escape_debug().to_string();
    match escaped.char_indices().nth_back(NAME_MAX) {
        Some((at, _)) => format!("...{}", &escaped[at..]),
        None => escaped,
    }
}

/// Raises a notification, and prints what cannot be raised.
fn tell(notification: &Notification) {
    let Notification {
        urgency,
        title,
        text,
    } = notification;
    let mut command = Command::new("notify-send");
    command
        .args(["--app-name=ebph", "--icon=security-high"])
        .arg(format!("--urgency={urgency}"))
        .args(["--", title, &body(text)])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if let Err(error) = run(&mut command) {
        eprintln!("notify: cannot notify ({error}): {title}\n{text}");
    }
}

/// Bodies are markup, in which notify-send also replaces what follows a backslash.
fn body(text: &str) -> String {
    let mut body = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => body.push_str("&amp;"),
            '<' => body.push_str("&lt;"),
            '>' => body.push_str("&gt;"),
            '\\' => body.push_str("\\\\"),
            _ => body.push(c),
        }
    }
    body
}

/// Runs a command that must end well and soon: without anyone to show it, it would wait.
fn run(command: &mut Command) -> Result<(), String> {
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(status.to_string()),
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(10)),
            Ok(None) => {
                // SANITY: it is our child and not yet waited for, so both do what they say.
                let _ = child.kill();
                let _ = child.wait();
                return Err("nobody shows it".to_owned());
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}
