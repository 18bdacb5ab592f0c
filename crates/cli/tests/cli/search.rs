//! Whether a text is anywhere, in any of the ways in which one may have written it down.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use sha2::{Digest as _, Sha256};

/// Texts, each with all its spellings.
pub struct Search<'a> {
    texts: &'a [&'a str],
    spellings: Vec<(usize, Vec<u8>)>,
    /// Two bytes with which a spelling begins.
    begin: Vec<bool>,
}

impl<'a> Search<'a> {
    pub fn new(texts: &'a [&'a str]) -> Self {
        let mut begin = vec![false; 1 << 16];
        let all = texts.iter().enumerate();
        let spellings: Vec<_> =
            all.flat_map(|(n, text)| spellings(text).into_iter().map(move |it| (n, it))).collect();
        for (_, spelling) in &spellings {
            begin[pair(spelling)] = true;
        }
        Self { texts, spellings, begin }
    }

    /// Those that are in these bytes.
    pub fn within(&self, bytes: &[u8]) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        for at in 0..bytes.len().saturating_sub(1) {
            if self.begin[pair(&bytes[at..])] {
                let here = self.spellings.iter().filter(|(_, it)| bytes[at..].starts_with(it));
                found.extend(here.map(|(n, _)| self.texts[*n]));
            }
        }
        found
    }

    /// Those that are in files below a folder, or in their names.
    pub fn below(&self, folder: &Path) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            found.extend(self.within(path.file_name().expect("a name").as_encoded_bytes()));
            if path.is_dir() {
                found.extend(self.below(&path));
            } else {
                found.extend(self.within(&fs::read(&path).expect("a file")));
            }
        }
        found
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As it is, in hexadecimal, in base64 at each of three places, and as a digest that everybody can compute who
/// guesses it: of the text, and of the text as JSON.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut all = vec![bytes.to_vec(), hex(bytes).into_bytes(), hex(bytes).to_uppercase().into()];
    for skipped in 0..3 {
        // What stands before moves the letters; those that mix with it are left out.
        let padded = [&vec![0; skipped], bytes].concat();
        let whole = &padded[..padded.len() / 3 * 3];
        for alphabet in [STANDARD, URL_SAFE] {
            let letters = alphabet.encode(whole);
            all.push(letters.as_bytes()[if skipped == 0 { 0 } else { 4 }..].to_vec());
        }
    }
    for of in [text.to_owned(), format!("\"{text}\"")] {
        let sha256: [u8; 32] = Sha256::digest(&of).into();
        for digest in [sha256, *base::Digest::of(of.as_bytes()).as_bytes()] {
            all.extend([digest.to_vec(), hex(&digest).into(), STANDARD.encode(digest).into()]);
        }
    }
    all
}

/// Mutation: leave out a spelling, or one of the three places.
#[test]
fn a_text_is_found_however_it_is_written_down() {
    let search = Search::new(&["one-canary-one", "two-canary-two"]);
    let sha256 = |text: &str| hex(&Sha256::digest(text));
    let blake3 = |text: &str| hex(base::Digest::of(text.as_bytes()).as_bytes());
    for written in [
        "a one-canary-one b".to_owned(),
        hex(b"a one-canary-one"),
        hex(b"a one-canary-one").to_uppercase(),
        STANDARD.encode("one-canary-one b"),
        STANDARD.encode("aone-canary-one b"),
        STANDARD.encode("abone-canary-one b"),
        STANDARD.encode("abcone-canary-one b"),
        sha256("one-canary-one"),
        sha256("\"one-canary-one\""),
        blake3("one-canary-one"),
    ] {
        assert_eq!(
            search.within(written.as_bytes()),
            BTreeSet::from(["one-canary-one"]),
            "{written}"
        );
    }
    assert_eq!(search.within(b"canary"), BTreeSet::new());
    assert_eq!(
        search.within(&Sha256::digest("two-canary-two")),
        BTreeSet::from(["two-canary-two"])
    );
}
