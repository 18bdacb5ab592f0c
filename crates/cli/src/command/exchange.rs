//! The exchange between a site and its hub by a file that somebody carries.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base::{Clock as _, SystemClock};
use identity::{LABEL_BYTES_MAX, Label, PARCEL_BYTES_MAX};
use wire::{ExchangeDown, ExchangeUp};

use super::{api, hub_api};
use crate::args::Global;
use crate::args::exchange::{ExportArgs, ImportArgs};
use crate::args::hub::HubExport;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::when;

pub async fn site_export(global: &Global, args: ExportArgs) -> Outcome {
    is_free(&args.file)?;
    let (file, is_whole) = api(global)?.exchange_export().await?;
    write(&args.file, &file)?;
    output::say("carry it to the hub, and take it there with `isonomy hub import FILE`");
    if !is_whole {
        output::say(
            "not all that waits fits into one file: bring back what `isonomy hub export` writes then, and export again",
        );
    }
    Ok(Exit::Ok)
}

pub async fn hub_export(global: &Global, args: HubExport) -> Outcome {
    is_free(&args.file.file)?;
    let (file, is_whole) = hub_api(global)?.fleet_export(&args.site).await?;
    write(&args.file.file, &file)?;
    output::say(&format!(
        "carry it to {}, and take it there with `isonomy site import FILE`",
        args.site
    ));
    if !is_whole {
        output::say(
            "not all that the site is told fits into one file: what is left out needs a line",
        );
    }
    Ok(Exit::Ok)
}

pub async fn hub_import(global: &Global, args: ImportArgs) -> Outcome {
    let taken = hub_api(global)?.fleet_import(read(&args.file)?).await?;
    output::show(args.output.output, &taken, || up_text(&taken))?;
    output::say(&format!(
        "`isonomy hub export --site {} FILE` writes the answer: until it is there, the site keeps what it has sent",
        output::harmless(&taken.site)
    ));
    Ok(Exit::Ok)
}

pub async fn site_import(global: &Global, args: ImportArgs) -> Outcome {
    let taken = api(global)?.exchange_import(read(&args.file)?).await?;
    output::show(args.output.output, &taken, || down_text(&taken))?;
    Ok(Exit::Ok)
}

fn up_text(taken: &ExchangeUp) -> String {
    let ExchangeUp { site, written_at, taken } = taken;
    let written = when::age(written_at, SystemClock.now());
    let new = match taken.values().all(|count| *count == 0) {
        true => "new        nothing\n".to_owned(),
        false => counted("new", taken),
    };
    format!("site       {site}\nwritten    {written} ago\n{new}")
}

fn down_text(taken: &ExchangeDown) -> String {
    let ExchangeDown { site, written_at, is_old, confirmed, edition, orders } = taken;
    let written = when::age(written_at, SystemClock.now());
    let mut text = format!("site       {site}\nwritten    {written} ago\n");
    if *is_old {
        text.push_str("new        nothing: this file or a later one was here before\n");
        return text;
    }
    text.push_str(&counted("confirmed", confirmed));
    if let Some(edition) = edition {
        text.push_str(&format!("edition    {edition}\n"));
    }
    text.push_str(&format!("orders     {orders}\n"));
    text
}

fn counted(what: &str, counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(stream, count)| format!("{what:<10} {count} of {stream}\n")).collect()
}

fn is_free(file: &Path) -> Outcome<()> {
    if !file.exists() {
        return Ok(());
    }
    Err(Failure::usage(format!("`{}` is there already", file.display()))
        .hint("name a new file: an export replaces nothing"))
}

/// Whole or not at all, as far as the stick's file system can.
fn write(file: &Path, bytes: &[u8]) -> Outcome<()> {
    let mut draft = file.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let write = || {
        let mut options = OpenOptions::new();
        let mut opened =
            options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        opened.write_all(bytes)?;
        opened.sync_all()?;
        fs::rename(&draft, file)
    };
    write().map_err(|cause| {
        Failure::internal(format!("cannot write `{}`: {cause}", file.display()))
            .hint("is the stick full, or may only be read?")
    })?;
    output::say(&format!("wrote `{}`, {} bytes", file.display(), bytes.len()));
    Ok(())
}

/// Looks at the beginning before it reads the rest: whatever somebody has named.
fn read(file: &Path) -> Outcome<Vec<u8>> {
    let failed =
        |cause: io::Error| Failure::usage(format!("cannot read `{}`: {cause}", file.display()));
    let opened = File::open(file).map_err(failed)?;
    let mut bytes = Vec::new();
    (&opened).take(LABEL_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(failed)?;
    let wrong = |what: String| {
        Failure::usage(format!("`{}`: {what}", file.display())).hint(
            "files of an exchange are written by `isonomy site export` and `isonomy hub export`",
        )
    };
    Label::read(&bytes).map_err(|error| wrong(error.to_string()))?;
    let rest = (PARCEL_BYTES_MAX + 1 - bytes.len()) as u64;
    opened.take(rest).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > PARCEL_BYTES_MAX {
        return Err(wrong(format!(
            "it has more than {PARCEL_BYTES_MAX} bytes, and no such file has"
        )));
    }
    Ok(bytes)
}
