//! The logs of processes: keeping what comes, and reading it, also while it comes.

use std::ops::Range;
use std::sync::Arc;

use base::name::Namespace;
use base::{Clock, RunId};
use futures::FutureExt;
use futures::future::BoxFuture;
use store::{LogRow, LogStream, Op, Preconditions, RunState, Store};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use wire::{LogView, Page, ProblemCode};
use worker::Worker;
use worker::process::{LogOf, LogPiece, Logs, Stream};

use crate::refusal::Refusal;
use crate::run::{FOLLOWERS_MAX, Runs};

/// Pieces read from the store at once. Each is up to 64 KiB.
const PIECES_PAGE: u32 = 100;

/// Keeps logs in the store, and tells whoever waits for more.
#[derive(Clone)]
pub(crate) struct LogKeeper {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// How often something was kept. One for all runs: followers look again and find nothing.
    kept: watch::Sender<u64>,
}

impl LogKeeper {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, kept: watch::Sender::new(0) }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.kept.subscribe()
    }
}

impl std::fmt::Debug for LogKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogKeeper")
    }
}

impl Logs for LogKeeper {
    fn keep(
        &self,
        of: Arc<LogOf>,
        pieces: Vec<LogPiece>,
        forget: Range<u64>,
    ) -> BoxFuture<'static, ()> {
        let keeper = self.clone();
        async move {
            let (at, life) = (keeper.clock.now(), keeper.store.epoch());
            let mut ops: Vec<Op> = pieces
                .into_iter()
                .map(|piece| {
                    Op::LogAppend(LogRow {
                        position: 0,
                        run: of.run,
                        activation: of.activation.to_string(),
                        effect: of.effect.0,
                        life,
                        stream: match piece.stream {
                            Stream::Stdout => LogStream::Stdout,
                            Stream::Stderr => LogStream::Stderr,
                        },
                        start: piece.start,
                        at,
                        bytes: piece.bytes,
                    })
                })
                .collect();
            if !forget.is_empty() {
                let Range { start: from, end: to } = forget;
                ops.push(Op::LogTrim { run: of.run, effect: of.effect.0, life, from, to });
            }
            let owner = Preconditions { run: None, epoch: Some(life) };
            if let Err(error) = keeper.store.commit(ops, owner).await {
                // A process goes on without its log; a full disk must not fail what it does.
                tracing::warn!(run = %of.run, %error, "a part of a log could not be kept");
            }
            keeper.kept.send_modify(|count| *count = count.wrapping_add(1));
        }
        .boxed()
    }
}

/// What whoever follows a log must know of those who write it.
pub(crate) struct Writers {
    pub keeper: LogKeeper,
    pub worker: Worker,
}

/// Which processes of a run are meant: a task's name, or the activation of one.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogFilter(Option<String>);

impl LogFilter {
    pub(crate) fn new(task: Option<String>) -> Self {
        Self(task.filter(|task| !task.is_empty()))
    }

    fn takes(&self, activation: &str) -> bool {
        let Some(wanted) = &self.0 else { return true };
        if wanted.starts_with('/') {
            let rest = activation.strip_prefix(wanted.as_str());
            return rest.is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(['/', '[', '!', '.', '#', '*'])
            });
        }
        // The marks of visits, iterations and attempts stand behind the names.
        let mut names = activation
            .split('/')
            .map(|part| part.split(['#', '[', '!', '*', '.']).next().unwrap_or_default());
        names.any(|name| name == wanted)
    }
}

