//! Every named limit of the program stands in `docs/reference/limits.md` with its value and its reason,
//! and nothing else stands there. `UPDATE=1` writes the list anew from the code.

use std::collections::BTreeMap;
use std::fs;

use xtask::source::{self, Source};
use xtask::tree;

use crate::none;

const PAGE: &str = "docs/reference/limits.md";

/// What stands behind this line is written from the code.
const FROM_HERE: &str = "## All, by room";

/// What a limit's name ends in.
const ENDINGS: [&str; 2] = ["_MAX", "_LIMIT"];

struct Limit {
    /// Below the room's `src`.
    file: String,
    name: String,
    value: String,
    reason: String,
}

/// The limits of one file, tests apart.
fn limits(source: &Source) -> Vec<Limit> {
    let text: Vec<&str> = source.text.lines().collect();
    let code: Vec<&str> = source.code.lines().collect();
    let mut found = Vec::new();
    for (index, line) in code.iter().enumerate() {
        let Some(name) = name(line).filter(|_| !source.is_test(index + 1)) else { continue };
        let whole: String =
            text[index..].iter().take(4).map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        let value = whole.split_once(" = ").and_then(|(_, rest)| rest.split_once(';'));
        let Some((value, _)) = value else { continue };
        let above = text[..index].iter().rev().map(|line| line.trim());
        let mut reason: Vec<&str> = above
            .take_while(|line| line.starts_with("///") || line.starts_with("#["))
            .filter_map(|line| line.strip_prefix("///"))
            .map(str::trim)
            .collect();
        reason.reverse();
        let parts = source.path.iter().skip_while(|part| *part != "src").skip(1);
        let file = parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
        let (name, value) = (name.to_owned(), value.trim().to_owned());
        found.push(Limit { file, name, value, reason: reason.join(" ").replace('|', "\\|") });
    }
    found
}

/// The name in `const NAME: …`, where it is that of a limit.
fn name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub").map_or(line, |rest| {
        rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest)
    });
    let (name, _) = line.trim_start().strip_prefix("const ")?.split_once(':')?;
    ENDINGS.iter().any(|ending| name.ends_with(ending)).then_some(name)
}

fn by_room(sources: &[Source]) -> BTreeMap<String, Vec<Limit>> {
    let mut rooms = BTreeMap::<String, Vec<Limit>>::new();
    let ours = |source: &&Source| {
        source.path.starts_with("crates")
            && source.path.iter().nth(2).is_some_and(|part| part == "src")
    };
    for source in sources.iter().filter(ours) {
        rooms.entry(source.room().to_owned()).or_default().extend(limits(source));
    }
    rooms.retain(|_, limits| !limits.is_empty());
    rooms
}

fn written(rooms: &BTreeMap<String, Vec<Limit>>) -> String {
    let mut text = String::new();
    for (room, limits) in rooms {
        text.push_str(&format!(
            "\n### `{room}`\n\n| limit | value | why | file |\n|---|---|---|---|\n"
        ));
        for Limit { file, name, value, reason } in limits {
            text.push_str(&format!("| `{name}` | `{value}` | {reason} | `{file}` |\n"));
        }
    }
    text
}

/// Mutation: change a limit, its reason or its name, add one, or take one out.
#[test]
fn every_limit_is_in_the_reference() {
    let page = tree::text(PAGE.as_ref()).unwrap_or_default();
    let (head, list) = page.split_once(FROM_HERE).expect("the page has a list");
    let wanted = written(&by_room(&source::all()));
    if std::env::var_os("UPDATE").is_some() {
        let text = format!("{head}{FROM_HERE}\n{wanted}");
        fs::write(tree::root().join(PAGE), text).expect("written");
        return;
    }
    let (list, wanted): (Vec<&str>, Vec<&str>) = (list.lines().collect(), wanted.lines().collect());
    let missing =
        wanted.iter().filter(|line| !list.contains(line)).map(|line| format!("not there: {line}"));
    let stale = list.iter().filter(|line| !line.is_empty() && !wanted.contains(line));
    let offences: Vec<String> =
        missing.chain(stale.map(|line| format!("not in the code: {line}"))).collect();
    none(&offences, "run this test once with UPDATE=1, and look at the difference");
}

/// Mutation: write a limit without its reason.
#[test]
fn every_limit_has_a_reason() {
    let mut offences = Vec::new();
    for (room, limits) in by_room(&source::all()) {
        let bare = limits.iter().filter(|limit| limit.reason.is_empty());
        offences
            .extend(bare.map(|limit| format!("crates/{room}/src/{}: {}", limit.file, limit.name)));
    }
    none(&offences, "a limit says in its doc comment what it bounds and why");
}

/// Mutation: look at tests too, or take any constant.
#[test]
fn a_limit_is_told_from_other_constants() {
    let text = "/// Why.\n/// More.\npub(crate) const WAITS_MAX: usize =\n    2 * 3;\n\nconst SIZE: u8 = 1;\n#[cfg(test)]\nmod tests {\n    const X_MAX: u8 = 1;\n}\n";
    let source = Source::parse("crates/a/src/b/c.rs".as_ref(), text.to_owned());
    let found = limits(&source);
    let [Limit { file, name, value, reason }] = found.as_slice() else { panic!("{}", found.len()) };
    assert_eq!(
        (&**file, &**name, &**value, &**reason),
        ("b/c.rs", "WAITS_MAX", "2 * 3", "Why. More.")
    );
}
