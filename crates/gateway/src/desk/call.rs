//! A call from its first word to its last.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use base::Timestamp;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use models::{Ask, AskError, CallRefusal, End, Given, Missed, Operation, Remedy, Worst};
use pricing::{Dialect, Money, Prompt};
use privacy::Vault;
use tokio::time::timeout;

use super::aside::aside;
use super::cached::Keep;
use super::judge::{self, Held};
use super::leg::{self, Answers, Leg, Went};
use super::open::{Admission, Left, Open};
use super::person::{self, Joined};
use super::port::Tensors;
use super::reply::{Marks, Reply};
use super::restore::{self, Restore};
use super::routed::{Candidate, Found, Place};
use super::shelf::Shelved;
use super::stream::{self, StreamBody, Way, Words};
use super::veil::{self, Seen, Veil};
use super::{Desk, HEAD, Question, ReplyBody, arrival, chance, hedge, resort, sticky};

/// How long a call goes on whose client has gone, to learn what it costs.
const LEFT_TIME_MAX: Duration = Duration::from_secs(60);

/// A call under way. Dropped, it goes on by itself for a while.
pub struct Calling {
    desk: Desk,
    left: Left,
    work: Option<Pin<Box<dyn Future<Output = Reply> + Send>>>,
}

impl Calling {
    pub(super) fn new(desk: Desk, question: Question) -> Self {
        let left = Left::default();
        let work = work(desk.clone(), question, left.clone());
        Self { desk, left, work: Some(Box::pin(work)) }
    }
}

impl Future for Calling {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        let work = self.work.as_mut().expect("polled after its end");
        let reply = ready!(work.as_mut().poll(cx));
        self.work = None;
        Poll::Ready(reply)
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        self.left.set();
        if let Ok(place) = Arc::clone(&self.desk.0.left).try_acquire_owned() {
            tokio::spawn(async move {
                let _place = place;
                // Without the answer, the call settles itself at its bound.
                timeout(LEFT_TIME_MAX, work).await.ok();
            });
        }
    }
}

async fn work(desk: Desk, question: Question, left: Left) -> Reply {
    let operation = question.operation;
    match made(&desk, question, left).await {
        Ok(reply) => reply,
        Err(refusal) => Reply::refused(&refusal, Some(operation)),
    }
}

/// One question on its way, and what stands for what in it.
pub(super) struct Asked<'a> {
    pub question: &'a Question,
    pub ask: &'a Ask,
    pub found: &'a Found,
    pub vault: Option<Arc<Vault>>,
    /// How the answer is kept, where it is.
    pub keep: Option<Keep>,
}

async fn made(desk: &Desk, question: Question, left: Left) -> Result<Reply, CallRefusal> {
    let started = Instant::now();
    let ask = aside(question.body.len(), || read(&question))?;
    let found = find(desk, &question, &ask)?;
    let keep = Keep::of(&question, &ask, &found);
    if let Some(kept) = keep.as_ref().and_then(|keep| keep.fresh(desk)) {
        return Box::pin(kept.given(desk, &question, &ask, &found, started)).await;
    }
    if let Some(joined) = Joined::of(desk, &question, &ask, &found) {
        return Box::pin(joined.heard(desk, &question, &ask, &found, started)).await;
    }
    let seen = || veil::seen(desk, &found.models, &question, &ask);
    let (seen, vault) = aside(question.body.len(), seen);
    let prompts: Vec<_> = seen.iter().map(|it| prompt(it.body(&question), &ask)).collect();
    let tokens = tokens(&found, &prompts, &ask);
    let place = enter(desk, &question, &found, tokens)?;
    found.count(desk.now());
    let priced_at = desk.now();
    let bounds = bounds(&found, &prompts, &ask, priced_at);
    let admission = Admission {
        asked: ask.model.clone(),
        needs: models::Needs::of(&ask),
        plan: found.models.iter().map(|it| it.shelved.model.name.clone()).collect(),
        streamed: ask.is_streamed,
        bound: worst(&found, &bounds),
        tokens,
        is_billed_once: found.is_billed_once(),
        priced_at,
        route: found.route.clone(),
        place,
        started,
    };
    let admitted = Open::admit(desk, &question, admission).await;
    let mut open = admitted.inspect_err(|_| {
        desk.give_back(&question.who, tokens);
        if let Some(route) = &found.route {
            route.give_back(1, tokens);
        }
    })?;
    open.left = left;
    for absent in &found.absent {
        open.leg(absent, None, Some(Missed::Absent), Duration::ZERO);
    }
    let asked = Asked { question: &question, ask: &ask, found: &found, vault, keep };
    tried(open, &asked, &seen, &bounds).await
}

