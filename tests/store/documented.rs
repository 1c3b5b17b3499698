//! What `docs/profile-files.md` shows must be so.

use ebph::{Abi, How, Profile, State, Symbol};

const TEXT: &str = include_str!("../../docs/profile-files.md");

/// The first piece of JSON in the document.
fn example() -> &'static str {
    let (_, rest) = TEXT.split_once("```json\n").expect("there is an example");
    rest.split_once("```").expect("the example ends").0
}

/// Check that the example is a profile, and what the text says of it.
#[test]
fn example_is_read() {
    let profile = Profile::from_json(example().as_bytes()).unwrap();
    assert_eq!(profile.state(), State::Normal);
    assert!(matches!(profile.origin().how, How::Live { .. }));
    assert_eq!(profile.window(), 9);
    let find = |current: Symbol, previous: Symbol| {
        let letters = (current.into(), previous.into());
        let mut pairs = profile.pairs();
        pairs.find(|pair| (pair.current, pair.previous) == letters)
    };
    let call = |name| Symbol::from_name(Abi::X86_64, name).unwrap();
    let pair = find(call("read"), call("openat")).unwrap();
    assert_eq!(pair.train_distances().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(pair.test_distances().collect::<Vec<_>>(), [1]);
    assert!(find(Symbol::new(Abi::I386, 4), call("read")).is_some());
}

/// Check that the example is written again as it stands there, but for the time, and that each
/// field is explained.
#[test]
fn example_is_written() {
    let profile = Profile::from_json(example().as_bytes()).unwrap();
    let again = profile.to_json();
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.contains("\"saved\""));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(lines(&again), lines(example()));
    let value: serde_json::Value = serde_json::from_str(&again).unwrap();
    let fields = value.as_object().unwrap();
    let nested = ["made", "identity", "counts"].map(|name| fields[name].as_object().unwrap());
    let names = fields
        .keys()
        .chain(nested.into_iter().flat_map(|object| object.keys()));
    for name in names {
        let shown = [
            format!("`{name}`"),
            format!(".{name}`"),
            format!("`{name}."),
        ];
        let explained = shown.iter().any(|shown| TEXT.contains(shown));
        assert!(explained, "{name} is not explained");
    }
}
