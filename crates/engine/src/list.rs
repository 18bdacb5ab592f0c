//! Lists that are too large to be values: each lies in a blob and is read in pieces.
//!
//! ```text
//!   blob    [ item , item , item , item , … item ]
//!             └─ piece ───┘ └─ piece ───┘        └─ a piece ends with the separator behind its last item
//! ```
//!
//! In expressions a list is a [reference](List::reference), a small object. What a run knows of its
//! lists is in `machine`; here are the words, the text, and the way to the store. Why: ADR 9.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use base::limits::{LIST_BYTES_MAX, VALUE_DEPTH_MAX};
use base::value::{ValueError, as_i64, as_object, as_str, get, int, object, parse, string};
use base::{ErrorType, Fault, Value};
use serde::{Deserialize, Serialize};
use store::{BlobId, BlobRef, BlobWrite, CommitError, Store, StoreError};

/// JSON text of a list up to this size stays a value. A loop over less costs little memory, and a
/// piece of its own would cost a record.
pub const LIST_HELD_BYTES_MIN: usize = 64 * 1024;

/// What is read of a list at once: some thousand items, a few milliseconds of work for each record.
pub const PIECE_BYTES: u64 = 256 * 1024;

/// What a writer gathers before it writes.
const GATHERED_BYTES: usize = 64 * 1024;

/// Number of a read within its run, in the order of asking. The first is 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct ReadNo(pub u64);

/// A list that lies in a blob: the JSON text of one array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct List {
    pub blob: BlobId,
    pub bytes: u64,
    pub items: u64,
}

/// Some items of a list, by where their text lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Piece {
    pub blob: BlobId,
    pub offset: u64,
    pub bytes: u64,
    pub items: u64,
}

/// Why a blob that a run needs cannot be read. The run stands still until it can.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BlobError {
    #[error("blob {0} is missing; bring it back from a backup, then resume the run")]
    Missing(BlobId),
    #[error("{cause}; then resume the run")]
    Unreadable { cause: StoreError },
    #[error("blob {blob} is not a list at byte {offset}")]
    NotAList { blob: BlobId, offset: u64 },
    #[error("blob {blob} holds what is not a value: {cause}")]
    Damaged { blob: BlobId, cause: ValueError },
}

impl List {
    /// Where the text of its first item begins.
    pub const FIRST: u64 = 1;

    /// What expressions see in the list's place.
    #[must_use]
    pub fn reference(&self) -> Value {
        let number = |number: u64| int(i64::try_from(number).unwrap_or(i64::MAX));
        object([
            ("list", string(&self.blob.to_string())),
            ("items", number(self.items)),
            ("bytes", number(self.bytes)),
        ])
    }

    /// The list that a value refers to, if it is a reference at all.
    #[must_use]
    pub fn of_reference(value: &Value) -> Option<Self> {
        let number = |name| as_i64(get(value, name)?).and_then(|it| u64::try_from(it).ok());
        let (items, bytes) = (number("items")?, number("bytes")?);
        let blob = as_str(get(value, "list")?)?.parse().ok()?;
        (as_object(value)?.len() == 3).then_some(Self { blob, bytes, items })
    }

    /// The list that a text is, if it is the text of an array. Says what is wrong with its items.
    fn of_text(text: &[u8]) -> Option<Result<u64, ValueError>> {
        let inside = text.strip_prefix(b"[")?;
        let cut = cut(inside)?;
        if !cut.is_last || cut.bytes as usize != inside.len() {
            return None;
        }
        // The list itself is a level.
        let deep = cut.depth + 1 > VALUE_DEPTH_MAX;
        Some(if deep { Err(ValueError::Depth) } else { Ok(cut.items) })
    }
}

impl Piece {
    /// Where the next piece begins.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + self.bytes
    }
}

/// Whole items at the beginning of a text.
struct Cut {
    /// With the separator behind the last of them.
    bytes: u64,
    items: u64,
    depth: usize,
    /// The list ends behind them.
    is_last: bool,
}

