//! `isonomy calls inbox`, `calls answer`: what people answer where no model does.

use base::{Clock as _, SystemClock, Timestamp};
use models::{Operation, PERSON_ANSWER_BYTES_MAX, last_words};
use serde_json::Value;
use wire::{QuestionAnswer, QuestionState, QuestionView};

use super::explain::Lines;
use super::shelf::list;
use super::{api, pages};
use crate::args::Global;
use crate::args::model::{CallsAnswer, InboxArgs, InboxCommand, InboxShow, ResourceList};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::file;
use crate::output;
use crate::when;

pub async fn inbox(global: &Global, args: InboxArgs) -> Outcome {
    match args.command {
        None => list_questions(global, args.list).await,
        Some(InboxCommand::Show(args)) => show(global, args).await,
    }
}

async fn list_questions(global: &Global, args: ResourceList) -> Outcome {
    let api = api(global)?;
    let page = pages(&args.page, async |part| api.question_list(&part).await).await?;
    list(&args, &page, list_text(&page.items, SystemClock.now()))
}

fn list_text(views: &[QuestionView], now: Timestamp) -> String {
    let rows = views.iter().map(|view| {
        let state = match &view.answered_by {
            Some(by) => format!("{} by {by}", state(view.state)),
            None => state(view.state).to_owned(),
        };
        let (age, until) = (when::age(&view.asked_at, now), view.until.clone());
        vec![age, view.call.clone(), who(view), view.route.clone(), state, until]
    });
    output::table(&["age", "question", "by", "route", "state", "until"], rows)
}

const fn state(state: QuestionState) -> &'static str {
    match state {
        QuestionState::Waiting => "waits",
        QuestionState::Answered => "answered",
        QuestionState::Declined => "declined",
        QuestionState::Over => "over: nobody has answered",
    }
}

fn who(view: &QuestionView) -> String {
    match (&view.key, &view.run) {
        (Some(key), _) => format!("key:{key}"),
        (None, Some(run)) => run.clone(),
        (None, None) => "folder".to_owned(),
    }
}

async fn show(global: &Global, args: InboxShow) -> Outcome {
    let view = api(global)?.question_show(args.call).await?;
    output::show(args.output.output, &view, || show_text(&view, SystemClock.now()))?;
    Ok(Exit::Ok)
}

fn show_text(view: &QuestionView, now: Timestamp) -> String {
    let mut lines = Lines::default();
    lines.add("question", &view.call);
    let age = when::age(&view.asked_at, now);
    let workflow = view.workflow.as_ref().map(|it| format!(" of `{it}`")).unwrap_or_default();
    lines.add("asked", &format!("{}, {age} ago, by {}{workflow}", view.asked_at, who(view)));
    lines.add("for", &format!("{} of `{}`", view.operation, view.route));
    lines.add("until", &view.until);
    let by = view.answered_by.as_ref().zip(view.answered_at.as_ref());
    let by = by.map(|(by, at)| format!(" by {by} at {at}")).unwrap_or_default();
    lines.add("state", &format!("{}{by}", state(view.state)));
    let request = view.request.as_deref().unwrap_or_default();
    let operation = Operation::ALL.into_iter().find(|it| it.as_str() == view.operation);
    let words = operation.and_then(|it| last_words(it, request.as_bytes()));
    if let Some(words) = words {
        lines.part("the user's last words", &output::harmless(&words));
    }
    let whole =
        serde_json::from_str(request).and_then(|it: Value| serde_json::to_string_pretty(&it));
    lines.part(
        "the whole request",
        &output::harmless(&whole.unwrap_or_else(|_| request.to_owned())),
    );
    if let Some(answer) = &view.answer {
        lines.part("the answer", &output::harmless(answer));
    }
    lines.0
}

pub async fn answer(global: &Global, args: CallsAnswer) -> Outcome {
    let CallsAnswer { call, file, text, decline, reason, output } = args;
    let text = match file {
        Some(file) => Some(file::text(&file, PERSON_ANSWER_BYTES_MAX as u64)?),
        None => text,
    };
    let said = QuestionAnswer { text, decline, reason };
    let view = api(global)?.question_answer(call, &said).await?;
    output::show(output.output, &view, || {
        let what = if decline { "declined" } else { "answered" };
        format!("{what}: whoever asks the same until {} is told\n", view.until)
    })?;
    Ok(Exit::Ok)
}