/// Counts the call, where route and key have room for it.
fn enter(
    desk: &Desk,
    question: &Question,
    found: &Found,
    tokens: u64,
) -> Result<Option<Place>, CallRefusal> {
    let Some(route) = &found.route else {
        return desk.take(&question.who, tokens).map(|()| None);
    };
    let place = route.enter(tokens, desk.now())?;
    desk.take(&question.who, tokens).inspect_err(|_| route.give_back(1, tokens))?;
    Ok(Some(place))
}

/// Model after model, until one answers as it should.
async fn tried(
    mut open: Open,
    asked: &Asked<'_>,
    seen: &[Seen],
    bounds: &[BoundOf],
) -> Result<Reply, CallRefusal> {
    let Asked { question, ask, found, vault, .. } = asked;
    let (mut after, mut untranslated, mut unsure) = (None, None, None);
    let leg_at = |at: usize| {
        let candidate = found.models.get(at)?;
        Some(Leg {
            shelved: &candidate.shelved,
            question,
            ask,
            seen: &seen[at],
            accept: found.accept(candidate),
            // Without budgets there may be none.
            bound: bounds[at].as_ref().ok().copied().flatten(),
        })
    };
    let mut next = 0;
    // One that rests, or cannot be asked this, was not tried.
    // Given up for one that was faster.
    let mut slower = None;
    let more = |next, tries| leg_at(next).filter(|_| tries < found.legs);
    while let Some(mut leg) = slower.take().or_else(|| more(next, open.tries())) {
        if open.left.is_set() {
            break;
        }
        open.degraded = open.is_fallback();
        let mut refused = None;
        let went = match (found.hedge(), leg_at(next + 1)) {
            (Some(hedge), Some(beside)) if open.tries() == 0 && found.legs > 1 => {
                // What few calls do is beside the state of all.
                let (went, tried, other) = Box::pin(hedge::go(&mut open, leg, beside, hedge)).await;
                refused = other.map(|went| (beside.shelved, went));
                next += tried.more();
                (leg, slower) = tried.of(leg, beside);
                went
            }
            _ => leg::go(&mut open, leg).await,
        };
        next += 1;
        let Leg { shelved, accept, .. } = leg;
        let is_judged = accept.is_some();
        let went = arrival::arrived(&mut open, went, shelved, ask.operation, is_judged).await;
        let went = match accept {
            Some(accept) => judge::judged(&mut open, went, shelved, ask, accept),
            None => went,
        };
        let (went, shelved) = match (went, refused) {
            // The second one has said that the request is wrong, and nothing good is behind the first one's head.
            (Went::Missed { .. }, Some((other, refusal))) => (refusal, other),
            (went, _) => (went, shelved),
        };
        match went {
            Went::Answers(answers) => match answered(open, answers, shelved, asked).await {
                Ok(reply) => return reply,
                Err(back) => open = back,
            },
            Went::Ran(tensors) => return ran(open, tensors, shelved, asked).await,
            // There is an answer, though none that the route takes.
            Went::Refused(..) if unsure.is_some() => break,
            Went::Refused(status, headers, body) => {
                open.durable().await?;
                open.settle(End::Refused);
                let body = veil::named_again(vault.as_deref(), body);
                let mut reply = Reply::whole(status, headers.get(CONTENT_TYPE).cloned(), body);
                reply.is_of_the_site = shelved.model.spec.source.upstream().is_none();
                let reply = reply.found_there(&headers);
                return Ok(reply.of(open.call, Some(&shelved.model.name), open.marks()));
            }
            Went::Unsure(held) => {
                unsure = Some((held, shelved));
                slower = None;
            }
            Went::Missed { after: rest } => after = earlier(after, rest),
            Went::Untranslated(refusal) => untranslated = untranslated.or(Some(refusal)),
        }
    }
    // Fewer legs, or another draw, and one that has not been asked may answer the next call.
    let is_all = leg_at(next).is_none();
    if let (Some(_), Some(person)) = (&unsure, found.person(ask)) {
        match Box::pin(person::asked(open, asked, person)).await {
            Ok(reply) => return reply,
            Err(back) => open = back,
        }
    }
    if let Some((held, shelved)) = unsure {
        open.resort = Some(Given::Unsure);
        open.degraded = true;
        match held {
            Held::Ran(tensors) => return ran(open, tensors, shelved, asked).await,
            Held::Answers(answers) => match answered(open, *answers, shelved, asked).await {
                Ok(reply) => return reply,
                Err(back) => open = back,
            },
        }
        open.resort = None;
    }
    let is_asked = open.legs().iter().any(|leg| leg.why != Some(Missed::Dialect));
    let refusal = untranslated.filter(|_| !is_asked).or_else(|| hidden(ask, &open, seen));
    let refusal = match refusal {
        Some(refusal) => refusal,
        None => match Box::pin(resort::given(open, asked)).await {
            Ok(reply) => return reply,
            Err(back) => {
                open = back;
                nobody(ask, &open, after, is_all)
            }
        },
    };
    open.durable().await?;
    open.settle(if open.left.is_set() { End::Left } else { End::Failed });
    let reply = Reply::refused(&refusal, Some(question.operation));
    Ok(reply.of(open.call, None, Marks::default()))
}

