//! From YAML text to the positioned tree. YAML 1.2 core schema, of which JSON is a subset.
//!
//! The parser gives events; limits, duplicate keys, aliases and types are ours. What is not JSON
//! (tags of one's own, infinities, keys that are collections) is refused here.

use std::collections::HashMap;
use std::rc::Rc;

use base::limits::{DOCUMENT_BYTES_MAX, VALUE_DEPTH_MAX};
use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Tag};

use crate::code::Code;
use crate::diagnostic::Location;
use crate::node::{Entry, Kind, Node, Scalar};
use crate::problems::{Problems, shown};

/// Values of one document, with every alias counted in full. A document of the largest size has
/// fewer when a person writes it; ten lines of aliases can have billions.
const NODES_MAX: usize = 250_000;

/// `None` after an error that leaves no document.
pub(crate) fn parse(text: &str, problems: &mut Problems) -> Option<Node> {
    if text.len() > DOCUMENT_BYTES_MAX {
        let message = format!("the document is larger than {DOCUMENT_BYTES_MAX} bytes");
        problems.report(
            Code::Size,
            START,
            message,
            Some("move data out of the workflow, into its input".into()),
        );
        return None;
    }
    let mut builder =
        Builder { text, problems, open: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None };
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    for next in Parser::new_from_str_with_options(text, options) {
        let done = match next {
            Ok((event, span)) => builder.event(event, place(span.start, span.end)),
            Err(error) => {
                let at = place(*error.marker(), *error.marker());
                if *error.kind() == ErrorKind::RecursionLimitExceeded {
                    builder.too_deep(at);
                } else {
                    let message = format!("not valid YAML: {}", error.info());
                    let hint = syntax_hint(&message).to_owned();
                    builder.problems.report(Code::Syntax, at, message, Some(hint));
                }
                Err(Stop)
            }
        };
        if done.is_err() {
            return None;
        }
    }
    if builder.root.is_none() {
        builder.problems.report(Code::NotOneDocument, START, "the document is empty", None);
    }
    builder.root
}

/// What mostly lies behind a message of the parser.
fn syntax_hint(message: &str) -> &'static str {
    if message.contains("tab") {
        "YAML is indented with spaces only"
    } else if message.contains("mapping values") {
        "put text that has `: ` in it in quotes, or mend the indentation"
    } else if message.contains("unknown anchor") {
        "name the value with `&` before it is used with `*`, or put the text in quotes"
    } else {
        "look at this place and just before it: a quote or bracket may be missing, or the indentation is not that of the line above"
    }
}

const START: Location = Location { offset: 0, line: 1, column: 1, length: 1 };

/// Nothing sensible can follow; the reason has been reported.
struct Stop;

