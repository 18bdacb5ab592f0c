//! Expressions and templates: finding `${ }`, parsing, and which variables exist where.

use std::sync::Arc;

use base::{Value, value};
use expr::Expr;

use crate::code::Code;
use crate::diagnostic::Location;
use crate::near;
use crate::node::{Kind, Scalar};
use crate::problems::shown;
use crate::tree::{Template, Text};

use super::fields::{Item, quoted};
use super::{Reader, Unparsed, foreign};

/// Where an expression stands. It decides which of the language's arguments exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// The workflow's `input.from` and `timeout`.
    WorkflowInput,
    WorkflowOutput,
    /// A task's `if` and `input.from`, which are evaluated before there is an `$input`.
    BeforeTask,
    /// The task's definition and its `output.as`.
    Task,
    /// The arguments of a process, which everybody on its machine can see.
    Arguments,
    /// The arguments of a function that hands them to other sites.
    Sent,
    Export,
    /// An effect's definition, which the performer finishes: secrets exist.
    Effect,
    /// The same, with the authorization that the performer has got before.
    AuthorizedEffect,
    /// How an effect authenticates itself.
    Authentication,
}

impl Position {
    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::WorkflowInput => &["runtime", "workflow"],
            Self::WorkflowOutput => &["context", "runtime", "workflow"],
            Self::BeforeTask => &["context", "runtime", "task", "workflow"],
            Self::Task | Self::Arguments | Self::Sent => {
                &["context", "input", "runtime", "task", "workflow"]
            }
            Self::Export => ARGUMENTS,
            Self::Effect | Self::Authentication => {
                &["context", "input", "runtime", "secrets", "task", "workflow"]
            }
            Self::AuthorizedEffect => {
                &["authorization", "context", "input", "runtime", "secrets", "task", "workflow"]
            }
        }
    }
}

const ARGUMENTS: &[&str] = &["context", "input", "output", "runtime", "task", "workflow"];

/// Names that loops and catches cannot give to their variables.
const RESERVED: &[&str] =
    &["authorization", "context", "input", "output", "runtime", "secrets", "task", "workflow"];

/// Unknown variables of one expression that are looked for in its text: each costs a walk over it,
/// and no more are shown anyway.
const UNKNOWN_VARIABLES_MAX: usize = 100;

/// The variables that loops and catches around a place give it.
#[derive(Debug, Clone, Default)]
pub(super) struct Around {
    names: Vec<Arc<str>>,
    /// Not known yet: a reusable is looked at without a use.
    anything: bool,
    /// No run is there: what a position has otherwise does not exist.
    nobody: bool,
}

impl Around {
    pub(super) fn anything() -> Self {
        Self { anything: true, ..Self::default() }
    }

    /// Before there is a run.
    pub(super) fn nobody() -> Self {
        Self { nobody: true, ..Self::default() }
    }

    pub(super) fn is_nobody(&self) -> bool {
        self.nobody
    }

    /// The language's variables at a position.
    fn arguments(&self, position: Position) -> &'static [&'static str] {
        match (self.nobody, position) {
            (false, _) => position.arguments(),
            // What is fetched for a document is asked for with secrets.
            (true, Position::Authentication) => &["secrets"],
            (true, _) => &[],
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| &**known == name)
    }

    /// Whether a variable of that name exists at a position here.
    pub(super) fn knows(&self, name: &str, position: Position) -> bool {
        self.has(name) || self.arguments(position).contains(&name)
    }

    pub(super) fn with(&self, names: &[Arc<str>]) -> Self {
        let mut inner = self.clone();
        inner.names.extend(names.iter().cloned());
        inner
    }
}

/// An expression's text within the text of its scalar.
struct Inner<'a> {
    text: &'a str,
    /// In bytes.
    from: usize,
}

/// What is inside `${ }`, if the text is wholly that.
fn inside(text: &str) -> Option<Inner<'_>> {
    let start = text.len() - text.trim_start().len();
    let inner = text.trim().strip_prefix("${")?.strip_suffix('}')?;
    let from = start + 2 + (inner.len() - inner.trim_start().len());
    Some(Inner { text: inner.trim(), from })
}

pub(super) fn is_expression(text: &str) -> bool {
    inside(text).is_some()
}

