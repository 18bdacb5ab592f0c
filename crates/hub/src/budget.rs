//! Budgets over several sites: what people have set, and how they stand (ADR 26). What is leased to whom is in
//! `lease`.

use base::{By, Namespace, SiteName, Timestamp, document};
use models::{Holder, PurseId};
use pricing::{Amount, Budget, Period};
use serde::{Deserialize, Serialize};
use server::{Caller, Refusal, Roles};
use store::{Op, Preconditions, ResourceKind, ResourceRow, Store, resource_all};
use wire::edition::Capped;
use wire::{FleetBudgetSet, FleetBudgetView, FleetLeaseView, ProblemCode, Role};

use crate::Hub;
use crate::change::{ChangeKind, budget_op};
use crate::lease::{Held, is_lost};
use crate::placement::Sites;
use crate::site::SiteDoc;

const BUDGET_TYPE: &str = "isonomy.fleet-budget";
const BUDGET_VERSION: u32 = 1;

/// Fleet budgets: each is looked at for each site, and stands in the leaves of its sites.
const BUDGETS_MAX: usize = 1_000;

/// A cap that is kept over several sites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FleetBudget {
    pub holder: Holder,
    pub budget: Budget,
    pub sites: Sites,
}

#[derive(Serialize, Deserialize)]
struct Doc {
    holder: Holder,
    budget: String,
    sites: Sites,
    updated_at: Timestamp,
}

impl FleetBudget {
    pub(crate) async fn all(store: &dyn Store) -> Result<Vec<Self>, Refusal> {
        let rows = resource_all(store, ResourceKind::Budget).await?;
        rows.iter().map(Self::read).collect()
    }

    fn read(row: &ResourceRow) -> Result<Self, Refusal> {
        let damaged = |_| {
            let what = format!("the budget `{}` is damaged, or of a newer version", row.name);
            Refusal::new(ProblemCode::StoreFailed, what)
        };
        let doc: Doc =
            document::read(&row.record, BUDGET_TYPE, BUDGET_VERSION).map_err(|_| damaged(()))?;
        let budget = doc.budget.parse().map_err(|_| damaged(()))?;
        Ok(Self { holder: doc.holder, budget, sites: doc.sites })
    }

    pub(crate) fn row(&self, updated_at: Timestamp) -> ResourceRow {
        let (holder, sites) = (self.holder.clone(), self.sites.clone());
        let doc = Doc { holder, budget: self.budget.to_string(), sites, updated_at };
        ResourceRow {
            kind: ResourceKind::Budget,
            name: row_name(&self.holder, self.budget.period()),
            record: document::write(BUDGET_TYPE, BUDGET_VERSION, &doc).into(),
        }
    }

    pub(crate) fn is_of(&self, holder: &Holder, period: Period) -> bool {
        self.holder == *holder && self.budget.period() == period
    }

    /// As it stands in the leaf of a site that falls under it.
    pub(crate) fn capped(&self, site: &SiteName, doc: &SiteDoc) -> Option<Capped> {
        let capped = || Capped { holder: self.holder.to_text(), budget: self.budget.to_string() };
        self.sites.contain(site, doc).then(capped)
    }

    /// In this window, with what is leased.
    fn view(
        &self,
        id: &PurseId,
        held: &[Held],
        now: Timestamp,
        lost_until: Option<Timestamp>,
    ) -> FleetBudgetView {
        let cap = self.budget.cap();
        let money = |amount: Amount| amount.of(cap.currency).to_string();
        let sum = |of: fn(&Held) -> Amount| {
            held.iter().map(of).fold(0_u128, |sum, it| sum.saturating_add(it.pico()))
        };
        let (spent, leased) = (sum(Held::spent), sum(Held::leased));
        let out = spent.saturating_add(leased);
        let percent = out.saturating_mul(100).checked_div(cap.amount.pico()).unwrap_or(100);
        let window = self.budget.period().window(now).ok().flatten();
        let forecast = self.budget.forecast(Amount::from_pico(spent), window, now);
        FleetBudgetView {
            holder: self.holder.to_text(),
            budget: self.budget.to_string(),
            sites: self.sites.view(),
            spent: money(Amount::from_pico(spent)),
            leased: money(Amount::from_pico(leased)),
            left: money(Amount::from_pico(cap.amount.pico().saturating_sub(out))),
            percent: u32::try_from(percent).unwrap_or(u32::MAX),
            since: id.window.map(|at| at.to_string()),
            until: window.map(|it| it.end.to_string()),
            forecast: forecast.map(|it| it.at_end.to_string()),
            exhausted_at: forecast.and_then(|it| it.exhausted_at).map(|at| at.to_string()),
            is_waiting: is_lost(id, lost_until),
            leases: held.iter().map(|it| lease_view(it, &money)).collect(),
        }
    }
}

fn lease_view(held: &Held, money: &dyn Fn(Amount) -> String) -> FleetLeaseView {
    FleetLeaseView {
        site: held.site.to_string(),
        spent: money(held.spent()),
        leased: money(held.leased()),
        heard_at: Some(held.heard_at.to_string()),
        is_waiting: held.share.asks.is_some(),
        is_gone: held.is_gone,
    }
}

fn row_name(holder: &Holder, period: Period) -> String {
    format!("{}:{}", holder.to_text(), period.name())
}

/// Whose budget can be one of a fleet: a key and a run are of one site.
fn namespace_of(holder: &Holder) -> Result<&Namespace, Refusal> {
    match holder {
        Holder::Namespace(namespace) => Ok(namespace),
        Holder::Workflow(key) => Ok(&key.namespace),
        Holder::Key(_) | Holder::Run(_) | Holder::Fleet(_) => {
            let what = "over several sites there are budgets of namespaces and of workflows; a key and a run are of one site";
            Err(Refusal::parameter("holder", what))
        }
    }
}