struct Builder<'a, 'p> {
    text: &'a str,
    problems: &'p mut Problems,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

/// A collection whose end has not come yet.
struct Open {
    at: Location,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    Seq(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<Rc<str>, Location>, key: Option<(Rc<str>, Location)> },
}

impl Builder<'_, '_> {
    fn event(&mut self, event: Event<'_>, at: Location) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                self.problems.report(
                    Code::NotOneDocument,
                    at,
                    "a second document begins here",
                    Some("give each workflow a file of its own".into()),
                );
                Err(Stop)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), at)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", at);
                self.open(Open { at, anchor, kind: OpenKind::Seq(Vec::new()) })
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", at);
                let kind = OpenKind::Map { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.open(Open { at, anchor, kind })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => self.alias(id, at),
            // Begin and end of the stream, and what the options switch off.
            _ => Ok(()),
        }
    }

    fn open(&mut self, open: Open) -> Result<(), Stop> {
        self.refuse_collection_as_key(open.at)?;
        self.open.push(open);
        self.check_depth(self.open.len())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let open = self.open.pop().expect("the parser ends only what it began");
        let kind = match open.kind {
            OpenKind::Seq(items) => Kind::Seq(items.into()),
            OpenKind::Map { entries, .. } => Kind::Map(entries.into()),
        };
        self.add(Node::new(open.at, kind), open.anchor, 1)
    }

    fn alias(&mut self, id: usize, at: Location) -> Result<(), Stop> {
        self.refuse_collection_as_key(at)?;
        let Some(target) = self.anchors.get(&id) else {
            self.problems.report(Code::NotJson, at, "an alias to something that contains it", None);
            return Err(Stop);
        };
        let mut node = target.clone();
        node.alias = Some(at);
        self.check_depth(self.open.len() + node.height)?;
        let weight = node.weight;
        self.add(node, 0, weight)
    }

    /// A key that is a collection, or an alias that might be one, has no name.
    fn refuse_collection_as_key(&mut self, at: Location) -> Result<(), Stop> {
        if let Some(Open { kind: OpenKind::Map { key: None, .. }, .. }) = self.open.last() {
            self.problems.report(Code::NotJson, at, "a key must be plain text", None);
            return Err(Stop);
        }
        Ok(())
    }

    fn check_depth(&mut self, depth: usize) -> Result<(), Stop> {
        if depth <= VALUE_DEPTH_MAX {
            return Ok(());
        }
        let at = self.open.last().map_or(START, |open| open.at);
        self.too_deep(at);
        Err(Stop)
    }

    fn too_deep(&mut self, at: Location) {
        let message = format!("nested deeper than {VALUE_DEPTH_MAX} levels");
        self.problems.report(Code::Limit, at, message, Some("split the workflow".into()));
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: Location,
    ) -> Result<(), Stop> {
        let string = || {
            let verbatim = verbatim(self.text, text, style, at);
            let is_literal = style == ScalarStyle::Literal;
            Kind::Str(Scalar { text: text.into(), verbatim, is_literal })
        };
        if let Some(Open { kind: OpenKind::Map { key: None, .. }, .. }) = self.open.last() {
            if anchor != 0 {
                self.anchors.insert(anchor, Node::new(at, string()));
            }
            self.key(text, style, at);
            return Ok(());
        }
        let kind = if style != ScalarStyle::Plain || tag.is_some_and(|tag| is_core(tag, "str")) {
            string()
        } else {
            match typed(text) {
                Ok(kind) => kind.unwrap_or_else(string),
                Err(what) => {
                    let hint = "put it in quotes if it is text";
                    self.problems.report(Code::NotJson, at, what, Some(hint.into()));
                    Kind::Null
                }
            }
        };
        let name = match &kind {
            Kind::Null => "null",
            Kind::Bool(_) => "bool",
            Kind::Int(_) => "int",
            Kind::Number(_) => "float",
            Kind::Str(_) | Kind::Seq(_) | Kind::Map(_) => "str",
        };
        self.check_tag(tag, name, at);
        self.add(Node::new(at, kind), anchor, 1)
    }

    /// Takes a scalar as the key of the innermost object.
    fn key(&mut self, text: &str, style: ScalarStyle, at: Location) {
        let Some(Open { kind: OpenKind::Map { seen, key, .. }, .. }) = self.open.last_mut() else {
            return;
        };
        let name: Rc<str> = text.into();
        *key = Some((name.clone(), at));
        if let Some(first) = seen.insert(name, at) {
            let message = format!(
                "`{}` stands here for the second time; the first is in line {}",
                shown(text),
                first.line
            );
            let hint = "remove one of the two";
            self.problems.report(Code::DuplicateKey, at, message, Some(hint.into()));
        }
        if text == "<<" && style == ScalarStyle::Plain {
            let hint = "repeat the properties, or use an alias for the whole object";
            let message = "`<<` is not part of YAML 1.2";
            self.problems.report(Code::NotJson, at, message, Some(hint.into()));
        }
    }

    /// A tag may say what the value is anyway.
    fn check_tag(&mut self, tag: Option<&Tag>, name: &str, at: Location) {
        if tag.is_some_and(|tag| !is_core(tag, name)) {
            let hint = "remove the tag, or put the value in quotes";
            self.problems.report(
                Code::NotJson,
                at,
                "a tag that JSON does not have",
                Some(hint.into()),
            );
        }
    }

    fn add(&mut self, node: Node, anchor: usize, weight: usize) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(weight);
        if self.nodes > NODES_MAX {
            let message = format!("more than {NODES_MAX} values, counting every alias in full");
            self.problems.report(
                Code::Limit,
                node.used_at(),
                message,
                Some("move data out of the workflow, into its input".into()),
            );
            return Err(Stop);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::Seq(items)) => items.push(node),
            Some(OpenKind::Map { entries, key, .. }) => {
                let (key, key_at) = key.take().expect("a value follows its key");
                entries.push(Entry { key, key_at, value: node });
            }
        }
        Ok(())
    }
}

