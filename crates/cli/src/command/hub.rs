//! `isonomy hub`: the control plane, made, kept, and asked for tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base::{Clock as _, Duration, SiteName, SystemClock};
use hub::{HubFolder, HubFolderError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use wire::{SiteState, SiteView, TokenCreated};

use super::{hub_api, pages};
use crate::api::Api;
use crate::args::hub::{HubInit, HubServe, TokenArgs, TokenCommand, TokenCreate};
use crate::args::{Global, PageArgs};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::file;
use crate::interrupt::Interrupt;
use crate::output::{self, Format};
use crate::serve::fleet::Beside;
use crate::serve::{self, HubServing};
use crate::when;

/// The largest file of sites: ten thousand with a few tags each have less than a MiB.
const SITES_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Lines of such a file that a refusal names.
const ROWS_SHOWN_MAX: usize = 10;

/// How long before its end somebody is reminded to replace the hub's authority: the root's key lies in a
/// safe, and whoever has the keys to that may be away.
const AUTHORITY_NOTICE: Duration = Duration::from_secs(120 * 24 * 3600);

/// What a new hub has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Init {
    domain: String,
    key: String,
    root_key: PathBuf,
}

pub async fn init(args: &HubInit) -> Outcome {
    let HubInit { domain, data, .. } = args;
    serve::refuse_site(data)?;
    let root = HubFolder::init(data, domain.clone(), SystemClock.now());
    let root = root.map_err(|error| match error {
        HubFolderError::Exists(_) => Failure::usage(error.to_string())
            .hint("start it with `isonomy hub serve`, or name another folder with `--data DIR`"),
        error => Failure::internal(error.to_string()),
    })?;
    let made = serve::first_key(data).await?;
    let init = Init { domain: domain.to_string(), key: made.key, root_key: root };
    output::show(args.output.output, &init, || init.key.clone())?;
    output::say(&format!("made the hub of `{domain}` in `{}`", data.display()));
    output::say(
        "above is the key of its first admin, shown this once; who may read the folder needs none, \
         and `isonomy keys create` makes more",
    );
    output::say(&format!(
        "`{}` is the key of the fleet's root: move it to a safe place, away from this machine; \
         the hub works without it, and only a new authority needs it",
        init.root_key.display()
    ));
    Ok(Exit::Ok)
}

pub async fn serve(args: HubServe) -> Outcome {
    serve::log(&args.log)?;
    // Listened to before anything is open, so that a signal never finds it half open.
    let interrupt = Interrupt::any()?;
    if let Some(wrong) = hub::addresses_wrong(&args.address) {
        return Err(Failure::usage(format!("`--address`: {wrong}")));
    }
    files_as_many_as_may_be();
    let serving =
        HubServing::open(&args.data, args.listen, args.address, args.port, &args.api).await?;
    let announced = serve::announce(&args.data, serving.url(), serving.own_key())?;
    greet(&args.data, &serving);
    if let Some(afar) = serving.afar() {
        output::say(&format!("people elsewhere ask at port {} over TLS:", afar.port()));
        let root = if args.api.tls_cert.is_some() {
            String::new()
        } else {
            format!(" --root {}", serving.root())
        };
        output::say(&format!(
            "  isonomy context add NAME --server https://HOST:{}{root} --key FILE",
            afar.port()
        ));
    }
    let beside = args.with_site.map(|name| {
        let data = args.data.join(name.as_str());
        Beside { name, data }
    });
    let stop = serve::stop(interrupt, announced);
    serve::fleet::serve(serving, beside.into_iter().collect(), stop).await?;
    Ok(Exit::Ok)
}

/// Each site is an open file, and what is usual are a thousand.
fn files_as_many_as_may_be() {
    let limit = getrlimit(Resource::Nofile);
    // Where it may not be raised, fewer sites come in at once.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn greet(data: &Path, serving: &HubServing) {
    output::say(&format!("data in `{}`", data.display()));
    let addresses = serving.addresses().join(", ");
    output::say(&format!("sites find it at {addresses}"));
    let is_local = |address: &String| address.starts_with("127.") || address.starts_with("[::1]");
    if serving.addresses().iter().all(is_local) {
        output::say(
            "that is this machine alone: for sites elsewhere start it with `--address HOST:PORT`",
        );
    }
    let (ends, now) = (serving.hub().authority_ends(), SystemClock.now());
    if let Some(ends) = ends.filter(|ends| now.plus(AUTHORITY_NOTICE) > *ends) {
        output::say(&format!(
            "the authority that signs for this hub ends at {ends}, and no site can renew its certificate then: \
             `isonomy hub authority rotate --root-key FILE` replaces it",
        ));
    }
    if let Some(key) = serving.root_key() {
        output::say(&format!(
            "the key of the fleet's root still lies in `{}`: move it to a safe place, away from this machine",
            key.display()
        ));
    }
}

pub async fn token(global: &Global, args: TokenArgs) -> Outcome {
    match args.command {
        TokenCommand::Create(args) => create(global, args).await,
    }
}

