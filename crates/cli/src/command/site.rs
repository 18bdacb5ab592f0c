//! `isonomy site`: the site that is here, as a part of a fleet.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use base::{Clock as _, SystemClock, SystemRandom};
use identity::JoinToken;
use site::uplink::{Membership, MembershipError};
use wire::{HubLine, SiteStatus};

use super::api;
use crate::args::site::SiteJoin;
use crate::args::{Global, OutputArgs};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::{output, runtime, serve, when};

/// A token has some four hundred bytes.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

pub fn join(args: SiteJoin) -> Outcome {
    if args.token != "-" {
        // Checked first, so that the way out is told where it was typed.
        parse(&args.token)?;
        return Err(through_pipe(&args.token));
    }
    let mut text = String::new();
    let read = io::stdin().lock().take(TOKEN_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|cause| Failure::usage(format!("cannot read stdin: {cause}")))?;
    let token = parse(within(&text))?;
    runtime::client(join_with(&args, &token))
}

/// The token, where what was given is the whole line that `hub token create` has printed.
fn within(text: &str) -> &str {
    text.split_whitespace().find(|word| word.starts_with(identity::TOKEN_PREFIX)).unwrap_or(text)
}

fn parse(text: &str) -> Outcome<JoinToken> {
    JoinToken::parse(text).map_err(|wrong| Failure::usage(wrong.to_string()))
}

/// Begins this command anew with the token on stdin: arguments of a process can be read by everybody on
/// its machine, for as long as it lives. Comes back only where that cannot be done.
fn through_pipe(token: &str) -> Failure {
    let begin = || -> io::Result<io::Error> {
        // A pipe holds more than a token has.
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(token.as_bytes())?;
        drop(writer);
        let args = std::env::args_os().skip(1);
        let args = args.map(|arg| if arg.to_str() == Some(token) { "-".into() } else { arg });
        Ok(Command::new(std::env::current_exe()?).args(args).stdin(reader).exec())
    };
    let (Ok(cause) | Err(cause)) = begin();
    Failure::internal(format!("cannot begin anew: {cause}"))
        .hint("give the token on stdin: `isonomy site join - < FILE`")
}

async fn join_with(args: &SiteJoin, token: &JoinToken) -> Outcome {
    serve::refuse_hub(&args.data)?;
    let folder = args.data.join(serve::IDENTITY);
    let joined = Membership::join(&folder, token, SystemClock.now(), &SystemRandom).await;
    let joined = joined.map_err(|error| {
        let exit = match &error {
            MembershipError::Uplink(_)
            | MembershipError::Busy(_)
            | MembershipError::Later { .. } => Exit::Unreachable,
            MembershipError::Refused(_) => Exit::Denied,
            MembershipError::Another(_)
            | MembershipError::AnotherFleet(_)
            | MembershipError::Damaged { .. }
            | MembershipError::Newer { .. } => Exit::Usage,
            MembershipError::File(_) | MembershipError::Answer | MembershipError::Identity(_) => {
                Exit::Internal
            }
        };
        let failure = Failure::new(exit, output::harmless(&error.to_string()));
        match error {
            MembershipError::Uplink(_) | MembershipError::Busy(_) => failure.hint(format!(
                "the token says {}: is the hub there, and may this machine reach it? the same token can be tried again",
                token.hubs.join(", ")
            )),
            MembershipError::Later { after, .. } => failure.hint(format!(
                "the same token can be tried again in {} seconds",
                after.as_secs()
            )),
            MembershipError::Another(_) | MembershipError::AnotherFleet(_) => {
                failure.hint("one folder is one site: name another folder with `--data DIR`")
            }
            _ => failure,
        }
    })?;
    output::write(joined.site().as_str())?;
    output::say(&format!("this is the site {} now", joined.site()));
    output::say("start it with `isonomy site serve`, anew if it runs already");
    Ok(Exit::Ok)
}

pub async fn status(global: &Global, args: OutputArgs) -> Outcome {
    let status = api(global)?.site_status().await?;
    output::show(args.output, &status, || text(&status))?;
    Ok(Exit::Ok)
}

fn text(status: &SiteStatus) -> String {
    let SiteStatus { site, incarnation, hub, .. } = status;
    let now = SystemClock.now();
    // The hub's word for it, where there is one: so the two can be compared.
    let incarnation = hub.as_ref().map_or(incarnation, |hub| &hub.incarnation);
    let mut text = format!("site         {site}\nincarnation  {incarnation}\n");
    let Some(HubLine { addresses, state, since, why, waiting, desired, .. }) = hub else {
        text.push_str("hub          none: `isonomy site join TOKEN` joins one\n");
        return text;
    };
    text.push_str(&format!("hub          {}\n", output::harmless(&addresses.join(", "))));
    text.push_str(&format!("line         {state} for {}\n", when::age(since, now)));
    if let Some(why) = why {
        text.push_str(&format!("why          {}\n", output::harmless(why)));
    }
    for (stream, count) in waiting {
        text.push_str(&format!("waiting      {count} of {stream}\n"));
    }
    if let Some(desired) = desired {
        text.push_str(&format!("desired      {}\n", super::sites::desired_text(desired)));
        for failed in super::sites::failed_lines(desired) {
            text.push_str(&format!("             {failed}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: repeat what was typed in the message, or take any text.
    #[test]
    fn what_is_no_token_is_refused_and_not_repeated() {
        let wrong = parse("isonomy-join-s3cret").expect_err("no token").render();
        assert!(wrong.contains("isonomy hub token create") && !wrong.contains("s3cret"), "{wrong}");
        let line = "isonomy site join isonomy-join-x   # clinic-1\n";
        assert_eq!((within(line), within("x\n")), ("isonomy-join-x", "x\n"));
    }
}
