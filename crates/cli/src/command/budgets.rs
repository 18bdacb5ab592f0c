//! `isonomy budgets`: what calls to models may cost, and how much of it they have.

use wire::{
    BudgetList, BudgetSet, BudgetView, FleetBudgetSet, FleetBudgetView, LeaseView, PlacementSites,
};

use super::{api, placements};
use crate::api::Budgets;
use crate::args::model::{BudgetsArgs, BudgetsCommand, BudgetsRemove, BudgetsSet};
use crate::args::{Global, OutputArgs};
use crate::confirm::agreed;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;

pub async fn budgets(global: &Global, args: BudgetsArgs) -> Outcome {
    match args.command.unwrap_or(BudgetsCommand::List(args.list)) {
        BudgetsCommand::List(args) => list(global, args).await,
        BudgetsCommand::Forecast(args) => forecast(global, args).await,
        BudgetsCommand::Set(args) => set(global, args).await,
        BudgetsCommand::Remove(args) => remove(global, args).await,
    }
}

async fn list(global: &Global, args: OutputArgs) -> Outcome {
    let budgets = api(global)?.budget_list().await?;
    output::show(args.output, &budgets, || match &budgets {
        Budgets::Site(BudgetList { items, leases }) if leases.is_empty() => list_text(items),
        Budgets::Site(BudgetList { items, leases }) if items.is_empty() => leases_text(leases),
        Budgets::Site(BudgetList { items, leases }) => {
            format!("{}\n\n{}", list_text(items), leases_text(leases))
        }
        Budgets::Fleet(fleet) => fleet_text(&fleet.items),
    })?;
    Ok(Exit::Ok)
}

async fn forecast(global: &Global, args: OutputArgs) -> Outcome {
    let budgets = api(global)?.budget_list().await?;
    output::show(args.output, &budgets, || match &budgets {
        Budgets::Site(list) => forecast_text(list.items.iter().map(Goes::of_site)),
        Budgets::Fleet(fleet) => forecast_text(fleet.items.iter().map(Goes::of_fleet)),
    })?;
    Ok(Exit::Ok)
}

/// A budget, and how it goes on.
struct Goes<'a> {
    holder: &'a str,
    budget: &'a str,
    spent: &'a str,
    forecast: Option<&'a str>,
    until: Option<&'a str>,
    exhausted_at: Option<&'a str>,
}

impl<'a> Goes<'a> {
    fn of_site(it: &'a BudgetView) -> Self {
        Self {
            holder: &it.holder,
            budget: &it.budget,
            spent: &it.spent,
            forecast: it.forecast.as_deref(),
            until: it.until.as_deref(),
            exhausted_at: it.exhausted_at.as_deref(),
        }
    }

    fn of_fleet(it: &'a FleetBudgetView) -> Self {
        Self {
            holder: &it.holder,
            budget: &it.budget,
            spent: &it.spent,
            forecast: it.forecast.as_deref(),
            until: it.until.as_deref(),
            exhausted_at: it.exhausted_at.as_deref(),
        }
    }
}

/// What is leased to this site of the budgets of its hub.
fn leases_text(leases: &[LeaseView]) -> String {
    let rows = leases.iter().map(|it| {
        let left = if it.is_short {
            format!("{} (the hub has no more)", it.left)
        } else {
            it.left.clone()
        };
        vec![
            it.holder.clone(),
            it.budget.clone(),
            it.leased.clone(),
            it.spent.clone(),
            it.held.clone(),
            left,
            it.until.clone().unwrap_or_else(|| "never".to_owned()),
        ]
    });
    let columns = ["of the hub", "over all sites", "leased", "spent", "held", "left", "until"];
    output::table(&columns, rows)
}

