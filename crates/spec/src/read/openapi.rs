//! `call: openapi`: what the workflow gives, fitted to what the operation takes.

use std::sync::Arc;

use base::name::FunctionRef;

use crate::code::Code;
use crate::near;
use crate::node::{Entry, Kind};
use crate::openapi::{DeclaredBody, DeclaredOperation, FORM, OpenApiError, operation};
use crate::problems::shown;
use crate::revision::ReferenceKind;
use crate::tree::{
    Encoding, HttpOutput, OpenApiCall, Operation, Parameter, Place, RequestBody, TaskKind,
    Template, UriPart,
};

use super::Reader;
use super::call::{http_output, position_of, uri_template};
use super::expression::{Around, Position, is_expression};
use super::fields::Item;
use super::resource::Resource;

/// The parameter that is the whole body, where the operation has none of that name.
const BODY: &str = "body";

impl<'a> Reader<'a> {
    pub(super) fn openapi(&mut self, with: Item<'a>, around: &Around) -> Option<TaskKind> {
        let known =
            ["document", "operationId", "parameters", "authentication", "output", "redirect"];
        let fields = self.fields(with, &known)?;
        let authentication = match fields.get("authentication") {
            Some(item) => self.authentication(item, around).map(Some),
            None => Some(None),
        };
        let output = match fields.get("output") {
            Some(item) => self.one_of(item, &["raw", "content", "response"]).map(http_output),
            None => Some(HttpOutput::default()),
        };
        let redirect = match fields.get("redirect") {
            Some(item) => self.boolean(item),
            None => Some(false),
        };
        let id = self.require(&fields, "operationId").and_then(|item| self.operation_id(item));
        let given = match fields.get("parameters") {
            Some(item) => self.entries(item).map(|_| match &item.node.kind {
                Kind::Map(entries) => &entries[..],
                _ => &[],
            }),
            None => Some(&[][..]),
        };
        let position = position_of(authentication.as_ref());
        let given = given.and_then(|given| self.given(given, position, around));
        let document = self.require(&fields, "document");
        let resource = document.map(|item| self.external(item, ReferenceKind::OpenApi));
        let (output, redirect) = (output?, redirect?);
        let (id, given, authentication) = (id?, given?, authentication?);
        let call = match resource?.ok()? {
            Some(resource) => self.fitted(&resource, id, given, with)?,
            // Nobody has looked: everything that is given is taken for good.
            None => Fitted::default(),
        };
        let Fitted { operation, parameters, body } = call;
        Some(TaskKind::OpenApi(OpenApiCall {
            operation: Arc::new(operation),
            authentication,
            parameters,
            body,
            output,
            redirect,
        }))
    }

    fn operation_id(&mut self, item: Item<'a>) -> Option<Item<'a>> {
        let text = self.text(item)?;
        if is_expression(text) {
            let message = "the operation cannot be an expression";
            let hint = "branch with `switch`, one call in each case";
            self.report(Code::ComputedReference, item.node.at, message, Some(hint.into()));
            return None;
        }
        Some(item)
    }

    fn given(
        &mut self,
        entries: &'a [Entry],
        position: Position,
        around: &Around,
    ) -> Option<Vec<Given<'a>>> {
        let read: Vec<Option<Given<'a>>> = entries
            .iter()
            .map(|entry| {
                let value = self.template(entry.into(), position, around)?;
                Some(Given { entry, value })
            })
            .collect();
        read.into_iter().collect()
    }

    fn fitted(
        &mut self,
        resource: &Resource,
        id: Item<'a>,
        given: Vec<Given<'a>>,
        with: Item<'a>,
    ) -> Option<Fitted> {
        let document = self.parsed(resource)?.value();
        let name = id.node.as_str().unwrap_or_default();
        let operation = match operation(&document, &resource.uri, name) {
            Ok(operation) => operation,
            Err(OpenApiError::NoOperation { id: wanted, known }) => {
                let message =
                    format!("`{}` has no operation `{}`", shown(&resource.uri), shown(&wanted));
                let hint = near::hint(&wanted, known.iter().map(String::as_str))
                    .unwrap_or_else(|| format!("it has {} operations", known.len()));
                self.report(Code::UnknownOperation, id.node.at, message, Some(hint));
                return None;
            }
            Err(wrong) => {
                self.resource_invalid(resource, &wrong.to_string());
                return None;
            }
        };
        let address = match uri_template(&operation.address) {
            Ok(address) => address,
            Err((what, _)) => {
                self.resource_invalid(resource, &format!("the operation's address: {what}"));
                return None;
            }
        };
        self.fit(operation, address, given, with)
    }

