//! `input`, `output`, `export` and their schemas.

use crate::code::Code;
use crate::revision::ReferenceKind;
use crate::schema::Schema;
use crate::tree::{Input, Output};

use super::Reader;
use super::expression::{Around, Position};
use super::fields::Item;

impl<'a> Reader<'a> {
    pub(super) fn input(
        &mut self,
        item: Option<Item<'a>>,
        position: Position,
        around: &Around,
    ) -> Option<Input> {
        let Some(item) = item else {
            return Some(Input::default());
        };
        let fields = self.fields(item, &["schema", "from"])?;
        Some(Input {
            schema: fields.get("schema").and_then(|item| self.schema(item)),
            from: fields.get("from").and_then(|item| self.shape(item, position, around)),
        })
    }

    /// `output` and `export`.
    pub(super) fn output(
        &mut self,
        item: Option<Item<'a>>,
        position: Position,
        around: &Around,
    ) -> Option<Output> {
        let Some(item) = item else {
            return Some(Output::default());
        };
        let fields = self.fields(item, &["schema", "as"])?;
        Some(Output {
            schema: fields.get("schema").and_then(|item| self.schema(item)),
            shape: fields.get("as").and_then(|item| self.shape(item, position, around)),
        })
    }

    fn schema(&mut self, item: Item<'a>) -> Option<Schema> {
        let fields = self.fields(item, &["format", "document", "resource"])?;
        if let Some(format) = fields.get("format") {
            let text = self.text(format)?;
            if text != "json" {
                let hint =
                    "write `json`; the version of JSON Schema is said by `$schema` in the document";
                return self.wrong_value(
                    format,
                    "only the format `json` is supported",
                    Some(hint.into()),
                );
            }
        }
        if let Some(item) = fields.get("resource") {
            let resource = self.external(item, ReferenceKind::Schema).ok()??;
            let document = self.parsed(&resource)?.value();
            return match Schema::compile(&document) {
                Ok(schema) => Some(schema),
                Err(why) => {
                    self.resource_invalid(&resource, &format!("not a valid JSON Schema: {why}"));
                    None
                }
            };
        }
        let document = self.require(&fields, "document")?;
        match Schema::compile(&document.node.value()) {
            Ok(schema) => Some(schema),
            Err(why) => {
                self.report(
                    Code::Schema,
                    document.at,
                    format!("not a valid JSON Schema: {why}"),
                    None,
                );
                None
            }
        }
    }
}