/// Each budget, and below it what each site holds of it.
fn fleet_text(views: &[FleetBudgetView]) -> String {
    let rows = views.iter().flat_map(|it| {
        let whole = vec![
            it.holder.clone(),
            placements::sites(&it.sites),
            it.budget.clone(),
            it.spent.clone(),
            it.leased.clone(),
            if it.is_waiting { format!("{}, waits", it.left) } else { it.left.clone() },
            it.until.clone().unwrap_or_else(|| "never".to_owned()),
        ];
        let sites = it.leases.iter().map(|lease| {
            let note = match (lease.is_gone, lease.is_waiting) {
                (true, _) => "gone: counted as spent",
                (false, true) => "waits for more",
                (false, false) => "",
            };
            let heard = lease.heard_at.clone().unwrap_or_default();
            let (spent, leased) = (lease.spent.clone(), lease.leased.clone());
            vec![
                String::new(),
                lease.site.clone(),
                heard,
                spent,
                leased,
                note.to_owned(),
                String::new(),
            ]
        });
        std::iter::once(whole).chain(sites.collect::<Vec<_>>())
    });
    let columns =
        ["holder", "site", "budget, or last word", "spent", "leased", "left", "begins anew"];
    output::table(&columns, rows)
}

fn list_text(views: &[BudgetView]) -> String {
    let rows = views.iter().map(|it| {
        vec![
            it.holder.clone(),
            it.budget.clone(),
            it.spent.clone(),
            it.held.clone(),
            it.left.clone(),
            format!("{} %", it.percent),
            it.until.clone().unwrap_or_else(|| "never".to_owned()),
        ]
    });
    output::table(&["holder", "budget", "spent", "held", "left", "used", "begins anew"], rows)
}

fn forecast_text<'a>(budgets: impl Iterator<Item = Goes<'a>>) -> String {
    let rows = budgets.map(|it| {
        let exhausted = match (it.exhausted_at, it.forecast) {
            (Some(at), _) => at,
            (None, Some(_)) => "no",
            // Nothing was spent yet, or the window never ends.
            (None, None) => "unknown",
        };
        let at_end = it.forecast.unwrap_or("unknown");
        let cells =
            [it.holder, it.budget, it.spent, at_end, it.until.unwrap_or_default(), exhausted];
        cells.map(str::to_owned).to_vec()
    });
    output::table(&["holder", "budget", "spent", "at the end", "end", "exhausted"], rows)
}