    fn fit(
        &mut self,
        operation: DeclaredOperation,
        address: Vec<UriPart>,
        given: Vec<Given<'a>>,
        with: Item<'a>,
    ) -> Option<Fitted> {
        let (mut parameters, mut values) = (Vec::new(), Vec::new());
        let mut rest: Vec<Given<'a>> = Vec::new();
        let mut good = true;
        for given in given {
            let name = &*given.entry.key;
            match operation.parameters.iter().find(|declared| declared.name == name) {
                Some(declared) => {
                    parameters.push(Parameter {
                        name: name.into(),
                        place: declared.place,
                        required: declared.required || declared.place == Place::Path,
                        list: declared.list,
                    });
                    values.push(given.value);
                }
                None => rest.push(given),
            }
        }
        for declared in &operation.parameters {
            let is_required = declared.required || declared.place == Place::Path;
            if is_required && !parameters.iter().any(|it| *it.name == declared.name) {
                let message = format!("the parameter `{}` is missing", shown(&declared.name));
                let hint = "give it under `parameters`";
                self.report(Code::OperationParameter, with.at, message, Some(hint.into()));
                good = false;
            }
        }
        let body = match operation.body {
            Some(declared) => self.body(&declared, rest, with),
            None => {
                let known: Vec<&str> =
                    operation.parameters.iter().map(|it| it.name.as_str()).collect();
                for given in &rest {
                    self.refuse_parameter(given, &known);
                    good = false;
                }
                Some(None)
            }
        };
        let (form, body) = body?.unzip();
        let operation = Operation { method: operation.method, address, parameters, body: form };
        good.then_some(Fitted { operation, parameters: values, body })
    }

    fn refuse_parameter(&mut self, given: &Given<'a>, known: &[&str]) {
        let message = format!("the operation takes no parameter `{}`", shown(&given.entry.key));
        let hint = near::hint(&given.entry.key, known.iter().copied());
        self.report(Code::OperationParameter, given.entry.key_at, message, hint);
    }

    /// The body: one parameter that is it, or all that are left as its fields.
    fn body(
        &mut self,
        declared: &DeclaredBody,
        mut rest: Vec<Given<'a>>,
        with: Item<'a>,
    ) -> Option<Option<(RequestBody, Template)>> {
        let bare = declared.content_type.split(';').next().unwrap_or_default().trim();
        let encoding = match bare {
            FORM => Encoding::Form,
            text if text.starts_with("text/") => Encoding::Text,
            _ => Encoding::Json,
        };
        let whole = |given: &Given<'a>| {
            let name = &*given.entry.key;
            name == BODY || declared.name.as_deref() == Some(name)
        };
        let value = match rest.iter().position(whole) {
            Some(at) => {
                let value = rest.swap_remove(at).value;
                for given in &rest {
                    self.refuse_parameter(given, &[]);
                }
                if !rest.is_empty() {
                    return None;
                }
                value
            }
            None if rest.is_empty() => {
                if declared.required {
                    let message = "the operation needs a body";
                    let hint = "give it as the parameter `body`, or its fields one by one";
                    self.report(Code::OperationParameter, with.at, message, Some(hint.into()));
                    return None;
                }
                return Some(None);
            }
            None => {
                let fields = rest.into_iter();
                Template::Object(
                    fields.map(|it| (it.entry.key.as_ref().into(), it.value)).collect(),
                )
            }
        };
        let content_type = declared.content_type.as_str().into();
        Some(Some((RequestBody { encoding, content_type }, value)))
    }

    /// Names of catalogs for a call that names one which there is not.
    pub(super) fn unknown_catalog(&mut self, item: Item<'a>, function: &FunctionRef) {
        let message = format!("there is no catalog `{}`", shown(&function.catalog));
        let names = self.reusables.catalogs().chain([crate::catalog::DEFAULT]);
        let names: Vec<&str> = names.collect();
        let hint = near::hint(&function.catalog, names.iter().copied())
            .unwrap_or_else(|| "give its address under `use.catalogs`".to_owned());
        self.report(Code::UnknownReusable, item.node.at, message, Some(hint));
    }
}

/// A parameter as the workflow gives it.
struct Given<'a> {
    entry: &'a Entry,
    value: Template,
}

#[derive(Default)]
struct Fitted {
    operation: Operation,
    parameters: Vec<Template>,
    body: Option<Template>,
}
