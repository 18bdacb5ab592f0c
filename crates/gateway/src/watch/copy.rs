//! Copies of what passes, within bounds: of one question or answer, and of all that are kept at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use models::Unseen;

/// Of one question or one answer. A conversation with some images in it, or the stream of a long answer.
pub(super) const COPY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Of all copies at once: what passes beyond that passes unseen.
pub(super) const COPIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What all copies may take together.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<AtomicUsize>);

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What has passed so far; nothing of it any more where it became too much.
#[derive(Debug)]
pub(super) struct Copy {
    room: Room,
    bytes: Vec<u8>,
    /// How much room that has.
    taken: usize,
    unseen: Option<Unseen>,
}

impl Copy {
    pub(super) fn new(room: &Room) -> Self {
        Self { room: room.clone(), bytes: Vec::new(), taken: 0, unseen: None }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        if self.unseen.is_some() {
            return;
        }
        let wanted = self.bytes.len() + piece.len();
        if wanted > COPY_BYTES_MAX {
            return self.stop(Unseen::TooLarge);
        }
        if wanted > self.taken {
            // So that a stream of small pieces is not moved for each of them.
            let grown = wanted.next_power_of_two().min(COPY_BYTES_MAX);
            if !self.room.take(grown - self.taken) {
                return self.stop(Unseen::Full);
            }
            self.taken = grown;
            self.bytes.reserve_exact(grown - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
    }

    /// Half of something says nothing, and takes room.
    fn stop(&mut self, why: Unseen) {
        self.unseen = Some(why);
        self.bytes = Vec::new();
        self.room.give_back(std::mem::take(&mut self.taken));
    }

    pub(super) fn bytes(&self) -> Result<&[u8], Unseen> {
        match self.unseen {
            None => Ok(&self.bytes),
            Some(why) => Err(why),
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.room.give_back(self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: give room back twice, or never, or keep more than there is room for.
    #[test]
    fn copies_stay_within_their_room() {
        let room = Room::new(10_000);
        let left = || room.0.load(Ordering::Relaxed);
        let mut one = Copy::new(&room);
        let text = [b'x'; 3_000];
        one.push(&text);
        one.push(b"y");
        assert_eq!(one.bytes().expect("there is room").len(), 3_001);
        let mut other = Copy::new(&room);
        other.push(&[b'x'; 4_000]);
        assert_eq!(left(), 10_000 - 4_096 - 4_096);
        one.push(&text);
        assert_eq!(one.bytes(), Err(Unseen::Full));
        one.push(b"z");
        assert_eq!((one.bytes(), left()), (Err(Unseen::Full), 10_000 - 4_096));
        drop(one);
        drop(other);
        assert_eq!(left(), 10_000);
    }

    /// Mutation: keep the half of what is too large.
    #[test]
    fn what_is_too_large_is_not_kept() {
        let room = Room::new(COPIES_BYTES_MAX);
        let mut copy = Copy::new(&room);
        copy.push(&vec![0; COPY_BYTES_MAX]);
        assert!(copy.bytes().is_ok());
        copy.push(&[0]);
        assert_eq!(copy.bytes(), Err(Unseen::TooLarge));
        assert_eq!(room.0.load(Ordering::Relaxed), COPIES_BYTES_MAX);
    }
}