async fn set(global: &Global, args: BudgetsSet) -> Outcome {
    let BudgetsSet { holder, budget, sites, r#where: tags, alarm, reason } = args;
    let api = api(global)?;
    if !sites.is_empty() || !tags.is_empty() {
        let all = sites == ["all"];
        let names = if all { Vec::new() } else { sites };
        let sites = PlacementSites { all, tags: tags.into_iter().collect(), names };
        let said = placements::sites(&sites);
        let (named, cap) = (holder.clone(), budget.clone());
        api.fleet_budget_set(&FleetBudgetSet { holder, budget, sites, reason }).await?;
        output::say(&format!(
            "{named} has {cap} over {said} together; a site spends what {} has leased it",
            api.address()
        ));
        return Ok(Exit::Ok);
    }
    let alarms = Some(alarm).filter(|shares| !shares.is_empty());
    let told = alarms.as_ref().map(|shares| {
        let shares: Vec<String> = shares.iter().map(|it| format!("{it} %")).collect();
        format!("; events tell when {} of it are spent", shares.join(", "))
    });
    let (named, cap) = (holder.clone(), budget.clone());
    api.budget_set(&BudgetSet { holder, budget, alarms, reason }).await?;
    output::say(&format!(
        "{named} has {cap} at {}; calls beyond it are refused{}",
        api.address(),
        told.unwrap_or_default()
    ));
    Ok(Exit::Ok)
}

async fn remove(global: &Global, args: BudgetsRemove) -> Outcome {
    let BudgetsRemove { holder, period, yes, reason } = args;
    let api = api(global)?;
    let what = format!("the budget of {holder} by the {period}");
    let question = format!("remove {what} at {}", api.address());
    if !agreed(yes, &question, &format!("{what} is removed"))? {
        return Ok(Exit::Cancelled);
    }
    api.budget_remove(&holder, &period, reason.as_deref()).await?;
    output::say(&format!("removed {what}"));
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use wire::FleetLeaseView;

    use super::*;

    /// Mutation: call a budget exhausted that is not, or forget since when the next window runs.
    #[test]
    fn a_budget_is_told_as_it_stands_and_as_it_will() {
        let calm = BudgetView {
            holder: "namespace/sales".to_owned(),
            budget: "50.00 EUR/month".to_owned(),
            spent: "10.00 EUR".to_owned(),
            held: "0.50 EUR".to_owned(),
            left: "39.50 EUR".to_owned(),
            percent: 21,
            since: Some("2026-11-01T00:00:00.000Z".to_owned()),
            until: Some("2026-12-01T00:00:00.000Z".to_owned()),
            forecast: Some("15.00 EUR".to_owned()),
            exhausted_at: None,
            alarms: vec![50],
        };
        let total = BudgetView {
            holder: "key/bot".to_owned(),
            budget: "1.00 EUR/total".to_owned(),
            since: None,
            until: None,
            forecast: None,
            ..calm.clone()
        };
        let views = [calm, total];
        assert_eq!(
            list_text(&views),
            "HOLDER           BUDGET           SPENT      HELD      LEFT       USED  BEGINS ANEW\n\
             namespace/sales  50.00 EUR/month  10.00 EUR  0.50 EUR  39.50 EUR  21 %  2026-12-01T00:00:00.000Z\n\
             key/bot          1.00 EUR/total   10.00 EUR  0.50 EUR  39.50 EUR  21 %  never"
        );
        assert_eq!(
            forecast_text(views.iter().map(Goes::of_site)),
            "HOLDER           BUDGET           SPENT      AT THE END  END                       EXHAUSTED\n\
             namespace/sales  50.00 EUR/month  10.00 EUR  15.00 EUR   2026-12-01T00:00:00.000Z  no\n\
             key/bot          1.00 EUR/total   10.00 EUR  unknown                               unknown"
        );
    }

    /// Mutation: leave out who has not been heard of, what counts as spent though nobody has said so, or how it goes on.
    #[test]
    fn a_budget_over_sites_is_told_with_what_each_holds() {
        let lease = FleetLeaseView {
            site: "plant-1".to_owned(),
            spent: "4.00 EUR".to_owned(),
            leased: "1.00 EUR".to_owned(),
            heard_at: Some("2026-11-22T10:00:00.000Z".to_owned()),
            is_waiting: true,
            is_gone: false,
        };
        let gone = FleetLeaseView {
            site: "plant-2".to_owned(),
            is_waiting: false,
            is_gone: true,
            ..lease.clone()
        };
        let view = FleetBudgetView {
            holder: "namespace/sales".to_owned(),
            budget: "50.00 EUR/month".to_owned(),
            sites: PlacementSites { all: true, ..PlacementSites::default() },
            spent: "8.00 EUR".to_owned(),
            leased: "2.00 EUR".to_owned(),
            left: "40.00 EUR".to_owned(),
            percent: 20,
            since: None,
            until: None,
            forecast: Some("60.00 EUR".to_owned()),
            exhausted_at: Some("2026-11-25T00:00:00.000Z".to_owned()),
            is_waiting: true,
            leases: vec![lease, gone],
        };
        let forecast = forecast_text([Goes::of_fleet(&view)].into_iter());
        assert!(forecast.contains("60.00 EUR") && forecast.contains("2026-11-25"), "{forecast}");
        let text = fleet_text(&[view]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].starts_with("namespace/sales") && lines[1].contains("40.00 EUR, waits"),
            "{text}"
        );
        assert!(lines[2].contains("plant-1") && lines[2].contains("waits for more"), "{text}");
        assert!(lines[3].contains("gone: counted as spent"), "{text}");
    }

    /// Mutation: take a list of a hub for one of a site, or lose the leases of a site that has no budget.
    #[test]
    fn lists_of_a_site_and_of_a_hub_are_told_apart() {
        let lease = r#"{"items":[],"leases":[{"holder":"namespace/sales","budget":"50.00 EUR/month","leased":"5.00 EUR","spent":"1.00 EUR","held":"0.00 EUR","left":"4.00 EUR"}]}"#;
        let Ok(Budgets::Site(list)) = serde_json::from_str(lease) else { panic!("a site's") };
        assert!(leases_text(&list.leases).contains("4.00 EUR"));
        let fleet = r#"{"items":[{"holder":"namespace/sales","budget":"50.00 EUR/month","sites":{"all":true},"spent":"1.00 EUR","leased":"4.00 EUR","left":"45.00 EUR","percent":10,"leases":[]}]}"#;
        assert!(matches!(serde_json::from_str(fleet), Ok(Budgets::Fleet(_))));
    }
}
