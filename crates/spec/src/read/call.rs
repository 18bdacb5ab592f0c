//! Calls: HTTP, and functions of the default catalog.

use std::sync::Arc;

use base::name::FunctionRef;
use base::value::{as_array, as_object, as_str, get};

use crate::catalog::{DEFAULT, Manifest};
use crate::code::Code;
use crate::diagnostic::Location;
use crate::near;
use crate::node::{Entry, Kind};
use crate::problems::shown;
use crate::revision::{Reference, ReferenceKind, ReferenceTo};
use crate::schema::Schema;
use crate::tree::{
    Authentication, Endpoint, FunctionCall, HttpCall, HttpOutput, Scheme, TaskKind, Template,
    UriPart,
};

use super::Reader;
use super::expression::{Around, Position, constant, is_expression};
use super::fields::{Item, quoted};
use super::task::Within;

/// Functions named in the message when none is near. More would hide the message.
const NAMES_SHOWN_MAX: usize = 5;

impl<'a> Reader<'a> {
    pub(super) fn call(
        &mut self,
        item: Item<'a>,
        with: Option<Item<'a>>,
        within: &Within<'_>,
    ) -> Option<TaskKind> {
        let name = self.text(item)?;
        let code = match name {
            "http" => {
                let Some(with) = with else {
                    self.missing_with(item);
                    return None;
                };
                return self.http(with, within.around).map(TaskKind::Http);
            }
            "openapi" => {
                let Some(with) = with else {
                    self.missing_with(item);
                    return None;
                };
                return self.openapi(with, within.around);
            }
            "grpc" => Code::NotYetGrpc,
            "asyncapi" => Code::NotYetAsyncApi,
            "a2a" => Code::NotYetA2a,
            "mcp" => Code::NotYetMcp,
            _ => {
                if let Some(call) = self.custom_call(item, name, with, within.around) {
                    return call;
                }
                return self.function(item, name, with, within.around).map(TaskKind::Function);
            }
        };
        self.not_yet(code, item.node.at, &format!("`call: {name}`"));
        None
    }

    fn missing_with(&mut self, item: Item<'a>) {
        let message = "the property `with` is missing";
        self.report(Code::MissingProperty, item.at, message, None);
    }

    fn http(&mut self, with: Item<'a>, around: &Around) -> Option<HttpCall> {
        let known = ["method", "endpoint", "headers", "body", "query", "output", "redirect"];
        let fields = self.fields(with, &known)?;
        let method = self.require(&fields, "method").and_then(|item| self.method(item));
        let authentication = fields.get("endpoint").and_then(authentication_of);
        let authentication = authentication.map(|item| self.authentication(item, around));
        let position = position_of(authentication.as_ref());
        let endpoint = self
            .require(&fields, "endpoint")
            .and_then(|item| self.endpoint(item, position, around));
        let headers =
            fields.get("headers").and_then(|item| self.pairs(item, "headers", position, around));
        let query = fields
            .get("query")
            .and_then(|item| self.pairs(item, "query parameters", position, around));
        let body = fields.get("body").and_then(|item| self.template(item, position, around));
        let output = match fields.get("output") {
            Some(item) => self.one_of(item, &["raw", "content", "response"]).map(http_output),
            None => Some(HttpOutput::default()),
        };
        let redirect = match fields.get("redirect") {
            Some(item) => self.boolean(item),
            None => Some(false),
        };
        Some(HttpCall {
            method: method?,
            endpoint: endpoint?,
            authentication: match authentication {
                Some(authentication) => Some(authentication?),
                None => None,
            },
            headers,
            query,
            body,
            output: output?,
            redirect: redirect?,
        })
    }

    fn method(&mut self, item: Item<'a>) -> Option<String> {
        let text = self.text(item)?;
        if is_token(text) {
            return Some(text.to_ascii_uppercase());
        }
        self.wrong_value(
            item,
            "not an HTTP method",
            Some("write for instance `get` or `post`".into()),
        )
    }