impl<'a> Reader<'a> {
    /// A property that is an expression by type: `${ }` around it or not.
    pub(super) fn expression(
        &mut self,
        item: Item<'a>,
        position: Position,
        around: &Around,
    ) -> Option<Expr> {
        let Kind::Str(scalar) = &item.node.kind else {
            return self.wrong_type(item, "an expression");
        };
        let bare = || Inner {
            text: scalar.text.trim(),
            from: scalar.text.len() - scalar.text.trim_start().len(),
        };
        let inner = inside(&scalar.text).unwrap_or_else(bare);
        self.parse(scalar, item.node.at, &inner, position, around)
    }

    pub(super) fn expression_of(
        &mut self,
        item: Option<Item<'a>>,
        position: Position,
        around: &Around,
    ) -> Option<Expr> {
        self.expression(item?, position, around)
    }

    /// An expression whose result counts as true or false.
    pub(super) fn condition(
        &mut self,
        item: Item<'a>,
        position: Position,
        around: &Around,
    ) -> Option<Expr> {
        let expression = self.expression(item, position, around)?;
        if expression.is_assignment() {
            self.report(
                Code::ConditionAssigns,
                item.node.at,
                "this changes a value and compares nothing: what comes out counts as true",
                Some("write `==` to compare".into()),
            );
        }
        Some(expression)
    }

    pub(super) fn condition_of(
        &mut self,
        item: Option<Item<'a>>,
        position: Position,
        around: &Around,
    ) -> Option<Expr> {
        self.condition(item?, position, around)
    }

    /// An expression where there is `${ }`, else `None`.
    pub(super) fn marked(
        &mut self,
        item: Item<'a>,
        position: Position,
        around: &Around,
    ) -> Option<Option<Expr>> {
        let Kind::Str(scalar) = &item.node.kind else {
            return None;
        };
        let inner = inside(&scalar.text)?;
        Some(self.parse(scalar, item.node.at, &inner, position, around))
    }

    /// A string that may be an expression.
    pub(super) fn fixed_or_expression(&mut self, item: Item<'a>, around: &Around) -> Option<Text> {
        if let Some(expression) = self.marked(item, Position::Task, around) {
            return expression.map(Text::Expr);
        }
        let text = self.text(item)?;
        if let Some(expression) = self.loose(text, Position::Task, around) {
            return Some(Text::Expr(expression));
        }
        self.warn_of_expression_in_text(item, text, Position::Task, around);
        Some(Text::Fixed(text.into()))
    }

    /// An expression by type where it is a string, else a template.
    pub(super) fn shape(
        &mut self,
        item: Item<'a>,
        position: Position,
        around: &Around,
    ) -> Option<Template> {
        match &item.node.kind {
            Kind::Str(_) => self.expression(item, position, around).map(Template::Expr),
            Kind::Map(_) => self.template(item, position, around),
            _ => self.wrong_type(item, "an expression or an object"),
        }
    }

    /// JSON in which every string that is wholly `${ }` is an expression.
    pub(super) fn template(
        &mut self,
        item: Item<'a>,
        position: Position,
        around: &Around,
    ) -> Option<Template> {
        match &item.node.kind {
            Kind::Str(scalar) => {
                if let Some(expression) = self.marked(item, position, around) {
                    return expression.map(Template::Expr);
                }
                if let Some(expression) = self.loose(&scalar.text, position, around) {
                    return Some(Template::Expr(expression));
                }
                self.warn_of_expression_in_text(item, &scalar.text, position, around);
            }
            Kind::Seq(items) => {
                // Every item is read before the first failure counts, so that all are reported.
                let parts: Vec<_> = items
                    .iter()
                    .map(|node| self.template(Item::of(node), position, around))
                    .collect();
                let parts: Vec<Template> = parts.into_iter().collect::<Option<_>>()?;
                if !parts.iter().all(is_constant) {
                    return Some(Template::Array(parts));
                }
            }
            Kind::Map(entries) => {
                let parts: Vec<_> = entries
                    .iter()
                    .map(|entry| {
                        Some((
                            entry.key.as_ref().into(),
                            self.template(entry.into(), position, around)?,
                        ))
                    })
                    .collect();
                let parts: Vec<(Arc<str>, Template)> = parts.into_iter().collect::<Option<_>>()?;
                if !parts.iter().all(|(_, part)| is_constant(part)) {
                    return Some(Template::Object(parts));
                }
            }
            Kind::Null | Kind::Bool(_) | Kind::Int(_) | Kind::Number(_) => {}
        }
        Some(Template::Constant(item.node.value()))
    }

