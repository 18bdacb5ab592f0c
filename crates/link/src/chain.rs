//! The chain of a stream: one digest says what everything before was.

use base::{Digest, IncarnationId};
use wire::link::{Head, Stream};

/// The head behind `position`, where an incarnation begins: nothing of what was before is in it.
#[must_use]
pub fn begin(incarnation: IncarnationId, stream: Stream, position: u64) -> Head {
    let mut hasher = blake3::Hasher::new_derive_key("isonomy stream v1");
    hasher.update(incarnation.as_uuid().as_bytes());
    hasher.update(stream.name().as_bytes());
    hasher.update(&[0]);
    hasher.update(&position.to_be_bytes());
    Head { position, digest: Digest::from_bytes(*hasher.finalize().as_bytes()) }
}

/// The head behind one more entry.
#[must_use]
pub fn extend(head: Head, entry: &[u8]) -> Head {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head.digest.as_bytes());
    hasher.update(entry);
    let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
    Head { position: head.position + 1, digest }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: leave the position, the incarnation or the stream out of the beginning, or the head
    /// before out of an entry's.
    #[test]
    fn a_head_says_all_that_was_before() {
        let of = |n| IncarnationId::from_uuid(uuid::Uuid::from_u128(n));
        let first = begin(of(1), Stream::Outcome, 0);
        let others = [
            begin(of(2), Stream::Outcome, 0),
            begin(of(1), Stream::Receipt, 0),
            begin(of(1), Stream::Outcome, 1),
        ];
        for other in others {
            assert_ne!(other.digest, first.digest);
            assert_ne!(extend(other, b"a").digest, extend(first, b"a").digest);
        }
        let (ab, ba) = (extend(extend(first, b"a"), b"b"), extend(extend(first, b"b"), b"a"));
        assert_eq!(ab.position, 2);
        assert_ne!(ab.digest, ba.digest);
    }
}
