//! `isonomy hub authority`: who signs for the hub. The root's key is used here, where somebody has brought
//! it, and never goes to the hub.

use std::path::Path;

use base::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity::{Domain, Key, PublicKey, Root, file_read};
use wire::{AuthoritiesView, AuthorityForget, AuthorityRotate, AuthorityView};

use super::hub_api;
use crate::args::hub::{self as args, AuthorityArgs, AuthorityCommand};
use crate::args::{Global, OutputArgs};
use crate::confirm::agreed;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output;

pub async fn authority(global: &Global, args: AuthorityArgs) -> Outcome {
    match args.command.unwrap_or(AuthorityCommand::Show(args.output)) {
        AuthorityCommand::Show(args) => show(global, args).await,
        AuthorityCommand::Rotate(args) => rotate(global, args).await,
        AuthorityCommand::Forget(args) => forget(global, args).await,
    }
}

async fn show(global: &Global, args: OutputArgs) -> Outcome {
    let view = hub_api(global)?.authority_show().await?;
    output::show(args.output, &view, || text(&view))?;
    Ok(Exit::Ok)
}

fn text(view: &AuthoritiesView) -> String {
    let rows = view.items.iter().map(|it| {
        let AuthorityView { state, key, not_before: _, not_after, until } = it;
        let until = until.clone().unwrap_or_default();
        vec![state.name().to_owned(), key.clone(), not_after.clone(), until]
    });
    let table = output::table(&["state", "key", "ends", "believed until"], rows);
    output::harmless(&format!("root of {}  {}\n\n{table}", view.domain, view.root))
}

async fn rotate(global: &Global, args: args::AuthorityRotate) -> Outcome {
    let args::AuthorityRotate { root_key, yes, reason, output } = args;
    let api = hub_api(global)?;
    let view = api.authority_show().await?;
    let root = root(&root_key, &view)?;
    let question = format!("have a new authority sign for the hub of `{}`", view.domain);
    if !agreed(yes, &question, "a new authority signs")? {
        return Ok(Exit::Cancelled);
    }
    let next = api.authority_next().await?;
    let unexpected = || Failure::internal("the hub's answer is not what this version expects");
    let domain = Domain::parse(&view.domain).map_err(|_| unexpected())?;
    let key = STANDARD.decode(&next.key).map_err(|_| unexpected())?;
    let key = PublicKey::from_der(&key).map_err(|_| unexpected())?;
    // By the hub's clock: it is the one that judges.
    let now = Timestamp::parse(&next.now).ok_or_else(unexpected)?;
    let certificate = root.certify(&domain, &key, now);
    let certificate = certificate.map_err(|error| Failure::internal(error.to_string()))?;
    let view = api.authority_rotate(&AuthorityRotate { certificate, reason }).await?;
    output::show(output.output, &view, || text(&view))?;
    output::say(&format!(
        "a new authority signs; sites that come with what the one before has signed are taken until {}",
        next.until
    ));
    output::say(
        "make a new backup now (`isonomy hub backup`): a hub that comes back from one of before does \
         not know this authority, and its sites would need new tokens",
    );
    output::say("put the root's key back where it was safe");
    Ok(Exit::Ok)
}

/// What the file holds is not told, whatever is wrong with it.
fn root(file: &Path, view: &AuthoritiesView) -> Outcome<Root> {
    let shown = file.display();
    let text = file_read(file).map_err(|error| Failure::usage(error.to_string()))?;
    let text = text.ok_or_else(|| {
        Failure::usage(format!("there is no file `{shown}`")).hint(
            "`hub init` made the root's key in `root/root.key` of the hub's folder, and asked to move it to a safe place",
        )
    })?;
    let key =
        Key::from_pem(&text).map_err(|error| Failure::usage(format!("`{shown}`: {error}")))?;
    Root::read(&view.root_certificate, key).map_err(|_| {
        Failure::usage(format!("`{shown}` is not the key of this fleet's root"))
            .hint(format!("the root of `{}` is {}", view.domain, view.root))
    })
}

async fn forget(global: &Global, args: args::AuthorityForget) -> Outcome {
    let api = hub_api(global)?;
    let view = api.authority_show().await?;
    let Some(until) = view.items.iter().find_map(|it| it.until.as_ref()) else {
        output::say("there is nothing to forget: no authority was replaced within sixty days");
        return Ok(Exit::Ok);
    };
    let question = format!(
        "take no certificate of the former authority any more, which counts until {until}: sites \
         that have not been here since it was replaced need a new token"
    );
    if !agreed(args.yes, &question, "the former authority is forgotten")? {
        return Ok(Exit::Cancelled);
    }
    api.authority_forget(&AuthorityForget { reason: args.reason }).await?;
    output::say("certificates of the former authority are not taken any more");
    Ok(Exit::Ok)
}
