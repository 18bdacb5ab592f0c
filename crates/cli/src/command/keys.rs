//! `isonomy keys` and `isonomy whoami`: who may ask a hub or site, and for what.

use std::collections::{BTreeMap, BTreeSet};

use base::{Clock as _, SystemClock, Timestamp};
use wire::{KeyCreate, KeyRevoke, KeyScope, KeyView, Role, Whoami};

use super::{any_api, pages, say_next};
use crate::args::key::{KeysArgs, KeysCommand, KeysCreate, KeysList, KeysRevoke};
use crate::args::{Global, OutputArgs};
use crate::confirm::agreed;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::when;

pub async fn keys(global: &Global, args: KeysArgs) -> Outcome {
    match args.command.unwrap_or(KeysCommand::List(args.list)) {
        KeysCommand::Create(args) => create(global, args).await,
        KeysCommand::List(args) => list(global, args).await,
        KeysCommand::Revoke(args) => revoke(global, args).await,
    }
}

async fn create(global: &Global, args: KeysCreate) -> Outcome {
    let KeysCreate { name, role, scope, ttl, reason, output } = args;
    let ttl = ttl.map(|ttl| when::length(&ttl)).transpose()?;
    let mut roles = BTreeMap::new();
    for (namespace, role) in role {
        let namespace = namespace.unwrap_or_else(|| global.namespace.to_string());
        if roles.insert(namespace.clone(), role).is_some() {
            return Err(Failure::usage(format!(
                "`{namespace}` has two roles; the higher one has both"
            )));
        }
    }
    let ttl_seconds = ttl.map(|ttl| ttl.as_millis() / 1000);
    let ask = KeyCreate {
        name: name.to_string(),
        roles,
        scopes: scope.into_iter().collect(),
        model: None,
        ttl_seconds,
        reason,
    };
    let api = any_api(global)?;
    let made = api.key_create(&ask).await?;
    output::show(output.output, &made, || made.key.clone())?;
    output::say(&format!("{}: {}", made.view.name, roles_text(&made.view.roles)));
    output::say(&format!("good at {}; it is shown this once", api.address()));
    Ok(Exit::Ok)
}

async fn list(global: &Global, args: KeysList) -> Outcome {
    let api = any_api(global)?;
    let page = pages(&args.page, async |part| api.key_list(&part).await).await?;
    output::show(args.output.output, &page, || list_text(&page.items, SystemClock.now()))?;
    say_next(page.next.as_deref());
    Ok(Exit::Ok)
}

fn list_text(keys: &[KeyView], now: Timestamp) -> String {
    let rows = keys.iter().map(|it| {
        vec![
            it.name.clone(),
            it.state.name().to_owned(),
            scopes_text(&it.scopes),
            roles_text(&it.roles),
            when::age(&it.created_at, now),
            it.created_by.clone(),
            it.until.as_deref().map_or_else(String::new, |at| when::until(at, now)),
        ]
    });
    output::table(&["key", "state", "scopes", "roles", "age", "by", "ends"], rows)
}

async fn revoke(global: &Global, args: KeysRevoke) -> Outcome {
    let KeysRevoke { name, yes, reason } = args;
    let api = any_api(global)?;
    let question = format!("revoke the key `{name}` at {}", api.address());
    if !agreed(yes, &question, &format!("the key `{name}` is revoked"))? {
        return Ok(Exit::Cancelled);
    }
    api.key_revoke(&name, &KeyRevoke { reason }).await?;
    output::say(&format!("`{name}` is revoked"));
    Ok(Exit::Ok)
}

pub async fn whoami(global: &Global, args: OutputArgs) -> Outcome {
    let api = any_api(global)?;
    let who = api.whoami().await?;
    output::show(args.output, &who, || text(&who, &api.address()))?;
    Ok(Exit::Ok)
}

pub fn text(who: &Whoami, address: &str) -> String {
    let Whoami { actor, roles, kind, name } = who;
    format!("{actor} at the {kind} {name}, {address}\nroles: {}", roles_text(roles))
}

fn roles_text(roles: &BTreeMap<String, Role>) -> String {
    let parts: Vec<String> = roles.iter().map(|(name, role)| format!("{name}={role}")).collect();
    parts.join(" ")
}

fn scopes_text(scopes: &BTreeSet<KeyScope>) -> String {
    let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    names.join(" ")
}
