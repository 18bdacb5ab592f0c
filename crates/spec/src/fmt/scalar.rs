//! How scalars are written: quotes only where they are needed, blocks of text as they are.

use granit_parser::ScalarStyle;

use super::piece::Piece;

/// Words that readers of YAML 1.1 take for something else than text.
const OTHER_MEANINGS: [&str; 11] =
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];

/// The text of a scalar as it stands in the source, without quotes that nobody needs.
pub(super) fn plain_or_quoted<'t>(
    slice: &'t str,
    text: &'t str,
    style: ScalarStyle,
    piece: &Piece<'_>,
) -> &'t str {
    let is_quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
    if is_quoted && piece.is_one_line() && piece.tag.is_none() && is_plain(text) {
        return text;
    }
    slice
}

/// Text that means itself wherever it stands.
fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || " _./-".contains(c))
        && !OTHER_MEANINGS.contains(&text.to_ascii_lowercase().as_str())
}

/// A block of text behind `|` or `>`.
pub(super) struct Block {
    /// `|`, `>-`, …
    pub(super) header: String,
    pub(super) header_line: usize,
    /// Without indentation.
    pub(super) lines: Vec<String>,
    pub(super) last_line: usize,
}

impl Block {
    /// Finds head and lines of a block in the source. `None` where they are not as they usually are.
    pub(super) fn find(
        source: &str,
        lines: &[&str],
        piece: &Piece<'_>,
        text: &str,
        style: ScalarStyle,
    ) -> Option<Self> {
        let sign = if style == ScalarStyle::Literal { '|' } else { '>' };
        let before = source.get(..piece.start.offset)?;
        // The place of a block is its content, or its head if it has none.
        let head = head_at(before, source, piece.start.offset, sign)?;
        let header_line = source.get(..head)?.matches('\n').count() + 1;
        let written: String = source
            .get(head..)?
            .chars()
            .take_while(|c| "|>+-".contains(*c) || c.is_ascii_digit())
            .collect();
        let has_digit = written.contains(|c: char| c.is_ascii_digit());
        let is_kept = written.contains('+');
        let header: String =
            written.chars().map(|c| if c.is_ascii_digit() { '2' } else { c }).collect();
        let lead = |line: &str| line.len() - line.trim_start_matches(' ').len();
        let is_blank = |line: &str| line.trim_matches(' ').is_empty();
        let below = lines.get(header_line..).unwrap_or_default();
        let first_of_text = text.split('\n').find(|line| !is_blank(line));
        let indent = match (below.iter().find(|line| !is_blank(line)), first_of_text) {
            (Some(first), Some(_)) if !has_digit => lead(first),
            (Some(first), Some(of_text)) => lead(first).checked_sub(lead(of_text))?,
            _ => usize::MAX,
        };
        let is_inside = |line: &&&str| is_blank(line) || lead(line) >= indent;
        let mut content: Vec<String> = below
            .iter()
            .take_while(is_inside)
            .map(|line| line.get(indent..).unwrap_or_default().to_owned())
            .collect();
        if !is_kept {
            while content.last().is_some_and(String::is_empty) {
                content.pop();
            }
        }
        let last_line = header_line + content.len();
        Some(Self { header, header_line, lines: content, last_line })
    }
}

/// Where the head of a block stands: the last sign before the content that begins a word.
fn head_at(before: &str, source: &str, start: usize, sign: char) -> Option<usize> {
    if source.get(start..)?.starts_with(sign) {
        return Some(start);
    }
    let mut end = before.len();
    loop {
        let line_start = before.get(..end)?.rfind('\n').map_or(0, |at| at + 1);
        let line = before.get(line_start..end)?;
        let found = line.match_indices(sign).map(|(at, _)| at).find(|at| is_head(line, *at));
        if let Some(at) = found {
            return Some(line_start + at);
        }
        // Only blank lines and the indentation of the content stand between.
        if !line.trim().is_empty() || line_start == 0 {
            return None;
        }
        end = line_start - 1;
    }
}

fn is_head(line: &str, at: usize) -> bool {
    let begins = line[..at].chars().next_back().is_none_or(char::is_whitespace);
    let rest = line[at + 1..].trim_start_matches(|c: char| "+-".contains(c) || c.is_ascii_digit());
    let is_end = rest.trim().is_empty()
        || (rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#'));
    begins && is_end
}
