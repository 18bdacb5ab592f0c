//! Sealed parts put away in a snapshot and taken up again: as they are, still sealed.

use base::Value;
use base::name::FunctionRef;
use spec::tree::Scheme;

use super::snapshot::SnapshotError;
use crate::effect::Evaluate;
use crate::format::snapshot_doc::{
    ActionDoc, LateDoc, SealedCallDoc, ValueRef, Values, VariableDoc,
};
use crate::sealed::{Late, Sealed, SealedCall};

pub(super) fn sealed_doc(sealed: &Sealed, values: &mut Values) -> ActionDoc {
    let call = match &sealed.call {
        SealedCall::Http { method, output, redirect } => SealedCallDoc::Http {
            method: method.clone(),
            output: (*output).into(),
            redirect: *redirect,
        },
        SealedCall::Function { function } => {
            SealedCallDoc::Function { function: function.to_string() }
        }
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
            variables: variables
                .iter()
                .map(|(name, value)| VariableDoc {
                    name: name.to_string(),
                    value: values.put(value),
                })
                .collect(),
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

/// Looks values of a snapshot up.
pub(super) type Look<'a> = &'a dyn Fn(ValueRef) -> Result<Value, SnapshotError>;

pub(super) fn sealed(
    call: SealedCallDoc,
    parts: LateDoc,
    authentication: Option<(String, LateDoc)>,
    look: Look<'_>,
) -> Result<Sealed, SnapshotError> {
    let call = match call {
        SealedCallDoc::Http { method, output, redirect } => {
            SealedCall::Http { method, output: output.into(), redirect }
        }
        SealedCallDoc::Function { function } => SealedCall::Function {
            function: FunctionRef::parse(&function)
                .ok_or(SnapshotError::Revision("a function has no valid name"))?,
        },
    };
    let authentication = match authentication {
        Some((scheme, properties)) => {
            let scheme = Scheme::parse(&scheme)
                .ok_or(SnapshotError::Revision("an authentication has no known scheme"))?;
            Some((scheme, late(properties, look)?))
        }
        None => None,
    };
    Ok(Sealed { call, parts: late(parts, look)?, authentication })
}

fn late(doc: LateDoc, look: Look<'_>) -> Result<Late, SnapshotError> {
    Ok(match doc {
        LateDoc::Value(value) => Late::Value(look(value)?),
        LateDoc::Expr { text, input, variables } => {
            let variables: Result<Vec<_>, SnapshotError> = variables
                .into_iter()
                .map(|variable| Ok((variable.name.into(), look(variable.value)?)))
                .collect();
            let (text, input) = (text.into(), look(input)?);
            Late::Expr(Evaluate { text, input, variables: variables? })
        }
        LateDoc::Array(items) => {
            Late::Array(items.into_iter().map(|item| late(item, look)).collect::<Result<_, _>>()?)
        }
        LateDoc::Object(fields) => {
            let fields: Result<Vec<_>, SnapshotError> = fields
                .into_iter()
                .map(|(name, field)| Ok((name.into(), late(field, look)?)))
                .collect();
            Late::Object(fields?)
        }
    })
}
