//! `authentication`: inline, by name from `use.authentications`, or with a secret's properties.

use std::sync::Arc;

use base::value::{as_object, as_str};
use expr::Expr;

use crate::code::Code;
use crate::node::Kind;
use crate::tree::{Access, Authentication, Scheme, Template, UriPart};

use super::Reader;
use super::call::uri_template;
use super::expression::{Around, Position, is_expression};
use super::fields::{Fields, Item, quoted};
use super::reusable::Shelf;

const GRANTS: [&str; 5] = [
    AUTHORIZATION_CODE,
    "client_credentials",
    "password",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:token-exchange",
];

const AUTHORIZATION_CODE: &str = "authorization_code";

const CLIENT_METHODS: [&str; 5] =
    ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"];

const ENCODINGS: [&str; 2] = ["application/x-www-form-urlencoded", "application/json"];

const OAUTH: [&str; 11] = [
    "authority",
    "grant",
    "client",
    "request",
    "issuers",
    "scopes",
    "audiences",
    "username",
    "password",
    "subject",
    "actor",
];

impl<'a> Reader<'a> {
    /// The authentication of an endpoint: its own, or `use: NAME`.
    pub(super) fn authentication(
        &mut self,
        item: Item<'a>,
        around: &Around,
    ) -> Option<Authentication> {
        if item.node.as_str().is_some() {
            let hint = "write `{ use: NAME }` for one of `use.authentications`";
            self.report(Code::WrongType, item.node.at, "expected an object", Some(hint.into()));
            return None;
        }
        let entries = self.entries(item)?;
        let Some(entry) = entries.iter().find(|entry| &*entry.key == "use") else {
            return self.authentication_inline(item, around);
        };
        self.fields(item, &["use"])?;
        let name = Item::from(entry);
        self.text(name)?;
        let shelved = self.inline_or_shelved(name, Shelf::Authentications)?;
        self.authentication_inline(shelved, around)
    }

    /// Who asks for what is fetched before there is a run.
    pub(super) fn access(&mut self, item: Item<'a>) -> Option<Access> {
        let authentication = self.authentication(item, &Around::nobody())?;
        let entries = self.entries(item)?;
        let named = entries.iter().find(|entry| &*entry.key == "use");
        let name = named.and_then(|entry| entry.value.as_str());
        let name = name.unwrap_or(authentication.scheme.name()).to_owned();
        Some(Access { name, authentication })
    }

    pub(super) fn authentication_inline(
        &mut self,
        item: Item<'a>,
        around: &Around,
    ) -> Option<Authentication> {
        let known = Scheme::ALL.map(Scheme::name);
        let fields = self.fields(item, &known)?;
        let mut given = Scheme::ALL.into_iter().filter(|it| fields.get(it.name()).is_some());
        let (Some(scheme), None) = (given.next(), given.next()) else {
            let hint = format!("write exactly one of {}", quoted(&known));
            let message = "an authentication has exactly one scheme";
            self.report(Code::AuthenticationScheme, item.at, message, Some(hint));
            return None;
        };
        let item = fields.get(scheme.name())?;
        let entries = self.entries(item)?;
        if let Some(entry) = entries.iter().find(|entry| &*entry.key == "use") {
            return self.authentication_of_secret(item, entry.into(), scheme);
        }
        match scheme {
            Scheme::Basic | Scheme::Digest => {
                let fields = self.fields(item, &["username", "password"])?;
                self.required_strings(&fields, &["username", "password"])?;
            }
            Scheme::Bearer => {
                let fields = self.fields(item, &["token"])?;
                self.required_strings(&fields, &["token"])?;
            }
            Scheme::OAuth2 => {
                let known: Vec<&str> = OAUTH.into_iter().chain(["endpoints"]).collect();
                let fields = self.fields(item, &known)?;
                self.oauth(&fields)?;
                if let Some(endpoints) = fields.get("endpoints") {
                    let known = ["token", "revocation", "introspection"];
                    let endpoints = self.fields(endpoints, &known)?;
                    self.optional_strings(&endpoints, &known)?;
                }
            }
            Scheme::Oidc => {
                let fields = self.fields(item, &OAUTH)?;
                self.oauth(&fields)?;
            }
        }
        let properties = self.template(item, Position::Authentication, around)?;
        let properties = self.with_authority(item, properties, around)?;
        Some(Authentication { scheme, properties })
    }

