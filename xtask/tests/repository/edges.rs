//! Which room may use which. A room that needs something from above wants it handed in.

use xtask::metadata::{Kind, Metadata, Package};

use crate::none;

/// Room, what it is built from, and what its tests use besides.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

const ALLOWED: [Row; 26] = [
    ("base", &[], &[]),
    // For tests alone.
    ("power", &[], &[]),
    // For a benchmark alone.
    ("model-bench", &[], &[]),
    ("wire", &["base"], &[]),
    ("link", &["base", "wire", "store"], &[]),
    ("identity", &["base"], &[]),
    // What the APIs of hub and site do alike.
    ("server", &["base", "identity", "models", "pricing", "spec", "store", "wire"], &[]),
    (
        "hub",
        &["base", "identity", "link", "models", "pricing", "server", "spec", "store", "wire"],
        &[],
    ),
    ("expr", &["base"], &[]),
    ("spec", &["base", "expr"], &[]),
    ("store", &["base"], &[]),
    ("store-sqlite", &["base", "store"], &["power"]),
    ("engine", &["base", "expr", "spec", "store"], &["store-sqlite"]),
    ("inference", &[], &[]),
    ("sandbox", &["base", "expr", "inference"], &[]),
    ("secrets", &["base"], &[]),
    ("pricing", &["base"], &[]),
    ("dialects", &[], &[]),
    ("models", &["base", "dialects", "pricing", "privacy"], &[]),
    ("gateway", &["base", "dialects", "models", "pricing", "privacy"], &[]),
    ("privacy", &[], &[]),
    // What functions put away, its tests look up where it lies.
    ("worker", &["base", "spec", "engine", "sandbox", "gateway", "models", "pricing"], &["store"]),
    (
        "site",
        &[
            "base",
            "wire",
            "spec",
            "expr",
            "store",
            "engine",
            "sandbox",
            "secrets",
            "gateway",
            "worker",
            "identity",
            "inference",
            "link",
            "server",
            "models",
            "pricing",
            "privacy",
        ],
        &["store-sqlite"],
    ),
    (
        "cli",
        &[
            "base",
            "wire",
            "expr",
            "spec",
            "store",
            "store-sqlite",
            "engine",
            "inference",
            "sandbox",
            "secrets",
            "gateway",
            "worker",
            "server",
            "hub",
            "identity",
            "site",
            "models",
            "pricing",
        ],
        &["power"],
    ),
    // Neither of the two may use the other; here they meet.
    (
        "federation",
        &[],
        &[
            "base",
            "gateway",
            "hub",
            "identity",
            "link",
            "server",
            "site",
            "spec",
            "store",
            "store-sqlite",
            "wire",
        ],
    ),
    // The tools only look: at the shipped workflows, with the real reader.
    ("xtask", &[], &["base", "spec", "worker"]),
];

fn room(package: &str) -> &str {
    package.strip_prefix("isonomy-").unwrap_or(package)
}

fn offences<'a>(packages: impl Iterator<Item = &'a Package>) -> Vec<String> {
    let packages: Vec<&Package> = packages.collect();
    let rooms: Vec<&str> = packages.iter().map(|package| room(&package.name)).collect();
    let mut found = Vec::new();
    for package in packages {
        let name = room(&package.name);
        let Some((_, built_from, tested_with)) = ALLOWED.iter().find(|row| row.0 == name) else {
            found.push(format!("`{name}` is a room that the list does not know"));
            continue;
        };
        for (asked, kind) in &package.asks {
            let asked = room(asked);
            let allowed = built_from.contains(&asked)
                || (*kind == Kind::Dev && (tested_with.contains(&asked) || asked == name));
            if rooms.contains(&asked) && !allowed {
                found.push(format!("`{name}` uses `{asked}` ({kind:?})"));
            }
        }
    }
    found
}

/// Mutation: add `site.workspace = true` to the dependencies of any room below it.
#[test]
fn rooms_use_only_the_rooms_that_the_list_allows() {
    let metadata = Metadata::read().expect("the workspace can be read");
    none(
        &offences(metadata.ours()),
        "hand the thing in as an argument, or move it down; a new edge needs a reason in docs/adr",
    );
}

/// Mutation: take the edges of tests for edges of the room.
#[test]
fn the_list_knows_every_room_once_and_names_only_rooms() {
    let metadata = Metadata::read().expect("the workspace can be read");
    let mut rooms: Vec<&str> = metadata.ours().map(|package| room(&package.name)).collect();
    let mut listed: Vec<&str> = ALLOWED.iter().map(|row| row.0).collect();
    rooms.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, rooms);
    for (name, built_from, tested_with) in ALLOWED {
        for other in built_from.iter().chain(tested_with) {
            assert!(rooms.contains(other), "`{name}` may use `{other}`, which is no room");
        }
    }
}
