//! The words of a GGUF file: texts as tokens, and tokens as bytes.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

use crate::model::{InferError, LoadError};
use crate::weights::gguf::{Gguf, Value};

/// How texts are cut before pairs are joined. As the tokenizers of these models write it.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const ONE_DIGIT: &str = r"\p{N}";

/// What a blank is in pieces of SentencePiece.
const BLANK: char = '\u{2581}';

/// The tokens of a model.
pub(super) struct Tokens {
    /// What each one is in an answer; nothing, where it is a mark.
    bytes: Vec<Vec<u8>>,
    /// Marks by their name.
    marks: HashMap<String, u32>,
    /// What ends an answer by the file's own word.
    pub ends: Vec<u32>,
    /// What begins every text.
    pub begin: Option<u32>,
    way: Way,
}

enum Way {
    /// Pairs of bytes, joined in the order in which they were learned.
    Pairs(Box<Tokenizer>),
    /// Pairs of letters, joined by what the whole is worth.
    Pieces(Pieces),
}

struct Pieces {
    numbers: HashMap<String, u32>,
    worth: Vec<f32>,
    /// What stands for a byte.
    of_bytes: Vec<Option<u32>>,
    unknown: Option<u32>,
    has_blank_before: bool,
}

/// Kinds of tokens, by their numbers in files.
const CONTROL: i128 = 3;
const USER_DEFINED: i128 = 4;
const BYTE: i128 = 6;

impl Tokens {
    pub(super) fn read(file: &Gguf<'_>) -> Result<Self, LoadError> {
        let names = texts(file, "tokenizer.ggml.tokens")?;
        let kinds = numbers(file, "tokenizer.ggml.token_type");
        let kind = |at: usize| kinds.get(at).copied().unwrap_or(1);
        let is_mark = |at: usize| matches!(kind(at), CONTROL | USER_DEFINED);
        let kind_of_words = file.text("tokenizer.ggml.model").unwrap_or_default();
        let is_pairs = match kind_of_words {
            "gpt2" => true,
            "llama" => false,
            other => {
                let other: String = other.chars().take(60).collect();
                return Err(wrong(format!(
                    "its words are of the kind `{other}`, and `gpt2` and `llama` are known"
                )));
            }
        };
        let letters = letters();
        let bytes = names.iter().enumerate().map(|(at, name)| match kind(at) {
            CONTROL => Vec::new(),
            USER_DEFINED => name.as_bytes().to_vec(),
            BYTE => byte(name).map_or_else(Vec::new, |it| vec![it]),
            _ if is_pairs => name.chars().filter_map(|it| letters.get(&it).copied()).collect(),
            _ => name.replace(BLANK, " ").into_bytes(),
        });
        let bytes = bytes.collect();
        let marks = names.iter().enumerate().filter(|(at, _)| is_mark(*at));
        let marks = marks.map(|(at, name)| ((*name).to_owned(), at as u32)).collect();
        let token = |name: &str| {
            let number = file.whole(name).and_then(|it| u32::try_from(it).ok());
            number.filter(|it| (*it as usize) < names.len())
        };
        let ends = ["eos", "eot", "eom"].iter();
        let ends = ends.filter_map(|it| token(&format!("tokenizer.ggml.{it}_token_id"))).collect();
        let before = file.text("tokenizer.ggml.pre").unwrap_or("default");
        let begins = !is_pairs || before == "llama-bpe";
        let begins = file.is("tokenizer.ggml.add_bos_token").unwrap_or(begins);
        let way = if is_pairs {
            let merges = texts(file, "tokenizer.ggml.merges")?;
            Way::Pairs(Box::new(pairs(&names, &merges, before)?))
        } else {
            Way::Pieces(Pieces::of(file, &names, &kinds))
        };
        let begin = token("tokenizer.ggml.bos_token_id").filter(|_| begins);
        Ok(Self { bytes, marks, ends, begin, way })
    }