    /// `use: NAME` within a scheme: the secret of that name holds the properties.
    fn authentication_of_secret(
        &mut self,
        item: Item<'a>,
        name: Item<'a>,
        scheme: Scheme,
    ) -> Option<Authentication> {
        self.fields(item, &["use"])?;
        let text = self.text(name)?;
        if is_expression(text) {
            let message = "the name of a secret cannot be an expression";
            self.report(Code::ComputedReference, name.node.at, message, None);
            return None;
        }
        let secret = self.secret(text, name.node.at)?;
        let text = format!("$secrets[\"{secret}\"]");
        let expr = Expr::parse(&text).expect("a secret's name needs no quoting in an expression");
        Some(Authentication { scheme, properties: Template::Expr(expr) })
    }

    fn oauth(&mut self, fields: &Fields<'a>) -> Option<()> {
        let authority = self.require(fields, "authority").and_then(|item| self.stringy(item));
        let grant =
            self.require(fields, "grant").and_then(|item| self.grant(item).map(|it| (it, item)));
        let method = self.client(fields);
        if let Some(request) = fields.get("request")
            && let Some(request) = self.fields(request, &["encoding"])
            && let Some(encoding) = request.get("encoding")
        {
            self.one_of(encoding, &ENCODINGS);
        }
        for list in ["issuers", "scopes", "audiences"] {
            if let Some(item) = fields.get(list) {
                self.strings(item);
            }
        }
        self.optional_strings(fields, &["username", "password"]);
        for token in ["subject", "actor"] {
            if let Some(item) = fields.get(token)
                && let Some(token) = self.fields(item, &["token", "type"])
            {
                self.required_strings(&token, &["token", "type"]);
            }
        }
        let (grant, item) = grant?;
        self.grant_has(fields, item, grant);
        authority.and(method).map(drop)
    }

