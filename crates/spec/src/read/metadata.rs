//! What a site reads from `metadata`: pools, how many runs at once, and what a run may spend on models.
//!
//! The rest of `metadata` is the author's own.

use std::sync::Arc;

use base::Namespace;

use crate::code::Code;
use crate::near;
use crate::node::{Entry, Kind};
use crate::problems::shown;

use super::Reader;
use super::fields::Item;

/// The largest limit of runs at once. Who wants more wants none.
const RUNS_AT_ONCE_MAX: u32 = 100_000;

impl<'a> Reader<'a> {
    /// `metadata: {pool: gpu}`.
    pub(super) fn pool(&mut self, metadata: Option<Item<'a>>) -> Option<Arc<str>> {
        let item = member(metadata?, "pool")?;
        let name = self.text(item)?;
        // The same rule as for every name of ours.
        if Namespace::parse(name).is_err() {
            let hint = "a pool's name is 1 to 63 letters, digits or `-`, with a letter or digit at both ends";
            let message = format!("`{}` is no name of a pool", shown(name));
            return self.wrong_value(item, message, Some(hint.into()));
        }
        let known = self.catalog.pools();
        if let Some(pools) = known.filter(|pools| !pools.iter().any(|pool| pool == name)) {
            let near = near::hint(name, pools.iter().map(String::as_str));
            let hint = near.unwrap_or_else(|| {
                "the site's owner names its pools under `pools` in the configuration".into()
            });
            let message = format!("this site has no pool `{}`", shown(name));
            self.report(Code::UnknownPool, item.node.at, message, Some(hint));
        }
        Some(name.into())
    }

    /// `metadata: {concurrency: {limit: 2}}`.
    pub(super) fn concurrency(&mut self, metadata: Option<Item<'a>>) -> Option<u32> {
        let item = member(metadata?, "concurrency")?;
        let fields = self.fields(item, &["limit"])?;
        let limit = self.require(&fields, "limit")?;
        self.whole(limit, 1, RUNS_AT_ONCE_MAX)
    }

    /// `metadata: {models: {budget: 0.50EUR}}`.
    pub(super) fn budget(&mut self, metadata: Option<Item<'a>>) -> Option<Arc<str>> {
        let item = member(metadata?, "models")?;
        let fields = self.fields(item, &["budget"])?;
        let item = self.require(&fields, "budget")?;
        let text = self.text(item)?;
        if !is_money(text) {
            let hint = "write an amount and its currency, such as `0.50EUR`; a run has no other period than itself";
            let message = format!("`{}` is no budget of a run", shown(text));
            return self.wrong_value(item, message, Some(hint.into()));
        }
        Some(text.into())
    }

    /// `metadata` takes anything, so that `pool` is no error where it means nothing.
    pub(super) fn warn_of_useless_pool(&mut self, metadata: Option<Item<'a>>, task: &Entry) {
        if let Some(item) = metadata.and_then(|metadata| member(metadata, "pool")) {
            let message = format!(
                "`pool` is not heeded here: the task `{}` calls and runs nothing itself",
                shown(&task.key)
            );
            let hint = "name it at the tasks inside, or once in `document.metadata`";
            self.report(Code::PoolNoEffect, item.at, message, Some(hint.into()));
        }
    }
}

/// Digits, at most six of them behind a point, and three capital letters.
fn is_money(text: &str) -> bool {
    let Some((amount, currency)) = text.split_at_checked(text.len().saturating_sub(3)) else {
        return false;
    };
    let (whole, part) = amount.split_once('.').unwrap_or((amount, "0"));
    let is_number = |text: &str, most| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    // As many as fit into an amount of micro-units.
    is_number(whole, 12) && is_number(part, 6) && currency.bytes().all(|b| b.is_ascii_uppercase())
}

fn member<'a>(metadata: Item<'a>, key: &str) -> Option<Item<'a>> {
    match &metadata.node.kind {
        Kind::Map(entries) => entries.iter().find(|entry| &*entry.key == key).map(Item::from),
        _ => None,
    }
}
