//! What has left, counted: to whom, by which rule, how often, and how many bytes.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncWrite, Result};
use tokio::sync::Notify;

/// Pairs of destination and rule that are counted one by one until they are taken; what is beyond is
/// counted together.
pub const PAIRS_MAX: usize = 1_000;

/// Where what is beyond went.
pub const OTHERS: &str = "others";

/// How much of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    pub times: u64,
    pub bytes: u64,
}

/// By destination and rule.
pub type Amounts = BTreeMap<(String, String), Amount>;

/// Counts. Cheap to clone: all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Left(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    amounts: Mutex<Amounts>,
    grown: Notify,
}

impl Left {
    pub fn note(&self, to: &str, rule: &str, amount: Amount) {
        let mut amounts = self.0.amounts.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut amounts, (to.to_owned(), rule.to_owned()), amount);
        drop(amounts);
        self.0.grown.notify_one();
    }

    /// What has been counted since it was last taken.
    #[must_use]
    pub fn take(&self) -> Amounts {
        std::mem::take(&mut *self.0.amounts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Until something has left.
    pub async fn grown(&self) {
        self.0.grown.notified().await;
    }
}

/// Adds up, within the limit.
pub fn add(amounts: &mut Amounts, pair: (String, String), amount: Amount) {
    let is_beyond = amounts.len() >= PAIRS_MAX && !amounts.contains_key(&pair);
    // By which rule is still told: rules are the owner's own, and few.
    let pair = if is_beyond { (OTHERS.to_owned(), pair.1) } else { pair };
    let sum = amounts.entry(pair).or_default();
    sum.times = sum.times.saturating_add(amount.times);
    sum.bytes = sum.bytes.saturating_add(amount.bytes);
}

/// Counts what is written.
pub(crate) struct Counted<W> {
    pub inner: W,
    pub left: Left,
    pub to: String,
    pub rule: String,
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Counted<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.left.note(&self.to, &self.rule, Amount { times: 0, bytes: *count as u64 });
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: let the list grow with every destination, or lose what is beyond it.
    #[test]
    fn what_is_beyond_the_limit_is_counted_together() {
        let left = Left::default();
        for n in 0..PAIRS_MAX + 10 {
            left.note(&format!("https://{n}.example"), "rule", Amount { times: 1, bytes: 3 });
        }
        let amounts = left.take();
        assert_eq!(amounts.len(), PAIRS_MAX + 1);
        let others = amounts.get(&(OTHERS.to_owned(), "rule".to_owned()));
        assert_eq!(others, Some(&Amount { times: 10, bytes: 30 }));
        assert!(left.take().is_empty());
    }
}