fn read(question: &Question) -> Result<Ask, CallRefusal> {
    if question.operation != Operation::Infer {
        return Ok(Ask::read(question.operation, &question.body)?);
    }
    let model = question.model.clone().ok_or(AskError::Missing("model"))?;
    let json = question.head()?.unwrap_or(question.body.len());
    Ok(Ask::tensors(model, &question.body[..json])?)
}

fn find(desk: &Desk, question: &Question, ask: &Ask) -> Result<Found, CallRefusal> {
    let (by, terms) = (&question.who.by, &question.who.terms);
    let missing = || CallRefusal::NoModel(ask.model.clone());
    if !terms.allow(&ask.model) {
        return Err(missing());
    }
    let drawn = |route: &models::RouteSpec| match route.sticky.and_then(|it| sticky(by, ask, it)) {
        Some(who) => chance(who.as_bytes()),
        None => desk.0.random.u64(),
    };
    let shelf = desk.shelf();
    let mut found = shelf.find(&by.namespace, &ask.model, drawn).ok_or_else(missing)?;
    if let Some(regions) = found.regions() {
        return Err(CallRefusal::Regions { route: ask.model.clone(), regions });
    }
    let has_models = !found.models.is_empty();
    found.models.retain(|it| it.shelved.model.spec.answers(question.operation));
    if has_models && found.models.is_empty() {
        let (model, operation) = (ask.model.clone(), question.operation.as_str());
        return Err(CallRefusal::NotAnswered { model, operation });
    }
    if question.of_run.as_ref().is_some_and(|it| !it.labels.is_empty()) {
        found.models.retain(|it| shelf.is_here(&it.shelved));
        if has_models && found.models.is_empty() {
            return Err(CallRefusal::Labelled(ask.model.clone()));
        }
    }
    Ok(found)
}

/// No text is shorter in JSON: what the body has bytes, the prompt has no more tokens.
fn prompt(body: &[u8], ask: &Ask) -> Prompt {
    Prompt {
        text_bytes: body.len() as u64,
        // Each has more marks of JSON around it than a template has tokens.
        messages: 0,
        tools: ask.tools,
        images: ask.images,
        has_other_media: ask.has_more_elsewhere,
        questions: ask.questions,
    }
}

/// The most tokens that any of the models may use.
fn tokens(found: &Found, prompts: &[Prompt], ask: &Ask) -> u64 {
    if ask.operation == Operation::Infer {
        return 0;
    }
    let of = |(Candidate { shelved: it, .. }, prompt): (&Candidate, &Prompt)| {
        let output = it.output_tokens_max(ask.output_tokens_max).unwrap_or(0);
        let input = it.input_tokens_max(prompt).unwrap_or(prompt.text_bytes);
        input.saturating_add(output.saturating_mul(ask.choices))
    };
    found.models.iter().zip(prompts).map(of).max().unwrap_or(0)
}

type BoundOf = Result<Option<Money>, String>;

fn bounds(found: &Found, prompts: &[Prompt], ask: &Ask, now: Timestamp) -> Vec<BoundOf> {
    let of = |(Candidate { shelved: it, .. }, prompt): (&Candidate, &Prompt)| match ask.operation {
        Operation::Infer => it.bound_of_tensors(now),
        _ => it.bound(prompt, ask, now),
    };
    found.models.iter().zip(prompts).map(of).collect()
}

/// The most that all of them can cost in one call: the dearest, and beside it each whose answer may be paid
/// and not be good enough; of these the dearest, where fewer are tried than there are. One that nobody can bound has no
/// bound for all.
fn worst(found: &Found, bounds: &[BoundOf]) -> Result<Worst, String> {
    let mut worst = Worst::of_legs(found.legs);
    for (candidate, bound) in found.models.iter().zip(bounds) {
        match bound.clone()? {
            Some(bound) if found.accept(candidate).is_some() => worst.may_go_on(bound),
            Some(bound) => worst.may_end(bound),
            None => {}
        }
    }
    Ok(worst)
}