impl Hub {
    /// Sets a cap over sites. What was spent and leased in its window stays so.
    pub(crate) async fn budget_set(
        &self,
        caller: &Caller,
        set: FleetBudgetSet,
    ) -> Result<(), Refusal> {
        let FleetBudgetSet { holder, budget, sites, reason } = set;
        let holder: Holder = holder.parse().map_err(|wrong| Refusal::parameter("holder", wrong))?;
        let budget: Budget = budget.parse().map_err(|wrong| Refusal::parameter("budget", wrong))?;
        let sites = Sites::read(sites).map_err(|wrong| Refusal::parameter("sites", wrong))?;
        caller.roles().need(Role::Admin, namespace_of(&holder)?)?;
        let by = caller.because(reason)?;
        let _alone = self.0.changing.lock().await;
        let known = FleetBudget::all(self.0.store.as_ref()).await?;
        let before = known.iter().find(|it| it.is_of(&holder, budget.period()));
        let is_new = before.is_none();
        let is_other = before.is_some_and(|it| it.budget.cap().currency != budget.cap().currency);
        let wanted = FleetBudget { holder, budget, sites };
        if is_other || self.is_leased_otherwise(&wanted).await? {
            let what = match wanted.budget.period() {
                Period::Total => {
                    "it is in another currency, and what is leased stays in that; a total has no end: give it another holder or a period, or set it in its currency"
                }
                _ => {
                    "it is in another currency, and what is leased stays in that; remove it, and set it when its window is over"
                }
            };
            return Err(Refusal::parameter("budget", what));
        }
        if is_new && known.len() >= BUDGETS_MAX {
            let what = format!("there are {BUDGETS_MAX} budgets over sites, and no more are kept");
            return Err(Refusal::parameter("holder", what));
        }
        let change = budget_op(ChangeKind::BudgetSet, &wanted.holder, &budget, &by, self.now());
        let ops = vec![Op::ResourcePut(wanted.row(self.now())), change];
        self.0.store.commit(ops, Preconditions::none()).await?;
        self.0.editions.publish().await;
        self.0.leases.changed();
        Ok(())
    }

    /// Sites fall under it no more, and give back what they hold.
    pub(crate) async fn budget_remove(
        &self,
        caller: &Caller,
        holder: &Holder,
        period: Period,
        reason: Option<String>,
    ) -> Result<(), Refusal> {
        caller.roles().need(Role::Admin, namespace_of(holder)?)?;
        let by: By = caller.because(reason)?;
        let _alone = self.0.changing.lock().await;
        let known = FleetBudget::all(self.0.store.as_ref()).await?;
        let Some(found) = known.iter().find(|it| it.is_of(holder, period)) else {
            let what = format!("{holder} has no budget over sites by the {}", period.name());
            return Err(Refusal::new(ProblemCode::BudgetMissing, what));
        };
        let change = budget_op(ChangeKind::BudgetRemoved, holder, &found.budget, &by, self.now());
        let (kind, name) = (ResourceKind::Budget, row_name(holder, period));
        let ops = vec![Op::ResourceDelete { kind, name }, change];
        self.0.store.commit(ops, Preconditions::none()).await?;
        self.0.editions.publish().await;
        self.0.leases.changed();
        Ok(())
    }

    /// How those stand that the caller may see, in their present windows.
    pub(crate) async fn budget_list(&self, roles: &Roles) -> Result<Vec<FleetBudgetView>, Refusal> {
        let (now, lost_until) = (self.now(), self.0.recovery.lost_until().await);
        let mut views = Vec::new();
        for it in FleetBudget::all(self.0.store.as_ref()).await? {
            let namespace = namespace_of(&it.holder)?;
            if roles.need(Role::Viewer, namespace).is_err() {
                continue;
            }
            let period = it.budget.period();
            let window = period.window(now).map_err(|wrong| Refusal::parameter("budget", wrong))?;
            let window = window.map(|it| it.start);
            let id = PurseId { holder: it.holder.clone(), period, window };
            let id = (id, it.budget.cap().currency);
            let held = self.leases_of(&id).await?;
            views.push(it.view(&id.0, &held, now, lost_until));
        }
        Ok(views)
    }
}

#[cfg(test)]
mod tests {
    use models::Share;

    use super::*;

    /// Mutation: forecast from what is leased, or leave out what one of the sites has spent.
    #[test]
    fn a_forecast_goes_on_as_all_sites_have_spent() {
        let now = Timestamp::parse("2026-11-22T12:00:00Z").expect("a time");
        let budget: Budget = "10EUR/day".parse().expect("a budget");
        let money = |text: &str| text.parse::<pricing::Money>().expect("money").amount;
        let held = |name: &str| Held {
            site: SiteName::parse(name).expect("a name"),
            share: Share { granted: money("5EUR"), spent: money("3EUR"), ..Share::default() },
            heard_at: now,
            is_gone: false,
        };
        let holder: Holder = "namespace/sales".parse().expect("a holder");
        let window = budget.period().window(now).expect("a time").map(|it| it.start);
        let id = PurseId { holder: holder.clone(), period: budget.period(), window };
        let fleet = FleetBudget { holder, budget, sites: Sites::All };
        let view = fleet.view(&id, &[held("plant-1"), held("plant-2")], now, None);
        assert_eq!((&*view.spent, view.forecast.as_deref()), ("6.00 EUR", Some("12.00 EUR")));
        assert_eq!(view.exhausted_at.as_deref(), Some("2026-11-22T20:00:00.000Z"));
    }
}
