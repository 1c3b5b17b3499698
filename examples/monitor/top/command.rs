//! What can be done to a profile or to the monitor, by key, after a question.

use ebph::Key;

use super::text::printable;
use crate::protocol::{Answer, Request};

/// Something to be done once it is confirmed.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    pub request: Request,
    /// What it is called.
    pub name: &'static str,
    /// To whom.
    pub target: String,
    /// What will happen.
    pub effect: &'static str,
}

/// A key, the command's name, what it does, and how it is asked for.
type OfProfile = (char, &'static str, &'static str, fn(Key) -> Request);

/// The commands about one profile.
pub const OF_PROFILE: [OfProfile; 7] = [
    (
        'n',
        "normalize",
        "What it has learnt so far is normal from now on, and calls are judged by it.",
        |key| Request::Normalize { key },
    ),
    (
        's',
        "sensitize",
        "What it is learning is wiped; what is normal stays.",
        |key| Request::Sensitize { key },
    ),
    (
        't',
        "tolerize",
        "It is no longer normal: nothing is judged until it has learnt anew what keeps happening.",
        |key| Request::Tolerize { key },
    ),
    (
        'f',
        "freeze",
        "It becomes normal after the wait, unless something new is learnt.",
        |key| Request::Freeze { key },
    ),
    (
        'w',
        "thaw",
        "It is no longer about to become normal, and learns on.",
        |key| Request::Thaw { key },
    ),
    (
        'R',
        "reset",
        "Everything is wiped: what it learnt, what is normal, all counts.",
        |key| Request::Reset { key },
    ),
    (
        'F',
        "forget",
        "The profile and its file are removed; refused while a process uses it.",
        |key| Request::Forget { key },
    ),
];

impl Command {
    /// The command of a key, for a profile.
    pub fn of_profile(key: char, profile: Key, path: Option<&str>) -> Option<Self> {
        let (_, name, effect, request) = OF_PROFILE.into_iter().find(|(of, ..)| *of == key)?;
        let path = path.map_or_else(|| "?".to_owned(), printable);
        Some(Self {
            request: request(profile),
            name,
            target: format!("{path} ({profile})"),
            effect,
        })
    }

    pub fn pause(running: bool) -> Self {
        let (request, name, effect) = if running {
            (
                Request::Pause {},
                "pause",
                "Calls are neither learnt nor judged until it is resumed.",
            )
        } else {
            (
                Request::Resume {},
                "resume",
                "Calls are learnt and judged again.",
            )
        };
        Self {
            request,
            name,
            target: "the whole monitor".to_owned(),
            effect,
        }
    }

    pub fn save() -> Self {
        Self {
            request: Request::Save {},
            name: "save",
            target: "all profiles".to_owned(),
            effect: "Those that changed are written to their files.",
        }
    }

    /// What is said when it was done.
    pub fn done(&self, answer: &Answer) -> String {
        match answer {
            Answer::Saved { profiles } => format!("save: {profiles} profiles written"),
            _ => format!("{}: done, {}", self.name, self.target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that each key asks for what it says, and that no two are the same.
    #[test]
    fn keys() {
        let profile: Key = "254:0:7:9".parse().unwrap();
        for (i, (key, name, ..)) in OF_PROFILE.iter().enumerate() {
            let command = Command::of_profile(*key, profile, Some("/bin/\u{1b}x")).unwrap();
            let json = serde_json::to_value(&command.request).unwrap();
            assert_eq!(
                (json["request"].as_str(), command.name),
                (Some(*name), *name)
            );
            assert_eq!(command.target, "/bin/\\u{1b}x (254:0:7:9)");
            assert!(OF_PROFILE[..i].iter().all(|(other, ..)| other != key));
        }
        assert_eq!(Command::of_profile('x', profile, None), None);
        assert_eq!(Command::pause(false).request, Request::Resume {});
    }
}