/// The rest of an answer, or all of it. Where it cannot be put into the client's words, another model may answer.
async fn answered(
    mut open: Open,
    answers: Answers,
    shelved: &Arc<Shelved>,
    asked: &Asked<'_>,
) -> Result<Result<Reply, CallRefusal>, Open> {
    let Answers { status, headers, mut body, place, translation, attempt } = answers;
    let (ask, vault) = (asked.ask, asked.vault.clone());
    let (model, content_type) = (&shelved.model.name, headers.get(CONTENT_TYPE).cloned());
    let silence = shelved.model.spec.limits.silence().as_std();
    let back = shelved.veil.as_ref().ok().and_then(Option::as_deref).and_then(Veil::back);
    // What is to be paid is read in the upstream's own words.
    let dialect = dialect(shelved.model.spec.asked_as(ask.operation).unwrap_or(ask.operation));
    if let (true, Some(dialect)) = (is_events(&headers), dialect) {
        if let Err(refusal) = open.durable().await {
            return Ok(Err(refusal));
        }
        let price = shelved.price(open.priced_at);
        let (call, marks) = (open.call, open.marks());
        let words = Words { operation: ask.operation, translation };
        let hides_usage = words.translation.is_none() && ask.is_streamed && !ask.wants_usage;
        let restore = Restore::new(ask.operation, vault, back.cloned());
        let shelved = Arc::clone(shelved);
        let way = Way { shelved, dialect, price, silence, hides_usage, words, restore };
        let stream = StreamBody::new(open, body, place, attempt, way);
        let mut reply = Reply::whole(status, content_type, bytes::Bytes::new());
        reply.body = ReplyBody::Stream(Box::new(stream));
        return Ok(Ok(reply.found_there(&headers).of(call, Some(model), marks)));
    }
    // It was waited for, and is an answer.
    let whole = body.chunk(silence).await.ok().flatten().unwrap_or_default();
    let told = match &translation {
        None => Ok(whole),
        Some(translation) => {
            aside(whole.len(), || translation.whole(&whole)).map(bytes::Bytes::from)
        }
    };
    let Ok(whole) = told else {
        open.broke_off(Missed::Broken, Duration::ZERO);
        return Err(open);
    };
    if let Err(refusal) = open.durable().await {
        return Ok(Err(refusal));
    }
    open.first();
    let restored = aside(whole.len(), || restore::answer(back, vault.as_deref(), whole));
    let whole = match restored {
        Ok((whole, hidden)) => {
            open.hidden = hidden;
            whole
        }
        Err(why) => {
            open.settle(End::Withheld);
            let (asked, why) = (ask.model.clone(), why.to_string());
            return Ok(Err(CallRefusal::Withheld { asked, why }));
        }
    };
    let (content_type, whole) = match stream::of_whole(ask, &whole) {
        Some(events) => (Some(HeaderValue::from_static("text/event-stream")), events),
        None => (content_type, whole),
    };
    let mut reply = Reply::whole(status, content_type, whole.clone());
    reply.paid = Some(open.paid());
    if let Some(head) = headers.get(HEAD) {
        reply.headers.insert(HEAD, head.clone());
    }
    if let Some(keep) = &asked.keep {
        keep.keeps(&open, &reply, &whole, model);
    }
    let reply = reply.found_there(&headers).of(open.call, Some(model), open.marks());
    open.settle(End::Answered);
    Ok(Ok(reply))
}

/// A model of the site's own disk has answered.
async fn ran(
    mut open: Open,
    tensors: Tensors,
    shelved: &Shelved,
    asked: &Asked<'_>,
) -> Result<Reply, CallRefusal> {
    let (ask, vault) = (asked.ask, asked.vault.as_deref());
    open.durable().await?;
    open.first();
    let model = &shelved.model.name;
    let back = shelved.veil.as_ref().ok().and_then(Option::as_deref).and_then(Veil::back);
    // Bytes behind JSON are no JSON: where something is to be looked for in them, they stay here.
    let restored = aside(tensors.body.len(), || restore::answer(back, vault, tensors.body));
    let body = match restored {
        Ok((body, hidden)) => {
            open.hidden = hidden;
            body
        }
        Err(why) => {
            open.settle(End::Withheld);
            let (asked, why) = (ask.model.clone(), why.to_string());
            return Err(CallRefusal::Withheld { asked, why });
        }
    };
    let binary = HeaderValue::from_static("application/octet-stream");
    let json = HeaderValue::from_static("application/json");
    let kind = if tensors.head.is_some() { binary } else { json };
    let mut reply = Reply::whole(StatusCode::OK, Some(kind), body.clone());
    reply.paid = Some(open.paid());
    if let Some(head) = tensors.head {
        reply.headers.insert(HEAD, HeaderValue::from(head));
    }
    if let Some(keep) = &asked.keep {
        keep.keeps(&open, &reply, &body, model);
    }
    let reply = reply.of(open.call, Some(model), open.marks());
    open.settle(End::Answered);
    Ok(reply)
}

