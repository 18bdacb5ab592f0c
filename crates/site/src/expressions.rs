//! Expressions that the reader of documents takes unseen, since parsing them could exhaust this
//! process: an evaluator process looks at them before the document is accepted.

use server::finding;
use spec::Unparsed;
use wire::Finding;

use crate::evaluate::Evaluators;
use crate::refusal::Refusal;

/// What is wrong with the expressions that nobody has parsed yet.
pub(crate) async fn check(
    evaluators: &Evaluators,
    unparsed: &[Unparsed],
    text: &str,
    source: &str,
) -> Result<Vec<Finding>, Refusal> {
    let mut findings = Vec::new();
    for found in unparsed {
        if let Err(wrong) = evaluators.check(&found.expression).await? {
            findings.push(finding(&found.diagnostic(&wrong), source, text));
        }
    }
    Ok(findings)
}
