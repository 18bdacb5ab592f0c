//! `isonomy hub recovery`: a hub that was brought back from a backup, and what it waits for.

use wire::{RecoveryEnd, RecoveryView, RecoveryWaive};

use super::hub_api;
use crate::api::Api;
use crate::args::hub::{RecoveryArgs, RecoveryCommand};
use crate::args::{Global, OutputArgs, hub as args};
use crate::confirm::agreed;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;

pub async fn recovery(global: &Global, args: RecoveryArgs) -> Outcome {
    match args.command.unwrap_or(RecoveryCommand::Show(args.output)) {
        RecoveryCommand::Show(args) => show(global, args).await,
        RecoveryCommand::Waive(args) => waive(global, args).await,
        RecoveryCommand::End(args) => end(global, args).await,
    }
}

/// For those who wonder why nothing happens.
pub async fn say_if_on(api: &Api) -> Outcome<()> {
    if api.hub_health().await?.recovering {
        output::say(
            "this hub was brought back from a backup, or set back by other means: until that is over it gives no order \
             and publishes nothing; `isonomy hub recovery` says for whom or what it waits",
        );
    }
    Ok(())
}

async fn show(global: &Global, args: OutputArgs) -> Outcome {
    let view = hub_api(global)?.recovery_show().await?;
    output::show(args.output, &view, || text(&view))?;
    if view.on && view.lost_edition.is_some() {
        output::say(
            "sites have an edition that this hub has lost: apply again what was applied since the backup, \
             then `isonomy hub recovery end`",
        );
    }
    Ok(Exit::Ok)
}

fn sites_counted(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} site{plural}")
}

fn text(view: &RecoveryView) -> String {
    let RecoveryView { on, incarnation, since, ended_at, waiting, sites, waived, .. } = view;
    let mut lines = vec![("hub", incarnation.clone())];
    let state = match (on, since, ended_at) {
        (true, Some(since), _) => format!("recovering since {since}"),
        (_, _, Some(ended)) => format!("over since {ended}"),
        _ => "none: this hub has lost nothing that it knows of".to_owned(),
    };
    lines.push(("recovery", state));
    if *on {
        lines.push((
            "waits for",
            match waiting {
                0 => "no site any more".to_owned(),
                count => format!("{}: {}", sites_counted(*count), sites.join(", ")),
            },
        ));
    }
    if !waived.is_empty() {
        lines.push(("not for", waived.join(", ")));
    }
    if let Some(number) = view.lost_edition {
        lines.push(("lost", format!("edition {number}")));
    }
    if view.leases_wait {
        lines.push(("leases", LEASES_WAIT.to_owned()));
    }
    let lines: Vec<String> =
        lines.into_iter().map(|(name, text)| format!("{name:<11}{text}")).collect();
    output::harmless(&lines.join("\n"))
}

/// Of a hub that was set back.
const LEASES_WAIT: &str = "none of budgets over sites in windows that began before: what sites hold that joined, were \
     revoked or were waived since the backup is not known. `isonomy hub recovery end` leases again, and you answer for it";

async fn waive(global: &Global, args: args::RecoveryWaive) -> Outcome {
    let args::RecoveryWaive { sites, all, reason } = args;
    let sites = sites.iter().map(ToString::to_string).collect();
    let view = hub_api(global)?.recovery_waive(&RecoveryWaive { sites, all, reason }).await?;
    tell(&view);
    Ok(Exit::Ok)
}

async fn end(global: &Global, args: args::RecoveryEnd) -> Outcome {
    let api = hub_api(global)?;
    let before = api.recovery_show().await?;
    let RecoveryView { on, waiting, lost_edition, leases_wait, .. } = &before;
    if *leases_wait {
        output::say(
            "budgets over sites are leased again, as if nobody held more of them than sites have said: who joined, was \
             revoked or was waived since the backup may, and then more is spent than the cap",
        );
    }
    if !*on && *leases_wait && !agreed(args.yes, "lease again", "leases go on")? {
        return Ok(Exit::Cancelled);
    }
    if *on {
        output::say(&match waiting {
            0 => "every site has told what it holds".to_owned(),
            count => format!("what {} held is not known yet", sites_counted(*count)),
        });
        if let Some(number) = lost_edition {
            output::say(&format!(
                "sites have edition {number}, which this hub has lost: they get what this hub says now"
            ));
        }
        if !agreed(args.yes, "end the recovery", "the recovery ends")? {
            return Ok(Exit::Cancelled);
        }
    }
    tell(&api.recovery_end(&RecoveryEnd { reason: args.reason }).await?);
    Ok(Exit::Ok)
}

fn tell(view: &RecoveryView) {
    output::say(&match view.on {
        true => format!("the hub still waits for {}", sites_counted(view.waiting)),
        false => "the recovery is over: sites get orders and editions again".to_owned(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: count nobody as `0 sites: `, or one as several; or keep silent about budgets that lease nothing.
    #[test]
    fn nobody_is_waited_for_in_words() {
        let waits = |sites: &[&str]| {
            let view = RecoveryView {
                on: true,
                incarnation: "inc_1".to_owned(),
                since: None,
                ended_at: None,
                waiting: sites.len() as u64,
                sites: sites.iter().map(|&site| site.to_owned()).collect(),
                waived: Vec::new(),
                lost_edition: Some(4),
                leases_wait: true,
            };
            text(&view)
        };
        assert!(waits(&[]).contains("waits for  no site any more\n"), "{}", waits(&[]));
        assert!(waits(&["a"]).contains("waits for  1 site: a\n"), "{}", waits(&["a"]));
        assert!(waits(&["a", "b"]).contains("waits for  2 sites: a, b\n"));
        assert!(waits(&[]).contains("hub recovery end"));
    }
}
