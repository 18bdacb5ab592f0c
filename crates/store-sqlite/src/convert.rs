//! Between our words and the columns of the tables.

use base::name::{Namespace, SiteName, WorkflowKey, WorkflowName};
use base::stream::Stream;
use base::{Digest, RunId, Timestamp};
use bytes::Bytes;
use rusqlite::Row;
use rusqlite::types::Type;
use store::RunState;

/// Why a row could not be read. Names columns and never their content.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Damaged(pub(crate) &'static str);

/// SQLite counts to 2⁶³ - 1; nothing that we count comes near, so a larger bound means "all".
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn uint(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| damaged(column, Type::Integer, "a negative number"))
}

pub(crate) fn damaged(column: usize, kind: Type, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(Damaged(what)))
}

pub(crate) fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    row.get(column).map(Vec::into)
}

pub(crate) fn digest(row: &Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    row.get(column).map(Digest::from_bytes)
}

pub(crate) fn run(row: &Row<'_>, column: usize) -> rusqlite::Result<RunId> {
    let bytes: [u8; 16] = row.get(column)?;
    // The id was parsed when it came in; its bytes are all that is kept of it.
    Ok(RunId::from_uuid(uuid::Uuid::from_bytes(bytes)))
}

pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

pub(crate) fn time_or_none(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    Ok(millis.map(Timestamp::from_millis))
}

/// The key whose namespace is in `column` and whose name is in the next one.
pub(crate) fn key(row: &Row<'_>, column: usize) -> rusqlite::Result<WorkflowKey> {
    let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
    let namespace = Namespace::parse(text(column)?)
        .map_err(|_| damaged(column, Type::Text, "not a namespace"))?;
    let name = WorkflowName::parse(text(column + 1)?)
        .map_err(|_| damaged(column + 1, Type::Text, "not a workflow name"))?;
    Ok(WorkflowKey { namespace, name })
}

pub(crate) fn site(row: &Row<'_>, column: usize) -> rusqlite::Result<SiteName> {
    let text = row.get_ref(column)?.as_str()?;
    SiteName::parse(text).map_err(|_| damaged(column, Type::Text, "not the name of a site"))
}

/// The number of a stream in the tables. Never changes: files carry it.
pub(crate) const fn stream_code(stream: Stream) -> i64 {
    match stream {
        Stream::Outcome => 0,
        Stream::Receipt => 1,
    }
}

pub(crate) fn stream(row: &Row<'_>, column: usize) -> rusqlite::Result<Stream> {
    let number: i64 = row.get(column)?;
    let found = Stream::ALL.into_iter().find(|stream| stream_code(*stream) == number);
    found.ok_or_else(|| damaged(column, Type::Integer, "not a stream"))
}

/// The number of a state in the tables. Never changes: files carry it.
pub(crate) const fn code(state: RunState) -> i64 {
    match state {
        RunState::Pending => 0,
        RunState::Running => 1,
        RunState::Waiting => 2,
        RunState::Suspended => 3,
        RunState::Cancelled => 4,
        RunState::Faulted => 5,
        RunState::Completed => 6,
    }
}

pub(crate) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<RunState> {
    let number: i64 = row.get(column)?;
    let found = RunState::ALL.into_iter().find(|state| code(*state) == number);
    found.ok_or_else(|| damaged(column, Type::Integer, "not a state"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: swap two numbers. The indexes of the schema name them too.
    #[test]
    fn the_numbers_of_states_are_those_of_the_schema() {
        assert_eq!(RunState::ALL.map(code), [0, 1, 2, 3, 4, 5, 6]);
        for state in RunState::ALL {
            assert_eq!(code(state) > 3, state.has_ended(), "{state}");
        }
    }
}
