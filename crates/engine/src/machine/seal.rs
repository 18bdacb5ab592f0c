//! Effects with sealed parts: everything is evaluated but what only a performer may know.

use std::sync::Arc;

use base::Value;
use base::value::string;
use spec::tree::{
    Authentication, Endpoint, FunctionCall, HttpCall, OpenApiCall, Process, Scheme, Template, Text,
};

use super::Machine;
use super::evaluate::{Expressions, Halt};
use super::node::Node;
use crate::effect::{Action, Interpreter};
use crate::sealed::{Late, Sealed, SealedCall, has_sealed, is_sealed};
use crate::{operation, process};

/// Whether a call needs its performer for more than doing it.
pub(super) fn http_is_sealed(call: &HttpCall) -> bool {
    let endpoint = match &call.endpoint {
        Endpoint::Template(_) => false,
        Endpoint::Expr(expr) => is_sealed(expr),
    };
    let parts = [&call.headers, &call.query, &call.body];
    endpoint || call.authentication.is_some() || parts.into_iter().flatten().any(has_sealed)
}

/// An authentication alone does not make the request itself a secret.
pub(super) fn openapi_is_sealed(call: &OpenApiCall) -> bool {
    call.parameters.iter().chain(&call.body).any(has_sealed)
}

pub(super) fn process_is_sealed(process: &Process, code: &Text) -> bool {
    let code = match code {
        Text::Fixed(_) => false,
        Text::Expr(expr) => is_sealed(expr),
    };
    // Arguments are no secret to anybody on the machine: a document that puts one there is refused.
    let parts = [&process.stdin, &process.environment];
    code || parts.into_iter().flatten().any(has_sealed)
}

impl Machine {
    pub(super) fn http_sealed(&mut self, node: &Node, call: &HttpCall) -> Result<Action, Halt> {
        let mut expressions = self.expressions(node);
        let input = &node.input;
        let uri = match &call.endpoint {
            Endpoint::Template(parts) => Late::Value(string(&super::call::fill(parts, input)?)),
            Endpoint::Expr(expr) => expressions.late(&Template::Expr(expr.clone()), input)?,
        };
        let mut parts: Vec<(Arc<str>, Late)> = vec![("uri".into(), uri)];
        let named = [("headers", &call.headers), ("query", &call.query), ("body", &call.body)];
        for (name, template) in named {
            if let Some(template) = template {
                parts.push((name.into(), expressions.late(template, input)?));
            }
        }
        let authentication = match &call.authentication {
            Some(authentication) => Some(authenticated(&mut expressions, authentication, input)?),
            None => None,
        };
        let (method, output, redirect) = (call.method.clone(), call.output, call.redirect);
        let call = SealedCall::Http { method, output, redirect };
        let sealed = Sealed { call, parts: Late::Object(parts), authentication };
        Ok(Action::Sealed(Box::new(sealed)))
    }

    pub(super) fn function_sealed(
        &mut self,
        node: &Node,
        call: &FunctionCall,
        with: &Template,
    ) -> Result<Action, Halt> {
        let parts = self.expressions(node).late(with, &node.input)?;
        let call = SealedCall::Function { function: call.function.clone() };
        Ok(Action::Sealed(Box::new(Sealed { call, parts, authentication: None })))
    }

    pub(super) fn openapi_sealed(
        &mut self,
        node: &Node,
        call: &OpenApiCall,
    ) -> Result<Action, Halt> {
        let mut expressions = self.expressions(node);
        let input = &node.input;
        let parameters: Result<Vec<Late>, Halt> =
            call.parameters.iter().map(|value| expressions.late(value, input)).collect();
        let mut parts: Vec<(Arc<str>, Late)> =
            vec![(operation::PARAMETERS.into(), Late::Array(parameters?))];
        if let Some(body) = &call.body {
            parts.push((operation::BODY.into(), expressions.late(body, input)?));
        }
        let authentication = match &call.authentication {
            Some(authentication) => Some(authenticated(&mut expressions, authentication, input)?),
            None => None,
        };
        let (operation, output, redirect) = (call.operation.clone(), call.output, call.redirect);
        let call = SealedCall::OpenApi { operation, output, redirect };
        Ok(Action::Sealed(Box::new(Sealed { call, parts: Late::Object(parts), authentication })))
    }

    pub(super) fn process_sealed(
        &self,
        node: &Node,
        process: &Process,
        interpreter: Interpreter,
        code: &Text,
    ) -> Result<Action, Halt> {
        let mut expressions = self.expressions(node);
        let input = &node.input;
        let code = match code {
            Text::Expr(expr) if is_sealed(expr) => {
                expressions.late(&Template::Expr(expr.clone()), input)?
            }
            plain => Late::Value(string(&expressions.text(plain, input)?)),
        };
        let mut parts: Vec<(Arc<str>, Late)> = vec![(process::CODE.into(), code)];
        let named = [
            (process::STDIN, &process.stdin),
            (process::ARGUMENTS, &process.arguments),
            (process::ENVIRONMENT, &process.environment),
        ];
        for (name, template) in named {
            if let Some(template) = template {
                parts.push((name.into(), expressions.late(template, input)?));
            }
        }
        let (returns, wait) = (process.returns, process.wait);
        let call = SealedCall::Process { interpreter, returns, wait };
        let parts = Late::Object(parts);
        Ok(Action::Sealed(Box::new(Sealed { call, parts, authentication: None })))
    }
}

fn authenticated(
    expressions: &mut Expressions,
    authentication: &Authentication,
    input: &Value,
) -> Result<(Scheme, Late), Halt> {
    Ok((authentication.scheme, expressions.late(&authentication.properties, input)?))
}

impl Expressions {
    /// Like `template`, with the sealed parts left as they are.
    pub(super) fn late(&mut self, template: &Template, input: &Value) -> Result<Late, Halt> {
        if !has_sealed(template) {
            return self.template(template, input).map(Late::Value);
        }
        match template {
            Template::Constant(value) => Ok(Late::Value(value.clone())),
            Template::Expr(expr) => Ok(Late::Expr(self.request(expr, input))),
            Template::Array(items) => {
                let items: Result<Vec<Late>, Halt> =
                    items.iter().map(|item| self.late(item, input)).collect();
                items.map(Late::Array)
            }
            Template::Object(fields) => {
                let mut late = Vec::with_capacity(fields.len());
                for (name, field) in fields {
                    late.push((name.clone(), self.late(field, input)?));
                }
                Ok(Late::Object(late))
            }
        }
    }
}
