//! What must stay out: of the inner rooms everything that listens, connects, encrypts or stores;
//! of the whole workspace a second TLS and second C libraries.

use std::collections::BTreeSet;

use xtask::metadata::Metadata;

use crate::none;

/// The rooms that are pure, or close to it.
const INNER: [&str; 7] = [
    "isonomy-base",
    "isonomy-wire",
    "isonomy-expr",
    "isonomy-inference",
    "isonomy-spec",
    "isonomy-store",
    "isonomy-engine",
];

const HEAVY: [&str; 12] = [
    "axum",
    "cedar-policy",
    "h2",
    "hyper",
    "hyper-util",
    "libsqlite3-sys",
    "reqwest",
    "ring",
    "rusqlite",
    "rustls",
    "tonic",
    "tower-http",
];

/// Nowhere, not even in tests: `ring` is our one cryptography in C, SQLite our one database.
const NOWHERE: [&str; 7] =
    ["aws-lc-rs", "aws-lc-sys", "aws-lc-fips-sys", "openssl", "openssl-sys", "native-tls", "sqlx"];

fn shared<'a>(needs: &BTreeSet<&'a str>, forbidden: &[&str]) -> Vec<&'a str> {
    needs.iter().filter(|name| forbidden.contains(name)).copied().collect()
}

/// Mutation: add `reqwest.workspace = true` to `base`.
#[test]
fn inner_rooms_need_no_network_no_database_and_no_cryptography_in_c() {
    let metadata = Metadata::read().expect("the workspace can be read");
    let mut found = Vec::new();
    for package in metadata.ours().filter(|it| INNER.contains(&it.name.as_str())) {
        for heavy in shared(&metadata.needs(package), &HEAVY) {
            found.push(format!("`{}` needs `{heavy}`", package.name));
        }
    }
    none(&found, "`cargo tree -p ROOM -i CRATE` shows the way it comes in");
}

/// Mutation: turn on the default features of `reqwest`.
#[test]
fn some_packages_are_nowhere_in_the_lock_file() {
    let metadata = Metadata::read().expect("the workspace can be read");
    let all = metadata.packages().map(|package| package.name.as_str()).collect();
    let found: Vec<String> = shared(&all, &NOWHERE).into_iter().map(str::to_owned).collect();
    none(&found, "they come with default features: turn those off where `cargo tree -i` points");
}

/// Mutation: look only at what a room names itself.
#[test]
fn the_site_is_seen_to_need_what_the_inner_rooms_must_not() {
    let metadata = Metadata::read().expect("the workspace can be read");
    let cli = metadata.ours().find(|it| it.name == "isonomy-cli").expect("there is a binary");
    let needs = metadata.needs(cli);
    for heavy in ["ring", "libsqlite3-sys", "hyper"] {
        assert!(needs.contains(heavy), "`{heavy}` is not found, so its absence says nothing");
    }
}
