//! `isonomy budgets`: what calls to models may cost, and how much of it they have.

use wire::{BudgetSet, BudgetView};

use super::api;
use crate::args::model::{BudgetsArgs, BudgetsCommand, BudgetsRemove, BudgetsSet};
use crate::args::{Global, OutputArgs};
use crate::confirm::agreed;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;

pub async fn budgets(global: &Global, args: BudgetsArgs) -> Outcome {
    match args.command.unwrap_or(BudgetsCommand::List(args.list)) {
        BudgetsCommand::List(args) => show(global, args, list_text).await,
        BudgetsCommand::Forecast(args) => show(global, args, forecast_text).await,
        BudgetsCommand::Set(args) => set(global, args).await,
        BudgetsCommand::Remove(args) => remove(global, args).await,
    }
}

async fn show(global: &Global, args: OutputArgs, text: fn(&[BudgetView]) -> String) -> Outcome {
    let list = api(global)?.budget_list().await?;
    output::show(args.output, &list, || text(&list.items))?;
    Ok(Exit::Ok)
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

fn forecast_text(views: &[BudgetView]) -> String {
    let rows = views.iter().map(|it| {
        // Nothing was spent yet, or the window never ends.
        let unknown = "unknown".to_owned();
        let exhausted = match (&it.exhausted_at, &it.forecast) {
            (Some(at), _) => at.clone(),
            (None, Some(_)) => "no".to_owned(),
            (None, None) => unknown.clone(),
        };
        vec![
            it.holder.clone(),
            it.budget.clone(),
            it.spent.clone(),
            it.forecast.clone().unwrap_or(unknown),
            it.until.clone().unwrap_or_default(),
            exhausted,
        ]
    });
    output::table(&["holder", "budget", "spent", "at the end", "end", "exhausted"], rows)
}

async fn set(global: &Global, args: BudgetsSet) -> Outcome {
    let BudgetsSet { holder, budget, reason } = args;
    let api = api(global)?;
    api.budget_set(&BudgetSet { holder: holder.clone(), budget: budget.clone(), reason }).await?;
    output::say(&format!(
        "{holder} has {budget} at {}; calls beyond it are refused",
        api.address()
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
            forecast_text(&views),
            "HOLDER           BUDGET           SPENT      AT THE END  END                       EXHAUSTED\n\
             namespace/sales  50.00 EUR/month  10.00 EUR  15.00 EUR   2026-12-01T00:00:00.000Z  no\n\
             key/bot          1.00 EUR/total   10.00 EUR  unknown                               unknown"
        );
    }
}
