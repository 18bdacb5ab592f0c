//! Writing a layout in the canonical way.

use granit_parser::ScalarStyle;

use crate::diagnostic::Location;

use super::piece::{Comment, Layout, Piece, PieceKind, Place};
use super::scalar::{self, Block};

/// Lists of tasks: each task has lines of its own, whatever the author wrote.
const TASK_LISTS: [&str; 5] = ["do", "try", "branches", "before", "after"];

/// Spaces a level.
const STEP: usize = 2;

/// The error is where it cannot be done.
pub(super) fn write(layout: &Layout<'_>, source: &str) -> Result<String, Location> {
    let mut writer = Writer {
        source,
        lines: source.lines().collect(),
        out: String::with_capacity(source.len()),
        comments: &layout.comments,
        last_line: 0,
    };
    let end = source.len() + 1;
    match &layout.root.kind {
        PieceKind::Map { entries, .. } if !entries.is_empty() && !layout.root.has_properties() => {
            writer.entries(entries, 0, end, false, true)?;
        }
        PieceKind::Seq { items, .. } if !items.is_empty() && !layout.root.has_properties() => {
            writer.items(items, 0, end, false, true, false)?;
        }
        _ => return Err(layout.root.location()),
    }
    writer.above(end, 0, false);
    Ok(writer.out)
}

struct Writer<'s, 'l> {
    source: &'s str,
    lines: Vec<&'s str>,
    out: String,
    /// Those that are still to be written.
    comments: &'l [Comment<'s>],
    /// The line of the source whose text was written last.
    last_line: usize,
}