fn place(start: Marker, end: Marker) -> Location {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Location {
        offset: start.byte_offset().unwrap_or(0),
        line: small(start.line().max(1)),
        column: small(start.col().saturating_add(1)),
        length: small(end.index().saturating_sub(start.index()).max(1)),
    }
}

fn is_core(tag: &Tag, name: &str) -> bool {
    tag.core_suffix() == Some(name)
}

/// Where the text of a scalar stands in the source, if it stands there unchanged and in one line.
fn verbatim(source: &str, text: &str, style: ScalarStyle, at: Location) -> Option<Location> {
    let quote = match style {
        ScalarStyle::Plain => 0,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => 1,
        ScalarStyle::Literal | ScalarStyle::Folded => return None,
    };
    let offset = at.offset + quote;
    let same = source.get(offset..)?.starts_with(text) && !text.contains(['\n', '\\']);
    let column = at.column + u32::from(quote == 1);
    let length = u32::try_from(text.chars().count()).ok()?;
    same.then_some(Location { offset, line: at.line, column, length })
}

/// The type of a plain scalar by the core schema; `None` is text.
fn typed(text: &str) -> Result<Option<Kind>, &'static str> {
    Ok(Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ => match text.trim_start_matches(['+', '-']) {
            ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN" => {
                return Err("a number that JSON does not have");
            }
            _ => return number(text),
        },
    }))
}

