//! Documents that nobody would write, made from ones that somebody wrote: by bytes, tokens, lines,
//! splices and parts of trees. The same seed gives the same documents.

use serde_json::Value;

/// A small generator of numbers; good enough to choose places.
pub struct Dice(u64);

/// What is put into a text: signs that mean something to a reader of YAML, of expressions or of the
/// language.
const TOKENS: [&str; 64] = [
    "${",
    "}",
    "${ . }",
    "- ",
    ": ",
    ":",
    "|",
    "|-\n",
    ">+\n",
    "|2\n",
    "&a ",
    "*a",
    "!!str ",
    "!x ",
    "#",
    " # x\n",
    "\t",
    "\r\n",
    "\r",
    "\u{feff}",
    "\u{2028}",
    "\u{0}",
    "\u{1b}[2J",
    "é",
    "日本",
    "🙂",
    "{",
    "[",
    "]",
    ",",
    "'",
    "\"",
    "\\",
    "---\n",
    "...\n",
    "? ",
    "%YAML 1.2\n",
    "<<: *a\n",
    "~",
    "null",
    "true",
    "1e999",
    "-0",
    "0x1F",
    "12345678901234567890",
    "1.0.3",
    "then: end\n",
    "then: a\n",
    "do:\n",
    "do: []\n",
    "- a: {set: {x: 1}}\n",
    "if: .a\n",
    "fork: {branches: []}\n",
    "try: []\n",
    "catch: {}\n",
    "for: {in: .x}\n",
    "call: http\n",
    "switch: []\n",
    "$item",
    "$x",
    "PT1S",
    "P1Y",
    "(((((((((((((((((((((((((((((",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

/// A mutated document grows to at most this, so that a hundred thousand of them take a minute.
const BYTES_MAX: usize = 16 * 1024;

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Below `limit`, which is at least one.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// What documents are made from.
pub struct Corpus {
    pub texts: Vec<String>,
    /// Those that can be read, as values.
    pub trees: Vec<Value>,
}

/// One document from the corpus, changed a few times.
pub fn mutated(corpus: &Corpus, dice: &mut Dice) -> Vec<u8> {
    if dice.below(4) == 0 {
        return tree(&corpus.trees, dice);
    }
    let corpus = &corpus.texts;
    let mut text = corpus[dice.below(corpus.len())].clone().into_bytes();
    for _ in 0..1 + dice.below(4) {
        text = match dice.below(8) {
            0 => bytes(text, dice),
            1 | 2 => token(text, dice),
            3 | 4 => lines(text, dice),
            5 => splice(text, corpus, dice),
            6 => part(text, corpus, dice),
            _ => copy(text, dice),
        };
        text.truncate(BYTES_MAX);
    }
    text
}

/// A document that can be read and says strange things: parts of others in place of its own, names
/// of others, parts left out. As JSON in one line, or laid out.
fn tree(trees: &[Value], dice: &mut Dice) -> Vec<u8> {
    let mut value = trees[dice.below(trees.len())].clone();
    for _ in 0..1 + dice.below(3) {
        let mut theirs = &trees[dice.below(trees.len())];
        for _ in 0..1 + dice.below(12) {
            theirs = child(theirs, dice).unwrap_or(theirs);
        }
        let depth = dice.below(9);
        graft(&mut value, theirs, depth, dice);
    }
    let text = match dice.below(2) {
        0 => value.to_string(),
        _ => format!("{value:#}"),
    };
    if text.len() > BYTES_MAX { Vec::new() } else { text.into_bytes() }
}

fn child<'v>(value: &'v Value, dice: &mut Dice) -> Option<&'v Value> {
    match value {
        Value::Array(items) if !items.is_empty() => items.get(dice.below(items.len())),
        Value::Object(fields) if !fields.is_empty() => {
            fields.values().nth(dice.below(fields.len()))
        }
        _ => None,
    }
}