    pub(super) const fn count(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    pub(super) fn mark(&self, name: &str) -> Option<u32> {
        self.marks.get(name).copied()
    }

    /// Whether its pieces have blanks of their own before them.
    pub(super) const fn is_of_pieces(&self) -> bool {
        matches!(self.way, Way::Pieces(_))
    }

    /// What a person has written: marks in it are letters like all others.
    pub(super) fn encode(&self, text: &str, is_first: bool) -> Result<Vec<u32>, InferError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        match &self.way {
            Way::Pairs(tokenizer) => {
                let encoded = tokenizer.encode_fast(text, false).map_err(|_| {
                    let what = "its words do not cover the text".to_owned();
                    InferError::Calculation { what }
                })?;
                Ok(encoded.get_ids().to_vec())
            }
            Way::Pieces(pieces) => Ok(pieces.encode(text, is_first)),
        }
    }
}

fn pairs(names: &[&str], merges: &[&str], before: &str) -> Result<Tokenizer, LoadError> {
    let numbers = names.iter().enumerate().map(|(at, name)| ((*name).to_owned(), at as u32));
    let merges: Option<Vec<(String, String)>> = merges
        .iter()
        .map(|it| it.split_once(' ').map(|(one, other)| (one.to_owned(), other.to_owned())))
        .collect();
    let merges = merges.ok_or_else(|| wrong("one of its merges is no pair"))?;
    let model = BPE::builder().vocab_and_merges(numbers.collect::<Vocab>(), merges);
    let model = model.ignore_merges(before == "llama-bpe").build();
    let model = model.map_err(|_| wrong("one of its merges is not of its words"))?;
    let patterns: &[&str] = match before {
        "default" | "gpt-2" | "gpt2" => &[GPT2],
        "llama-bpe" | "llama3" | "llama-v3" => &[LLAMA3],
        "qwen2" | "deepseek-r1-qwen" => &[QWEN2],
        "smollm" | "starcoder" | "refact" | "command-r" => &[ONE_DIGIT, GPT2],
        other => {
            let other: String = other.chars().take(60).collect();
            return Err(wrong(format!(
                "its texts are cut as `{other}`, and `gpt-2`, `llama-bpe`, `qwen2` and `smollm` are known"
            )));
        }
    };
    let split = |pattern: &&str| {
        let pattern = SplitPattern::Regex((*pattern).to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
        split.expect("a pattern of ours").into()
    };
    let mut steps: Vec<tokenizers::PreTokenizerWrapper> = patterns.iter().map(split).collect();
    steps.push(ByteLevel::new(false, false, false).into());
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
    Ok(tokenizer)
}

/// Letters that stand for bytes, as GPT-2 has chosen them: all that can be seen stand for themselves.
fn letters() -> HashMap<char, u8> {
    let mut letters = HashMap::with_capacity(256);
    let mut others = 256_u32;
    for byte in 0..=255_u8 {
        let is_seen = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let letter = if is_seen {
            char::from(byte)
        } else {
            others += 1;
            char::from_u32(others - 1).expect("below 512 all are letters")
        };
        letters.insert(letter, byte);
    }
    letters
}

/// `<0x0A>`
fn byte(name: &str) -> Option<u8> {
    let hex = name.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(hex, 16).ok()
}

impl Pieces {
    fn of(file: &Gguf<'_>, names: &[&str], kinds: &[i128]) -> Self {
        let real = |value: &Value<'_>| match value {
            Value::Real(number) => *number as f32,
            Value::Whole(_) | Value::Bool(_) | Value::Text(_) | Value::List(_) => 0.0,
        };
        let worth = file.list("tokenizer.ggml.scores").unwrap_or_default();
        let mut worth: Vec<f32> = worth.iter().map(real).collect();
        worth.resize(names.len(), 0.0);
        let (mut numbers, mut of_bytes) = (HashMap::with_capacity(names.len()), vec![None; 256]);
        for (at, name) in names.iter().enumerate() {
            match kinds.get(at).copied().unwrap_or(1) {
                // Nobody writes them.
                CONTROL => {}
                BYTE => {
                    if let Some(byte) = byte(name) {
                        of_bytes[usize::from(byte)] = Some(at as u32);
                    }
                }
                _ => drop(numbers.insert((*name).to_owned(), at as u32)),
            }
        }
        let unknown = file.whole("tokenizer.ggml.unknown_token_id");
        let unknown = unknown.and_then(|it| u32::try_from(it).ok());
        let unknown = unknown.filter(|it| (*it as usize) < names.len());
        let has_blank_before = file.is("tokenizer.ggml.add_space_prefix").unwrap_or(true);
        Self { numbers, worth, of_bytes, unknown, has_blank_before }
    }

    /// Joins the pair that is worth most, again and again; of equals the first.
    fn encode(&self, text: &str, is_first: bool) -> Vec<u32> {
        let mut written = String::with_capacity(text.len() + 3);
        if is_first && self.has_blank_before {
            written.push(BLANK);
        }
        written.extend(text.chars().map(|it| if it == ' ' { BLANK } else { it }));
        let ends = written.char_indices().map(|(at, it)| (at, at + it.len_utf8()));
        let mut parts: Vec<Piece> = ends
            .enumerate()
            .map(|(at, (from, to))| Piece {
                from,
                to,
                before: at.checked_sub(1),
                after: Some(at + 1),
            })
            .collect();
        if let Some(last) = parts.last_mut() {
            last.after = None;
        }
        let mut pairs = BinaryHeap::new();
        for at in 1..parts.len() {
            self.offer(&written, &parts, at - 1, at, &mut pairs);
        }
        while let Some(Pair { left, right, length, .. }) = pairs.pop() {
            let is_there = parts[left].after == Some(right) && parts[right].to > parts[right].from;
            if !is_there || parts[right].to - parts[left].from != length {
                continue;
            }
            parts[left].to = parts[right].to;
            let after = parts[right].after;
            parts[left].after = after;
            parts[right].from = parts[right].to;
            if let Some(after) = after {
                parts[after].before = Some(left);
                self.offer(&written, &parts, left, after, &mut pairs);
            }
            if let Some(before) = parts[left].before {
                self.offer(&written, &parts, before, left, &mut pairs);
            }
        }
        let left = parts.iter().filter(|it| it.to > it.from);
        left.flat_map(|it| self.numbers_of(&written[it.from..it.to])).collect()
    }

    fn offer(
        &self,
        text: &str,
        parts: &[Piece],
        left: usize,
        right: usize,
        pairs: &mut BinaryHeap<Pair>,
    ) {
        let whole = &text[parts[left].from..parts[right].to];
        if let Some(number) = self.numbers.get(whole) {
            let worth = self.worth[*number as usize];
            pairs.push(Pair { worth, left, right, length: whole.len() });
        }
    }

    /// A letter that is no piece is written byte by byte.
    fn numbers_of(&self, piece: &str) -> Vec<u32> {
        match self.numbers.get(piece) {
            Some(number) => vec![*number],
            None => {
                let of = |byte: u8| self.of_bytes[usize::from(byte)].or(self.unknown);
                piece.bytes().filter_map(of).collect()
            }
        }
    }
}

