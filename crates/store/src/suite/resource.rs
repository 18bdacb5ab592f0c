//! Resources.

use bytes::Bytes;

use super::put;
use crate::{Op, ResourceKind, ResourceRow, Store};

#[must_use]
pub fn resource(kind: ResourceKind, name: &str, record: &'static str) -> ResourceRow {
    ResourceRow { kind, name: name.to_owned(), record: Bytes::from_static(record.as_bytes()) }
}

/// Mutation: keep the first, share a name between kinds, or leave a deleted one.
pub async fn a_resource_is_replaced_and_deleted_within_its_kind(store: &dyn Store) {
    let get =
        async |kind, name: &str| store.resource_get(kind, name.to_owned()).await.expect("reads");
    let (one, two) = (ResourceKind::Key, ResourceKind::Placement);
    assert_eq!(get(one, "a").await, None);
    put(store, vec![Op::ResourcePut(resource(one, "a", "1"))]).await;
    let ops = [resource(one, "a", "2"), resource(two, "a", "3")].map(Op::ResourcePut);
    put(store, ops.to_vec()).await;
    assert_eq!(get(one, "a").await, Some(resource(one, "a", "2")));
    assert_eq!(get(two, "a").await, Some(resource(two, "a", "3")));
    let delete = Op::ResourceDelete { kind: one, name: "a".to_owned() };
    put(store, vec![delete.clone(), delete]).await;
    assert_eq!(get(one, "a").await, None);
    assert_eq!(get(two, "a").await, Some(resource(two, "a", "3")));
}

/// Mutation: list in the order of arrival, from the name on instead of behind it, or of every kind.
pub async fn resources_are_listed_by_name_and_in_pages(store: &dyn Store) {
    let kind = ResourceKind::Key;
    let other = Op::ResourcePut(resource(ResourceKind::Placement, "aa", "x"));
    let ops = ["b", "c", "a"].map(|name| Op::ResourcePut(resource(kind, name, "x")));
    put(store, [ops.to_vec(), vec![other]].concat()).await;
    let names = async |after: Option<&str>, limit| {
        let found = store.resource_list(kind, after.map(str::to_owned), limit).await;
        found.expect("reads").into_iter().map(|row| row.name).collect::<Vec<_>>()
    };
    assert_eq!(names(None, 9).await, ["a", "b", "c"]);
    assert_eq!(names(None, 2).await, ["a", "b"]);
    assert_eq!(names(Some("a"), 9).await, ["b", "c"]);
    assert_eq!(names(Some("c"), 9).await, [""; 0]);
}

/// Mutation: give two kinds one number.
pub async fn kinds_do_not_mix(store: &dyn Store) {
    let of = |kind: ResourceKind| ResourceRow {
        record: Bytes::from(format!("{kind:?}")),
        ..resource(kind, "a", "")
    };
    put(store, ResourceKind::ALL.map(of).map(Op::ResourcePut).to_vec()).await;
    for kind in ResourceKind::ALL {
        assert_eq!(store.resource_list(kind, None, 9).await.expect("reads"), [of(kind)]);
    }
}
