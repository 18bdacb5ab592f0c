//! The log that `record.c` writes.

use bytes::{Buf as _, Bytes};

/// The number by which the system knows a file, until it is removed and the number given to another.
pub(crate) type Inode = u64;

#[derive(Debug, Clone)]
pub enum Entry {
    Created {
        inode: Inode,
        path: String,
    },
    /// A folder, so that its inode is known when it is synced.
    FolderOpened {
        inode: Inode,
        path: String,
    },
    FolderMade {
        path: String,
    },
    Written {
        inode: Inode,
        at: u64,
        bytes: Bytes,
    },
    Sized {
        inode: Inode,
        length: u64,
    },
    Synced {
        inode: Inode,
    },
    Renamed {
        from: String,
        to: String,
    },
    Removed {
        path: String,
    },
    /// On the program's standard output, or heard by a client: from then on others may rely on it.
    Said {
        text: Bytes,
    },
}

/// The recorder and this reader do not agree.
#[derive(Debug)]
pub struct LogError {
    pub offset: usize,
}

/// A log whose program was killed may end within an entry, which did not happen then.
pub(crate) fn parse(log: &Bytes) -> Result<Vec<Entry>, LogError> {
    let mut rest = log.clone();
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let offset = log.len() - rest.len();
        match entry(&mut rest) {
            Ok(Some(entry)) => entries.push(entry),
            Ok(None) => break,
            Err(UnknownKind) => return Err(LogError { offset }),
        }
    }
    Ok(entries)
}

/// An entry of [`Entry::Said`], as `record.c` would write it.
pub(crate) fn said(text: &str) -> Vec<u8> {
    let length = (text.len() as u64).to_ne_bytes();
    [b"s", &length[..], text.as_bytes()].concat()
}

struct UnknownKind;

fn entry(rest: &mut Bytes) -> Result<Option<Entry>, UnknownKind> {
    let kind = rest.get_u8();
    let read = match kind {
        b'c' => (|| Some(Entry::Created { inode: number(rest)?, path: text(rest)? }))(),
        b'o' => (|| Some(Entry::FolderOpened { inode: number(rest)?, path: text(rest)? }))(),
        b'm' => text(rest).map(|path| Entry::FolderMade { path }),
        b'w' => (|| {
            let (inode, at) = (number(rest)?, number(rest)?);
            Some(Entry::Written { inode, at, bytes: bytes(rest)? })
        })(),
        b't' => (|| Some(Entry::Sized { inode: number(rest)?, length: number(rest)? }))(),
        b'f' => number(rest).map(|inode| Entry::Synced { inode }),
        b'r' => (|| Some(Entry::Renamed { from: text(rest)?, to: text(rest)? }))(),
        b'u' => text(rest).map(|path| Entry::Removed { path }),
        b's' => bytes(rest).map(|text| Entry::Said { text }),
        _ => return Err(UnknownKind),
    };
    Ok(read)
}

fn number(rest: &mut Bytes) -> Option<u64> {
    rest.try_get_u64_ne().ok()
}

fn bytes(rest: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(number(rest)?).ok()?;
    (rest.len() >= length).then(|| rest.split_to(length))
}

fn text(rest: &mut Bytes) -> Option<String> {
    String::from_utf8(bytes(rest)?.to_vec()).ok()
}