impl<'s> Writer<'s, '_> {
    fn entries(
        &mut self,
        entries: &[(Piece<'s>, Piece<'s>)],
        indent: usize,
        limit: usize,
        is_inline: bool,
        is_top: bool,
    ) -> Result<(), Location> {
        for (index, (key, value)) in entries.iter().enumerate() {
            let next = entries.get(index + 1).map_or(limit, |(next, _)| next.start.offset);
            let is_continued = is_inline && index == 0;
            if !is_continued {
                let begins = if is_leaf(value) { value.start } else { key.start };
                self.begin(key.start, begins, indent, index == 0 && !is_top);
            }
            let PieceKind::Scalar { style, text } = &key.kind else { return Err(key.location()) };
            if !key.is_one_line() || matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                return Err(key.location());
            }
            self.properties(key, "", " ");
            self.out.push_str(scalar::plain_or_quoted(self.slice(key), text, *style, key));
            self.out.push(':');
            self.last_line = key.end.line;
            let is_tasks = TASK_LISTS.contains(&text.as_str()) && is_task_list(value);
            self.value(value, indent, key.start.column, next, is_tasks)?;
        }
        Ok(())
    }

    fn items(
        &mut self,
        items: &[Piece<'s>],
        indent: usize,
        limit: usize,
        is_inline: bool,
        is_top: bool,
        is_tasks: bool,
    ) -> Result<(), Location> {
        for (index, item) in items.iter().enumerate() {
            let next = items.get(index + 1).map_or(limit, |next| next.first().offset);
            if !(is_inline && index == 0) {
                let first = item.first();
                self.begin(first, first, indent, index == 0 && !is_top);
            }
            self.out.push('-');
            self.last_line = self.last_line.max(item.first().line.saturating_sub(1));
            let column = item.first().column.saturating_sub(STEP);
            match &item.kind {
                PieceKind::Map { entries, .. }
                    if !item.has_properties() && self.is_block(item, is_tasks) =>
                {
                    self.out.push(' ');
                    self.task_entries(entries, indent + STEP, next, is_tasks)?;
                    self.tail(item, column, indent + STEP, next);
                }
                PieceKind::Seq { items, .. }
                    if !item.has_properties() && self.is_block(item, false) =>
                {
                    self.out.push(' ');
                    self.items(items, indent + STEP, next, true, false, false)?;
                    self.tail(item, column, indent + STEP, next);
                }
                _ => self.value(item, indent, column, next, false)?,
            }
        }
        Ok(())
    }

    /// The one entry of a task, whose value has lines of its own.
    fn task_entries(
        &mut self,
        entries: &[(Piece<'s>, Piece<'s>)],
        indent: usize,
        next: usize,
        is_task: bool,
    ) -> Result<(), Location> {
        let [(key, value)] = entries else {
            return self.entries(entries, indent, next, true, false);
        };
        let PieceKind::Map { entries: inner, .. } = &value.kind else {
            return self.entries(entries, indent, next, true, false);
        };
        if !is_task || inner.is_empty() || value.has_properties() || !self.is_flow_line(value) {
            return self.entries(entries, indent, next, true, false);
        }
        let PieceKind::Scalar { style, text } = &key.kind else { return Err(key.location()) };
        self.properties(key, "", " ");
        self.out.push_str(scalar::plain_or_quoted(self.slice(key), text, *style, key));
        self.out.push(':');
        self.end_line(key.end.line);
        self.entries(inner, indent + STEP, next, false, false)
    }

    /// What follows `key:` or `-`, with the end of its line.
    fn value(
        &mut self,
        value: &Piece<'s>,
        indent: usize,
        column: usize,
        limit: usize,
        is_tasks: bool,
    ) -> Result<(), Location> {
        self.properties(value, " ", "");
        match &value.kind {
            PieceKind::Scalar { style, text } => self.scalar(value, *style, text, indent),
            PieceKind::Alias => {
                self.out.push(' ');
                self.out.push_str(self.slice(value));
                self.end_line(value.end.line);
                Ok(())
            }
            PieceKind::Seq { items, .. } if !items.is_empty() && self.is_block(value, is_tasks) => {
                self.end_line(self.last_line);
                self.items(items, indent + STEP, limit, false, false, is_tasks)?;
                self.tail(value, column, indent + STEP, limit);
                Ok(())
            }
            PieceKind::Map { entries, .. }
                if !entries.is_empty() && self.is_block(value, false) =>
            {
                self.end_line(self.last_line);
                self.entries(entries, indent + STEP, limit, false, false)?;
                self.tail(value, column, indent + STEP, limit);
                Ok(())
            }
            PieceKind::Seq { .. } | PieceKind::Map { .. } => {
                self.out.push(' ');
                self.flow(value);
                self.end_line(value.end.line);
                Ok(())
            }
        }
    }

    fn scalar(
        &mut self,
        piece: &Piece<'s>,
        style: ScalarStyle,
        text: &str,
        indent: usize,
    ) -> Result<(), Location> {
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            let block = Block::find(self.source, &self.lines, piece, text, style)
                .ok_or_else(|| piece.location())?;
            self.out.push(' ');
            self.out.push_str(&block.header);
            self.end_line(block.header_line);
            let margin = " ".repeat(indent + STEP);
            for line in &block.lines {
                if !line.is_empty() {
                    self.out.push_str(&margin);
                    self.out.push_str(line);
                }
                self.out.push('\n');
            }
            self.last_line = block.last_line;
            return Ok(());
        }
        let written = scalar::plain_or_quoted(self.slice(piece), text, style, piece);
        let mut lines = written.lines();
        if let Some(first) = lines.next().filter(|first| !first.is_empty()) {
            self.out.push(' ');
            self.out.push_str(first.trim_end_matches('\r'));
        }
        for line in lines {
            self.out.push('\n');
            let line = line.trim_start_matches([' ', '\t']).trim_end_matches('\r');
            if !line.is_empty() {
                self.out.push_str(&" ".repeat(indent + STEP));
                self.out.push_str(line);
            }
        }
        let is_there = !written.is_empty();
        self.end_line(if is_there { piece.end.line } else { self.last_line });
        Ok(())
    }

    /// A collection in one line.
    fn flow(&mut self, piece: &Piece<'s>) {
        match &piece.kind {
            PieceKind::Alias => self.out.push_str(self.slice(piece)),
            PieceKind::Scalar { style, text } => {
                let written = scalar::plain_or_quoted(self.slice(piece), text, *style, piece);
                self.out.push_str(written);
            }
            PieceKind::Seq { items, .. } => {
                self.out.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.out.push_str(if index > 0 { ", " } else { "" });
                    self.properties(item, "", " ");
                    self.flow(item);
                }
                self.out.push(']');
            }
            PieceKind::Map { entries, .. } => {
                self.out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    self.out.push_str(if index > 0 { ", " } else { " " });
                    self.properties(key, "", " ");
                    self.flow(key);
                    self.out.push(':');
                    self.properties(value, " ", "");
                    if !self.slice(value).is_empty() {
                        self.out.push(' ');
                        self.flow(value);
                    }
                }
                self.out.push_str(if entries.is_empty() { "}" } else { " }" });
            }
        }
    }

    fn properties(&mut self, piece: &Piece<'s>, before: &str, behind: &str) {
        for property in [piece.anchor, piece.tag].into_iter().flatten() {
            self.out.push_str(before);
            self.out.push_str(property);
            self.out.push_str(behind);
        }
    }

    /// Begins the line of an entry or item, below its comments.
    fn begin(&mut self, start: Place, text: Place, indent: usize, is_first: bool) {
        let had = self.comments.len();
        self.above(text.offset, indent, is_first);
        let is_first = is_first && self.comments.len() == had;
        if !is_first {
            self.blank_above(start.line);
        }
        self.out.push_str(&" ".repeat(indent));
    }

    /// Writes the comments before a place.
    fn above(&mut self, before: usize, indent: usize, is_first: bool) {
        let mut is_first = is_first;
        while let Some((comment, rest)) = self.comments.split_first() {
            if comment.at.offset >= before {
                return;
            }
            self.comments = rest;
            self.comment(comment, indent, is_first);
            is_first = false;
        }
    }

    /// Writes the comments behind the last entry that stand deeper than what contains it.
    fn tail(&mut self, piece: &Piece<'s>, column: usize, indent: usize, limit: usize) {
        let is_flow = matches!(
            piece.kind,
            PieceKind::Seq { is_flow: true, .. } | PieceKind::Map { is_flow: true, .. }
        );
        while let Some((comment, rest)) = self.comments.split_first() {
            let is_inside = if is_flow {
                comment.at.offset < piece.end.offset
            } else {
                comment.is_alone && comment.at.column > column && comment.at.offset < limit
            };
            if !is_inside {
                return;
            }
            self.comments = rest;
            self.comment(comment, indent, false);
        }
    }

    fn comment(&mut self, comment: &Comment<'s>, indent: usize, is_first: bool) {
        if !is_first {
            self.blank_above(comment.at.line);
        }
        self.out.push_str(&" ".repeat(indent));
        self.out.push_str(comment.text);
        self.out.push('\n');
        self.last_line = comment.at.line;
    }

    /// One blank line, if the author has any there.
    fn blank_above(&mut self, line: usize) {
        let above = line.saturating_sub(1);
        let is_blank = above > self.last_line
            && above > 0
            && self.lines.get(above - 1).is_some_and(|line| line.trim().is_empty());
        if is_blank && !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    /// Ends a line with the comment behind it.
    fn end_line(&mut self, line: usize) {
        if let Some((comment, rest)) = self.comments.split_first()
            && comment.at.line == line
        {
            self.out.push(' ');
            self.out.push_str(comment.text);
            self.comments = rest;
        }
        self.out.push('\n');
        self.last_line = line;
    }

    fn slice(&self, piece: &Piece<'_>) -> &'s str {
        self.source.get(piece.start.offset..piece.end.offset).unwrap_or_default().trim_end()
    }

    fn is_block(&self, piece: &Piece<'_>, is_forced: bool) -> bool {
        let is_empty = match &piece.kind {
            PieceKind::Seq { items, .. } => items.is_empty(),
            PieceKind::Map { entries, .. } => entries.is_empty(),
            PieceKind::Scalar { .. } | PieceKind::Alias => true,
        };
        !is_empty && (is_forced || !self.is_flow_line(piece))
    }

    fn is_flow_line(&self, piece: &Piece<'_>) -> bool {
        matches!(
            piece.kind,
            PieceKind::Seq { is_flow: true, .. } | PieceKind::Map { is_flow: true, .. }
        ) && piece.is_one_line()
    }
}

/// Something in the line of its key.
fn is_leaf(piece: &Piece<'_>) -> bool {
    match &piece.kind {
        PieceKind::Scalar { style, text } => {
            // The comment behind the head of a block stays there.
            !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) && !text.is_empty()
        }
        PieceKind::Alias => true,
        PieceKind::Seq { .. } | PieceKind::Map { .. } => false,
    }
}

/// A list of `- name: …`.
fn is_task_list(piece: &Piece<'_>) -> bool {
    let PieceKind::Seq { items, .. } = &piece.kind else { return false };
    let is_task = |item: &Piece<'_>| match &item.kind {
        PieceKind::Map { entries, .. } => {
            matches!(&entries[..], [(_, value)] if matches!(value.kind, PieceKind::Map { .. }))
        }
        _ => false,
    };
    items.iter().all(is_task)
}
