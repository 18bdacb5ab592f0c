//! The form of an operation, put away and taken up again: a sealed call has its values only later.

use spec::tree::{Encoding, ListStyle, Operation, Parameter, Place, RequestBody, UriPart};

use crate::format::snapshot_doc::{
    AddressDoc, BodyFormDoc, EncodingDoc, OperationDoc, ParameterDoc, PlaceDoc,
};

pub(super) fn operation_doc(operation: &Operation) -> OperationDoc {
    let address = |part: &UriPart| match part {
        UriPart::Text(text) => AddressDoc::Text(text.to_string()),
        UriPart::Variable(name) => AddressDoc::Parameter(name.to_string()),
    };
    OperationDoc {
        method: operation.method.clone(),
        address: operation.address.iter().map(address).collect(),
        parameters: operation.parameters.iter().map(parameter_doc).collect(),
        body: operation.body.as_ref().map(|body| BodyFormDoc {
            encoding: match body.encoding {
                Encoding::Json => EncodingDoc::Json,
                Encoding::Form => EncodingDoc::Form,
                Encoding::Text => EncodingDoc::Text,
            },
            content_type: body.content_type.to_string(),
        }),
    }
}

fn parameter_doc(parameter: &Parameter) -> ParameterDoc {
    ParameterDoc {
        name: parameter.name.to_string(),
        place: match parameter.place {
            Place::Path => PlaceDoc::Path,
            Place::Query => PlaceDoc::Query,
            Place::Header => PlaceDoc::Header,
            Place::Cookie => PlaceDoc::Cookie,
        },
        required: parameter.required,
        joined: match parameter.list {
            ListStyle::Repeated => None,
            ListStyle::Joined(by) => Some(by),
        },
    }
}

pub(super) fn operation_of(doc: OperationDoc) -> Operation {
    let address = |part| match part {
        AddressDoc::Text(text) => UriPart::Text(text.into()),
        AddressDoc::Parameter(name) => UriPart::Variable(name.into()),
    };
    Operation {
        method: doc.method,
        address: doc.address.into_iter().map(address).collect(),
        parameters: doc.parameters.into_iter().map(parameter_of).collect(),
        body: doc.body.map(|body| RequestBody {
            encoding: match body.encoding {
                EncodingDoc::Json => Encoding::Json,
                EncodingDoc::Form => Encoding::Form,
                EncodingDoc::Text => Encoding::Text,
            },
            content_type: body.content_type.into(),
        }),
    }
}

fn parameter_of(doc: ParameterDoc) -> Parameter {
    Parameter {
        name: doc.name.into(),
        place: match doc.place {
            PlaceDoc::Path => Place::Path,
            PlaceDoc::Query => Place::Query,
            PlaceDoc::Header => Place::Header,
            PlaceDoc::Cookie => Place::Cookie,
        },
        required: doc.required,
        list: doc.joined.map_or(ListStyle::Repeated, ListStyle::Joined),
    }
}