/// One reader of the log of one run.
pub(crate) struct LogFollowing {
    runs: Runs,
    namespace: Namespace,
    run: RunId,
    filter: LogFilter,
    position: u64,
    kept: watch::Receiver<u64>,
    ended: CancellationToken,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Runs {
    /// What the processes of a run have written, a page behind `after`.
    pub(crate) async fn logs(
        &self,
        namespace: &Namespace,
        run: RunId,
        filter: &LogFilter,
        after: u64,
        limit: u32,
    ) -> Result<Page<LogView>, Refusal> {
        self.row(namespace, run).await?;
        let (mut items, mut position) = (Vec::new(), after);
        loop {
            let rows = self.store.log_list(run, position, limit.min(PIECES_PAGE)).await?;
            let is_last = rows.len() < limit.min(PIECES_PAGE) as usize;
            for row in rows {
                position = row.position;
                if filter.takes(&row.activation) {
                    items.push(view(&row));
                    if items.len() >= limit as usize {
                        return Ok(Page { items, next: Some(position.to_string()) });
                    }
                }
            }
            if is_last {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// The same, and what comes until the run has ended, and the processes that it does not await.
    pub(crate) async fn logs_follow(
        &self,
        namespace: &Namespace,
        run: RunId,
        filter: LogFilter,
        after: u64,
    ) -> Result<LogFollowing, Refusal> {
        let row = self.row(namespace, run).await?;
        let place = self.followers.clone().try_acquire_owned().map_err(|_| {
            let detail = format!("{FOLLOWERS_MAX} followers are connected already; try again, or read the log instead");
            Refusal::new(ProblemCode::Overloaded, detail)
        })?;
        let ended = CancellationToken::new();
        let (driver, worker) = (self.driver.clone(), self.writers.worker.clone());
        let stands = row.state.has_ended() || row.state == RunState::Suspended;
        let over = ended.clone();
        tokio::spawn(async move {
            let _ends = over.drop_guard();
            if !stands {
                let _ = driver.ended(run).await;
            }
            worker.left_over(run).await;
        });
        Ok(LogFollowing {
            runs: self.clone(),
            namespace: namespace.clone(),
            run,
            filter,
            position: after,
            kept: self.writers.keeper.watch(),
            ended,
            is_over: false,
            _place: place,
        })
    }
}

impl LogFollowing {
    /// What was written next; nothing when nobody writes any more and all of it was told. May be dropped
    /// and called again.
    pub(crate) async fn next(&mut self) -> Option<Vec<LogView>> {
        loop {
            if self.is_over {
                return None;
            }
            let has_ended = self.ended.is_cancelled();
            self.kept.borrow_and_update();
            let limit = PIECES_PAGE;
            let page = self
                .runs
                .logs(&self.namespace, self.run, &self.filter, self.position, limit)
                .await
                .ok()?;
            if let Some(last) = page.items.last() {
                self.position = last.position;
                return Some(page.items);
            }
            if has_ended {
                self.is_over = true;
                return None;
            }
            let closing = self.runs.closing.clone();
            tokio::select! {
                changed = self.kept.changed() => if changed.is_err() { return None },
                () = self.ended.cancelled() => {}
                () = closing.cancelled() => return None,
            }
        }
    }
}

fn view(row: &LogRow) -> LogView {
    LogView {
        position: row.position,
        activation: row.activation.clone(),
        effect: row.effect,
        life: row.life,
        stream: row.stream.as_str().to_owned(),
        at: row.at.to_string(),
        start: row.start,
        bytes: row.bytes.len() as u64,
        text: String::from_utf8_lossy(&row.bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: compare the beginnings of names, or look past a task's own processes.
    #[test]
    fn a_task_is_named_by_name_or_by_activation() {
        let check = |wanted: &str, activation: &str, expected: bool| {
            let filter = LogFilter::new(Some(wanted.to_owned()));
            assert_eq!(filter.takes(activation), expected, "{wanted} {activation}");
        };
        check("score", "/score", true);
        check("score", "/screen/each[17]/score#2", true);
        check("score", "/scores", false);
        check("each", "/screen/each[17]/guard!2/score", true);
        check("/screen/each[17]", "/screen/each[17]/guard!2/score", true);
        check("/screen/each[1]", "/screen/each[17]/score", false);
        check("/screen", "/screens/a", false);
        check("", "/anything", true);
    }
}