    /// Headers and query parameters: an object of single values, or an expression that gives one.
    pub(super) fn pairs(
        &mut self,
        item: Item<'a>,
        what: &str,
        position: Position,
        around: &Around,
    ) -> Option<Template> {
        if let Some(expression) = self.marked(item, position, around) {
            return expression.map(Template::Expr);
        }
        let Kind::Map(entries) = &item.node.kind else {
            return self.wrong_type(item, "an object or an expression in `${ }`");
        };
        for entry in entries.iter() {
            if what == "headers" && !is_token(&entry.key) {
                self.report(
                    Code::WrongValue,
                    entry.key_at,
                    format!("`{}` cannot be the name of a header", shown(&entry.key)),
                    None,
                );
            }
            if what == "headers"
                && entry.value.as_str().is_some_and(|text| text.contains(['\r', '\n', '\0']))
                && !entry.value.as_str().is_some_and(is_expression)
            {
                self.report(
                    Code::WrongValue,
                    entry.value.at,
                    "the value of a header is one line",
                    None,
                );
            }
            if matches!(entry.value.kind, Kind::Seq(_) | Kind::Map(_)) {
                let nothing: Option<()> = self.wrong_type(entry.into(), "a single value");
                debug_assert!(nothing.is_none());
            }
        }
        self.template(item, position, around)
    }

    /// Text, an expression, or an object with the one or the other as its `uri`.
    fn endpoint(
        &mut self,
        item: Item<'a>,
        position: Position,
        around: &Around,
    ) -> Option<Endpoint> {
        let item = match &item.node.kind {
            Kind::Map(_) => {
                let fields = self.fields(item, &["uri", "authentication"])?;
                self.require(&fields, "uri")?
            }
            _ => item,
        };
        if let Some(expression) = self.marked(item, position, around) {
            return expression.map(Endpoint::Expr);
        }
        let text = self.text(item)?;
        match uri_template(text) {
            Ok(parts) => Some(Endpoint::Template(parts)),
            Err((message, hint)) => {
                self.report(Code::Endpoint, item.node.at, message, Some(hint.into()));
                None
            }
        }
    }

    fn function(
        &mut self,
        item: Item<'a>,
        name: &'a str,
        with: Option<Item<'a>>,
        around: &Around,
    ) -> Option<FunctionCall> {
        let found = self.resolve(item, name);
        let fixed = found.as_ref().map(|(_, manifest)| manifest.fixed.clone()).unwrap_or_default();
        let position = if fixed.is_empty() { Position::Effect } else { Position::Sent };
        let with = with.map(|item| {
            let is_object = self.entries(item).is_some();
            (item, self.template(item, position, around).filter(|_| is_object))
        });
        let (function, manifest) = found?;
        let to = ReferenceTo { kind: ReferenceKind::Function, name: function.to_string() };
        self.references.insert(Reference { to, digest: manifest.digest });
        let (at, with, entries) = match with {
            Some((item, template)) => {
                let template = template?;
                self.check_fixed(item, &template, &function, &manifest);
                let entries = match &item.node.kind {
                    Kind::Map(entries) => Some(entries),
                    _ => None,
                };
                (item.at, Some(template), entries)
            }
            None => (item.at, None, None),
        };
        if let Some(schema) = &manifest.input {
            match (&with, entries) {
                (Some(Template::Object(fields)), Some(entries)) => {
                    self.check_known(at, entries, fields, &manifest, schema);
                }
                _ => self.check_arguments(at, with.as_ref(), schema),
            }
        }
        Some(FunctionCall { function, with })
    }

    /// What others read in clear is the author's own word, and nothing that a run has read.
    fn check_fixed(
        &mut self,
        with: Item<'a>,
        template: &Template,
        function: &FunctionRef,
        manifest: &Manifest,
    ) {
        let (Kind::Map(entries), Template::Object(fields)) = (&with.node.kind, template) else {
            // Without any expression all of it is checked as one.
            return;
        };
        for (name, argument) in fields.iter().filter(|(name, _)| manifest.fixed.contains(name)) {
            let written = entries.iter().find(|entry| *entry.key == **name);
            let at = written.map_or(with.at, |entry| entry.value.at);
            if constant(Some(argument)).is_none() {
                let message = format!(
                    "`{name}` of `{}` cannot hold an expression: it leaves the site in clear",
                    function.name
                );
                let hint = "write it down, and branch with `switch`, one call in each case; what is computed has its place in `input`, which is sealed";
                self.report(Code::ComputedReference, at, message, Some(hint.into()));
            } else if let Some(schema) = argument_schema(manifest, name) {
                self.check_arguments(at, Some(argument), schema);
            }
        }
    }

