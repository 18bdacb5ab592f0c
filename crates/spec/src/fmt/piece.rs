//! How a document is laid out: its values with their notation and places, and its comments.

use granit_parser::{Event, Marker, Parser, Placement, ScalarStyle, Span, StructureStyle};

use crate::diagnostic::Location;

/// Comments that the parser may hold back while it looks ahead: as many as a document can have.
const COMMENTS_BUFFERED_MAX: usize = 1_000_000;

pub(super) struct Layout<'s> {
    pub(super) root: Piece<'s>,
    pub(super) comments: Vec<Comment<'s>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: usize,
    /// From 1.
    pub(super) line: usize,
    /// From 0, in characters.
    pub(super) column: usize,
}

pub(super) struct Comment<'s> {
    /// With its `#`.
    pub(super) text: &'s str,
    pub(super) at: Place,
    /// Whether nothing else stands in its line.
    pub(super) is_alone: bool,
}

pub(super) struct Piece<'s> {
    pub(super) start: Place,
    pub(super) end: Place,
    /// With its `&`.
    pub(super) anchor: Option<&'s str>,
    /// As written.
    pub(super) tag: Option<&'s str>,
    pub(super) kind: PieceKind<'s>,
}

pub(super) enum PieceKind<'s> {
    Scalar { style: ScalarStyle, text: String },
    Alias,
    Seq { is_flow: bool, items: Vec<Piece<'s>> },
    Map { is_flow: bool, entries: Vec<(Piece<'s>, Piece<'s>)> },
}

/// A collection whose end has not come yet; of an object with the key whose value is to come.
struct Open<'s> {
    piece: Piece<'s>,
    key: Option<Piece<'s>>,
}

impl<'s> Layout<'s> {
    /// Reads a document that is known to be valid. The error is where it has no layout of ours.
    pub(super) fn read(text: &'s str) -> Result<Self, Location> {
        let mut options = granit_parser::Options::default();
        options.emit_anchor_events = true;
        options.max_buffered_comment_events = COMMENTS_BUFFERED_MAX;
        let mut reader =
            Reader { text, open: Vec::new(), root: None, comments: Vec::new(), anchored: None };
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = next.map_err(|error| location(*error.marker()))?;
            reader.event(event, span)?;
        }
        reader.settle();
        let Reader { root, comments, .. } = reader;
        let root = root.ok_or(super::START)?;
        Ok(Self { root, comments })
    }
}

struct Reader<'s> {
    text: &'s str,
    open: Vec<Open<'s>>,
    root: Option<Piece<'s>>,
    comments: Vec<Comment<'s>>,
    /// A scalar whose anchor may follow.
    anchored: Option<Piece<'s>>,
}

impl<'s> Reader<'s> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Location> {
        let at = location(span.start);
        let slice = || span.slice(self.text).ok_or(at);
        match event {
            Event::Anchor(..) => {
                let anchor = Some(slice()?);
                match (&mut self.anchored, self.open.last_mut()) {
                    (Some(piece), _) | (None, Some(Open { piece, .. })) => piece.anchor = anchor,
                    (None, None) => return Err(at),
                }
                return Ok(());
            }
            Event::Comment(_, placement) => {
                let is_alone = placement != Placement::Right && self.is_alone(span.start);
                self.comments.push(Comment {
                    text: slice()?.trim_end(),
                    at: place(span.start),
                    is_alone,
                });
                return Ok(());
            }
            _ => {}
        }
        self.settle();
        let piece = |kind| {
            let tag = span.tag_span().and_then(|tag| tag.slice(self.text));
            Piece { start: place(span.start), end: place(span.end), anchor: None, tag, kind }
        };
        match event {
            // A directive says how to read what follows, and has no canonical place.
            Event::DocumentStart(_, Some(_)) => return Err(at),
            Event::Scalar(text, style, ..) => {
                self.anchored = Some(piece(PieceKind::Scalar { style, text: text.into_owned() }));
            }
            Event::Alias(_) => {
                let piece = piece(PieceKind::Alias);
                self.add(piece);
            }
            Event::SequenceStart(style, ..) => {
                let is_flow = style == StructureStyle::Flow;
                let piece = piece(PieceKind::Seq { is_flow, items: Vec::new() });
                self.open.push(Open { piece, key: None });
            }
            Event::MappingStart(style, ..) => {
                let is_flow = style == StructureStyle::Flow;
                let piece = piece(PieceKind::Map { is_flow, entries: Vec::new() });
                self.open.push(Open { piece, key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let mut open = self.open.pop().ok_or(at)?;
                open.piece.end = place(span.end);
                self.add(open.piece);
            }
            _ => {}
        }
        Ok(())
    }

    /// Puts a scalar where it belongs, now that its anchor is known.
    fn settle(&mut self) {
        if let Some(piece) = self.anchored.take() {
            self.add(piece);
        }
    }

    fn add(&mut self, piece: Piece<'s>) {
        match self.open.last_mut() {
            None => self.root = Some(piece),
            Some(Open { piece: outer, key }) => match &mut outer.kind {
                PieceKind::Seq { items, .. } => items.push(piece),
                PieceKind::Map { entries, .. } => match key.take() {
                    None => *key = Some(piece),
                    Some(key) => entries.push((key, piece)),
                },
                PieceKind::Scalar { .. } | PieceKind::Alias => {}
            },
        }
    }

    fn is_alone(&self, at: Marker) -> bool {
        let before =
            at.byte_offset().and_then(|offset| self.text.get(..offset)).unwrap_or_default();
        before.rsplit('\n').next().is_none_or(|line| line.trim().is_empty())
    }
}

impl Piece<'_> {
    pub(super) fn is_one_line(&self) -> bool {
        self.start.line == self.end.line
    }

    pub(super) fn has_properties(&self) -> bool {
        self.anchor.is_some() || self.tag.is_some()
    }

    /// Where its first text stands.
    pub(super) fn first(&self) -> Place {
        match &self.kind {
            PieceKind::Seq { is_flow: false, items } => {
                items.first().map_or(self.start, Self::first)
            }
            PieceKind::Map { is_flow: false, entries } => {
                entries.first().map_or(self.start, |(key, _)| key.first())
            }
            _ => self.start,
        }
    }

    pub(super) fn location(&self) -> Location {
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Location {
            offset: self.start.offset,
            line: small(self.start.line),
            column: small(self.start.column + 1),
            length: 1,
        }
    }
}

fn place(marker: Marker) -> Place {
    Place {
        offset: marker.byte_offset().unwrap_or(0),
        line: marker.line().max(1),
        column: marker.col(),
    }
}

fn location(marker: Marker) -> Location {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Location {
        offset: marker.byte_offset().unwrap_or(0),
        line: small(marker.line().max(1)),
        column: small(marker.col() + 1),
        length: 1,
    }
}