/// A stretch of the text between its neighbours.
struct Piece {
    from: usize,
    to: usize,
    before: Option<usize>,
    after: Option<usize>,
}

/// Two neighbours that are a piece together.
struct Pair {
    worth: f32,
    left: usize,
    right: usize,
    /// As they were when they were found.
    length: usize,
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.worth.total_cmp(&other.worth).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Pair {}

fn texts<'f>(file: &Gguf<'f>, name: &str) -> Result<Vec<&'f str>, LoadError> {
    let list = file.list(name).ok_or_else(|| wrong(format!("it has no `{name}`")))?;
    let text = |value: &Value<'f>| match value {
        Value::Text(text) => Some(*text),
        Value::Whole(_) | Value::Real(_) | Value::Bool(_) | Value::List(_) => None,
    };
    let texts: Option<Vec<&str>> = list.iter().map(text).collect();
    texts.ok_or_else(|| wrong(format!("`{name}` is no list of texts")))
}

fn numbers(file: &Gguf<'_>, name: &str) -> Vec<i128> {
    let number = |value: &Value<'_>| match value {
        Value::Whole(number) => *number,
        Value::Text(_) | Value::Real(_) | Value::Bool(_) | Value::List(_) => 1,
    };
    file.list(name).unwrap_or_default().iter().map(number).collect()
}

fn wrong(what: impl Into<String>) -> LoadError {
    LoadError::Weights { format: "GGUF", what: what.into() }
}