fn number(text: &str) -> Result<Option<Kind>, &'static str> {
    const TOO_LARGE: &str = "a number that is too large";
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        let Some(digits) = text.strip_prefix(prefix) else {
            continue;
        };
        if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
            return Ok(None);
        }
        return i64::from_str_radix(digits, radix)
            .map(|int| Some(Kind::Int(int)))
            .map_err(|_| TOO_LARGE);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !unsigned.is_empty() && digits(unsigned) {
        if let Ok(int) = text.parse() {
            return Ok(Some(Kind::Int(int)));
        }
        let sign = if text.starts_with('-') { "-" } else { "" };
        let canonical = format!("{sign}{}", unsigned.trim_start_matches('0'));
        let number = base::value::parse(canonical.as_bytes()).map_err(|_| TOO_LARGE)?;
        return Ok(Some(Kind::Number(number)));
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_number = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    if !is_number || exponent.is_empty() || !digits(exponent) {
        return Ok(None);
    }
    let float: f64 = text.parse().map_err(|_| TOO_LARGE)?;
    if float.is_infinite() {
        return Err(TOO_LARGE);
    }
    Ok(Some(Kind::Number(base::Value::Num(base::value::Num::Float(float)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let mut problems = Problems::default();
        let root = parse(text, &mut problems);
        let wrong: Vec<String> = problems
            .into_list(None)
            .into_iter()
            .map(|found| {
                format!("{} {}:{}", found.code, found.location.line, found.location.column)
            })
            .collect();
        match root {
            Some(root) if wrong.is_empty() => base::value::to_json_string(&root.value()),
            _ => wrong.join(", "),
        }
    }

    /// Mutation: read `on` or `yes` as booleans, quoted scalars as numbers, `007` as text.
    #[test]
    fn plain_scalars_have_the_types_of_yaml_1_2() {
        let check = |text: &str, expected: &str| assert_eq!(json(text), expected, "{text}");
        check(
            "[on, yes, No, y, 1.0.0, 0.1.0, 12:30]",
            r#"["on","yes","No","y","1.0.0","0.1.0","12:30"]"#,
        );
        check("[null, ~, '', \"\", Null]", r#"[null,null,"","",null]"#);
        check("[true, TRUE, 'true', \"false\"]", r#"[true,true,"true","false"]"#);
        check("[1, -2, +3, 007, 0x1F, 0o17, '5', 1_000]", r#"[1,-2,3,7,31,15,"5","1_000"]"#);
        check(
            "[1.5, .5, 5., 1e3, -1.5E-2, 1e, ., e5]",
            r#"[1.5,0.5,5.0,1000.0,-0.015,"1e",".","e5"]"#,
        );
        check("[!!str 5, !!int 7, 12345678901234567890]", r#"["5",7,12345678901234567890]"#);
        check("{1: a, true: b, ~: c}", r#"{"1":"a","true":"b","~":"c"}"#);
        check("a: &x [1]\nb: *x\n", r#"{"a":[1],"b":[1]}"#);
        check("a: |\n  x\n  y\nb: >-\n  x\n  y\n", r#"{"a":"x\ny\n","b":"x y"}"#);
    }

    /// Mutation: expect spaces where JSON has tabs, or fail on an escaped slash.
    #[test]
    fn json_is_yaml() {
        let text = "{\n\t\"a\": [1, 2.5e3, \"\\u00e4\\/\\n\", null],\n\t\"b\":{\"c\":true}\n}";
        assert_eq!(json(text), r#"{"a":[1,2500.0,"ä/\n",null],"b":{"c":true}}"#);
    }

    /// Mutation: let the last of two equal keys win, expand aliases without counting, drop the
    /// depth limit, read a second document over the first.
    #[test]
    fn what_is_not_one_json_document_is_refused_at_its_place() {
        let check = |text: &str, expected: &str| {
            assert_eq!(json(text), expected, "{}", &text[..text.len().min(80)])
        };
        check("a: 1\nb: 2\na: 3\n", "WF-004 3:1");
        check("a: .inf\nb: -.NaN\nc: 1e999\n", "WF-005 1:4, WF-005 2:4, WF-005 3:4");
        check("a: !mine x\n", "WF-005 1:10");
        check("[a]: 1\n", "WF-005 1:1");
        check("a: {<<: {b: 1}}\n", "WF-005 1:5");
        check("a: &a [*a]\n", "WF-005 1:8");
        check("a: 1\n---\nb: 1\n", "WF-006 2:1");
        check("# nothing\n", "WF-006 1:1");
        check("", "WF-006 1:1");
        check("a: [1, 2\n", "WF-002 1:4");
        check(&"[".repeat(100_000), "WF-003 1:256");
        check(&format!("- {}{}", "[".repeat(150), "]".repeat(150)), "WF-003 1:102");
        check(&format!("{}1", "- ".repeat(5_000)), "WF-003 1:201");
        check(&"a".repeat(DOCUMENT_BYTES_MAX + 1), "WF-001 1:1");
        check(&format!("[{}]", "1,".repeat(300_000)), "WF-003 1:500002");
        let bomb: String =
            (1..30).map(|n| format!("a{n}: &a{n} [*a{m}, *a{m}, *a{m}]\n", m = n - 1)).collect();
        check(&format!("a0: &a0 [1]\n{bomb}"), "WF-003 12:12");
    }

    /// Mutation: report the place of an alias's text as the place of its use in `pointer`.
    #[test]
    fn a_byte_of_the_source_has_a_pointer() {
        let text = "a:\n  - x: 1\n    y/z: &n {k: [1, 2]}\n  - *n\nb: 3\n";
        let root = parse(text, &mut Problems::default()).expect("valid");
        let check = |needle: &str, pointer: &str| {
            assert_eq!(root.pointer(text.find(needle).expect(needle)), pointer, "{needle}");
        };
        check("x: 1", "/a/0/x");
        check("1", "/a/0/x");
        check("2]", "/a/0/y~1z/k/1");
        check("*n", "/a/1");
        check("b: 3", "/b");
    }
}
