//! Calls of what is described elsewhere: a function that is a task, an operation of an OpenAPI
//! document. The latter becomes an HTTP request like any other.

use base::Value;
use base::value::{array, as_object, as_str, kind, object, string, to_json_string};
use spec::tree::{
    CustomCall, Encoding, ListStyle, OpenApiCall, Parameter, Place, RequestBody, Scheme, UriPart,
};

use super::Machine;
use super::advance::Next;
use super::body::Birth;
use super::call::{configuration, encode};
use super::evaluate::{Expressions, Halt};
use super::node::{Body, Node, NodeId, Phase, Seq};
use super::scope::Variables;
use crate::effect::{Action, HttpRequest};
use crate::sealed::{Late, Sealed, SealedCall, scalar};

impl Machine {
    /// The function's task is the only child. It sees its arguments and no variable around the call.
    pub(super) fn custom_begin(
        &mut self,
        id: NodeId,
        node: &mut Node,
        call: &CustomCall,
    ) -> Result<Next, Halt> {
        let input = match &call.with {
            Some(with) => self.expressions(node).template(with, &node.input)?,
            None => object([]),
        };
        node.phase = Phase::Body(Body::Sequence(Seq::default()));
        let (base, variables) = (node.activation.clone(), Variables::default());
        self.spawn(id, node, Birth { task: call.body, visit: 1, base: &base, variables, input });
        Ok(Next::Block)
    }

    pub(super) fn openapi_action(
        &mut self,
        node: &Node,
        call: &OpenApiCall,
    ) -> Result<Action, Halt> {
        let mut expressions = self.expressions(node);
        let mut request = HttpRequest {
            method: call.method.clone(),
            uri: String::new(),
            headers: Vec::new(),
            query: Vec::new(),
            body: None,
            output: call.output,
            redirect: call.redirect,
        };
        let mut path = Vec::new();
        let mut cookies = Vec::new();
        for parameter in &call.parameters {
            let texts = texts(&mut expressions, parameter, &node.input)?;
            let name = parameter.name.to_string();
            let pairs = texts.into_iter().map(|text| (name.clone(), text));
            match parameter.place {
                Place::Path => path.extend(pairs),
                Place::Query => request.query.extend(pairs),
                Place::Header => request.headers.extend(pairs),
                Place::Cookie => cookies.extend(pairs),
            }
        }
        request.uri = fill(&call.address, &path)?;
        if !cookies.is_empty() {
            let cookies: Vec<String> =
                cookies.iter().map(|(name, text)| format!("{name}={text}")).collect();
            request.headers.push(("Cookie".to_owned(), cookies.join("; ")));
        }
        if let Some(body) = &call.body {
            request.body = Some(body_of(&mut expressions, body, &node.input)?);
            if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                request.headers.push(("Content-Type".to_owned(), body.content_type.to_string()));
            }
        }
        let Some(authentication) = &call.authentication else { return Ok(Action::Http(request)) };
        let properties = expressions.late(&authentication.properties, &node.input)?;
        Ok(authenticated(request, (authentication.scheme, properties)))
    }
}

/// The request with everything but its authentication at hand.
fn authenticated(request: HttpRequest, authentication: (Scheme, Late)) -> Action {
    let HttpRequest { method, uri, headers, query, body, output, redirect } = request;
    let mut parts = vec![("uri".into(), Late::Value(string(&uri)))];
    for (part, pairs) in [("headers", &headers), ("query", &query)] {
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.dedup();
        let values = names.into_iter().map(|name| {
            let values = pairs.iter().filter(|(other, _)| other == name);
            (name, array(values.map(|(_, value)| string(value)).collect()))
        });
        parts.push((part.into(), Late::Value(object(values))));
    }
    if let Some(body) = body {
        parts.push(("body".into(), Late::Value(body)));
    }
    let call = SealedCall::Http { method, output, redirect };
    let authentication = Some(authentication);
    Action::Sealed(Box::new(Sealed { call, parts: Late::Object(parts), authentication }))
}

/// A parameter's value as text, once for each time that it is sent.
fn texts(
    expressions: &mut Expressions,
    parameter: &Parameter,
    input: &Value,
) -> Result<Vec<String>, Halt> {
    let name = &parameter.name;
    let value = expressions.template(&parameter.value, input)?;
    let one = |value: &Value| {
        scalar(value).ok_or_else(|| {
            configuration(&format!("the parameter `{name}` is {}, not a string", kind(value)))
        })
    };
    let texts = match &value {
        Value::Null => Vec::new(),
        Value::Arr(items) => {
            let items: Vec<String> = items.iter().map(one).collect::<Result<_, _>>()?;
            match parameter.list {
                ListStyle::Repeated => items,
                ListStyle::Joined(_) if items.is_empty() => items,
                ListStyle::Joined(by) => vec![items.join(&by.to_string())],
            }
        }
        single => vec![one(single)?],
    };
    if texts.is_empty() && parameter.required {
        let what = format!("the parameter `{name}` is required, and its value is {}", kind(&value));
        return Err(configuration(&what));
    }
    Ok(texts)
}

/// The address with its places filled. A value of several parts stands in one segment.
fn fill(parts: &[UriPart], path: &[(String, String)]) -> Result<String, Halt> {
    let mut uri = String::new();
    for part in parts {
        match part {
            UriPart::Text(text) => uri.push_str(text),
            UriPart::Variable(name) => {
                let found = path.iter().find(|(found, _)| **found == **name);
                let (_, text) = found.ok_or_else(|| {
                    configuration(&format!("the operation's path needs `{name}`"))
                })?;
                encode(text, &mut uri);
            }
        }
    }
    Ok(uri)
}

fn body_of(
    expressions: &mut Expressions,
    body: &RequestBody,
    input: &Value,
) -> Result<Value, Halt> {
    let value = expressions.template(&body.value, input)?;
    match body.encoding {
        // A body that is a string is sent as it is, so its JSON text is made here.
        Encoding::Json => Ok(match &value {
            Value::TStr(_) => string(&to_json_string(&value)),
            _ => value,
        }),
        Encoding::Text => Ok(match as_str(&value) {
            Some(_) => value,
            None => string(&to_json_string(&value)),
        }),
        Encoding::Form => form(&value).map(|text| string(&text)),
    }
}

fn form(value: &Value) -> Result<String, Halt> {
    let Some(fields) = as_object(value) else {
        return Err(configuration(&format!("the form is {}, not an object", kind(value))));
    };
    let mut text = String::new();
    for (name, value) in fields {
        let name = as_str(name).unwrap_or_default();
        let items = match value {
            Value::Null => array(Vec::new()),
            Value::Arr(_) => value.clone(),
            one => array(vec![one.clone()]),
        };
        for item in base::value::as_array(&items).unwrap_or_default() {
            let item = scalar(item).ok_or_else(|| {
                configuration(&format!("`{name}` in the form is {}, not a string", kind(item)))
            })?;
            if !text.is_empty() {
                text.push('&');
            }
            encode(name, &mut text);
            text.push('=');
            encode(&item, &mut text);
        }
    }
    Ok(text)
}