    /// In the mode `loose`: text that is an expression without saying so. Text that cannot be one,
    /// or that reads what is not there, is text.
    fn loose(&self, text: &str, position: Position, around: &Around) -> Option<Expr> {
        if !self.is_loose {
            return None;
        }
        let expression = Expr::parse(text).ok().filter(Expr::is_parsed)?;
        let mut names = expression.variables().iter();
        let is_here = names.all(|name| around.knows(name, position));
        is_here.then(|| expression.or_its_text())
    }

    fn warn_of_expression_in_text(
        &mut self,
        item: Item<'a>,
        text: &str,
        position: Position,
        around: &Around,
    ) {
        if text.contains("${") {
            let hint = "make the whole string one expression: `${ \"text \\(.value)\" }`";
            self.report(
                Code::TextExpression,
                item.node.at,
                "this is text, and the `${` in it is not evaluated",
                Some(hint.into()),
            );
            return;
        }
        self.warn_of_lookalike(item, text, position, around);
    }

    fn parse(
        &mut self,
        scalar: &Scalar,
        at: Location,
        inner: &Inner<'_>,
        position: Position,
        around: &Around,
    ) -> Option<Expr> {
        if inner.text.is_empty() {
            self.report(Code::ExpressionSyntax, at, "the expression is empty", None);
            return None;
        }
        let expression = match Expr::parse(inner.text) {
            Ok(expression) => expression,
            Err(error) => {
                let offset = inner.from + error.offset.min(inner.text.len());
                let place = self.place(scalar, at, offset, 1);
                let hint = foreign::expression(inner.text, &error.what).map(str::to_owned);
                self.report(
                    Code::ExpressionSyntax,
                    place,
                    format!("the expression cannot be parsed: {}", error.what),
                    hint,
                );
                return None;
            }
        };
        if !expression.is_parsed() {
            let begins = self.begins(scalar, at, inner.from);
            let pointer = String::new();
            self.unparsed.push(Unparsed { expression: expression.clone(), at, begins, pointer });
        }
        let mut unknown = 0;
        for name in expression.variables() {
            if !around.knows(name, position) && unknown < UNKNOWN_VARIABLES_MAX {
                unknown += 1;
                self.check_variable(name, scalar, at, inner, position, around);
            }
        }
        if around.arguments(position).contains(&"secrets") {
            let offset = variable_offset(inner.text, "secrets").unwrap_or_default();
            let at = self.place(scalar, at, inner.from + offset, 1 + "secrets".len() as u32);
            self.secrets_read(&expression, at);
        }
        Some(expression)
    }

    /// Says what is wrong with a variable that is not known.
    fn check_variable(
        &mut self,
        name: &str,
        scalar: &Scalar,
        at: Location,
        inner: &Inner<'_>,
        position: Position,
        around: &Around,
    ) {
        let length = u32::try_from(name.chars().count() + 1).unwrap_or(1);
        let at = match variable_offset(inner.text, name) {
            Some(offset) => self.place(scalar, at, inner.from + offset, length),
            None => at,
        };
        match name {
            "secrets" | "authorization" => self.report_sealed(name, position, at),
            _ if around.anything => {}
            _ if ARGUMENTS.contains(&name) => {
                let hint = here_exist(position, around);
                self.report(
                    Code::VariableNotHere,
                    at,
                    format!("`${name}` does not exist at this place"),
                    Some(hint),
                );
            }
            _ => {
                let known = around
                    .arguments(position)
                    .iter()
                    .copied()
                    .chain(around.names.iter().map(|name| &**name));
                let hint = match near::nearest(name, known) {
                    Some(near) => format!("did you mean `${near}`?"),
                    None => here_exist(position, around),
                };
                self.report(
                    Code::UnknownVariable,
                    at,
                    format!("unknown variable `${}`", shown(name)),
                    Some(hint),
                );
            }
        }
    }

    /// The place of a byte of the scalar's text: exact where its lines stand in the source one by one, or
    /// it stands in one line, as it is or with escapes.
    fn place(&self, scalar: &Scalar, at: Location, offset: usize, length: u32) -> Location {
        let before = scalar.text.get(..offset).unwrap_or(&scalar.text);
        let begins = self.begins(scalar, at, offset);
        match begins.or_else(|| in_quotes(self.source, at, before)) {
            Some(begins) => Location { length, ..begins },
            None => at,
        }
    }

    /// Only where what follows stands in the source as it is too, so that others can count on from
    /// there.
    fn begins(&self, scalar: &Scalar, at: Location, offset: usize) -> Option<Location> {
        let before = scalar.text.get(..offset).unwrap_or(&scalar.text);
        if scalar.is_literal {
            return in_block(self.source, scalar, at, before);
        }
        let verbatim = scalar.verbatim?;
        let column = u32::try_from(before.chars().count()).unwrap_or(0);
        Some(Location {
            offset: verbatim.offset + before.len(),
            line: verbatim.line,
            column: verbatim.column.saturating_add(column),
            length: verbatim.length.saturating_sub(column).max(1),
        })
    }

