//! `run: {workflow}`: a run of another workflow as one task.

use base::Digest;
use base::name::WorkflowKey;

use super::Template;

#[derive(Debug)]
pub struct ChildRun {
    pub key: WorkflowKey,
    /// As the document has it: a version, or `latest`.
    pub version: String,
    /// What the reference led to when the document was applied. `None` where nobody has looked yet;
    /// such a document can be judged, and not run.
    pub revision: Option<Digest>,
    /// The child's input; `None` passes an empty object.
    pub input: Option<Template>,
    /// Whether the task goes on only when the child has ended.
    pub wait: bool,
}
