//! `isonomy prices`: what models cost, as a site reckons; and tables from LiteLLM's public price file.

use std::collections::{BTreeMap, BTreeSet};

use base::{Clock as _, SystemClock};
use pricing::litellm::{self, FILE_BYTES_MAX, Imported, LIST, Told};
use pricing::{Catalogue, Source};
use serde::Serialize;
use wire::{PriceSheetView, PriceSourceView, PriceView, PricedModelView};

use super::{api, pages, say_next};
use crate::args::Global;
use crate::args::prices::{PricesArgs, PricesCommand, PricesImport, PricesList, PricesShow};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::file;
use crate::lay_out;
use crate::output::{self, Format};

/// Reasons that are told one by one; a list of today has some dozens.
const REASONS_MAX: usize = 12;

/// Of a version, which stands in each row.
const VERSION_CHARS_MAX: usize = 60;

pub async fn prices(global: &Global, args: PricesArgs) -> Outcome {
    match args.command.unwrap_or(PricesCommand::List(args.list)) {
        PricesCommand::List(args) => list(global, args).await,
        PricesCommand::Show(args) => show(global, args).await,
        PricesCommand::Import(args) => import(&args),
    }
}

async fn list(global: &Global, args: PricesList) -> Outcome {
    let PricesList { provider, search, page, output } = args;
    let api = api(global)?;
    let page = pages(&page, async |part| {
        api.price_list(provider.as_deref(), search.as_deref(), &part).await
    });
    let page = page.await?;
    output::show(output.output, &page, || list_text(&page.items))?;
    say_next(page.next.as_deref());
    Ok(Exit::Ok)
}

/// What holds now everywhere, or where it holds.
fn list_text(models: &[PricedModelView]) -> String {
    let mut rows = Vec::new();
    for model in models {
        let holding = model.prices.iter().filter(|price| price.holds);
        let said = rows.len();
        for price in holding {
            let first = price.sheets.first();
            let rate = |column| {
                first.and_then(|sheet| sheet.rates.get(column)).cloned().unwrap_or_default()
            };
            rows.push(vec![
                model.name.clone(),
                model.kind.clone(),
                price.region.clone().unwrap_or_default(),
                price.currency.clone(),
                rate("input"),
                rate("cache_read"),
                rate("output"),
                others(price),
                price.source.dated.clone(),
            ]);
        }
        if rows.len() == said {
            let none = vec!["no price now".to_owned()];
            rows.push(
                [
                    vec![model.name.clone(), model.kind.clone()],
                    vec![String::new(); 5],
                    none,
                    vec![String::new()],
                ]
                .concat(),
            );
        }
    }
    let columns = ["model", "kind", "region", "in", "input", "cached", "output", "also", "dated"];
    output::table(&columns, rows)
}

/// What else is in a price: classes of its first row, and other rows.
fn others(price: &PriceView) -> String {
    let shown = ["input", "cache_read", "output"];
    let Some((first, more)) = price.sheets.split_first() else { return String::new() };
    let classes = first.rates.keys().filter(|column| !shown.contains(&column.as_str()));
    let classes = classes.map(String::clone);
    classes.chain(more.iter().map(manner)).collect::<Vec<_>>().join(", ")
}

/// When a row holds.
fn manner(sheet: &PriceSheetView) -> String {
    match sheet.above {
        0 => sheet.service.clone(),
        above => format!("{} above {above}", sheet.service),
    }
}

async fn show(global: &Global, args: PricesShow) -> Outcome {
    let (provider, model) = &args.model;
    let view = api(global)?.price_show(provider, model).await?;
    output::show(args.output.output, &view, || show_text(&view))?;
    Ok(Exit::Ok)
}

fn show_text(view: &PricedModelView) -> String {
    let mut text = format!("{}, {}", view.name, view.kind);
    let tokens = [
        ("context", view.context_tokens),
        ("output", view.output_tokens_max),
        ("an image", view.image_tokens_max),
    ];
    for (what, most) in tokens {
        text.push_str(&most.map_or_else(String::new, |most| format!(", {what} {most} tokens")));
    }
    text.push_str(&view.retires.as_ref().map_or_else(String::new, |day| format!(", ends {day}")));
    for (what, names) in [("also", &view.aliases), ("can", &view.capabilities)] {
        if !names.is_empty() {
            text.push_str(&format!("\n{what}: {}", names.join(", ")));
        }
    }
    for price in &view.prices {
        text.push_str(&format!("\n\n{}\n{}", price_head(price), sheets_text(price)));
    }
    if view.prices.is_empty() {
        text.push_str("\n\nno price");
    }
    text.push_str(&format!("\n\nlist {}", view.version));
    output::harmless(&text)
}

fn price_head(price: &PriceView) -> String {
    let mut head =
        format!("{} in {}", price.region.as_deref().unwrap_or("everywhere"), price.currency,);
    for (word, day) in [("from", &price.from), ("to", &price.to)] {
        head.push_str(&day.as_ref().map_or_else(String::new, |day| format!(" {word} {day}")));
    }
    if !price.holds {
        head.push_str(", not now");
    }
    let PriceSourceView { url, via, dated } = &price.source;
    let via = via.as_ref().map_or_else(String::new, |via| format!(" by {via}"));
    format!("{head}\n{url}{via}, read {dated}")
}