async fn create(global: &Global, args: TokenCreate) -> Outcome {
    let ttl = when::length(&args.ttl)?;
    // All are looked at before the first is made.
    let sites = match (&args.from, args.site) {
        (Some(file), _) => read(file)?,
        (None, Some(site)) => vec![Row { line: 1, site, tags: args.tag.into_iter().collect() }],
        (None, None) => {
            return Err(Failure::usage("name a site with `--site`, or many with `--from`"));
        }
    };
    let api = hub_api(global)?;
    if let Some(file) = &args.from {
        look_up(&api, file, &sites, args.replace).await?;
    }
    for Row { site, tags, .. } in sites {
        let ask = wire::TokenCreate {
            site: site.to_string(),
            tags,
            ttl_seconds: Some(ttl.as_millis() / 1000),
            replace: args.replace,
            reason: args.reason.clone(),
            hubs: args.hub.clone(),
        };
        let made = api.token_create(&ask).await?;
        show(args.output.output, &made)?;
    }
    Ok(Exit::Ok)
}

/// Each as it comes, so that none is lost if the next one fails.
fn show(format: Format, made: &TokenCreated) -> Outcome<()> {
    output::show_next(format, made, || {
        let TokenCreated { site, token, .. } = made;
        format!("isonomy site join {token}   # {site}")
    })?;
    output::say(&format!("{}: good once, until {}", made.site, made.until));
    Ok(())
}

type Tags = BTreeMap<String, String>;

/// A site of a file, and where it stands there.
struct Row {
    line: u64,
    site: SiteName,
    tags: Tags,
}

/// What the hub would refuse of a file, before the first token of it is made.
async fn look_up(api: &Api, file: &Path, rows: &[Row], replace: bool) -> Outcome<()> {
    let all = PageArgs { limit: None, cursor: None, all: true };
    let fleet = pages(&all, async |part| api.fleet_list(&part).await).await?;
    let wrong = refused(rows, &fleet.items, replace);
    if wrong.is_empty() {
        return Ok(());
    }
    let shown = wrong.iter().take(ROWS_SHOWN_MAX).cloned().collect::<Vec<_>>().join("; ");
    let more = wrong.len().saturating_sub(ROWS_SHOWN_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(Failure::usage(format!("`{}`: {shown}{more}; no token was made", file.display())).hint(
        "leave them out; for another machine in the place of one, make a token with `--site NAME --replace`",
    ))
}

fn refused(rows: &[Row], fleet: &[SiteView], replace: bool) -> Vec<String> {
    let fleet: BTreeMap<&str, &SiteView> = fleet.iter().map(|it| (&*it.site, it)).collect();
    let known = rows.iter().filter_map(|row| Some((row, *fleet.get(row.site.as_str())?)));
    let wrong = known.filter_map(|(Row { line, site, tags }, known)| {
        let has_been = !matches!(known.state, SiteState::Invited | SiteState::ToBeAdopted);
        if has_been && !replace {
            return Some(format!("line {line}: {site} is a site already, {}", known.state.name()));
        }
        let mut all = known.tags.clone();
        all.extend(tags.clone());
        let wrong = base::tags_wrong(&all)?;
        Some(format!("line {line}: the tags of {site}, with those it has: {wrong}"))
    });
    wrong.collect()
}

/// The sites of a CSV file, with a line for each that is wrong.
fn read(file: &Path) -> Outcome<Vec<Row>> {
    let shown = file.display();
    let text = file::text(file, SITES_BYTES_MAX)?;
    sites(&text).map_err(|why| Failure::usage(format!("`{shown}`: {why}")))
}

fn sites(text: &str) -> Result<Vec<Row>, String> {
    let mut rows = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let head = rows.headers().map_err(|wrong| wrong.to_string())?.clone();
    let Some(name) = head.iter().position(|column| column == "site") else {
        return Err("the first line names no column `site`".to_owned());
    };
    let mut sites: Vec<Row> = Vec::new();
    let mut names = BTreeSet::new();
    for row in rows.records() {
        let row = row.map_err(|wrong| wrong.to_string())?;
        let line = row.position().map_or(0, csv::Position::line);
        let site = SiteName::parse(&row[name]).map_err(|wrong| format!("line {line}: {wrong}"))?;
        if !names.insert(site.clone()) {
            return Err(format!("line {line}: {site} is there twice"));
        }
        let others =
            head.iter().zip(&row).filter(|(column, value)| *column != "site" && !value.is_empty());
        let tags: Tags = others.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        if let Some(wrong) = base::tags_wrong(&tags) {
            return Err(format!("line {line}: the tags of {site}: {wrong}"));
        }
        sites.push(Row { line, site, tags });
    }
    if sites.is_empty() {
        return Err("no site is in it, only the names of the columns".to_owned());
    }
    Ok(sites)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take the first column for the name, an empty cell for a tag, or a name twice.
    #[test]
    fn sites_come_from_a_table_with_tags() {
        let text = "region, site ,role\neu,clinic-1,clinic\n,clinic-2,\n";
        let found = sites(text).expect("a good table");
        let shown: Vec<String> =
            found.iter().map(|it| format!("{} {} {:?}", it.line, it.site, it.tags)).collect();
        let expected = ["2 clinic-1 {\"region\": \"eu\", \"role\": \"clinic\"}", "3 clinic-2 {}"];
        assert_eq!(shown, expected);
        for (wrong, why) in [
            ("name\na\n", "no column `site`"),
            ("site,region\n", "no site is in it"),
            ("site\nclinic-1\nclinic-1\n", "line 3: clinic-1 is there twice"),
            ("site\nclinic-1\nClinic 2\n", "line 3: "),
            ("site,role\nclinic-1\n", "line: 2"),
            ("site,city\nclinic-1,New York\n", "line 2: the tags of clinic-1"),
        ] {
            let found = sites(wrong).err().expect("wrong");
            assert!(found.contains(why), "{found}");
        }
    }
}
