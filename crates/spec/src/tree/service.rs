//! Calls of what is described elsewhere: functions that are tasks, operations of OpenAPI documents.

use std::sync::Arc;

use super::{Authentication, HttpOutput, TaskNo, Template, UriPart};

/// `call: NAME` of a function that is itself a task: from `use.functions`, a catalog or an address.
#[derive(Debug)]
pub struct CustomCall {
    /// For people: the name or the address.
    pub name: Arc<str>,
    /// The function's input; `None` is an empty object.
    pub with: Option<Template>,
    pub body: TaskNo,
}

/// `call: openapi`: an HTTP request whose form the OpenAPI document gives.
#[derive(Debug)]
pub struct OpenApiCall {
    pub operation: Arc<Operation>,
    pub authentication: Option<Authentication>,
    /// One for each parameter of the operation, in its order.
    pub parameters: Vec<Template>,
    /// There exactly where the operation has one.
    pub body: Option<Template>,
    pub output: HttpOutput,
    pub redirect: bool,
}

/// How an operation is asked for, with what the workflow gives: all but the values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operation {
    /// Upper case.
    pub method: String,
    /// The places are filled from the parameters in the path.
    pub address: Vec<UriPart>,
    pub parameters: Vec<Parameter>,
    pub body: Option<RequestBody>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub name: Arc<str>,
    pub place: Place,
    pub required: bool,
    pub list: ListStyle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

/// How a list of values is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListStyle {
    /// The name once for each.
    Repeated,
    Joined(char),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestBody {
    pub encoding: Encoding,
    pub content_type: Arc<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Form,
    Text,
}
