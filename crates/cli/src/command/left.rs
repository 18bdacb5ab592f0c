//! `isonomy site left-today`: what has left the site; and `isonomy site leave`: the site itself leaves its
//! fleet.

use std::path::Path;

use site::uplink::{self, Membership};
use store_sqlite::{OpenError, OpenOptions, SqliteStore};
use wire::{DayLeft, LeftTo, SiteLeave, SiteLeft};

use super::api;
use super::store::not_opened;
use crate::address::{self, Address, Whom};
use crate::api::Api;
use crate::args::{Global, site as args};
use crate::confirm::agreed;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::{output, serve};

/// Where another machine has taken the place, the name is that one's.
const UNTOLD: &str = "the hub could not be told, and may show it as silent: revoke it there with `isonomy sites revoke` \
    only if no other machine has taken its place, since that one would be cut off";

pub async fn left_today(global: &Global, args: args::SiteLeftToday) -> Outcome {
    let day = api(global)?.site_left(args.day.as_deref()).await?;
    output::show(args.output.output, &day, || text(&day))?;
    let DayLeft { day, items } = &day;
    let (times, bytes) =
        items.iter().fold((0u64, 0u64), |(times, bytes), it| (times + it.times, bytes + it.bytes));
    output::say(&format!("on {day} (UTC): {times} times, {bytes} bytes"));
    Ok(Exit::Ok)
}

fn text(day: &DayLeft) -> String {
    let rows = day.items.iter().map(|LeftTo { to, rule, times, bytes }| {
        vec![output::harmless(to), output::harmless(rule), times.to_string(), bytes.to_string()]
    });
    output::table(&["to", "rule", "times", "bytes"], rows)
}

pub async fn leave(global: &Global, args: args::SiteLeave) -> Outcome {
    let args::SiteLeave { data, yes, reason } = args;
    let data = global.folder(data, address::DATA)?;
    serve::refuse_hub(&data)?;
    let open = Membership::open(&data.join(serve::IDENTITY));
    let membership = open.map_err(|error| Failure::usage(error.to_string()))?;
    let Some(membership) = membership else { return nobodys(&data).await };
    let name = membership.site();
    let question = format!("have {name} in `{}` leave its fleet", data.display());
    if !agreed(yes, &question, &format!("{name} leaves its fleet"))? {
        return Ok(Exit::Cancelled);
    }
    let left = match SqliteStore::open(&data, OpenOptions::default()) {
        Ok(store) => leave_stopped(&data, store).await?,
        Err(OpenError::Locked { .. }) => {
            let address = Address::Folder(data.clone(), Whom::Site);
            Api::new(address, global.namespace.clone())?.site_leave(&SiteLeave { reason }).await?
        }
        Err(error) => return Err(not_opened(error)),
    };
    output::say(
        "this is no hub's site any more; what the hub had brought stays, and is the owner's",
    );
    for (stream, count) in &left.unsent {
        output::say(&format!("{count} of {stream} were not handed over, and will not be"));
    }
    output::say(match left.hub_told {
        true => "the hub was told",
        false => UNTOLD,
    });
    Ok(Exit::Ok)
}

/// One that belongs to no hub cannot leave it, and where there is none nothing is made.
async fn nobodys(data: &Path) -> Outcome {
    let shown = data.display();
    if let Err(OpenError::Missing { .. }) = SqliteStore::look(data) {
        return Err(Failure::usage(format!("there is no site in `{shown}`"))
            .hint("name its folder with `--data DIR`"));
    }
    // A leave that was killed may have kept what it had from the hub.
    if let Ok(store) = SqliteStore::open(data, OpenOptions::default()) {
        leave_stopped(data, store).await?;
    }
    Err(Failure::usage(format!(
        "the site in `{shown}` belongs to no hub: there is nothing to leave"
    )))
}

async fn leave_stopped(data: &Path, store: SqliteStore) -> Outcome<SiteLeft> {
    let left = uplink::leave(&store, &data.join(serve::IDENTITY)).await;
    store.close().await;
    let unsent = left.map_err(|error| Failure::internal(error.to_string()))?;
    Ok(SiteLeft { hub_told: false, unsent })
}
