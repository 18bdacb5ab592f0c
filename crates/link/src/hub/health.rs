//! What a site says of itself has bounds, and nothing in it is free text.

use wire::link::{DATASET_LABELS_MAX, DATASETS_TOLD_MAX, Health};

use crate::{CODE_BYTES_MAX, COUNT_MAX, FAILED_MAX};

/// Whether it is within its bounds. Names and labels are what they are by their types.
pub(super) fn is_closed(health: &Health) -> bool {
    let is_code = |code: &str| {
        (1..=CODE_BYTES_MAX).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    health.failed.len() <= FAILED_MAX
        && health.edition.is_none_or(|number| number < COUNT_MAX)
        && health.failed.iter().all(|failed| is_code(&failed.code))
        && health.datasets.len() <= DATASETS_TOLD_MAX
        && health.datasets.iter().all(|it| it.labels.len() <= DATASET_LABELS_MAX)
}

#[cfg(test)]
mod tests {
    use base::name::NAME_CHARS_MAX;
    use base::{DatasetName, Digest, Label, Namespace, Timestamp, WorkflowName};
    use wire::link::{Dataset, Failed, SiteFrame};

    use super::*;
    use crate::FRAME_BYTES_MAX;

    /// Characters of the longest code that a site of today says.
    const LONGEST_CODE: usize = 24;

    fn full() -> Health {
        let long = "x".repeat(NAME_CHARS_MAX);
        let failed = Failed {
            namespace: Namespace::parse(&long).expect("a name"),
            name: WorkflowName::parse(&long).expect("a name"),
            code: "x".repeat(LONGEST_CODE),
        };
        let dataset = Dataset {
            name: DatasetName::parse(&long).expect("a name"),
            labels: vec![Label::parse(&long).expect("a label"); DATASET_LABELS_MAX],
            modified_at: Some(Timestamp::from_millis(1_800_000_000_000)),
        };
        Health {
            edition: Some(COUNT_MAX - 1),
            content: Some(Digest::of(b"content")),
            waiting: u32::MAX,
            failed: vec![failed; FAILED_MAX],
            datasets: vec![dataset; DATASETS_TOLD_MAX],
        }
    }

    /// Mutation: let a list grow, or take a text for a code.
    #[test]
    fn what_a_site_says_of_itself_has_bounds() {
        assert!(is_closed(&full()) && is_closed(&Health::default()));
        let mut many = full();
        many.datasets.push(many.datasets[0].clone());
        let mut labelled = full();
        labelled.datasets[7].labels.push(Label::parse("more").expect("a label"));
        let mut failed = full();
        failed.failed.push(failed.failed[0].clone());
        let mut text = full();
        text.failed[3].code = "Ada has it".to_owned();
        let edition = Health { edition: Some(COUNT_MAX), ..full() };
        for wrong in [many, labelled, failed, text, edition] {
            assert!(!is_closed(&wrong));
        }
    }

    /// Mutation: tell of more than a frame holds.
    #[test]
    fn the_most_that_a_site_says_of_itself_fits_into_a_frame() {
        let bytes = SiteFrame::Health(full()).encode().len();
        assert!(bytes <= FRAME_BYTES_MAX, "{bytes}");
    }
}