    /// The name that a loop or a catch gives to a variable.
    pub(super) fn variable_name(
        &mut self,
        item: Option<Item<'a>>,
        default: &str,
    ) -> Option<Arc<str>> {
        let Some(item) = item else {
            return Some(default.into());
        };
        let name = self.text(item)?;
        let hint = if RESERVED.contains(&name) {
            "the language uses this name itself"
        } else if name.starts_with('$') {
            "write it without `$`"
        } else if !is_identifier(name) {
            "use letters, digits and `_`, with no digit first"
        } else {
            return Some(name.into());
        };
        let message = format!("`{}` cannot be the name of a variable", shown(name));
        self.report(Code::VariableName, item.node.at, message, Some(hint.into()));
        None
    }
}

/// For messages: the nearest first.
fn here_exist(position: Position, around: &Around) -> String {
    let names = around.names.iter().rev().map(|name| &**name);
    let names = names.chain(around.arguments(position).iter().copied());
    let names: Vec<String> = names.map(|name| format!("${name}")).collect();
    if names.is_empty() {
        return "no variable exists here: there is no run yet".to_owned();
    }
    format!("here exist {}", quoted(&names.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn is_identifier(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && name.bytes().all(is_identifier_byte)
}

fn is_identifier_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn is_constant(template: &Template) -> bool {
    matches!(template, Template::Constant(_))
}

/// Where in the expression `$name` stands first.
fn variable_offset(text: &str, name: &str) -> Option<usize> {
    let wanted = format!("${name}");
    let ends = |at: &usize| {
        !text.as_bytes().get(at + wanted.len()).copied().is_some_and(is_identifier_byte)
    };
    text.match_indices(&wanted).map(|(at, _)| at).find(ends)
}

/// The place in a block of text behind `|`: its lines stand in the source one by one, indented.
fn in_block(source: &str, scalar: &Scalar, at: Location, before: &str) -> Option<Location> {
    let lines_before = before.matches('\n').count();
    let line_text = scalar.text.split('\n').nth(lines_before)?;
    // The place of a block is its first character, behind the indentation.
    let mut offset = source.get(..at.offset)?.rfind('\n')? + 1;
    for _ in 0..lines_before {
        offset += source.get(offset..)?.find('\n')? + 1;
    }
    let line = source.get(offset..)?.lines().next()?;
    let indent = line.len().checked_sub(line_text.len())?;
    let in_line = before.rsplit('\n').next().unwrap_or(before);
    let is_indented = line.ends_with(line_text) && line.bytes().take(indent).all(|b| b == b' ');
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    is_indented.then(|| Location {
        offset: offset + indent + in_line.len(),
        line: at.line.saturating_add(number(lines_before)),
        column: number(indent + in_line.chars().count() + 1),
        length: number(line_text.chars().count().saturating_sub(in_line.chars().count()).max(1)),
    })
}

/// The place in a text in quotes that has escapes, where it stands in one line.
fn in_quotes(source: &str, at: Location, before: &str) -> Option<Location> {
    let line = source.get(at.offset..)?.lines().next()?;
    let mut signs = line.char_indices().peekable();
    let (_, quote @ ('"' | '\'')) = signs.next()? else { return None };
    for wanted in before.chars() {
        let sign = match signs.next()?.1 {
            '\\' if quote == '"' => match signs.next()?.1 {
                sign @ ('"' | '\\' | '/') => sign,
                'n' => '\n',
                't' => '\t',
                // Rarer ones: the whole text is marked.
                _ => return None,
            },
            // A single quote within single quotes is doubled.
            '\'' if quote == '\'' => signs.next_if(|(_, next)| *next == '\'')?.1,
            sign => sign,
        };
        if sign != wanted {
            return None;
        }
    }
    let (offset, _) = signs.next()?;
    let column = u32::try_from(line[..offset].chars().count()).ok()?;
    let offset = at.offset + offset;
    Some(Location { offset, line: at.line, column: at.column.saturating_add(column), length: 1 })
}

/// The constant value of a template, if it has no expression in it.
pub(super) fn constant(template: Option<&Template>) -> Option<Value> {
    match template {
        None => Some(value::object([])),
        Some(Template::Constant(value)) => Some(value.clone()),
        Some(_) => None,
    }
}