/// Cuts as many whole items as there are. `None` where not even one is complete.
fn cut(text: &[u8]) -> Option<Cut> {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    let (mut items, mut is_begun) = (0, false);
    let mut found = None;
    let walked = text.iter().enumerate().try_for_each(|(at, byte)| {
        let bytes = at as u64 + 1;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' if depth == 0 => {
                let items = items + u64::from(is_begun);
                return ControlFlow::Break(Cut { bytes, items, depth: deepest, is_last: true });
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                items += 1;
                found = Some(Cut { bytes, items, depth: deepest, is_last: false });
            }
            _ => {}
        }
        is_begun |= !byte.is_ascii_whitespace();
        ControlFlow::Continue(())
    });
    walked.break_value().or(found)
}

/// The items of a piece's text.
fn items_of(text: &[u8]) -> Result<Vec<Value>, ValueError> {
    let inside = text.split_last().map_or(text, |(_separator, inside)| inside);
    match parse(&[b"[", inside, b"]"].concat())? {
        Value::Arr(items) => Ok(Arc::unwrap_or_clone(items)),
        _ => unreachable!("what stands in brackets is an array"),
    }
}

/// The next piece of a list.
pub async fn read_next(
    store: &dyn Store,
    blob: BlobId,
    offset: u64,
) -> Result<(Piece, Arc<Vec<Value>>), BlobError> {
    let mut wanted = PIECE_BYTES;
    loop {
        let text = store.blob_read(blob, offset, wanted).await;
        let text = text.map_err(|cause| BlobError::Unreadable { cause })?;
        let text = text.ok_or(BlobError::Missing(blob))?;
        if let Some(cut) = cut(&text) {
            let piece = Piece { blob, offset, bytes: cut.bytes, items: cut.items };
            return Ok((piece, items(piece, &text)?));
        }
        if (text.len() as u64) < wanted {
            return Err(BlobError::NotAList { blob, offset });
        }
        // An item that is larger than a piece.
        wanted = wanted.saturating_mul(4);
    }
}

/// A piece that was read before.
pub async fn read_again(store: &dyn Store, piece: Piece) -> Result<Arc<Vec<Value>>, BlobError> {
    let text = store.blob_read(piece.blob, piece.offset, piece.bytes).await;
    let text = text.map_err(|cause| BlobError::Unreadable { cause })?;
    items(piece, &text.ok_or(BlobError::Missing(piece.blob))?)
}

fn items(piece: Piece, text: &[u8]) -> Result<Arc<Vec<Value>>, BlobError> {
    let Piece { blob, offset, bytes, items } = piece;
    let text = usize::try_from(bytes).ok().and_then(|bytes| text.get(..bytes));
    let found = items_of(text.ok_or(BlobError::NotAList { blob, offset })?)
        .map_err(|cause| BlobError::Damaged { blob, cause })?;
    if found.len() as u64 != items {
        return Err(BlobError::NotAList { blob, offset });
    }
    Ok(Arc::new(found))
}

/// Why a text has not become what a run works with.
#[derive(Debug)]
pub(crate) enum Unread {
    Wrong(Fault),
    /// There is no room to put the list away now.
    Full,
}

/// What a text is to a run: a value, or a list that was put away. Blocks.
pub(crate) fn value_or_list(
    store: &dyn Store,
    text: &[u8],
) -> Result<(Value, Option<List>), Unread> {
    let list = (text.len() > LIST_HELD_BYTES_MIN).then(|| List::of_text(text)).flatten();
    let wrong =
        |wrong: ValueError| Unread::Wrong(Fault::new(ErrorType::Expression, wrong.to_string()));
    let Some(items) = list else { return Ok((parse(text).map_err(wrong)?, None)) };
    let items = items.map_err(wrong)?;
    let written = store.blob_begin().and_then(|mut writing| {
        writing.write(text)?;
        writing.finish()
    });
    let BlobRef { blob, bytes } = written.map_err(|cause| match cause {
        CommitError::Full => Unread::Full,
        cause => Unread::Wrong(unkept(&cause)),
    })?;
    let list = List { blob, bytes, items };
    Ok((list.reference(), Some(list)))
}

fn unkept(cause: &CommitError) -> Fault {
    Fault::new(ErrorType::Runtime, format!("the list cannot be kept: {cause}"))
}

/// Where a performer puts lists that are too large for a result.
#[derive(Clone, Default)]
pub struct Lists(Option<Arc<Kept>>);

