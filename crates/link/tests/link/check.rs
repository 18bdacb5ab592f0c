//! What must be true of any history, however it was made.

use std::collections::{BTreeMap, BTreeSet};

/// An entry of a site, by what it is, and its bytes.
pub type Entry = (String, Vec<u8>);

/// What was made at one site, in order, and what the hub has of it, in the order in which it came.
#[derive(Debug, Default)]
pub struct Account {
    pub site: String,
    pub made: Vec<Entry>,
    pub taken: Vec<Entry>,
}

/// Everything that is wrong.
pub fn check(account: &Account) -> Vec<String> {
    let mut found = Vec::new();
    let place: BTreeMap<&str, (usize, &[u8])> = account
        .made
        .iter()
        .enumerate()
        .map(|(place, (key, bytes))| (key.as_str(), (place, bytes.as_slice())))
        .collect();
    let (mut seen, mut last) = (BTreeSet::new(), None);
    for (key, bytes) in &account.taken {
        match place.get(key.as_str()) {
            None => {
                found.push(format!("{}: the hub has {key}, which was never made", account.site))
            }
            Some((at, made)) => {
                if *made != bytes.as_slice() {
                    found.push(format!("{}: {key} has other bytes at the hub", account.site));
                }
                if last.is_some_and(|last| *at < last) {
                    found.push(format!("{}: {key} came out of order", account.site));
                }
                last = Some(*at);
            }
        }
        if !seen.insert(key.as_str()) {
            found.push(format!("{}: the hub has {key} twice", account.site));
        }
    }
    for (key, _) in &account.made {
        if !seen.contains(key.as_str()) {
            found.push(format!("{}: {key} is lost", account.site));
        }
    }
    found
}

/// Mutation: look at one side only, or not at the order.
#[test]
fn the_checker_finds_what_is_lost_doubled_invented_and_out_of_order() {
    let entry = |key: &str| (key.to_owned(), key.as_bytes().to_vec());
    let account = |taken: &[&str]| Account {
        site: "a".to_owned(),
        made: ["1", "2", "3"].map(entry).to_vec(),
        taken: taken.iter().map(|key| entry(key)).collect(),
    };
    assert!(check(&account(&["1", "2", "3"])).is_empty());
    let found = |taken: &[&str]| check(&account(taken)).join("; ");
    assert_eq!(found(&["1", "3"]), "a: 2 is lost");
    assert_eq!(found(&["1", "2", "2", "3"]), "a: the hub has 2 twice");
    assert_eq!(found(&["2", "1", "3"]), "a: 1 came out of order");
    assert_eq!(found(&["1", "2", "3", "4"]), "a: the hub has 4, which was never made");
    let mut other = account(&["1", "2", "3"]);
    other.taken[1].1 = b"x".to_vec();
    assert_eq!(check(&other).join("; "), "a: 2 has other bytes at the hub");
}
