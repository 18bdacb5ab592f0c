//! Workflows and their revisions.

use base::{Digest, Namespace};
use bytes::Bytes;

use super::{at, commit, key, put};
use crate::{CommitError, Op, RevisionRow, Store, WorkflowRow};

fn revision(name: &str, version: &str) -> RevisionRow {
    RevisionRow {
        key: key(name),
        revision: Digest::of(format!("{name} {version}").as_bytes()),
        version: version.to_owned(),
        created_at: at(1),
        text: Bytes::from(format!("text of {name} {version}")),
        resolved: Bytes::from(format!("resolved of {name} {version}")),
    }
}

fn head(name: &str, version: &str) -> WorkflowRow {
    let RevisionRow { key, revision, version, .. } = revision(name, version);
    WorkflowRow { key, revision, version, updated_at: at(2), deleted_at: None }
}

/// Mutation: replace the text, or find a revision under another workflow.
pub async fn a_revision_never_changes(store: &dyn Store) {
    let first = revision("lab/intake", "1.0.0");
    put(store, vec![Op::RevisionPut(first.clone()), Op::RevisionPut(first.clone())]).await;
    let late = RevisionRow { created_at: at(9), ..first.clone() };
    put(store, vec![Op::RevisionPut(late)]).await;
    let found = store.revision_get(key("lab/intake"), first.revision).await.expect("reads");
    assert_eq!(found, Some(first.clone()));
    let other = store.revision_get(key("lab/press"), first.revision).await.expect("reads");
    assert_eq!(other, None);
    let unknown = store.revision_get(key("lab/intake"), Digest::of(b"")).await.expect("reads");
    assert_eq!(unknown, None);
}

/// Mutation: order by digest or version, list another workflow's, or ignore the limit.
pub async fn revisions_are_listed_newest_first(store: &dyn Store) {
    for version in ["1.0.0", "0.9.0", "1.1.0"] {
        put(store, vec![Op::RevisionPut(revision("lab/intake", version))]).await;
        put(store, vec![Op::RevisionPut(revision("plant/intake", version))]).await;
    }
    // Putting an old one again does not make it new.
    put(store, vec![Op::RevisionPut(revision("lab/intake", "1.0.0"))]).await;
    let listed = store.revision_list(key("lab/intake"), 9).await.expect("reads");
    let newest_first = ["1.1.0", "0.9.0", "1.0.0"].map(|version| revision("lab/intake", version));
    assert_eq!(listed, newest_first);
    let two = store.revision_list(key("lab/intake"), 2).await.expect("reads");
    assert_eq!(two, newest_first[..2]);
    assert_eq!(store.revision_list(key("lab/none"), 9).await.expect("reads"), []);
}

/// Mutation: remove the row or the revisions, list the tombstone, or keep it after a put.
pub async fn a_deleted_workflow_is_a_tombstone_until_applied_again(store: &dyn Store) {
    let intake = head("lab/intake", "1.0.0");
    let delete = || vec![Op::WorkflowDelete { key: key("lab/intake"), at: at(5) }];
    let missing = Err(CommitError::WorkflowMissing(key("lab/intake")));
    assert_eq!(commit(store, delete()).await, missing);
    let put_both =
        vec![Op::RevisionPut(revision("lab/intake", "1.0.0")), Op::WorkflowPut(intake.clone())];
    put(store, put_both).await;

    put(store, delete()).await;
    let tombstone = WorkflowRow { deleted_at: Some(at(5)), ..intake.clone() };
    let found = store.workflow_get(key("lab/intake")).await.expect("reads");
    assert_eq!(found, Some(tombstone.clone()));
    assert_eq!(store.workflow_list(None, None, 9).await.expect("reads"), []);
    let kept = store.revision_get(key("lab/intake"), intake.revision).await.expect("reads");
    assert!(kept.is_some(), "runs that are pinned to the revision still need it");
    assert_eq!(commit(store, delete()).await, missing);

    // A commit that deletes what it has put, and once more.
    let mut twice = vec![Op::WorkflowPut(intake.clone())];
    twice.extend([delete(), delete()].concat());
    assert_eq!(commit(store, twice).await, missing);

    put(store, vec![Op::WorkflowPut(tombstone)]).await;
    let found = store.workflow_get(key("lab/intake")).await.expect("reads");
    assert_eq!(found, Some(intake.clone()));
    assert_eq!(store.workflow_list(None, None, 9).await.expect("reads"), [intake]);
}

/// Mutation: compare names only, ignore the namespace, or repeat the cursor's workflow.
pub async fn workflows_are_listed_by_key_and_in_pages(store: &dyn Store) {
    for name in ["plant/a", "lab/c", "lab/a", "plant/b", "lab/b", "Lab/z"] {
        put(store, vec![Op::WorkflowPut(head(name, "1.0.0"))]).await;
    }
    put(store, vec![Op::WorkflowPut(head("lab/c", "1.1.0"))]).await;
    put(store, vec![Op::WorkflowDelete { key: key("lab/b"), at: at(5) }]).await;
    let lab = Namespace::parse("lab").expect("a namespace");
    let cases = [
        (None, None, 9, vec!["Lab/z", "lab/a", "lab/c", "plant/a", "plant/b"]),
        (None, None, 2, vec!["Lab/z", "lab/a"]),
        (None, Some("lab/a"), 2, vec!["lab/c", "plant/a"]),
        (None, Some("lab/b"), 2, vec!["lab/c", "plant/a"]),
        (Some(lab.clone()), None, 9, vec!["lab/a", "lab/c"]),
        (Some(lab.clone()), Some("lab/a"), 9, vec!["lab/c"]),
        (Some(lab), Some("lab/c"), 9, vec![]),
    ];
    for (namespace, after, limit, expected) in cases {
        let listed = store.workflow_list(namespace, after.map(key), limit).await.expect("reads");
        let names: Vec<_> = listed.iter().map(|row| row.key.to_string()).collect();
        assert_eq!(names, expected, "after {after:?}, {limit} rows");
    }
    let changed = store.workflow_get(key("lab/c")).await.expect("reads");
    assert_eq!(changed, Some(head("lab/c", "1.1.0")));
    assert_eq!(store.workflow_get(key("lab/none")).await.expect("reads"), None);
}
