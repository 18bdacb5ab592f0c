//! Errors: raising, trying, catching.

use crate::code::Code;
use crate::node::Kind;
use crate::problems::shown;
use crate::tree::{Catch, ErrorFilter, Raise, TaskKind, Text, Try};

use super::expression::{Around, Position, is_expression};
use super::fields::{Fields, Item};
use super::list::ListKind;
use super::reusable::Shelf;
use super::task::Within;
use super::{Reader, foreign};

/// The variable of a caught error, where the author gives no name.
const CAUGHT: &str = "error";

impl<'a> Reader<'a> {
    pub(super) fn raise(&mut self, item: Item<'a>, around: &Around) -> Option<Raise> {
        let fields = self.fields(item, &["error"])?;
        let error = self.require(&fields, "error")?;
        let error = self.inline_or_shelved(error, Shelf::Errors)?;
        self.raise_inline(error, around)
    }

    pub(super) fn raise_inline(&mut self, item: Item<'a>, around: &Around) -> Option<Raise> {
        let fields = self.fields(item, &["type", "status", "title", "detail", "instance"])?;
        let uri = self.require(&fields, "type").and_then(|item| self.error_type(item, around));
        let status = self.require(&fields, "status").and_then(|item| self.whole(item, 0, u16::MAX));
        let title = fields.get("title").and_then(|item| self.fixed_or_expression(item, around));
        let detail = fields.get("detail").and_then(|item| self.fixed_or_expression(item, around));
        let instance = fields.get("instance").and_then(|item| self.instance(item, around));
        Some(Raise { uri: uri?, status: status?, title, detail, instance })
    }

    fn error_type(&mut self, item: Item<'a>, around: &Around) -> Option<Text> {
        let text = self.fixed_or_expression(item, around)?;
        match &text {
            Text::Fixed(uri)
                if uri.is_empty()
                    || uri.contains(|c: char| c.is_whitespace() || c.is_control()) =>
            {
                self.wrong_value(
                    item,
                    "the type of an error is a URI",
                    Some("write for instance `https://example.com/errors/sold-out`".into()),
                )
            }
            _ => Some(text),
        }
    }

    fn instance(&mut self, item: Item<'a>, around: &Around) -> Option<Text> {
        let text = self.fixed_or_expression(item, around)?;
        match &text {
            Text::Fixed(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => self
                .wrong_value(
                    item,
                    "the instance of an error is a JSON pointer",
                    Some("it begins with `/`".into()),
                ),
            _ => Some(text),
        }
    }

    /// `try`, with its `catch`.
    pub(super) fn attempt(
        &mut self,
        item: Item<'a>,
        task: &Fields<'a>,
        within: &Within<'_>,
    ) -> Option<TaskKind> {
        let prefix = format!("{}/try", within.location);
        let body = self.task_list(item, &prefix, within.around, ListKind::Steps);
        let catch = self.require(task, "catch")?;
        let catch = self.catch(catch, within)?;
        Some(TaskKind::Try(Try { body, catch }))
    }

    fn catch(&mut self, item: Item<'a>, within: &Within<'_>) -> Option<Catch> {
        let known = ["errors", "as", "when", "exceptWhen", "retry", "do", "then"];
        let fields = self.fields(item, &known)?;
        self.is_flow_unread |= fields.has_unknown(&known);
        let filter = match fields.get("errors") {
            Some(item) => self.error_filter(item),
            None => Some(ErrorFilter::default()),
        };
        let variable = self.variable_name(fields.get("as"), CAUGHT);
        if let (Some(place), Some(name)) = (fields.get("as"), &variable) {
            self.warn_of_shadowing(place.node.at, name, within.around);
        }
        let inner = match &variable {
            Some(name) => within.around.with(std::slice::from_ref(name)),
            None => Around::anything(),
        };
        let when = self.condition_of(fields.get("when"), Position::Task, &inner);
        let except_when = self.condition_of(fields.get("exceptWhen"), Position::Task, &inner);
        let retry = fields.get("retry").and_then(|item| self.retry(item, &inner));
        let prefix = format!("{}/catch/do", within.location);
        let body =
            fields.get("do").map(|item| self.task_list(item, &prefix, &inner, ListKind::Steps));
        let then = match fields.get("then") {
            Some(item) => Some(self.flow(item, within.siblings)?),
            None => None,
        };
        Some(Catch { filter: filter?, variable: variable?, when, except_when, retry, body, then })
    }

    fn error_filter(&mut self, item: Item<'a>) -> Option<ErrorFilter> {
        let fields = self.fields(item, &["with"])?;
        let Some(with) = fields.get("with") else {
            return Some(ErrorFilter::default());
        };
        if matches!(&with.node.kind, Kind::Map(entries) if entries.is_empty()) {
            return self.wrong_value(
                with,
                "the filter is empty",
                Some("leave `with` out to catch every error".into()),
            );
        }
        let with = self.fields(with, &["type", "status", "title", "detail", "instance"])?;
        self.warn_of_foreign_type(&with);
        Some(ErrorFilter {
            uri: self.filter_text(&with, "type"),
            status: with.get("status").and_then(|item| self.whole(item, 0, u16::MAX)),
            title: self.filter_text(&with, "title"),
            detail: self.filter_text(&with, "detail"),
            instance: self.filter_text(&with, "instance"),
        })
    }

    /// A warning only: somebody may raise an error of such a type.
    fn warn_of_foreign_type(&mut self, with: &Fields<'a>) {
        let Some(item) = with.get("type") else { return };
        let Some(text) = item.node.as_str() else { return };
        if let Some(hint) = foreign::error_type(text) {
            let message = format!("no error has the type `{}`: types are URIs here", shown(text));
            self.report(Code::ForeignErrorType, item.node.at, message, Some(hint));
        }
    }

    fn filter_text(&mut self, with: &Fields<'a>, key: &str) -> Option<String> {
        let item = with.get(key)?;
        let text = self.text(item)?;
        if is_expression(text) {
            let hint = "compare in `catch.when`, which is an expression";
            return self.wrong_value(item, "a filter compares with fixed text", Some(hint.into()));
        }
        Some(text.to_owned())
    }
}