struct Kept {
    store: Arc<dyn Store>,
    lists: Mutex<Vec<List>>,
}

impl std::fmt::Debug for Lists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lists(…)")
    }
}

impl Lists {
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(Some(Arc::new(Kept { store, lists: Mutex::default() })))
    }

    pub fn begin(&self) -> Result<ListWriter, Fault> {
        let nowhere = || Fault::new(ErrorType::Runtime, "there is no place for lists here");
        let kept = self.0.clone().ok_or_else(nowhere)?;
        let blob = kept.store.blob_begin().map_err(|cause| unkept(&cause))?;
        Ok(ListWriter { kept, blob, gathered: b"[".to_vec(), bytes: 0, items: 0 })
    }

    /// Those that were finished.
    #[must_use]
    pub fn take(&self) -> Vec<List> {
        let lists = self.0.as_ref().map(|kept| kept.lists.lock());
        lists.map_or_else(Vec::new, |lists| {
            std::mem::take(&mut *lists.unwrap_or_else(PoisonError::into_inner))
        })
    }
}

/// A list that is being written, item by item. Writing blocks. Dropped before its end, it leaves
/// nothing behind.
pub struct ListWriter {
    kept: Arc<Kept>,
    blob: Box<dyn BlobWrite>,
    gathered: Vec<u8>,
    /// Written already.
    bytes: u64,
    items: u64,
}

impl ListWriter {
    pub fn push(&mut self, item: &Value) -> Result<(), Fault> {
        if self.items > 0 {
            self.gathered.push(b',');
        }
        base::value::write_json(item, &mut self.gathered);
        self.items += 1;
        if self.gathered.len() >= GATHERED_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), Fault> {
        self.bytes += self.gathered.len() as u64;
        if self.bytes > LIST_BYTES_MAX {
            let what = format!(
                "the list is larger than {LIST_BYTES_MAX} bytes after {} items; cut it into several",
                self.items
            );
            return Err(Fault::new(ErrorType::Runtime, what)
                .with_status(413)
                .with_title("List too large"));
        }
        self.blob.write(&self.gathered).map_err(|cause| unkept(&cause))?;
        self.gathered.clear();
        Ok(())
    }

    /// The reference to what was written.
    pub fn finish(mut self) -> Result<Value, Fault> {
        self.gathered.push(b']');
        self.write()?;
        let BlobRef { blob, bytes } = self.blob.finish().map_err(|cause| unkept(&cause))?;
        let list = List { blob, bytes, items: self.items };
        self.kept.lists.lock().unwrap_or_else(PoisonError::into_inner).push(list);
        Ok(list.reference())
    }
}

#[cfg(test)]
mod tests {
    use base::value::{array, to_json, to_json_string};
    use base::{IncarnationId, SystemRandom};
    use futures::FutureExt;
    use store::memory::MemoryStore;
    use store::{Op, Preconditions};

    use super::*;

    fn store() -> Arc<dyn Store> {
        let now = base::Timestamp::from_millis(0);
        Arc::new(MemoryStore::new(IncarnationId::new(now, &SystemRandom)))
    }

    fn keep(store: &dyn Store, list: List) {
        let keep = Op::BlobKeep { blob: list.blob, size: list.bytes };
        let kept = store.commit(vec![keep], Preconditions::none()).now_or_never();
        kept.expect("memory does not wait").expect("it was written");
    }

    /// Every piece in turn, read again by its place as well.
    fn pieces(store: &dyn Store, list: List) -> Vec<Value> {
        let (mut offset, mut all) = (List::FIRST, Vec::new());
        while (all.len() as u64) < list.items {
            let read = read_next(store, list.blob, offset).now_or_never();
            let (piece, items) = read.expect("memory does not wait").expect("a piece");
            let again = read_again(store, piece).now_or_never().expect("memory does not wait");
            assert_eq!(again.expect("the same piece"), items);
            offset = piece.end();
            all.extend(items.iter().cloned());
        }
        assert_eq!(offset, list.bytes, "the last piece ends with the list");
        all
    }