/// Changes something this deep in the value.
fn graft(value: &mut Value, theirs: &Value, depth: usize, dice: &mut Dice) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            let at = dice.below(items.len());
            match (depth, dice.below(3)) {
                (0, 0) => drop(items.remove(at)),
                (0, _) => items.insert(at, theirs.clone()),
                _ => graft(&mut items[at], theirs, depth - 1, dice),
            }
        }
        Value::Object(fields) if !fields.is_empty() => {
            let at = dice.below(fields.len());
            let key = fields.keys().nth(at).cloned().unwrap_or_default();
            let name = TOKENS[dice.below(TOKENS.len())].to_owned();
            match (depth, dice.below(4)) {
                (0, 0) => drop(fields.remove(&key)),
                (0, 1) => drop(fields.insert(name, theirs.clone())),
                (0, 2) => {
                    if let Some(moved) = fields.remove(&key) {
                        fields.insert(name, moved);
                    }
                }
                (0, _) => drop(fields.insert(key, theirs.clone())),
                _ => {
                    if let Some(inner) = fields.get_mut(&key) {
                        graft(inner, theirs, depth - 1, dice);
                    }
                }
            }
        }
        other => *other = theirs.clone(),
    }
}

fn bytes(mut text: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    let at = dice.below(text.len());
    match dice.below(4) {
        0 if !text.is_empty() => text[at] = dice.next() as u8,
        1 if !text.is_empty() => text[at] ^= 1 << dice.below(8),
        2 => text.truncate(at),
        _ => drop(text.drain(at..(at + dice.below(40)).min(text.len()))),
    }
    text
}

fn token(mut text: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    let at = dice.below(text.len() + 1);
    let end = (at + dice.below(6)).min(text.len());
    text.splice(at..end, TOKENS[dice.below(TOKENS.len())].bytes());
    text
}

fn lines(text: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (one, other) = (dice.below(lines.len()), dice.below(lines.len()));
    match dice.below(6) {
        0 => lines.swap(one, other),
        1 => drop(lines.remove(one)),
        2 => {
            let copies = vec![lines[one].clone(); 1 + dice.below(9)];
            lines.splice(one..one, copies);
        }
        3 => drop(lines[one].splice(0..0, vec![b' '; 1 + dice.below(8)])),
        4 => {
            let spaces = lines[one].iter().take_while(|byte| **byte == b' ').count();
            lines[one].drain(..dice.below(spaces + 1));
        }
        _ => {
            // Moves a block of lines, as an editor does.
            let count = (1 + dice.below(6)).min(lines.len() - one);
            let block: Vec<Vec<u8>> = lines.drain(one..one + count).collect();
            let to = other.min(lines.len());
            lines.splice(to..to, block);
        }
    }
    lines.join(&b'\n')
}

fn splice(text: Vec<u8>, corpus: &[String], dice: &mut Dice) -> Vec<u8> {
    let other = corpus[dice.below(corpus.len())].as_bytes();
    let (at, from) = (dice.below(text.len() + 1), dice.below(other.len() + 1));
    [&text[..at], &other[from..]].concat()
}

/// Puts a part of another tree into this one: some lines, indented to where they come.
fn part(text: Vec<u8>, corpus: &[String], dice: &mut Dice) -> Vec<u8> {
    let other = &corpus[dice.below(corpus.len())];
    let theirs: Vec<&str> = other.lines().collect();
    let from = dice.below(theirs.len());
    let indent = |line: &str| line.len() - line.trim_start().len();
    let level = theirs.get(from).map_or(0, |line| indent(line));
    let block = theirs
        .iter()
        .skip(from)
        .enumerate()
        .take_while(|(at, line)| *at == 0 || indent(line) > level || line.trim().is_empty());
    let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let to = dice.below(lines.len());
    let margin = lines[to].iter().take_while(|byte| **byte == b' ').count();
    let moved: Vec<Vec<u8>> = block
        .map(|(_, line)| {
            [" ".repeat(margin).as_str(), line.get(level..).unwrap_or("")].concat().into_bytes()
        })
        .collect();
    let gone = dice.below(2);
    lines.splice(to..(to + gone).min(lines.len()), moved);
    lines.join(&b'\n')
}

/// Puts a part of a text elsewhere in it.
fn copy(mut text: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    let from = dice.below(text.len() + 1);
    let end = (from + dice.below(200)).min(text.len());
    let part = text[from..end].to_vec();
    let at = dice.below(text.len() + 1);
    text.splice(at..at, part);
    text
}
