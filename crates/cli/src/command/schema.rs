//! `isonomy schema`: what an editor needs to help.

use crate::args::author::{SchemaArgs, SchemaKind};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;

pub fn schema(args: &SchemaArgs) -> Outcome {
    output::write(text(args.kind))?;
    Ok(Exit::Ok)
}

#[must_use]
pub const fn text(kind: SchemaKind) -> &'static str {
    match kind {
        SchemaKind::Workflow => spec::schema::WORKFLOW,
        SchemaKind::Site => site::CONFIG_SCHEMA,
        SchemaKind::Test => include_str!("../../../../docs/reference/test-file.schema.json"),
    }
}
