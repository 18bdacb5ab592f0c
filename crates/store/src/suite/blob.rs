//! Blobs: content by its digest.

use base::Digest;
use base::limits::BLOB_ROW_BYTES_MAX;
use bytes::Bytes;

use super::{commit, put};
use crate::{CommitError, Op, Store};

fn blob(bytes: &Bytes) -> Op {
    Op::BlobPut { blob: Digest::of(bytes), bytes: bytes.clone() }
}

/// Mutation: answer `None`, or the bytes of another blob.
pub async fn a_blob_comes_back_by_its_digest(store: &dyn Store) {
    let (law, site) = (Bytes::from_static(b"law"), Bytes::from_static(b"site"));
    put(store, vec![blob(&law), blob(&site), blob(&Bytes::new())]).await;
    assert_eq!(store.blob_get(Digest::of(b"law")).await.expect("reads"), Some(law));
    assert_eq!(store.blob_get(Digest::of(b"site")).await.expect("reads"), Some(site));
    assert_eq!(store.blob_get(Digest::of(b"")).await.expect("reads"), Some(Bytes::new()));
    assert_eq!(store.blob_get(Digest::of(b"hub")).await.expect("reads"), None);
}

/// Mutation: refuse a digest that is there already.
pub async fn a_blob_put_twice_is_kept_once(store: &dyn Store) {
    let law = Bytes::from_static(b"law");
    put(store, vec![blob(&law), blob(&law)]).await;
    put(store, vec![blob(&law)]).await;
    assert_eq!(store.blob_get(Digest::of(b"law")).await.expect("reads"), Some(law));
}

/// Mutation: take the caller's word for the digest.
pub async fn a_blob_under_a_wrong_name_is_refused(store: &dyn Store) {
    for bytes in [Bytes::from_static(b"site"), Bytes::from(vec![7; BLOB_ROW_BYTES_MAX + 1])] {
        let wrong = Op::BlobPut { blob: Digest::of(b"law"), bytes };
        let refused = commit(store, vec![blob(&Bytes::from_static(b"hub")), wrong]).await;
        assert_eq!(refused, Err(CommitError::BlobDiffers(Digest::of(b"law"))));
    }
    assert_eq!(store.blob_get(Digest::of(b"law")).await.expect("reads"), None);
    assert_eq!(store.blob_get(Digest::of(b"hub")).await.expect("reads"), None);
}

/// Mutation: cut at, or refuse beyond, the size of a row.
pub async fn a_large_blob_comes_back_whole(store: &dyn Store) {
    for size in [BLOB_ROW_BYTES_MAX, BLOB_ROW_BYTES_MAX + 1, 3 * BLOB_ROW_BYTES_MAX] {
        let bytes: Bytes = (0..size).map(|at| (at % 251) as u8).collect();
        put(store, vec![blob(&bytes)]).await;
        put(store, vec![blob(&bytes), blob(&bytes)]).await;
        let found = store.blob_get(Digest::of(&bytes)).await.expect("reads");
        assert!(found == Some(bytes), "{size} bytes come back as they were");
    }
}
