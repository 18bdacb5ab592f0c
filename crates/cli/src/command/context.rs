//! `isonomy context`: which hub or site one talks to.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use serde::Serialize;
use wire::{ApiKey, Page};

use super::keys;
use crate::address::{Address, Chosen, Place, is_url};
use crate::api::Api;
use crate::args::key::{ContextAdd, ContextArgs, ContextCommand};
use crate::args::{Global, OutputArgs};
use crate::context::{Context, Contexts};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output;

/// A key has some sixty bytes.
const KEY_BYTES_MAX: u64 = 4096;

#[derive(Serialize)]
struct View {
    name: String,
    in_use: bool,
    server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    has_key: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<String>,
}

pub async fn context(global: &Global, args: ContextArgs) -> Outcome {
    let contexts = Contexts::open()?;
    let home = || Failure::usage("there is no home folder to keep contexts in").hint("set HOME");
    let mut contexts = contexts.ok_or_else(home)?;
    match args.command.unwrap_or(ContextCommand::List(args.list)) {
        ContextCommand::Add(args) => add(global, args, &mut contexts).await,
        ContextCommand::List(args) => list(&contexts, args),
        ContextCommand::Use(args) => {
            contexts.take(args.name.as_deref())?;
            match args.name {
                Some(name) => output::say(&format!("`{name}` is in use")),
                None => output::say("no context is in use; commands ask whoever is here"),
            }
            Ok(Exit::Ok)
        }
        ContextCommand::Remove(args) => {
            let name = args.name.ok_or_else(|| Failure::usage("name the context to forget"))?;
            contexts.remove(&name)?;
            Ok(Exit::Ok)
        }
    }
}

async fn add(global: &Global, args: ContextAdd, contexts: &mut Contexts) -> Outcome {
    let ContextAdd { name, key, root } = args;
    let Chosen::Server(server) = &global.chosen else {
        return Err(Failure::usage("a context needs a server")
            .hint("name it with `--server URL`, or `--server DIR` for a data folder here"));
    };
    let server = match is_url(server) {
        true => server.clone(),
        // It is asked from other folders too.
        false => {
            let whole = fs::canonicalize(server).map_err(|cause| {
                Failure::usage(format!("cannot find the folder `{server}`: {cause}"))
            })?;
            whole.display().to_string()
        }
    };
    let key = key.map(|from| key_from(&from)).transpose()?;
    let place = Place { url: server.clone(), key: key.clone(), root };
    let address = match is_url(&server) {
        true => Address::Named(place),
        false => Address::parse(&server, None),
    };
    let mut context = Context {
        name: name.clone(),
        server,
        key: key.map(|key| key.to_text()),
        root,
        namespace: global.given.clone(),
        kind: None,
    };
    let api = Api::new(address, global.namespace.clone())?;
    match api.whoami().await {
        Ok(who) => {
            output::say(&keys::text(&who, &api.address()));
            context.kind = Some(who.kind);
        }
        Err(failure) if failure.exit == Exit::Unreachable => {
            output::say(&failure.render());
            output::say("it is kept all the same, without having been tried");
        }
        Err(failure) => return Err(failure),
    }
    contexts.put(context)?;
    let in_use = contexts.in_use().is_some_and(|it| it.name == name);
    output::say(&match in_use {
        true => format!("`{name}` is in use"),
        false => {
            format!("talk to it with `--context {name}`, or always: `isonomy context use {name}`")
        }
    });
    Ok(Exit::Ok)
}

/// Never from the arguments, which everybody on a machine can read.
fn key_from(from: &Path) -> Outcome<ApiKey> {
    let mut text = String::new();
    let read = if from == Path::new("-") {
        io::stdin().lock().take(KEY_BYTES_MAX).read_to_string(&mut text)
    } else {
        fs::File::open(from).and_then(|file| file.take(KEY_BYTES_MAX).read_to_string(&mut text))
    };
    let shown = from.display();
    if let Err(cause) = read {
        // Somebody may have typed the key itself.
        let shown = if shown.to_string().starts_with("isonomy-key-") {
            "…".to_owned()
        } else {
            shown.to_string()
        };
        return Err(Failure::usage(format!("cannot read the key from `{shown}`: {cause}"))
            .hint("name a file, or - and give the key on stdin"));
    }
    text.parse().map_err(|wrong: wire::ApiKeyError| Failure::usage(wrong.to_string()))
}

fn list(contexts: &Contexts, args: OutputArgs) -> Outcome {
    let in_use = contexts.in_use().map(|context| context.name);
    let views = contexts.list().map(|it| View {
        in_use: in_use.as_ref() == Some(&it.name),
        name: it.name,
        server: it.server,
        kind: it.kind,
        namespace: it.namespace.map(|name| name.to_string()),
        has_key: it.key.is_some(),
        root: it.root.map(|root| root.to_string()),
    });
    let page = Page { items: views.collect::<Vec<_>>(), next: None };
    output::show(args.output, &page, || {
        let rows = page.items.iter().map(|it| {
            vec![
                if it.in_use { "*" } else { "" }.to_owned(),
                it.name.clone(),
                it.kind.clone().unwrap_or_default(),
                it.server.clone(),
                it.namespace.clone().unwrap_or_default(),
                if it.has_key { "yes" } else { "" }.to_owned(),
            ]
        });
        output::table(&["", "context", "kind", "server", "namespace", "key"], rows)
    })?;
    Ok(Exit::Ok)
}