pub(super) fn is_events(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE);
    said.is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"))
}

/// How an answer tells what was used; tensors do not.
pub(crate) const fn dialect(operation: Operation) -> Option<Dialect> {
    match operation {
        Operation::Chat | Operation::Completions | Operation::Responses => Some(Dialect::OpenAi),
        Operation::Embeddings => Some(Dialect::Embeddings),
        Operation::Messages => Some(Dialect::Messages),
        Operation::Infer => None,
    }
}

fn earlier(one: Option<base::Duration>, other: Option<base::Duration>) -> Option<base::Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// None of them may see the request.
fn hidden(ask: &Ask, open: &Open, seen: &[Seen]) -> Option<CallRefusal> {
    let is_it = |leg: &models::Leg| leg.why == Some(Missed::Protected);
    if open.legs().is_empty() || !open.legs().iter().all(is_it) {
        return None;
    }
    let mut whys = seen.iter().filter_map(|it| match it {
        Seen::Nothing(why) => Some(why.clone()),
        Seen::Plain | Seen::Veiled(_) => None,
    });
    Some(CallRefusal::Protected { asked: ask.model.clone(), why: whys.next()? })
}

/// None of them has answered.
fn nobody(ask: &Ask, open: &Open, after: Option<base::Duration>, is_all: bool) -> CallRefusal {
    let asked = ask.model.clone();
    let legs = open.legs().iter();
    let tried: Vec<String> = legs
        .map(|leg| {
            let why = leg.why.map_or("", said);
            match (leg.status, &leg.cause) {
                (Some(status), _) => format!("`{}` {why} ({status})", leg.model),
                (None, Some(cause)) => format!("`{}` {why} ({cause})", leg.model),
                (None, None) => format!("`{}` {why}", leg.model),
            }
        })
        .collect();
    let unasked = open.unasked.map(|why| why.to_string());
    let tried = tried.into_iter().chain(unasked).collect::<Vec<_>>().join(", ");
    let is_silent = open.legs().iter().all(|leg| leg.why == Some(Missed::Silent));
    if is_silent {
        CallRefusal::Silent { asked, tried }
    } else {
        let missed: Vec<_> = open.legs().iter().filter_map(|leg| leg.why).collect();
        let remedy = match Remedy::of(&missed) {
            Remedy::Change if !is_all => Remedy::Later,
            remedy => remedy,
        };
        CallRefusal::NoAnswer { asked, tried, after, remedy }
    }
}

/// Why a model has not answered, for people.
const fn said(why: Missed) -> &'static str {
    match why {
        Missed::Outage => "has failed, and rests",
        Missed::RateLimit => "is asked too often",
        Missed::Credentials => "is not opened: the site's secret for it is missing, or not taken",
        Missed::Payment => "is not paid for",
        Missed::Busy => "has too many calls under way",
        Missed::Denied => "may not be reached: no egress rule of the site allows it",
        Missed::Unreachable => "cannot be reached",
        Missed::Silent => "says nothing",
        Missed::Broken => "gave no whole answer",
        Missed::TooLarge => "answers more than is taken",
        Missed::Status => "fails",
        Missed::NotFound => {
            "is not known there, or its server has no such operation (`operations` of its definition says which)"
        }
        Missed::Redirected => "points to another address, which is not followed",
        Missed::Budget => "costs more than is left",
        Missed::Memory => "needs memory that other models hold just now",
        Missed::Protected => "must not see the request",
        Missed::Dialect => "cannot be asked this in its own dialect",
        Missed::Unsure => "is not sure enough",
        Missed::Unjudged => "gives no answer that could be judged as the route asks",
        Missed::Retries => "is not asked: too many calls of the route are tried again",
        Missed::Slower => "was slower",
        Missed::Absent => "is not there",
        Missed::Left => "is not asked: the client has left",
    }
}
