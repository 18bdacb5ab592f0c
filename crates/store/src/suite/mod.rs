//! What every store must hold, each case written once and run against memory and SQLite.
//!
//! A case takes a store that is empty and panics where the store is wrong. The list is
//! [`suite_cases`](crate::suite_cases); each store's tests turn it into one test a case. The doc
//! line of a case names a change of a store's code that makes it red.

pub mod blob;
pub mod call;
pub mod commit;
pub mod event;
pub mod fleet;
pub mod forget;
pub mod journal;
pub mod link;
pub mod log;
pub mod outcome;
pub mod resource;
pub mod run;
pub mod schedule;
pub mod workflow;

use base::name::WorkflowKey;
use base::{Digest, Namespace, RunId, Timestamp, WorkflowName};
use bytes::Bytes;
use uuid::Uuid;

use crate::{CommitError, Op, Preconditions, RunRow, RunState, Sequence, Store};

/// Hands all cases, as `noun::case`, to the macro that is named.
#[macro_export]
macro_rules! suite_cases {
    ($with:ident) => {
        $with! {
            blob::a_blob_comes_back_by_its_digest,
            blob::a_blob_put_twice_is_kept_once,
            blob::a_blob_under_a_wrong_name_is_refused,
            blob::a_large_blob_comes_back_whole,
            blob::a_part_of_a_blob_is_what_lies_there,
            blob::content_that_comes_in_pieces_is_a_blob_when_a_commit_keeps_it,
            blob::content_that_is_a_blob_already_can_be_kept,
            call::pages_are_listed_in_their_order_and_in_pages,
            call::a_page_that_does_not_follow_is_refused,
            call::old_pages_are_forgotten_and_their_numbers_never_come_back,
            call::a_page_is_found_by_its_time,
            commit::a_refused_op_leaves_nothing_of_its_commit,
            commit::a_commit_sees_its_own_ops,
            commit::a_moved_sequence_is_refused,
            commit::a_moved_epoch_is_refused,
            commit::of_concurrent_committers_exactly_one_wins,
            commit::concurrent_runs_lose_nothing,
            commit::an_empty_commit_succeeds,
            commit::changes_are_kept_in_order,
            fleet::a_site_and_its_seat_are_put_apart,
            fleet::sites_are_listed_by_name_and_in_pages,
            fleet::an_entry_is_taken_once_by_what_it_is,
            fleet::what_has_other_bytes_is_kept_beside,
            fleet::a_token_is_used_by_one,
            fleet::tokens_are_forgotten_when_their_time_is_over,
            forget::old_records_are_forgotten_and_the_first_stays,
            forget::records_that_are_needed_are_not_forgotten,
            forget::long_runs_are_those_far_behind_their_start,
            forget::a_blob_that_is_pinned_outlives_the_runs_that_refer_to_it,
            forget::blobs_go_with_the_last_that_refers_to_them,
            forget::a_run_is_forgotten_with_all_that_is_its_own,
            forget::an_outcome_stays_until_hub_and_run_let_it_go,
            forget::a_run_is_gone_within_the_commit_that_forgets_it,
            forget::ended_runs_come_earliest_first,
            journal::a_gap_is_refused,
            journal::a_journal_of_a_missing_run_is_refused,
            journal::a_journal_is_read_in_order_and_in_pages,
            journal::journals_of_many_runs_do_not_mix,
            journal::the_newest_snapshot_is_kept,
            link::what_is_known_of_the_hub_is_replaced,
            link::positions_have_no_gaps_and_never_come_back,
            link::a_receipt_is_unique_by_its_order,
            link::an_order_is_kept_as_it_came_first_and_judged_once,
            link::an_order_is_closed_by_its_site_alone,
            link::a_mark_moves_both_ways_and_not_before_its_base,
            link::open_orders_are_those_of_a_site,
            link::orders_are_listed_newest_first_by_site_and_request,
            link::an_order_of_the_past_waits_for_its_receipt_to_go,
            link::orders_of_no_request_are_listed_by_their_time,
            log::a_log_is_read_in_order_and_in_pages,
            log::the_middle_of_a_log_is_trimmed,
            log::the_oldest_pieces_go_first,
            outcome::an_outcome_is_unique_by_run_and_number,
            outcome::outcomes_are_listed_in_the_order_of_their_commits,
            outcome::outcomes_of_a_run_are_listed_by_number,
            resource::a_resource_is_replaced_and_deleted_within_its_kind,
            resource::kinds_do_not_mix,
            resource::resources_are_listed_by_name_and_in_pages,
            run::a_run_is_created_once,
            run::a_missing_run_is_refused,
            run::an_update_replaces_the_whole_row,
            run::runs_are_listed_newest_first_and_in_pages,
            run::a_list_of_runs_is_filtered,
            run::unfinished_runs_are_listed_in_pages,
            run::due_runs_come_earliest_first,
            run::only_runs_that_may_be_woken_are_due,
            run::runs_are_counted_by_state,
            schedule::a_schedule_is_replaced_as_a_whole,
            schedule::one_trigger_is_deleted_without_the_others,
            schedule::due_schedules_come_earliest_first,
            schedule::without_a_schedule_nothing_is_next,
            schedule::schedules_are_listed_by_key_and_in_pages,
            workflow::a_revision_never_changes,
            workflow::revisions_are_listed_newest_first,
            workflow::a_deleted_workflow_is_a_tombstone_until_applied_again,
            workflow::workflows_are_listed_by_key_and_in_pages,
            event::an_event_is_kept_once,
            event::events_are_listed_in_the_order_of_their_commits,
            event::a_list_of_events_is_filtered,
            event::a_refused_commit_leaves_no_event,
            event::what_a_run_has_emitted_is_found_by_number_and_name,
            event::old_events_are_forgotten_up_to_what_is_needed,
        }
    };
}

/// A run id whose order is the order of `n`.
#[must_use]
pub fn run_id(n: u64) -> RunId {
    RunId::from_uuid(Uuid::from_u64_pair(0x0190_0000_0000_7000 + (n << 16), n))
}

/// # Panics
/// Where `text` is not `namespace/name`.
#[must_use]
pub fn key(text: &str) -> WorkflowKey {
    let (namespace, name) = text.split_once('/').expect("namespace/name");
    WorkflowKey {
        namespace: Namespace::parse(namespace).expect("a namespace"),
        name: WorkflowName::parse(name).expect("a workflow name"),
    }
}

#[must_use]
pub const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A running run of `lab/intake`, created at `n`.
#[must_use]
pub fn row(n: u64) -> RunRow {
    let time = at(i64::try_from(n).expect("a small number"));
    RunRow {
        run: run_id(n),
        key: key("lab/intake"),
        revision: Digest::of(b"intake"),
        state: RunState::Running,
        created_at: time,
        updated_at: time,
        ended_at: None,
        wake_at: None,
        summary: Bytes::from(format!("summary {n}")),
    }
}

#[must_use]
pub fn append(run: RunId, sequence: u64) -> Op {
    let record = Bytes::from(format!("{run} {sequence}"));
    Op::JournalAppend { run, sequence: Sequence(sequence), record }
}

async fn commit(store: &dyn Store, ops: Vec<Op>) -> Result<(), CommitError> {
    store.commit(ops, Preconditions::none()).await
}

/// Commits what must be accepted.
async fn put(store: &dyn Store, ops: Vec<Op>) {
    commit(store, ops).await.expect("nothing is wrong with these ops");
}