    fn resolve(&mut self, item: Item<'a>, name: &str) -> Option<(FunctionRef, Manifest)> {
        let at = item.node.at;
        let parsed = FunctionRef::parse(name);
        let elsewhere = parsed.as_ref().is_some_and(|function| &*function.catalog != DEFAULT);
        if name.contains("${") {
            let hint = "branch with `switch`, one call in each case";
            let message = "the name of a function cannot be an expression";
            self.report(Code::ComputedReference, at, message, Some(hint.into()));
        } else if let Some(function) = parsed.as_ref().filter(|_| elsewhere) {
            self.unknown_catalog(item, function);
        } else {
            let manifest = parsed.as_ref().and_then(|function| self.catalog.function(function));
            if manifest.is_none() {
                self.unknown_function(item, name);
            }
            return parsed.zip(manifest);
        }
        None
    }

    fn unknown_function(&mut self, item: Item<'a>, name: &str) {
        let names: Vec<String> = self.catalog.names().iter().map(ToString::to_string).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).chain(["http"]).collect();
        let own = self.near_function(name);
        let hint = own.or_else(|| near::hint(name, names.iter().copied())).unwrap_or_else(|| {
            format!("there are {}", quoted(&names[..names.len().min(NAMES_SHOWN_MAX)]))
        });
        let message = match FunctionRef::parse(name) {
            Some(_) => format!("there is no function `{}`", shown(name)),
            None => {
                format!("`{}` is no call and not of the form `name:version@default`", shown(name))
            }
        };
        self.report(Code::UnknownFunction, item.node.at, message, Some(hint));
    }

    /// Beside expressions, what is known already: which arguments there are, and those without any.
    fn check_known(
        &mut self,
        at: Location,
        entries: &'a [Entry],
        fields: &[(Arc<str>, Template)],
        manifest: &Manifest,
        schema: &base::Value,
    ) {
        let written = |name: &str| entries.iter().find(|entry| *entry.key == *name);
        let known = get(schema, "properties").and_then(as_object);
        let names: Vec<&str> =
            known.into_iter().flat_map(|known| known.keys()).filter_map(as_str).collect();
        let is_closed = get(schema, "additionalProperties") == Some(&base::Value::Bool(false));
        for (name, argument) in fields {
            let at = written(name).map_or(at, |entry| entry.value.at);
            match argument_schema(manifest, name) {
                // Those are checked where it is seen that they are written down.
                _ if manifest.fixed.contains(name) => {}
                Some(schema) => self.check_arguments(at, Some(argument), schema),
                None if is_closed => {
                    let message = format!("the function has no argument `{}`", shown(name));
                    let hint = near::hint(name, names.iter().copied());
                    let hint = hint.unwrap_or_else(|| format!("there are {}", quoted(&names)));
                    self.report(Code::FunctionInput, at, message, Some(hint));
                }
                None => {}
            }
        }
        for name in get(schema, "required").and_then(as_array).into_iter().flatten() {
            let name = as_str(name).unwrap_or_default();
            if !fields.iter().any(|(there, _)| **there == *name) {
                let message = format!("the function needs the argument `{name}`");
                self.report(Code::FunctionInput, at, message, None);
            }
        }
    }

    /// Arguments without any expression can be checked now.
    fn check_arguments(&mut self, at: Location, with: Option<&Template>, schema: &base::Value) {
        let Some(arguments) = constant(with) else {
            return;
        };
        match Schema::compile(schema).map(|schema| schema.check(&arguments)) {
            Ok(Ok(())) => {}
            Ok(Err(wrong)) => {
                self.report(
                    Code::FunctionInput,
                    at,
                    format!("the function does not accept these arguments: {wrong}"),
                    None,
                );
            }
            Err(why) => {
                self.report(
                    Code::Schema,
                    at,
                    format!("the function's manifest has a schema that is not valid: {why}"),
                    None,
                );
            }
        }
    }
}

/// What the schema of all arguments says of one.
fn argument_schema<'m>(manifest: &'m Manifest, name: &str) -> Option<&'m base::Value> {
    get(get(manifest.input.as_ref()?, "properties")?, name)
}

