//! Calls of what is described elsewhere: a function that is a task, an operation of an OpenAPI
//! document. The latter becomes an HTTP request like any other.

use base::value::{array, object, string};
use spec::tree::{CustomCall, OpenApiCall, Scheme};

use super::Machine;
use super::advance::Next;
use super::body::Birth;
use super::evaluate::Halt;
use super::node::{Body, Node, NodeId, Phase, Seq};
use super::scope::Variables;
use super::seal::openapi_is_sealed;
use crate::effect::{Action, HttpRequest};
use crate::operation;
use crate::sealed::{Late, Sealed, SealedCall};

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
        if openapi_is_sealed(call) {
            return self.openapi_sealed(node, call);
        }
        let mut expressions = self.expressions(node);
        let form = &*call.operation;
        let mut given = Vec::with_capacity(call.parameters.len());
        for (parameter, value) in form.parameters.iter().zip(&call.parameters) {
            let value = expressions.template(value, &node.input)?;
            given.push(operation::texts(parameter, &value)?);
        }
        let mut request = operation::addressed(form, &given, call.output, call.redirect)?;
        if let (Some(form), Some(body)) = (&form.body, &call.body) {
            let body = expressions.template(body, &node.input)?;
            operation::add_body(&mut request, form, &body)?;
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
