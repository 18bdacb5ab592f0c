//! `isonomy sites drain`: nothing new for a site, and waiting until what it was ordered is over.

use std::collections::BTreeMap;
use std::time::Instant;

use base::{Clock as _, SiteName, SystemClock};
use gateway::operator::OperatorError;
use wire::{OrderView, Page, SiteCordon};

use super::hub_api;
use super::order::{all, list_text, look, news};
use crate::address::Whom;
use crate::api::{Api, OrderFilter};
use crate::args::Global;
use crate::args::site::SitesDrain;
use crate::confirm::agreed;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::follow::{Tries, is_passing, reason};
use crate::interrupt::Interrupt;
use crate::output;
use crate::when;

pub async fn drain(global: &Global, args: SitesDrain) -> Outcome {
    let SitesDrain { site, timeout, yes, reason, output } = args;
    let timeout = when::length(&timeout)?.as_std();
    let mut api = hub_api(global)?;
    let question = format!("cordon the site {site} at {}, and wait for its orders", api.address());
    if !agreed(yes, &question, &format!("{site} is drained"))? {
        return Ok(Exit::Cancelled);
    }
    let mut interrupt = Interrupt::typed()?;
    api.site_cordon(&site, &SiteCordon { cordoned: true, reason }).await?;
    let uncordon = format!("`isonomy sites uncordon {site}` ends that");
    output::say(&format!("{site} is cordoned, and gets no new orders; {uncordon}"));
    let mut draining = Draining { site, left: BTreeMap::new() };
    let end = tokio::select! {
        drained = draining.wait(&mut api, &mut interrupt) => drained?,
        () = tokio::time::sleep_until((Instant::now() + timeout).into()) => End::Late,
    };
    draining.end(end, output.output)
}

/// How waiting has ended.
enum End {
    Drained,
    Late,
    Interrupted,
}

struct Draining {
    site: SiteName,
    /// Orders that are not over, by id: the oldest first.
    left: BTreeMap<String, OrderView>,
}

impl Draining {
    async fn wait(&mut self, api: &mut Api, interrupt: &mut Interrupt) -> Outcome<End> {
        let mut tries = Tries::of(Whom::Hub);
        let mut is_first = true;
        while is_first || !self.left.is_empty() {
            let looked = tokio::select! {
                looked = self.look(api) => looked,
                () = interrupt.wait() => return Ok(End::Interrupted),
            };
            match looked {
                Ok(()) => (is_first, tries) = (false, Tries::of(Whom::Hub)),
                Err(error) if is_passing(&error) => {
                    if !tries.again(api, interrupt, &reason(error), None).await? {
                        return Ok(End::Interrupted);
                    }
                }
                Err(error) => return Err(api.explain(error)),
            }
        }
        Ok(End::Drained)
    }

    async fn look(&mut self, api: &Api) -> Result<(), OperatorError> {
        let filter = OrderFilter {
            site: Some(self.site.to_string()),
            is_over: Some(false),
            ..OrderFilter::default()
        };
        let found = match self.left.keys().next() {
            Some(oldest) => look(api, &filter, oldest).await?,
            None => all(api, &filter).await?,
        };
        let mut found: BTreeMap<String, OrderView> =
            found.into_iter().map(|order| (order.order.clone(), order)).collect();
        let now = SystemClock.now();
        let mut ended = BTreeMap::new();
        for id in self.left.keys().filter(|id| !found.contains_key(*id)) {
            ended.insert(id.clone(), api.order_show(id, 0).await?);
        }
        for (id, order) in found.iter().chain(&ended) {
            if let Some(line) = news(self.left.get(id), order, now) {
                output::say(&format!("{line} ({}/{}, {id})", order.namespace, order.workflow));
            }
        }
        std::mem::swap(&mut self.left, &mut found);
        Ok(())
    }

    fn end(self, end: End, format: output::Format) -> Outcome {
        let Self { site, left } = self;
        let count = left.len();
        let page = Page { items: left.into_values().collect(), next: None };
        output::show(format, &page, || match count {
            0 => String::new(),
            _ => list_text(&page.items, SystemClock.now()),
        })?;
        let noun = if count == 1 { "order" } else { "orders" };
        let (line, exit) = match end {
            End::Drained => {
                let line =
                    format!("{site} is drained: nothing that it was ordered is open or under way");
                (line, Exit::Ok)
            }
            End::Late => {
                let line = format!("{site} is not drained: {count} {noun} left; it stays cordoned");
                (line, Exit::Unfinished)
            }
            End::Interrupted => {
                (format!("{site} stays cordoned; {count} {noun} left"), Exit::Interrupted)
            }
        };
        output::say(&line);
        Ok(exit)
    }
}