    fn grant(&mut self, item: Item<'a>) -> Option<&'static str> {
        let grant = self.one_of(item, &GRANTS)?;
        if grant == AUTHORIZATION_CODE {
            let hint = "a workflow has nobody who could log in: use `client_credentials`, or `refresh_token` with a token that somebody has got before";
            let message = "the grant `authorization_code` needs a person at a browser";
            self.report(Code::Grant, item.node.at, message, Some(hint.into()));
            return None;
        }
        Some(grant)
    }

    /// What a grant cannot do without.
    fn grant_has(&mut self, fields: &Fields<'a>, item: Item<'a>, grant: &str) {
        let needed: &[&str] = match grant {
            "password" => &["username", "password"],
            "refresh_token" | "urn:ietf:params:oauth:grant-type:token-exchange" => &["subject"],
            _ => &[],
        };
        for name in needed.iter().filter(|name| fields.get(name).is_none()) {
            let message = format!("the grant `{grant}` needs the property `{name}`");
            let hint = (grant == "refresh_token").then(|| {
                "the refresh token is `subject.token`, its type `urn:ietf:params:oauth:token-type:refresh_token`".to_owned()
            });
            self.report(Code::MissingProperty, item.at, message, hint);
        }
    }

    /// The method by which the client authenticates itself, with what that method needs.
    fn client(&mut self, fields: &Fields<'a>) -> Option<&'static str> {
        let client = match fields.get("client") {
            Some(item) => {
                Some(self.fields(item, &["id", "secret", "assertion", "authentication"])?)
            }
            None => None,
        };
        let at = client.as_ref().map_or(fields.at(), Fields::at);
        let method = match client.as_ref().and_then(|client| client.get("authentication")) {
            Some(item) => self.one_of(item, &CLIENT_METHODS)?,
            None => CLIENT_METHODS[1],
        };
        if let Some(client) = &client {
            self.optional_strings(client, &["id", "secret", "assertion"])?;
        }
        let needed: &[&str] = match method {
            "none" => &[],
            "private_key_jwt" => &["id", "assertion"],
            _ => &["id", "secret"],
        };
        let has = |name: &&&str| client.as_ref().is_some_and(|it| it.get(name).is_some());
        let missing: Vec<&str> = needed.iter().filter(|name| !has(name)).copied().collect();
        if missing.is_empty() {
            return Some(method);
        }
        let missing: Vec<String> = missing.iter().map(|name| format!("client.{name}")).collect();
        let missing = quoted(&missing.iter().map(String::as_str).collect::<Vec<_>>());
        let message = format!("the client authentication `{method}` needs {missing}");
        let hint = "add it, or write `client: { authentication: none }` for a public client";
        self.report(Code::ClientAuthentication, at, message, Some(hint.into()));
        None
    }

    /// The authority with its `{name}` places filled from the task's input, as in an endpoint.
    fn with_authority(
        &mut self,
        item: Item<'a>,
        properties: Template,
        around: &Around,
    ) -> Option<Template> {
        let Kind::Map(entries) = &item.node.kind else { return Some(properties) };
        let authority = entries.iter().find(|entry| &*entry.key == "authority");
        let Some(authority) = authority else { return Some(properties) };
        let text = authority.value.as_str().unwrap_or_default();
        if is_expression(text) {
            return Some(properties);
        }
        let parts = match uri_template(text) {
            Ok(parts) => parts,
            Err((message, hint)) => {
                self.report(Code::Endpoint, authority.value.at, message, Some(hint.into()));
                return None;
            }
        };
        if !parts.iter().any(|part| matches!(part, UriPart::Variable(_))) {
            return Some(properties);
        }
        if around.is_nobody() {
            let hint = "no task is there yet whose input could fill it: write the address itself";
            let message = "this address cannot be computed";
            self.report(Code::ComputedReference, authority.value.at, message, Some(hint.into()));
            return None;
        }
        let filled = Template::Expr(filled(&parts)?);
        let fields: Vec<(Arc<str>, Template)> = match properties {
            Template::Object(fields) => fields,
            Template::Constant(value) => as_object(&value)?
                .iter()
                .filter_map(|(key, value)| {
                    Some((as_str(key)?.into(), Template::Constant(value.clone())))
                })
                .collect(),
            other @ (Template::Expr(_) | Template::Array(_)) => return Some(other),
        };
        let with = |(key, old): (Arc<str>, Template)| {
            let new = if &*key == "authority" { filled.clone() } else { old };
            (key, new)
        };
        Some(Template::Object(fields.into_iter().map(with).collect()))
    }

    fn required_strings(&mut self, fields: &Fields<'a>, names: &[&str]) -> Option<()> {
        let found: Vec<Option<()>> = names
            .iter()
            .map(|name| self.require(fields, name).and_then(|item| self.stringy(item)))
            .collect();
        found.into_iter().collect()
    }

    fn optional_strings(&mut self, fields: &Fields<'a>, names: &[&str]) -> Option<()> {
        let given: Vec<Item<'a>> = names.iter().filter_map(|name| fields.get(name)).collect();
        let found: Vec<Option<()>> = given.into_iter().map(|item| self.stringy(item)).collect();
        found.into_iter().collect()
    }

    fn strings(&mut self, item: Item<'a>) {
        if item.node.as_str().is_some_and(is_expression) {
            return;
        }
        let Kind::Seq(nodes) = &item.node.kind else {
            let _: Option<()> = self.wrong_type(item, "a list of strings");
            return;
        };
        for node in nodes.iter() {
            self.stringy(Item::of(node));
        }
    }

    /// Text, or an expression; which of the two, is seen later.
    fn stringy(&mut self, item: Item<'a>) -> Option<()> {
        let text = self.text(item)?;
        if text.is_empty() {
            return self.wrong_value(item, "the text is empty", None);
        }
        Some(())
    }
}

/// An expression that gives an address with its places filled. What is filled in is one segment.
fn filled(parts: &[UriPart]) -> Option<Expr> {
    let quote = |text: &str| base::value::to_json_string(&base::value::string(text));
    let parts: Vec<String> = parts
        .iter()
        .map(|part| match part {
            UriPart::Text(text) => quote(text),
            UriPart::Variable(name) => format!("(.[{}] | tostring | @uri)", quote(name)),
        })
        .collect();
    Expr::parse(&parts.join(" + ")).ok()
}