/// A column for each manner, so that many classes stay readable.
fn sheets_text(price: &PriceView) -> String {
    let classes: BTreeSet<&String> =
        price.sheets.iter().flat_map(|sheet| sheet.rates.keys()).collect();
    let part = |sheet: &PriceSheetView| match sheet.span.as_str() {
        "part" => format!("{}, part", manner(sheet)),
        _ => manner(sheet),
    };
    let columns: Vec<String> = price.sheets.iter().map(part).collect();
    let head: Vec<&str> =
        std::iter::once("for").chain(columns.iter().map(String::as_str)).collect();
    let rows = classes.into_iter().map(|class| {
        let rates = price.sheets.iter().map(|it| it.rates.get(class).cloned().unwrap_or_default());
        std::iter::once(class.clone()).chain(rates).collect()
    });
    output::table(&head, rows)
}

/// What came over and what did not, by the names of the rows.
#[derive(Debug, Serialize)]
struct Report<'a> {
    imported: Vec<Came<'a>>,
    noted: Vec<Reasoned<'a>>,
    same: &'a [String],
    refused: Vec<Reasoned<'a>>,
    /// Where it was written.
    files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Came<'a> {
    row: &'a str,
    /// As a model's definition names it.
    price: String,
}

#[derive(Debug, Serialize)]
struct Reasoned<'a> {
    row: &'a str,
    reason: String,
}

fn import(args: &PricesImport) -> Outcome {
    let file = file::read(&args.file, FILE_BYTES_MAX as u64)?;
    let day = args.dated.map(|day| day.to_string());
    let today = || SystemClock.now().to_string()[..10].to_owned();
    let source = Source {
        url: LIST.to_owned(),
        via: Some(via(args.from.as_deref())?),
        dated: day.unwrap_or_else(today),
    };
    let imported = litellm::import(&file, &source).map_err(|wrong| {
        Failure::usage(format!("`{}`: {wrong}", args.file.display()))
            .hint("LiteLLM keeps it as `model_prices_and_context_window.json`")
    })?;
    if imported.prices.is_empty() {
        tell(&imported);
        let what = format!("no row of `{}` came over; nothing was written", args.file.display());
        return Err(Failure::usage(what));
    }
    let (models, prices) = tables(&imported)?;
    let files = [("models.csv", &models), ("prices.csv", &prices)];
    let files = files.map(|(name, text)| lay_out::File { name, bytes: text.as_bytes() });
    let written = lay_out::write(&args.out, &files)?;
    tell(&imported);
    for path in &written {
        output::say(&format!("written: {}", path.display()));
    }
    output::say(
        "name the folder as `spec.models.prices` in `site.yaml`: its tables are laid over the shipped ones",
    );
    match args.output.output {
        Format::Text => {}
        form @ (Format::Json | Format::Yaml) => {
            let files = written.iter().map(|path| path.display().to_string()).collect();
            output::show(form, &report(&imported, files), String::new)?;
        }
    }
    Ok(Exit::Ok)
}

/// The list that repeats what providers say.
fn via(version: Option<&str>) -> Outcome<String> {
    let Some(version) = version else { return Ok("litellm".to_owned()) };
    let is_plain = !version.trim().is_empty() && !version.chars().any(char::is_control);
    if is_plain && version.chars().count() <= VERSION_CHARS_MAX {
        return Ok(format!("litellm {}", version.trim()));
    }
    let what = format!("`--from` has 1 to {VERSION_CHARS_MAX} printable characters");
    Err(Failure::usage(what).hint("write a version, such as `1.109.1`"))
}

/// The text of both, as a site reads it.
fn tables(imported: &Imported) -> Outcome<(String, String)> {
    let wrong = |error| Failure::usage(format!("no site would take what came over: {error}"));
    let made = Catalogue::of(imported.models.clone(), imported.prices.clone()).map_err(wrong)?;
    let (models, prices) = (made.models_table(), made.prices_table());
    let read = Catalogue::read(&models, &prices).map_err(wrong)?;
    if read.version() == made.version() {
        return Ok((models, prices));
    }
    Err(Failure::internal("the tables say something else than what came over"))
}

fn tell(imported: &Imported) {
    let Imported { names, notes, same, refused, .. } = imported;
    let all = names.len() + same.len() + refused.len();
    let noted: BTreeSet<&str> = notes.iter().map(|told| told.name.as_str()).collect();
    output::say(&format!(
        "{} of {all} rows came over, {} of them with notes; {} repeat others, {} were refused",
        names.len(),
        noted.len(),
        same.len(),
        refused.len()
    ));
    let mut reasons = BTreeMap::<String, usize>::new();
    for told in refused {
        *reasons.entry(told.reason.to_string()).or_default() += 1;
    }
    let mut reasons: Vec<(String, usize)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (reason, count) in reasons.iter().take(REASONS_MAX) {
        output::say(&format!("{count:>6} refused: {}", output::clip(reason, 200)));
    }
    if let Some(more) = reasons.len().checked_sub(REASONS_MAX).filter(|more| *more > 0) {
        output::say(&format!("       and {more} more reasons"));
    }
    if !refused.is_empty() || !notes.is_empty() {
        output::say("`-o json` names each row, with its reason");
    }
}

fn report(imported: &Imported, files: Vec<String>) -> Report<'_> {
    let rows = imported.names.iter().zip(&imported.models);
    let came =
        rows.map(|(row, model)| Came { row, price: format!("{}/{}", model.provider, model.name) });
    Report {
        imported: came.collect(),
        noted: imported.notes.iter().map(Reasoned::of).collect(),
        same: &imported.same,
        refused: imported.refused.iter().map(Reasoned::of).collect(),
        files,
    }
}

impl<'a> Reasoned<'a> {
    fn of(told: &'a Told) -> Self {
        Self { row: &told.name, reason: told.reason.to_string() }
    }
}
