//! `isonomy secrets`: what workflows may use and nobody may read. No value is an argument, is
//! printed, or is in an error.

use std::io::{self, BufRead as _, IsTerminal as _, Read};
use std::path::Path;

use base::{Clock as _, SystemClock};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::Value;
use wire::SecretView;

use super::{api, pages, say_next};
use crate::args::Global;
use crate::args::secrets::{SecretsArgs, SecretsCommand, SecretsDelete, SecretsList, SecretsSet};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::file;
use crate::output;
use crate::when;

/// More than a site takes; only keeps a wrong file out of memory.
const VALUE_BYTES_MAX: u64 = 1024 * 1024;

pub async fn secrets(global: &Global, args: SecretsArgs) -> Outcome {
    match args.command.unwrap_or(SecretsCommand::List(args.list)) {
        SecretsCommand::List(args) => list(global, args).await,
        SecretsCommand::Set(args) => set(global, args).await,
        SecretsCommand::Delete(args) => delete(global, args).await,
    }
}

async fn list(global: &Global, args: SecretsList) -> Outcome {
    let api = api(global)?;
    let page = pages(&args.page, async |part| api.secret_list(&part).await).await?;
    output::show(args.output.output, &page, || list_text(&page.items))?;
    say_next(page.next.as_deref());
    Ok(Exit::Ok)
}

fn list_text(views: &[SecretView]) -> String {
    let now = SystemClock.now();
    let rows = views.iter().map(|view| {
        let versions: Vec<String> = view.versions.iter().map(u64::to_string).collect();
        let age = view.updated_at.as_deref().map_or_else(String::new, |at| when::age(at, now));
        vec![view.secret.clone(), view.provider.clone(), versions.join(" "), age]
    });
    output::table(&["secret", "provider", "versions", "age"], rows)
}

async fn set(global: &Global, args: SecretsSet) -> Outcome {
    let api = api(global)?;
    let text = match &args.from_file {
        None if io::stdin().is_terminal() => from_terminal(&args.name.to_string())?,
        None => all(Path::new("-"))?,
        Some(file) => all(file)?,
    };
    let value = value(text, args.json)?;
    let changed = api.secret_set(&args.name, value, args.reason).await?;
    output::say(&format!(
        "set {}/{} to version {}; runs that start from now on take it",
        changed.namespace, changed.secret, changed.version
    ));
    Ok(Exit::Ok)
}

async fn delete(global: &Global, args: SecretsDelete) -> Outcome {
    let api = api(global)?;
    api.secret_delete(&args.name, args.reason.as_deref()).await?;
    output::say(&format!("deleted {}/{}", api.namespace, args.name));
    Ok(Exit::Ok)
}

/// Text without its last line break, which editors and `echo` add; or what it says as JSON.
fn value(text: String, json: bool) -> Outcome<Value> {
    if json {
        return serde_json::from_str(&text).map_err(|cause| {
            let (line, column) = (cause.line(), cause.column());
            Failure::usage(format!("the value is not JSON at line {line}, column {column}"))
                .hint("leave out `--json` for a value that is plain text")
        });
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Failure::usage("the value is empty".to_owned())
            .hint("give it on stdin, or with `--from-file FILE`"));
    }
    Ok(Value::String(text.to_owned()))
}

fn all(file: &Path) -> Outcome<String> {
    String::from_utf8(file::read(file, VALUE_BYTES_MAX)?).map_err(|_| {
        Failure::usage(format!("{} is not UTF-8", file::shown(file)))
            .hint("a secret is text; encode bytes, for instance with `base64`")
    })
}

/// One line, which the terminal does not show.
fn from_terminal(name: &str) -> Outcome<String> {
    eprint!("value of {name}: ");
    let hidden = Hidden::on();
    let mut line = String::new();
    let read = io::stdin().lock().take(VALUE_BYTES_MAX).read_line(&mut line);
    drop(hidden);
    eprintln!();
    read.map_err(|cause| Failure::usage(format!("cannot read from the terminal: {cause}")))?;
    Ok(line)
}

/// A terminal that does not repeat what is typed, until this is dropped.
struct Hidden(Option<Termios>);

impl Hidden {
    fn on() -> Self {
        let Ok(before) = tcgetattr(io::stdin()) else { return Self(None) };
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet).ok();
        Self(Some(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            tcsetattr(io::stdin(), OptionalActions::Flush, before).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take every text for JSON, trim more than the line break, or show a wrong value.
    #[test]
    fn a_value_is_text_unless_it_is_said_to_be_json() {
        let said = |text: &str, json| match value(text.to_owned(), json) {
            Ok(value) => value.to_string(),
            Err(failure) => failure.render(),
        };
        assert_eq!(said("123\n", false), "\"123\"");
        assert_eq!(said(" a \r\n", false), "\" a \"");
        assert_eq!(said("a\n\n", false), "\"a\\n\"");
        assert_eq!(said("{\"a\": 1}\n", true), "{\"a\":1}");
        assert!(said("\n", false).contains("empty"));
        let wrong = said("s3cret", true);
        assert!(wrong.contains("line 1") && !wrong.contains("s3cret"), "{wrong}");
    }
}
