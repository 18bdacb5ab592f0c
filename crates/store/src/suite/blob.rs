//! Blobs: content by its digest.

use base::Digest;
use base::limits::BLOB_ROW_BYTES_MAX;
use bytes::Bytes;

use super::{commit, put};
use crate::{BlobRef, CommitError, Op, Store};

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

/// Mutation: take any offset for the beginning, give bytes beyond the part, or fail at the end.
pub async fn a_part_of_a_blob_is_what_lies_there(store: &dyn Store) {
    for size in [BLOB_ROW_BYTES_MAX, 2 * BLOB_ROW_BYTES_MAX] {
        let bytes: Bytes = (0..size).map(|at| (at % 251) as u8).collect();
        put(store, vec![blob(&bytes)]).await;
        let (id, end) = (Digest::of(&bytes), size as u64);
        for (offset, length) in
            [(0, 10), (end - 7, 7), (end - 7, 100), (end, 5), (end + 9, 1), (500, end)]
        {
            let found =
                store.blob_read(id, offset, length).await.expect("reads").expect("is there");
            let from = offset.min(end);
            let expected = bytes.slice(from as usize..(from + length).min(end) as usize);
            assert!(found == expected, "{length} bytes from {offset} of {size}");
        }
    }
    assert_eq!(store.blob_read(Digest::of(b"hub"), 0, 1).await.expect("reads"), None);
}

/// Mutation: name the content by its last piece, or make it a blob before a commit says so.
pub async fn content_that_comes_in_pieces_is_a_blob_when_a_commit_keeps_it(store: &dyn Store) {
    let mut writing = store.blob_begin().expect("begins");
    for piece in [&b"one "[..], b"", b"law"] {
        writing.write(piece).expect("writes");
    }
    let BlobRef { blob, bytes } = writing.finish().expect("is written");
    assert_eq!((blob, bytes), (Digest::of(b"one law"), 7));
    assert_eq!(store.blob_get(blob).await.expect("reads"), None);
    for wrong in [Op::BlobKeep { blob, size: 8 }, Op::BlobKeep { blob: Digest::of(b"x"), size: 1 }]
    {
        let Op::BlobKeep { blob: missing, .. } = wrong else { unreachable!("made here") };
        let refused = commit(store, vec![wrong]).await;
        assert_eq!(refused, Err(CommitError::BlobMissing(missing)));
    }
    put(store, vec![Op::BlobKeep { blob, size: 7 }]).await;
    let again = Bytes::from_static(b"one law");
    put(store, vec![Op::BlobKeep { blob, size: 7 }, Op::BlobPut { blob, bytes: again }]).await;
    assert_eq!(store.blob_get(blob).await.expect("reads"), Some(Bytes::from_static(b"one law")));
    let part = store.blob_read(blob, 4, 2).await.expect("reads");
    assert_eq!(part, Some(Bytes::from_static(b"la")));
}

/// Mutation: refuse to keep what is a row already.
pub async fn content_that_is_a_blob_already_can_be_kept(store: &dyn Store) {
    let law = Bytes::from_static(b"law");
    put(store, vec![blob(&law)]).await;
    put(store, vec![Op::BlobKeep { blob: Digest::of(b"law"), size: 3 }]).await;
    assert_eq!(store.blob_get(Digest::of(b"law")).await.expect("reads"), Some(law));
}
