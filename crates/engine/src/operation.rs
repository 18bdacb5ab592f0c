//! From values to the HTTP request of an operation, in the form that its OpenAPI document gives.
//!
//! The values come from `machine::service`, or from sealed parts that the performer has opened.

use base::value::{array, as_array, as_object, as_str, get, kind, string, to_json_string};
use base::{ErrorType, Fault, Value};
use spec::tree::{
    Encoding, HttpOutput, ListStyle, Operation, Parameter, Place, RequestBody, UriPart,
};

use crate::effect::HttpRequest;
use crate::sealed::scalar;

/// The names of an operation's parts, where they travel as one value: a list in the order of the
/// operation's parameters, and the body.
pub(crate) const PARAMETERS: &str = "parameters";
pub(crate) const BODY: &str = "body";

pub(crate) fn request(
    operation: &Operation,
    parts: &Value,
    output: HttpOutput,
    redirect: bool,
) -> Result<HttpRequest, Fault> {
    let values = get(parts, PARAMETERS).and_then(as_array).unwrap_or_default();
    let given: Result<Vec<Vec<String>>, Fault> =
        operation.parameters.iter().zip(values).map(|(it, value)| texts(it, value)).collect();
    let mut request = addressed(operation, &given?, output, redirect)?;
    if let (Some(form), Some(value)) = (&operation.body, get(parts, BODY)) {
        add_body(&mut request, form, value)?;
    }
    Ok(request)
}

/// The request without its body. `given` are the texts of each parameter.
pub(crate) fn addressed(
    operation: &Operation,
    given: &[Vec<String>],
    output: HttpOutput,
    redirect: bool,
) -> Result<HttpRequest, Fault> {
    let mut request = HttpRequest {
        method: operation.method.clone(),
        uri: String::new(),
        headers: Vec::new(),
        query: Vec::new(),
        body: None,
        output,
        redirect,
    };
    let (mut path, mut cookies) = (Vec::new(), Vec::new());
    for (parameter, texts) in operation.parameters.iter().zip(given) {
        let name = parameter.name.to_string();
        let pairs = texts.iter().map(|text| (name.clone(), text.clone()));
        match parameter.place {
            Place::Path => path.extend(pairs),
            Place::Query => request.query.extend(pairs),
            Place::Header => request.headers.extend(pairs),
            Place::Cookie => cookies.extend(pairs),
        }
    }
    request.uri = fill(&operation.address, &path)?;
    if !cookies.is_empty() {
        let cookies: Vec<String> =
            cookies.iter().map(|(name, text)| format!("{name}={text}")).collect();
        request.headers.push(("Cookie".to_owned(), cookies.join("; ")));
    }
    Ok(request)
}

pub(crate) fn add_body(
    request: &mut HttpRequest,
    form: &RequestBody,
    value: &Value,
) -> Result<(), Fault> {
    request.body = Some(body(form, value)?);
    if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        request.headers.push(("Content-Type".to_owned(), form.content_type.to_string()));
    }
    Ok(())
}

/// A parameter's value as text, once for each time that it is sent.
pub(crate) fn texts(parameter: &Parameter, value: &Value) -> Result<Vec<String>, Fault> {
    let name = &parameter.name;
    let one = |value: &Value| {
        scalar(value).ok_or_else(|| {
            configuration(&format!("the parameter `{name}` is {}, not a string", kind(value)))
        })
    };
    let texts = match value {
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
        let what = format!("the parameter `{name}` is required, and its value is {}", kind(value));
        return Err(configuration(&what));
    }
    Ok(texts)
}

/// The address with its places filled. A value of several parts stands in one segment.
fn fill(parts: &[UriPart], path: &[(String, String)]) -> Result<String, Fault> {
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

/// The address for people: a place whose value is not known stands there by its name.
pub(crate) fn shown(operation: &Operation, known: impl Fn(usize) -> Option<Value>) -> String {
    let mut uri = String::new();
    for part in &operation.address {
        let name = match part {
            UriPart::Variable(name) => name,
            UriPart::Text(text) => {
                uri.push_str(text);
                continue;
            }
        };
        let is_it = |it: &Parameter| it.place == Place::Path && it.name == *name;
        let at = operation.parameters.iter().position(is_it);
        let value = at.and_then(|at| texts(&operation.parameters[at], &known(at)?).ok());
        match value.as_deref() {
            Some([text, ..]) => encode(text, &mut uri),
            Some([]) | None => uri.push_str(&format!("{{{name}}}")),
        }
    }
    uri
}

/// A value as one segment of a URI: whatever is not unreserved is percent-encoded.
pub(crate) fn encode(text: &str, uri: &mut String) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            write!(uri, "%{byte:02X}").expect("writing to a string");
        }
    }
}

fn body(form: &RequestBody, value: &Value) -> Result<Value, Fault> {
    match form.encoding {
        // A body that is a string is sent as it is, so its JSON text is made here.
        Encoding::Json => Ok(match value {
            Value::TStr(_) => string(&to_json_string(value)),
            _ => value.clone(),
        }),
        Encoding::Text => Ok(match as_str(value) {
            Some(_) => value.clone(),
            None => string(&to_json_string(value)),
        }),
        Encoding::Form => fields(value).map(|text| string(&text)),
    }
}

fn fields(value: &Value) -> Result<String, Fault> {
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
        for item in as_array(&items).unwrap_or_default() {
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

fn configuration(what: &str) -> Fault {
    Fault::new(ErrorType::Configuration, what)
}
