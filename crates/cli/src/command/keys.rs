//! `isonomy keys` and `isonomy whoami`: who may ask a hub or site, and for what.

use std::collections::{BTreeMap, BTreeSet};

use base::{Clock as _, SystemClock, Timestamp};
use wire::{KeyCreate, KeyRevoke, KeyScope, KeyView, ModelTerms, Role, Whoami};

use super::{any_api, pages, say_next};
use crate::args::key::{KeyModels, KeysArgs, KeysCommand, KeysCreate, KeysList, KeysRevoke};
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
    let KeysCreate { name, role, scope, model, ttl, reason, output } = args;
    let scopes: BTreeSet<KeyScope> = scope.into_iter().collect();
    if role.is_empty() && scopes.contains(&KeyScope::Api) {
        return Err(Failure::usage("say with `--role` what the key may do").hint(
            "`viewer`, `operator` or `admin`; a key for calls to models alone has `--scope model` and no role",
        ));
    }
    let model = terms(global, &scopes, model)?;
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
    let ask = KeyCreate { name: name.to_string(), roles, scopes, model, ttl_seconds, reason };
    let api = any_api(global)?;
    let made = api.key_create(&ask).await?;
    output::show(output.output, &made, || made.key.clone())?;
    let what = [roles_text(&made.view.roles), models_text(made.view.model.as_ref())];
    let what: Vec<&str> = what.iter().map(String::as_str).filter(|it| !it.is_empty()).collect();
    output::say(&format!("{}: {}", made.view.name, what.join("; ")));
    output::say(&format!("good at {}; it is shown this once", api.address()));
    if made.view.model.is_some() {
        let url = api.address();
        output::say(&format!(
            "programs take it as OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=…, or ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=…"
        ));
    }
    Ok(Exit::Ok)
}

/// What the key may do with models, where it is for them.
fn terms(
    global: &Global,
    scopes: &BTreeSet<KeyScope>,
    typed: KeyModels,
) -> Outcome<Option<ModelTerms>> {
    let is_typed = typed != KeyModels::default();
    if !scopes.contains(&KeyScope::Model) {
        if !is_typed {
            return Ok(None);
        }
        let what =
            "`--budget`, `--models` and limits by the minute are for a key with `--scope model`";
        return Err(Failure::usage(what));
    }
    let KeyModels { budget, models, requests_per_minute, tokens_per_minute } = typed;
    Ok(Some(ModelTerms {
        namespace: global.namespace.to_string(),
        models: (!models.is_empty()).then_some(models),
        budgets: budget,
        requests_per_minute,
        tokens_per_minute,
    }))
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
            models_text(it.model.as_ref()),
            when::age(&it.created_at, now),
            it.created_by.clone(),
            it.until.as_deref().map_or_else(String::new, |at| when::until(at, now)),
        ]
    });
    output::table(&["key", "state", "scopes", "roles", "models", "age", "by", "ends"], rows)
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

/// In which namespace, which names, and for how much.
fn models_text(terms: Option<&ModelTerms>) -> String {
    let Some(terms) = terms else { return String::new() };
    let models = terms.models.as_ref().map_or_else(|| "*".to_owned(), |it| it.join(" "));
    let mut text = format!("{}: {models}", terms.namespace);
    if !terms.budgets.is_empty() {
        text.push_str(&format!(", at most {}", terms.budgets.join(" and ")));
    }
    for (limit, what) in
        [(terms.requests_per_minute, "requests"), (terms.tokens_per_minute, "tokens")]
    {
        text.push_str(&limit.map(|it| format!(", {it} {what} a minute")).unwrap_or_default());
    }
    text
}

fn scopes_text(scopes: &BTreeSet<KeyScope>) -> String {
    let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    names.join(" ")
}