/// The `authentication` of an endpoint that is written as an object.
fn authentication_of(endpoint: Item<'_>) -> Option<Item<'_>> {
    let Kind::Map(entries) = &endpoint.node.kind else { return None };
    entries.iter().find(|entry| &*entry.key == "authentication").map(Item::from)
}

/// What the rest of an authenticated call may read. An authentication that is wrong is no reason to
/// say that `$authorization` is; with `digest` there is none before the server has asked for it.
pub(super) fn position_of(authentication: Option<&Option<Authentication>>) -> Position {
    match authentication {
        None | Some(Some(Authentication { scheme: Scheme::Digest, .. })) => Position::Effect,
        Some(_) => Position::AuthorizedEffect,
    }
}

pub(super) fn http_output(name: &str) -> HttpOutput {
    match name {
        "raw" => HttpOutput::Raw,
        "response" => HttpOutput::Response,
        _ => HttpOutput::Content,
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// An absolute HTTP address with `{name}` places. The error is a message and the way out.
pub(super) fn uri_template(text: &str) -> Result<Vec<UriPart>, (String, &'static str)> {
    let lower = text.to_ascii_lowercase();
    let Some(rest) = ["https://", "http://"].iter().find_map(|scheme| lower.strip_prefix(scheme))
    else {
        return Err((
            "the address is not absolute".into(),
            "it begins with `https://` or `http://`; a computed address is an expression in `${ }`",
        ));
    };
    if rest.is_empty() || rest.starts_with(['/', '?', '#', ':', '@']) {
        return Err((
            "the address has no host".into(),
            "write for instance `https://example.com/pets`",
        ));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"<>\\^`|".contains(c)) {
        return Err((
            "the address contains a character that no address has".into(),
            "encode it with `%`, or make the whole address one expression in `${ }`",
        ));
    }
    const NAMES: &str = "only `{name}` with letters, digits, `_`, `-` and `.` is supported; else make the whole address one expression in `${ }`";
    let mut parts = Vec::new();
    let mut left = text;
    while let Some(start) = left.find(['{', '}']) {
        let (before, after) = left.split_at(start);
        let inner = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let Some((name, behind)) = inner else {
            return Err(("a `{` without its `}`, or the reverse".into(), NAMES));
        };
        let is_name = !name.is_empty()
            && !name.starts_with('.')
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if !is_name {
            return Err((format!("`{{{}}}` is no place to fill", shown(name)), NAMES));
        }
        if !before.is_empty() {
            parts.push(UriPart::Text(before.into()));
        }
        parts.push(UriPart::Variable(name.into()));
        left = behind;
    }
    if !left.is_empty() {
        parts.push(UriPart::Text(left.into()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match uri_template(text) {
            Ok(parts) => parts
                .iter()
                .map(|part| match part {
                    UriPart::Text(text) => format!("[{text}]"),
                    UriPart::Variable(name) => format!("<{name}>"),
                })
                .collect(),
            Err((message, _)) => message,
        }
    }

    /// Mutation: accept an operator of RFC 6570, a relative address, or an unclosed brace.
    #[test]
    fn an_address_is_absolute_and_has_simple_places() {
        let check = |text: &str, expected: &str| assert_eq!(read(text), expected, "{text}");
        check("https://a.example/pet/{petId}", "[https://a.example/pet/]<petId>");
        check("HTTP://a?x={a.b}&y={c-d}z", "[HTTP://a?x=]<a.b>[&y=]<c-d>[z]");
        check("https://{host}/x", "[https://]<host>[/x]");
        check("https://", "the address has no host");
        check("https:///x", "the address has no host");
        check("https://@x", "the address has no host");
        check("/pets", "the address is not absolute");
        check("{base}/pets", "the address is not absolute");
        check("ftp://a", "the address is not absolute");
        check("https://a/b c", "the address contains a character that no address has");
        check("https://a/{+x}", "`{+x}` is no place to fill");
        check("https://a/{x,y}", "`{x,y}` is no place to fill");
        check("https://a/{}", "`{}` is no place to fill");
        check("https://a/{x", "a `{` without its `}`, or the reverse");
        check("https://a/x}", "a `{` without its `}`, or the reverse");
        check("https://a/{x{y}}", "`{x{y}` is no place to fill");
    }
}
