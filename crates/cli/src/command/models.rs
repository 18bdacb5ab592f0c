//! `isonomy models`: names that calls can ask for, and the servers and files behind them.

use std::collections::BTreeMap;
use std::path::Path;

use base::{Clock as _, Digest, SystemClock};
use models::{
    Artifact, Format, Limits, ModelSpec, OwnPrice, PriceSpec, ProtectSpec, RuleSet, Source,
    Upstream,
};
use serde_json::Value;
use spec::YamlWrong;
use wire::{ArtifactFetch, ModelPut, ModelState, ModelView};

use super::shelf::{list, remove, secret_absent, show};
use super::{api, artifact, pages};
use crate::args::Global;
use crate::args::model::{
    ModelsAdd, ModelsArgs, ModelsCommand, ResourceList, ResourceShow, Speaks,
};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::file;
use crate::follow;
use crate::output;
use crate::resource::Kind;
use crate::when;

/// Rules of one model are written by hand: a few lines.
const PROTECT_BYTES_MAX: u64 = 64 * 1024;

/// Endings of models' own files.
const ARTIFACTS: [&str; 4] = [".onnx", ".gguf", ".safetensors", ".tar"];

pub async fn models(global: &Global, args: ModelsArgs) -> Outcome {
    match args.command.unwrap_or(ModelsCommand::List(args.list)) {
        ModelsCommand::Add(args) => add(global, *args).await,
        ModelsCommand::List(args) => list_models(global, args).await,
        ModelsCommand::Show(args) => show_model(global, args).await,
        ModelsCommand::Remove(args) => remove(global, Kind::Model, args).await,
        ModelsCommand::Try(args) => super::try_model::try_model(global, args).await,
    }
}

async fn add(global: &Global, args: ModelsAdd) -> Outcome {
    let api = api(global)?;
    let source = if is_file_at(&args) {
        refuse_for_servers(&args)?;
        let digest = args.digest.clone().ok_or_else(no_digest)?;
        // What is wrong with the rest is said before anything is fetched.
        spec(&args, in_file(Digest::of(b""), Format::Onnx))?;
        output::say("the site fetches the file, up to 256 MiB of it");
        let fetch = ArtifactFetch { url: args.url.clone(), digest };
        let view = api.artifact_fetch(&fetch).await?;
        let foreign = || Failure::internal("the site says no digest that this command knows");
        let source =
            in_file(view.digest.parse().map_err(|_| foreign())?, artifact::format_of(&view));
        refuse_for_tensors(&args, &source)?;
        source
    } else if args.digest.is_some() {
        let what = "`--digest` is for a file at an address";
        return Err(
            Failure::usage(what).hint("`--artifact` says that it is one, however its address ends")
        );
    } else if is_file(&args.url) {
        refuse_for_servers(&args)?;
        let file = artifact::read(Path::new(&args.url))?;
        // What is wrong with the rest is said before a large file is sent.
        let source = in_file(Digest::of(&file), artifact::format(&file));
        refuse_for_tensors(&args, &source)?;
        spec(&args, source.clone())?;
        api.artifact_take(&api.namespace, file).await?;
        source
    } else {
        at_server(&args)
    };
    let spec = serde_json::to_value(spec(&args, source)?).expect("our own types have JSON text");
    let put = ModelPut { spec, reason: args.reason };
    let (view, is_new): (ModelView, bool) =
        api.resource_put(Kind::Model, &api.namespace, &args.name, &put).await?;
    let name = format!("{}/{}", view.namespace, view.name);
    output::show(args.output.output, &view, || format!("{name} {}", state(view.state)))?;
    let done = if is_new { "added" } else { "replaced" };
    output::say(&format!("{done} the model {name} at {}", api.address()));
    match &view.why {
        Some(why) => output::say(&format!("it is {}: {why}", state(view.state))),
        None if view.absent_secret.is_some() => {}
        None => {
            let command = follow::typed(&api, &format!("models try {}", view.name));
            output::say(&format!("{command} asks it something"));
        }
    }
    if let Some(secret) = &view.absent_secret {
        output::say(&format!("warning: {}", secret_absent(&view.namespace, secret)));
    }
    Ok(Exit::Ok)
}

