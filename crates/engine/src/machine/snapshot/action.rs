//! What an effect asks for, put away and taken up again. Sealed parts stay as they are, sealed.

use std::sync::Arc;

use base::name::{FunctionRef, WorkflowKey};
use spec::tree::{Returns, Scheme};

use super::operation::{operation_doc, operation_of};
use super::{Back, SnapshotError, Taken, variable_docs};
use crate::effect::{Action, ChildStart, Evaluate, HttpRequest, Interpreter, ProcessRequest};
use crate::format::snapshot_doc::{ActionDoc, LateDoc, SealedCallDoc, Values};
use crate::sealed::{Late, Sealed, SealedCall};

pub(super) fn action_doc(action: &Action, values: &mut Values) -> ActionDoc {
    match action {
        Action::Http(request) => ActionDoc::Http {
            method: request.method.clone(),
            uri: request.uri.clone(),
            headers: request.headers.clone(),
            query: request.query.clone(),
            body: request.body.as_ref().map(|body| values.put(body)),
            output: request.output.into(),
            redirect: request.redirect,
        },
        Action::Process(request) => ActionDoc::Process {
            interpreter: request.interpreter.as_str().to_owned(),
            code: values.put(&base::value::string(&request.code)),
            stdin: values.put(&base::value::string(&request.stdin)),
            arguments: request.arguments.clone(),
            environment: request.environment.clone(),
            returns: request.returns.as_str().to_owned(),
            wait: request.wait,
        },
        Action::Function { function, input } => {
            ActionDoc::Function { function: function.to_string(), input: values.put(input) }
        }
        Action::Sealed(sealed) => sealed_doc(sealed, values),
        Action::Workflow(child) => ActionDoc::Workflow {
            namespace: child.key.namespace.clone(),
            workflow: child.key.name.clone(),
            version: child.version.clone(),
            revision: child.revision,
            input: values.put(&child.input),
            wait: child.wait,
        },
    }
}

fn sealed_doc(sealed: &Sealed, values: &mut Values) -> ActionDoc {
    let call = match &sealed.call {
        SealedCall::Http { method, output, redirect } => SealedCallDoc::Http {
            method: method.clone(),
            output: (*output).into(),
            redirect: *redirect,
        },
        SealedCall::Function { function } => {
            SealedCallDoc::Function { function: function.to_string() }
        }
        SealedCall::OpenApi { operation, output, redirect } => SealedCallDoc::Openapi {
            operation: operation_doc(operation),
            output: (*output).into(),
            redirect: *redirect,
        },
        SealedCall::Process { interpreter, returns, wait } => SealedCallDoc::Process {
            interpreter: interpreter.as_str().to_owned(),
            returns: returns.as_str().to_owned(),
            wait: *wait,
        },
    };
    let parts = late_doc(&sealed.parts, values);
    let authentication = sealed.authentication.as_ref();
    let authentication =
        authentication.map(|(scheme, late)| (scheme.name().to_owned(), late_doc(late, values)));
    ActionDoc::Sealed { call, parts, authentication }
}

fn late_doc(late: &Late, values: &mut Values) -> LateDoc {
    match late {
        Late::Value(value) => LateDoc::Value(values.put(value)),
        Late::Expr(Evaluate { text, input, variables }) => LateDoc::Expr {
            text: text.to_string(),
            input: values.put(input),
            variables: variable_docs(variables, values),
        },
        Late::Array(items) => {
            LateDoc::Array(items.iter().map(|item| late_doc(item, values)).collect())
        }
        Late::Object(fields) => LateDoc::Object(
            fields
                .iter()
                .map(|(name, field)| (name.to_string(), late_doc(field, values)))
                .collect(),
        ),
    }
}

impl Taken<'_> {
    pub(super) fn action(&self, doc: ActionDoc) -> Back<Action> {
        Ok(match doc {
            ActionDoc::Http { method, uri, headers, query, body, output, redirect } => {
                let body = body.map(|body| self.value(body)).transpose()?;
                let output = output.into();
                Action::Http(HttpRequest { method, uri, headers, query, body, output, redirect })
            }
            ActionDoc::Process {
                interpreter,
                code,
                stdin,
                arguments,
                environment,
                returns,
                wait,
            } => {
                let (interpreter, returns) = process(&interpreter, &returns)?;
                let (code, stdin) = (self.text(code)?, self.text(stdin)?);
                Action::Process(ProcessRequest {
                    interpreter,
                    code,
                    stdin,
                    arguments,
                    environment,
                    returns,
                    wait,
                })
            }
            ActionDoc::Function { function, input } => {
                Action::Function { function: named(&function)?, input: self.value(input)? }
            }
            ActionDoc::Sealed { call, parts, authentication } => {
                Action::Sealed(Box::new(self.sealed(call, parts, authentication)?))
            }
            ActionDoc::Workflow { namespace, workflow, version, revision, input, wait } => {
                let key = WorkflowKey { namespace, name: workflow };
                let input = self.value(input)?;
                Action::Workflow(ChildStart { key, version, revision, input, wait })
            }
        })
    }

    fn sealed(
        &self,
        call: SealedCallDoc,
        parts: LateDoc,
        authentication: Option<(String, LateDoc)>,
    ) -> Back<Sealed> {
        let call = match call {
            SealedCallDoc::Http { method, output, redirect } => {
                SealedCall::Http { method, output: output.into(), redirect }
            }
            SealedCallDoc::Function { function } => {
                SealedCall::Function { function: named(&function)? }
            }
            SealedCallDoc::Openapi { operation, output, redirect } => {
                let operation = Arc::new(operation_of(operation));
                SealedCall::OpenApi { operation, output: output.into(), redirect }
            }
            SealedCallDoc::Process { interpreter, returns, wait } => {
                let (interpreter, returns) = process(&interpreter, &returns)?;
                SealedCall::Process { interpreter, returns, wait }
            }
        };
        let authentication = match authentication {
            Some((scheme, properties)) => {
                let scheme = Scheme::parse(&scheme)
                    .ok_or(SnapshotError::Revision("an authentication has no known scheme"))?;
                Some((scheme, self.late(properties)?))
            }
            None => None,
        };
        Ok(Sealed { call, parts: self.late(parts)?, authentication })
    }

    fn late(&self, doc: LateDoc) -> Back<Late> {
        Ok(match doc {
            LateDoc::Value(value) => Late::Value(self.value(value)?),
            LateDoc::Expr { text, input, variables } => {
                Late::Expr(self.evaluate(text, input, variables)?)
            }
            LateDoc::Array(items) => {
                let items = items.into_iter().map(|item| self.late(item));
                Late::Array(items.collect::<Back<_>>()?)
            }
            LateDoc::Object(fields) => {
                let fields =
                    fields.into_iter().map(|(name, field)| Ok((name.into(), self.late(field)?)));
                Late::Object(fields.collect::<Back<_>>()?)
            }
        })
    }
}

fn named(function: &str) -> Back<FunctionRef> {
    FunctionRef::parse(function).ok_or(SnapshotError::Revision("a function has no valid name"))
}

fn process(interpreter: &str, returns: &str) -> Back<(Interpreter, Returns)> {
    let interpreter = Interpreter::ALL
        .into_iter()
        .find(|one| one.as_str() == interpreter)
        .ok_or(SnapshotError::Revision("a process has an unknown interpreter"))?;
    let returns = Returns::parse(returns)
        .ok_or(SnapshotError::Revision("a process returns something unknown"))?;
    Ok((interpreter, returns))
}