    /// Mutation: end an item inside of a text, after an escaped quote, or at a bracket of its own.
    #[test]
    fn the_pieces_of_a_list_are_its_items() {
        let store = store();
        let odd =
            [r#""a,]\"[{\\""#, "[1,[2,{\"x\":\"},\"}]]", "{\"k]\":[]}", "-1.5e3", "null", "\"\""];
        let lists = Lists::new(store.clone());
        let mut writer = lists.begin().expect("begins");
        let mut items = Vec::new();
        for round in 0..30_000_usize {
            let mut item = parse(odd[round % odd.len()].as_bytes()).expect("a value");
            if round % 9_000 == 7 {
                // Larger than a piece.
                item = string(&"x,\"".repeat(PIECE_BYTES as usize / 2));
            }
            writer.push(&item).expect("writes");
            items.push(item);
        }
        let reference = writer.finish().expect("is written");
        let list = List::of_reference(&reference).expect("a reference");
        assert_eq!(lists.take(), [list]);
        keep(&*store, list);
        let whole = store.blob_get(list.blob).now_or_never().expect("no wait").expect("reads");
        assert_eq!(whole.expect("is kept"), to_json(&array(items.clone())));
        assert!(pieces(&*store, list) == items);
    }

    /// Mutation: take a long text or object for a list, or a short list for a held one.
    #[test]
    fn only_a_long_array_becomes_a_list() {
        let store = store();
        let long = "1,".repeat(LIST_HELD_BYTES_MIN);
        let of = |text: &str| value_or_list(&*store, text.as_bytes()).map(|(_, list)| list);
        let list = of(&format!("[{long}1]")).expect("a list").expect("held");
        assert_eq!(list.items, LIST_HELD_BYTES_MIN as u64 + 1);
        keep(&*store, list);
        assert_eq!(pieces(&*store, list).len() as u64, list.items);
        assert_eq!(of("[1,2]").expect("a value"), None);
        assert_eq!(of(&format!("{{\"a\":[{long}1]}}")).expect("a value"), None);
        assert_eq!(of(&format!("\"[{long}1]\"")).expect("a value"), None);
        let deep = format!("[{long}{}1{}]", "[".repeat(100), "]".repeat(100));
        let Err(Unread::Wrong(fault)) = of(&deep) else { panic!("too deep") };
        assert_eq!(fault.detail.as_deref(), Some("nested deeper than 100 levels"));
    }

    /// Mutation: leave a field unread, or take any object that has these fields.
    #[test]
    fn a_reference_says_which_list_it_means() {
        let list = List { blob: base::Digest::of(b"[]"), bytes: 2, items: 0 };
        assert_eq!(List::of_reference(&list.reference()), Some(list));
        let text = to_json_string(&list.reference());
        for wrong in [
            text.replace("b3:", "b4:"),
            text.replace(":2", ":-2"),
            text.replace("items", "rows"),
            text.replace('{', "{\"more\":1,"),
            "[]".to_owned(),
        ] {
            let value = parse(wrong.as_bytes()).expect("a value");
            assert_eq!(List::of_reference(&value), None, "{wrong}");
        }
    }

    /// Mutation: answer with the items that there are, or call any of these the end of the list.
    #[test]
    fn a_blob_that_is_no_list_is_told_from_one_that_is_missing() {
        let store = store();
        let missing = base::Digest::of(b"nothing");
        let read = |blob, offset| {
            let read = read_next(&*store, blob, offset).now_or_never();
            read.expect("memory does not wait").expect_err("no list").to_string()
        };
        assert!(read(missing, 1).starts_with(&format!("blob {missing} is missing")));
        let mut writing = store.blob_begin().expect("begins");
        writing.write(b"[1,tru,2]").expect("writes");
        let BlobRef { blob, bytes } = writing.finish().expect("written");
        keep(&*store, List { blob, bytes, items: 3 });
        assert!(read(blob, 1).contains("is not a value"), "{}", read(blob, 1));
        assert!(read(blob, 9).contains("is not a list at byte 9"), "{}", read(blob, 9));
        let wrong = Piece { blob, offset: 7, bytes: 2, items: 2 };
        let read = read_again(&*store, wrong).now_or_never().expect("no wait");
        assert!(read.is_err(), "one item lies there");
    }
}