/// A file that the site is to fetch.
fn is_file_at(args: &ModelsAdd) -> bool {
    let is_artifact = ARTIFACTS.iter().any(|ending| path_of(&args.url).ends_with(ending));
    is_url(&args.url) && (args.artifact || is_artifact)
}

fn is_url(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

fn path_of(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

fn no_digest() -> Failure {
    let what = "this is a model's file at an address, and whoever is there decides what is in it";
    Failure::usage(what).hint(
        "say which file is meant: `--digest sha256:…`, as its author says it; or fetch it yourself, look at it, and add the file",
    )
}

/// Anything that is there, or is called like a model's file, and is no address.
fn is_file(url: &str) -> bool {
    let is_artifact = ARTIFACTS.iter().any(|ending| url.ends_with(ending));
    !is_url(url) && (is_artifact || Path::new(url).exists())
}

/// What a file has no use for.
fn refuse_for_servers(args: &ModelsAdd) -> Outcome<()> {
    let said = [
        ("--model", args.model.is_some()),
        ("--secret", args.secret.is_some()),
        ("--dialect", args.dialect != Speaks::OpenAi),
    ];
    match said.into_iter().find(|(_, is_said)| *is_said) {
        Some((option, _)) => {
            Err(Failure::usage(format!("`{option}` is for models at servers, and this is a file")))
        }
        None => Ok(()),
    }
}

/// What tensors have no use for.
fn refuse_for_tensors(args: &ModelsAdd, source: &Source) -> Outcome<()> {
    let is_tensors = source.artifact().is_some_and(|it| it.format == Format::Onnx);
    let said = [
        ("--output-tokens", args.output_tokens.is_some()),
        ("--context-tokens", args.context_tokens.is_some()),
    ];
    match said.into_iter().find(|(_, is_said)| is_tensors && *is_said) {
        Some((option, _)) => Err(Failure::usage(format!(
            "`{option}` is for models of language, and this file takes tensors"
        ))),
        None => Ok(()),
    }
}

fn in_file(digest: Digest, format: Format) -> Source {
    Source::Artifact(Artifact { digest, format })
}

fn at_server(args: &ModelsAdd) -> Source {
    Source::Upstream(Upstream {
        url: args.url.clone(),
        dialect: args.dialect.into(),
        model: args.model.clone(),
        secret: args.secret.clone(),
        output_parameter: None,
        idempotent: false,
    })
}

fn spec(args: &ModelsAdd, source: Source) -> Outcome<ModelSpec> {
    let spec = ModelSpec {
        source,
        region: args.region.clone(),
        share: args.share.iter().cloned().collect(),
        operations: args.operations.iter().copied().collect(),
        takes: args.takes.iter().map(|it| (*it).into()).collect(),
        limits: Limits {
            context_tokens: args.context_tokens,
            output_tokens: args.output_tokens,
            concurrency: args.concurrency,
            deadline_seconds: args.deadline,
            ..Limits::default()
        },
        price: price(args)?,
        protect: protect(args)?,
        cache: None,
    };
    spec.check().map_err(|wrong| Failure::usage(wrong.to_string()))?;
    Ok(spec)
}

fn protect(args: &ModelsAdd) -> Outcome<Option<ProtectSpec>> {
    let rules = match args.protect.as_deref() {
        None => return Ok(None),
        Some("standard") => RuleSet::Standard,
        Some("none") => RuleSet::None,
        Some(file) => return protect_file(file).map(Some),
    };
    Ok(Some(ProtectSpec { rules: Some(rules), ..ProtectSpec::default() }))
}

fn protect_file(file: &str) -> Outcome<ProtectSpec> {
    let hint =
        "`--protect` is `standard`, `none`, or a file with what a document says in `spec.protect`";
    let text =
        file::text(Path::new(file), PROTECT_BYTES_MAX).map_err(|failure| failure.hint(hint))?;
    serde_saphyr::from_str(&text).map_err(|wrong| {
        let YamlWrong { line, column, what } = YamlWrong::from(&wrong);
        Failure::usage(format!("{file}:{line}:{column}: {what}")).hint(hint)
    })
}

fn price(args: &ModelsAdd) -> Outcome<Option<PriceSpec>> {
    if let Some(price) = &args.price {
        return match price.as_str() {
            "free" => Ok(Some(PriceSpec::Free)),
            row if row.contains('/') => Ok(Some(PriceSpec::Catalogue(row.to_owned()))),
            _ => Err(Failure::usage("`--price` is `free` or a row of the shipped prices")
                .hint("such as `openai/gpt-4o-mini`; `--price-input`, `--price-output` and `--currency` say one of your own")),
        };
    }
    let said = [
        ("input", &args.price_input),
        ("output", &args.price_output),
        ("second", &args.price_second),
    ];
    let rates: BTreeMap<String, String> = said
        .into_iter()
        .filter_map(|(class, amount)| Some((class.to_owned(), amount.clone()?)))
        .collect();
    match &args.currency {
        Some(currency) if !rates.is_empty() => {
            Ok(Some(PriceSpec::Own(OwnPrice { currency: currency.clone(), rates })))
        }
        Some(_) => Err(Failure::usage(
            "`--currency` goes with `--price-input`, `--price-output` and `--price-second`",
        )),
        None => Ok(None),
    }
}

async fn list_models(global: &Global, args: ResourceList) -> Outcome {
    let api = api(global)?;
    let page = pages(&args.page, async |part| api.model_list(&part).await).await?;
    list(&args, &page, list_text(&page.items))
}

fn list_text(views: &[ModelView]) -> String {
    let now = SystemClock.now();
    let rows = views.iter().map(|view| {
        let (spec, upstream) = (&view.spec, &view.spec["upstream"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (there, place) = match spec["artifact"]["format"].as_str() {
            Some(format) => (format, "here".to_owned()),
            None => (upstream["model"].as_str().unwrap_or(&view.name), text(&upstream["url"])),
        };
        vec![
            view.name.clone(),
            state(view.state).to_owned(),
            there.to_owned(),
            place,
            text(&spec["region"]),
            price_text(spec),
            words(&spec["share"]),
            when::age(&view.updated_at, now),
        ]
    });
    let columns = ["model", "state", "there", "url", "region", "price", "shared with", "age"];
    output::table(&columns, rows)
}

/// As it is written down; `listed` is the row of its name.
fn price_text(spec: &Value) -> String {
    let price = &spec["price"];
    if let Some(row) = price["catalogue"].as_str() {
        return row.to_owned();
    }
    match (price, price["own"]["currency"].as_str()) {
        (Value::String(free), _) => free.clone(),
        (_, Some(currency)) => format!("own, {currency}"),
        _ if spec["artifact"].is_object() => "free".to_owned(),
        _ => "listed".to_owned(),
    }
}

fn words(list: &Value) -> String {
    let words: Vec<&str> =
        list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    words.join(" ")
}

async fn show_model(global: &Global, args: ResourceShow) -> Outcome {
    let view = api(global)?.model_show(&args.name).await?;
    let file = view.artifact.as_ref().map(|it| format!("\n{}", artifact::head(it)));
    let absent = view.absent_secret.as_ref().map(|it| secret_absent(&view.namespace, it));
    let head = format!(
        "{}; changed {} ago by {}{}{}{}",
        state(view.state),
        when::age(&view.updated_at, SystemClock.now()),
        view.updated_by,
        view.why.as_ref().map(|why| format!("\n{why}")).unwrap_or_default(),
        absent.map(|what| format!("\n{what}")).unwrap_or_default(),
        file.unwrap_or_default(),
    );
    show(args.output.output, &view, &head, Kind::Model, (&view.namespace, &view.name, &view.spec))
}

const fn state(state: ModelState) -> &'static str {
    match state {
        ModelState::Ready => "ready",
        ModelState::Resting => "resting",
        ModelState::Denied => "denied",
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn refuse_or_not(args: &ModelsAdd) -> Outcome<()> {
        if !is_file(&args.url) {
            return Ok(());
        }
        refuse_for_tensors(args, &in_file(Digest::of(b""), Format::Onnx))?;
        refuse_for_servers(args)
    }

    fn added(more: &[&str]) -> Result<Value, String> {
        let args = [&["isonomy", "models", "add", "chat"], more].concat();
        let cli = Cli::try_parse_from(args).map_err(|wrong| wrong.to_string())?;
        let Command::Models(ModelsArgs { command: Some(ModelsCommand::Add(args)), .. }) =
            cli.command
        else {
            panic!("another command")
        };
        let source = if is_file(&args.url) {
            in_file(Digest::of(b""), Format::Onnx)
        } else {
            at_server(&args)
        };
        refuse_or_not(&args).and_then(|()| spec(&args, source)).map_or_else(
            |failure| Err(failure.render()),
            |spec| Ok(serde_json::to_value(spec).expect("JSON")),
        )
    }

    /// Mutation: lose an option, or take a price of one's own without saying in what.
    #[test]
    fn what_is_typed_is_a_model() {
        let url = "http://127.0.0.1:11434/v1";
        let spec = added(&[
            url,
            "--model",
            "qwen2.5:7b",
            "--secret",
            "key",
            "--region",
            "here",
            "--share",
            "lab",
            "--share",
            "*",
            "--output-tokens",
            "500",
            "--concurrency",
            "4",
            "--price-input",
            "0.15",
            "--price-output",
            "0.60",
            "--currency",
            "USD",
        ]);
        let expected = serde_json::json!({
            "upstream": {"url": url, "dialect": "open-ai", "model": "qwen2.5:7b", "secret": "key"},
            "region": "here", "share": ["*", "lab"],
            "limits": {"outputTokens": 500, "concurrency": 4},
            "price": {"own": {"currency": "USD", "rates": {"input": "0.15", "output": "0.60"}}},
        });
        assert_eq!(spec, Ok(expected));
        let price =
            |more: &[&str]| added(&[&[url], more].concat()).map(|spec| spec["price"].clone());
        assert_eq!(price(&["--price", "free"]), Ok("free".into()));
        let listed = serde_json::json!({"catalogue": "openai/gpt-4o-mini"});
        assert_eq!(price(&["--price", "openai/gpt-4o-mini"]), Ok(listed));
        assert_eq!(price(&[]), Ok(Value::Null));
        for wrong in [
            &["--price", "cheap"][..],
            &["--price-input", "1"],
            &["--currency", "EUR"],
            &["--price", "free", "--price-input", "1", "--currency", "EUR"],
            &["--price-input", "x", "--currency", "EUR"],
        ] {
            assert!(price(wrong).is_err(), "{wrong:?}");
        }
    }

    /// Mutation: send the path of a file to the site as an address, or take an option that a file does not have.
    #[test]
    fn a_file_is_told_apart_from_an_address() {
        for file in ["risk.onnx", "Cargo.toml"] {
            let spec = added(&[file]).expect(file);
            assert_eq!(spec["artifact"]["format"], "onnx", "{spec}");
            let said = added(&[file, "--secret", "key"]).expect_err(file);
            assert!(said.contains("`--secret` is for models at servers"), "{said}");
        }
        let priced =
            added(&["risk.onnx", "--price-second", "0.01", "--currency", "EUR", "--deadline", "2"]);
        let priced = priced.expect("a model");
        assert_eq!(priced["price"]["own"]["rates"]["second"], "0.01");
        assert_eq!(priced["limits"]["deadlineSeconds"], 2);
        let said = added(&["risk.onnx", "--output-tokens", "5"]).expect_err("tensors");
        assert!(said.contains("`--output-tokens` is for models of language"), "{said}");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let said = artifact::read(folder).expect_err("no weights").render();
        assert!(said.contains("it has no `config.json`"), "{said}");
        let said = added(&["ftp://host/x"]).expect_err("no address");
        assert!(said.contains("`upstream.url`"), "{said}");
        assert!(added(&["http://host/x.onnx"]).is_ok());
    }
}
