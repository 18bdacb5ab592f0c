//! Texts with what others find in them: how much of it we find, kept from falling.
//!
//! The cases lie beside the repository. What differs from them on purpose stands in `differences.json`.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use serde_json::Value;

/// Recall and precision in percent that sentences do not fall below, by type.
const SENTENCES_FLOOR: [(&str, usize, usize); 8] = [
    ("EMAIL_ADDRESS", 100, 100),
    ("IP_ADDRESS", 100, 100),
    ("US_SSN", 100, 100),
    ("IBAN_CODE", 100, 100),
    ("CREDIT_CARD", 98, 100),
    ("URL", 100, 100),
    ("PHONE_NUMBER", 92, 87),
    ("DATE_TIME", 37, 100),
];

/// Cases that are answered exactly as the source does. The rest are the differences.
const EXACT_FLOOR: usize = 853;

fn lines(file: &str) -> Option<Vec<Value>> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..").join("shared");
    let folder = std::env::var_os("ISONOMY_SHARED").map_or(beside, PathBuf::from);
    let path = folder.join("conformance").join("pii").join(file);
    let Ok(bytes) = std::fs::read(&path) else {
        println!("skipped: there is no {}", path.display());
        return None;
    };
    let mut text = String::new();
    GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

fn types() -> BTreeMap<String, String> {
    serde_json::from_str(include_str!("../presidio-types.json")).expect("a map of types")
}

/// What is found, in code points, by the source's name of the type.
fn found(text: &str, types: &BTreeMap<String, String>) -> Vec<(String, Range<usize>)> {
    let found = privacy::candidates(text, "", None);
    let ranges: Vec<Range<usize>> = found.iter().map(|finding| finding.range.clone()).collect();
    let points = privacy::code_points(text, &ranges);
    let typed = found
        .iter()
        .zip(points)
        .filter_map(|(finding, points)| Some((types.get(finding.class.name())?.clone(), points)));
    typed.collect()
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

#[derive(Default)]
struct Score {
    cases: usize,
    exact: usize,
    expected: usize,
    hit: usize,
    found: usize,
    right: usize,
}

impl Score {
    fn add(&mut self, expected: &[Range<usize>], found: &[Range<usize>]) {
        self.expected += expected.len();
        self.hit +=
            expected.iter().filter(|it| found.iter().any(|other| overlap(it, other))).count();
        self.found += found.len();
        self.right +=
            found.iter().filter(|it| expected.iter().any(|other| overlap(it, other))).count();
    }

    fn recall(&self) -> usize {
        (self.hit * 100).checked_div(self.expected).unwrap_or(100)
    }

    fn precision(&self) -> usize {
        (self.right * 100).checked_div(self.found).unwrap_or(100)
    }
}

fn spans(value: &Value) -> Vec<Range<usize>> {
    let pair = |span: &Value| {
        let at = |i: usize| span[i].as_u64().expect("a place") as usize;
        at(0)..at(1)
    };
    value.as_array().map(|spans| spans.iter().map(pair).collect()).unwrap_or_default()
}

/// Mutation: leave a check digit out of any detector, or the weights of one.
#[test]
fn cases_are_answered_as_the_source_does_or_differ_on_purpose() {
    let Some(cases) = lines("recognizer-cases.jsonl.gz") else { return };
    let types = types();
    let differences: BTreeMap<String, String> =
        serde_json::from_str(include_str!("differences.json")).expect("a map of reasons");
    let mut scores = BTreeMap::<&str, Score>::new();
    let mut unexplained = Vec::new();
    for case in &cases {
        let entity = case["entity"].as_str().expect("an entity");
        let text = case["text"].as_str().expect("a text");
        let all = found(text, &types).into_iter().filter(|(name, _)| name == entity);
        let found: Vec<Range<usize>> = all.map(|(_, range)| range).collect();
        let (expected, is_exact) = match case.get("count").and_then(Value::as_u64) {
            Some(count) => (spans(&case["observed"]), found.len() as u64 == count),
            None => (spans(&case["spans"]), found == spans(&case["spans"])),
        };
        let score = scores.entry(entity).or_default();
        score.cases += 1;
        score.exact += usize::from(is_exact);
        score.add(&expected, &found);
        if !is_exact && !differences.contains_key(entity) {
            unexplained.push(format!("{entity}: {}", case["id"]));
        }
    }
    for (entity, it) in &scores {
        let (exact, recall, precision) = (it.exact, it.recall(), it.precision());
        println!(
            "{entity}: {exact} of {} exact, recall {recall} %, precision {precision} %",
            it.cases
        );
    }
    let exact: usize = scores.values().map(|score| score.exact).sum();
    println!("{exact} of {} exact", cases.len());
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    assert!(exact >= EXACT_FLOOR, "{exact} exact");
}

/// Mutation: report each number of nine digits, or any ten digits as a telephone.
#[test]
fn sentences_are_searched_well() {
    let Some(sentences) = lines("synthetic-sentences.jsonl.gz") else { return };
    let types = types();
    let mut scores = BTreeMap::<String, Score>::new();
    for sentence in &sentences {
        let found = found(sentence["text"].as_str().expect("a text"), &types);
        let mut expected = Vec::new();
        for span in sentence["spans"].as_array().expect("spans") {
            let name = span["type"].as_str().expect("a type").replace("DOMAIN_NAME", "URL");
            let at = |key: &str| span[key].as_u64().expect("a place") as usize;
            expected.push((name, at("start")..at("end")));
        }
        let mut names: Vec<&String> = found.iter().chain(&expected).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let of = |list: &[(String, Range<usize>)]| {
                let own = list.iter().filter(|(other, _)| other == name);
                own.map(|(_, range)| range.clone()).collect::<Vec<_>>()
            };
            scores.entry(name.clone()).or_default().add(&of(&expected), &of(&found));
        }
    }
    for (name, it) in &scores {
        println!(
            "{name}: recall {} %, precision {} %, {} found",
            it.recall(),
            it.precision(),
            it.found
        );
    }
    for (name, recall, precision) in SENTENCES_FLOOR {
        let score = &scores[name];
        assert!(score.recall() >= recall, "{name}: recall {} %", score.recall());
        assert!(score.precision() >= precision, "{name}: precision {} %", score.precision());
    }
}
