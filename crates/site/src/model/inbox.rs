//! The inbox: what people of the site are asked where no model answers, and what they say (ADR 32).
//!
//! Requests and answers lie in the store alone, each in its namespace's row. In memory is who has asked what
//! when, and whoever waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{CallId, Clock, Digest, Namespace, Timestamp, document};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use gateway::desk::{Heard, NotAsked, People, ToPeople, Waiting};
use models::{
    By, ModelName, Operation, PERSON_ANSWER_BYTES_MAX, QUESTION_KEPT, QUESTIONS_KEPT_MAX,
    QUESTIONS_OPEN_MAX,
};
use serde::{Deserialize, Serialize};
use server::change_op;
use store::{Op, Preconditions, ResourceKind, ResourceRow, Store, resource_all};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::{ProblemCode, QuestionAnswer, QuestionState, QuestionView};

use super::book::BookError;
use crate::refusal::Refusal;

const QUESTION_TYPE: &str = "isonomy.question";
const VERSION: u32 = 1;

/// The longest sleep: who waits for days looks at the clock now and then.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);

/// Between two looks at what is to be forgotten: nobody waits for it.
const FORGET_EVERY: Duration = Duration::from_secs(600);

#[derive(Clone)]
pub(crate) struct Inbox(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
}

type Name = (Namespace, CallId);

#[derive(Default)]
struct Kept {
    /// By namespace, and in it by when they were asked.
    all: BTreeMap<Name, Known>,
    /// The newest of each.
    by_key: HashMap<(Namespace, Digest), CallId>,
}

/// What is known of a question without its contents.
struct Known {
    doc: Doc,
    /// Somebody has said something.
    told: watch::Sender<bool>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Doc {
    call: CallId,
    at: Timestamp,
    until: Timestamp,
    key: Digest,
    route: ModelName,
    operation: Operation,
    who: By,
    request: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said: Option<Said>,
}

/// What somebody has said to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    by: String,
    at: Timestamp,
    /// None where it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    is_declined: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeDoc<'a> {
    change: &'static str,
    question: CallId,
    namespace: &'a Namespace,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Doc {
    fn name(&self) -> Name {
        (self.who.namespace.clone(), self.call)
    }

    fn row(&self) -> ResourceRow {
        ResourceRow {
            kind: ResourceKind::Question,
            name: row_name(&self.name()),
            record: document::write(QUESTION_TYPE, VERSION, self).into(),
        }
    }

    fn read(row: &ResourceRow) -> Result<Self, BookError> {
        document::read(&row.record, QUESTION_TYPE, VERSION)
            .map_err(|_| BookError::Resource(row.name.clone()))
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.until.plus(QUESTION_KEPT) <= now
    }

    fn is_open(&self, now: Timestamp) -> bool {
        self.said.is_none() && now < self.until
    }

    fn heard(self) -> Heard {
        match self.said {
            Some(Said { by, text: Some(text), .. }) => Heard::Answer { by, text },
            Some(Said { by, reason, .. }) => Heard::Declined { by, reason },
            None => Heard::Over,
        }
    }

    fn view(&self, now: Timestamp) -> QuestionView {
        let state = match &self.said {
            Some(said) if said.is_declined => QuestionState::Declined,
            Some(_) => QuestionState::Answered,
            None if now < self.until => QuestionState::Waiting,
            None => QuestionState::Over,
        };
        QuestionView {
            call: self.call.to_string(),
            state,
            asked_at: self.at.to_string(),
            until: self.until.to_string(),
            route: self.route.to_string(),
            operation: self.operation.as_str().to_owned(),
            key: self.who.key.as_ref().map(ToString::to_string),
            workflow: self.who.workflow.clone(),
            run: self.who.run.map(|run| run.to_string()),
            answered_by: self.said.as_ref().map(|said| said.by.clone()),
            answered_at: self.said.as_ref().map(|said| said.at.to_string()),
            request: None,
            answer: None,
        }
    }
}

impl Known {
    fn of(doc: &Doc) -> Self {
        let said = doc.said.as_ref();
        let said = said.map(|it| Said { text: None, reason: None, ..it.clone() });
        let told = watch::Sender::new(said.is_some());
        Self { doc: Doc { request: String::new(), said, ..doc.clone() }, told }
    }
}

impl Kept {
    fn put(&mut self, doc: &Doc) {
        let key = (doc.who.namespace.clone(), doc.key);
        self.by_key.insert(key, doc.call);
        self.all.insert(doc.name(), Known::of(doc));
    }

    fn remove(&mut self, name: &Name) {
        let Some(known) = self.all.remove(name) else { return };
        let key = (name.0.clone(), known.doc.key);
        if self.by_key.get(&key) == Some(&name.1) {
            self.by_key.remove(&key);
        }
    }

    fn of<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = (&'a Name, &'a Known)> {
        self.all.iter().filter(move |((it, _), _)| it == namespace)
    }

    /// What goes when one more comes into the namespace; none where all that is there waits for an answer.
    fn makes_room(&self, namespace: &Namespace, now: Timestamp) -> Option<Vec<Name>> {
        let (open, over): (Vec<_>, Vec<_>) =
            self.of(namespace).partition(|(_, known)| known.doc.is_open(now));
        let surplus = (open.len() + over.len() + 1).saturating_sub(QUESTIONS_KEPT_MAX);
        let gone = over.into_iter().take(surplus).map(|(name, _)| name.clone());
        (open.len() < QUESTIONS_OPEN_MAX).then(|| gone.collect())
    }
}

impl Inbox {
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BookError> {
        let mut kept = Kept::default();
        for row in resource_all(store.as_ref(), ResourceKind::Question).await? {
            kept.put(&Doc::read(&row)?);
        }
        let (kept, changing) = (Mutex::new(kept), tokio::sync::Mutex::default());
        Ok(Self(Arc::new(Inner { store, clock, kept, changing })))
    }

    /// Forgets what is due, again and again, until `closing`.
    pub(super) async fn keep(self, closing: CancellationToken) {
        loop {
            if let Err(error) = self.forget_due().await {
                tracing::error!(%error, "cannot forget questions whose time is over");
            }
            tokio::select! {
                () = closing.cancelled() => return,
                () = tokio::time::sleep(FORGET_EVERY) => {}
            }
        }
    }

    async fn forget_due(&self) -> Result<(), BookError> {
        let _alone = self.0.changing.lock().await;
        let now = self.0.clock.now();
        let due = |(name, known): (&Name, &Known)| known.doc.is_due(now).then(|| name.clone());
        let due: Vec<Name> = self.kept().all.iter().filter_map(due).collect();
        if due.is_empty() {
            return Ok(());
        }
        self.0.store.commit(forget(&due), Preconditions::none()).await?;
        let mut kept = self.kept();
        due.iter().for_each(|name| kept.remove(name));
        Ok(())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In the order in which they were asked, behind `after`.
    pub(crate) fn list(
        &self,
        namespace: &Namespace,
        after: Option<CallId>,
        limit: u32,
    ) -> Vec<QuestionView> {
        let now = self.0.clock.now();
        let kept = self.kept();
        let behind = kept.of(namespace).filter(|((_, call), _)| after.is_none_or(|it| *call > it));
        behind.take(limit as usize).map(|(_, known)| known.doc.view(now)).collect()
    }

    /// With what was asked, and answered.
    pub(crate) async fn show(
        &self,
        namespace: &Namespace,
        call: CallId,
    ) -> Result<QuestionView, Refusal> {
        let doc = self.doc(&(namespace.clone(), call)).await?;
        let mut view = doc.view(self.0.clock.now());
        view.answer = doc.said.and_then(|said| said.text.or(said.reason));
        view.request = Some(doc.request);
        Ok(view)
    }

    async fn doc(&self, name: &Name) -> Result<Doc, Refusal> {
        let row = self.0.store.resource_get(ResourceKind::Question, row_name(name)).await?;
        let missing = || {
            let what = format!("there is no question `{}` in the inbox of this namespace", name.1);
            Refusal::new(ProblemCode::CallMissing, what)
        };
        let damaged = |error: BookError| Refusal::new(ProblemCode::Internal, error.to_string());
        Doc::read(&row.ok_or_else(missing)?).map_err(damaged)
    }

    /// Somebody answers, or declines: once.
    pub(crate) async fn answer(
        &self,
        by: base::By,
        namespace: &Namespace,
        call: CallId,
        answer: QuestionAnswer,
    ) -> Result<QuestionView, Refusal> {
        let text = text(answer)?;
        let base::By { actor, reason } = by;
        let _alone = self.0.changing.lock().await;
        let now = self.0.clock.now();
        let mut doc = self.doc(&(namespace.clone(), call)).await?;
        let over = |what: String| Err(Refusal::new(ProblemCode::QuestionOver, what));
        match &doc.said {
            Some(said) => return over(format!("{} has said something already", said.by)),
            None if now >= doc.until => return over(format!("its time was over at {}", doc.until)),
            None => {}
        }
        let change = ChangeDoc {
            change: if text.is_some() { "question-answered" } else { "question-declined" },
            question: call,
            namespace,
            reason: reason.as_deref(),
        };
        let by = base::By { actor: actor.clone(), reason: None };
        let change = change_op(&change, &by, now);
        let is_declined = text.is_none();
        doc.said = Some(Said { by: actor, at: now, text, reason, is_declined });
        let ops = vec![Op::ResourcePut(doc.row()), change];
        self.0.store.commit(ops, Preconditions::none()).await?;
        let known = Known::of(&doc);
        if let Some(before) = self.kept().all.get_mut(&doc.name()) {
            before.doc = known.doc;
            before.told.send_replace(true);
        }
        Ok(doc.view(now))
    }

    async fn put(self, question: ToPeople) -> Result<Waiting, NotAsked> {
        let _alone = self.0.changing.lock().await;
        let ToPeople { call, who, key, route, operation, body, until } = question;
        if let Some(waiting) = self.same(&who.namespace, &key) {
            return Ok(waiting);
        }
        let at = self.0.clock.now();
        let gone = self.kept().makes_room(&who.namespace, at).ok_or(NotAsked::Full)?;
        // What is JSON is text.
        let request = String::from_utf8(body.to_vec()).map_err(|_| NotAsked::Unwritten)?;
        let doc = Doc { call, at, until, key, route, operation, who, request, said: None };
        let mut ops = forget(&gone);
        ops.push(Op::ResourcePut(doc.row()));
        let committed = self.0.store.commit(ops, Preconditions::none()).await;
        committed.map_err(|_| NotAsked::Unwritten)?;
        let mut kept = self.kept();
        gone.iter().for_each(|name| kept.remove(name));
        kept.put(&doc);
        Ok(Waiting { question: call, until })
    }

    async fn wait(self, name: Name) -> Heard {
        loop {
            let now = self.0.clock.now();
            let known = self.kept().all.get(&name).map(|it| (it.told.subscribe(), it.doc.until));
            let Some((mut told, until)) = known else { return Heard::Over };
            if *told.borrow_and_update() {
                // The row is there before anybody is told.
                return self.doc(&name).await.map_or(Heard::Over, Doc::heard);
            }
            if now >= until {
                return Heard::Over;
            }
            let rest = until.since(now).as_std().min(SLEEP_MAX);
            tokio::time::timeout(rest, told.changed()).await.ok();
        }
    }
}

impl People for Inbox {
    fn ask(&self, question: ToPeople) -> BoxFuture<'_, Result<Waiting, NotAsked>> {
        // Whoever asks may go away in the middle, and what is in the store must be known here.
        let asking = tokio::spawn(self.clone().put(question));
        asking.map(|asked| asked.unwrap_or(Err(NotAsked::Unwritten))).boxed()
    }

    fn same(&self, namespace: &Namespace, key: &Digest) -> Option<Waiting> {
        let now = self.0.clock.now();
        let kept = self.kept();
        let question = *kept.by_key.get(&(namespace.clone(), *key))?;
        let until = kept.all.get(&(namespace.clone(), question))?.doc.until;
        (now < until).then_some(Waiting { question, until })
    }

    fn heard(&self, namespace: &Namespace, question: CallId) -> BoxFuture<'_, Heard> {
        self.clone().wait((namespace.clone(), question)).boxed()
    }
}

/// What is answered; none where it is declined.
fn text(answer: QuestionAnswer) -> Result<Option<String>, Refusal> {
    let QuestionAnswer { text, decline, .. } = answer;
    match (text, decline) {
        (None, true) => Ok(None),
        (Some(text), false) if text.trim().is_empty() || text.len() > PERSON_ANSWER_BYTES_MAX => {
            let what = format!("from 1 to {PERSON_ANSWER_BYTES_MAX} bytes, and not blanks alone");
            Err(Refusal::parameter("text", what))
        }
        (Some(text), false) => Ok(Some(text)),
        (Some(_), true) | (None, false) => {
            Err(Refusal::parameter("text", "say `text`, or that you `decline`, and not both"))
        }
    }
}

fn forget(names: &[Name]) -> Vec<Op> {
    let gone = |name| Op::ResourceDelete { kind: ResourceKind::Question, name: row_name(name) };
    names.iter().map(gone).collect()
}

/// A namespace has no slash in it.
fn row_name((namespace, call): &Name) -> String {
    format!("{namespace}/{call}")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use base::IncarnationId;
    use store::memory::MemoryStore;

    use super::*;

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    struct Place {
        inbox: Inbox,
        store: Arc<dyn Store>,
        clock: Arc<Hand>,
    }

    impl Place {
        async fn new() -> Self {
            let clock = Arc::new(Hand::default());
            let incarnation = IncarnationId::from_uuid(uuid::Uuid::from_u128(1));
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new(incarnation));
            let inbox = Inbox::open(Arc::clone(&store), Arc::clone(&clock) as Arc<dyn Clock>);
            Self { inbox: inbox.await.expect("it is empty"), store, clock }
        }

        /// Asks what has this number, for an hour.
        async fn ask(&self, namespace: &Namespace, n: usize) -> Result<CallId, NotAsked> {
            let call = CallId::from_uuid(uuid::Uuid::from_u128(n as u128 + 1));
            let by = By { namespace: namespace.clone(), key: None, workflow: None, run: None };
            let question = ToPeople {
                call,
                who: by,
                key: key(n),
                route: ModelName::parse("desk").expect("a name"),
                operation: Operation::Chat,
                body: format!("{{\"n\":{n}}}").into(),
                until: self.clock.now().plus(base::Duration::from_secs(3_600)),
            };
            self.inbox.ask(question).await.map(|waiting| waiting.question)
        }

        fn passes(&self, time: base::Duration) {
            let millis = i64::try_from(time.as_millis()).expect("short");
            self.clock.0.fetch_add(millis, Ordering::Relaxed);
        }

        async fn answer(&self, namespace: &Namespace, call: CallId) -> Result<(), ProblemCode> {
            let by = base::By { actor: "ann".to_owned(), reason: None };
            let answer =
                QuestionAnswer { text: Some("yes".to_owned()), ..QuestionAnswer::default() };
            let answered = self.inbox.answer(by, namespace, call, answer).await;
            answered.map(|_| ()).map_err(|refusal| refusal.code())
        }

        async fn rows(&self) -> usize {
            let rows = resource_all(self.store.as_ref(), ResourceKind::Question).await;
            rows.expect("it is read").len()
        }
    }

    fn key(n: usize) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    fn namespace(name: &str) -> Namespace {
        Namespace::parse(name).expect("a name")
    }

    /// Mutation: let one namespace fill the inbox of all, or let go of a question that waits.
    #[tokio::test]
    async fn so_many_questions_of_a_namespace_wait_and_no_more() {
        let place = Place::new().await;
        let (one, other) = (namespace("one"), namespace("other"));
        for n in 0..QUESTIONS_OPEN_MAX {
            place.ask(&one, n).await.expect("there is room");
        }
        assert_eq!(place.ask(&one, QUESTIONS_OPEN_MAX).await, Err(NotAsked::Full));
        let first = place.ask(&one, 0).await.expect("it is the same");
        place.ask(&other, 0).await.expect("it has an inbox of its own");
        place.answer(&one, first).await.expect("it waits");
        place.ask(&one, QUESTIONS_OPEN_MAX).await.expect("one less waits");
        assert_eq!(place.answer(&other, first).await, Ok(()), "it has its own of that name");
        assert_eq!(place.answer(&one, first).await, Err(ProblemCode::QuestionOver));
        assert_eq!(place.rows().await, QUESTIONS_OPEN_MAX + 2);
    }

    /// Mutation: give an answer after its time, keep what was asked for ever, or forget it with its time.
    #[tokio::test]
    async fn a_question_has_its_time_and_is_forgotten_a_day_later() {
        let place = Place::new().await;
        let one = namespace("one");
        let call = place.ask(&one, 0).await.expect("there is room");
        assert!(place.inbox.same(&one, &key(0)).is_some());
        assert!(place.inbox.same(&namespace("other"), &key(0)).is_none());
        place.passes(base::Duration::from_secs(3_600));
        assert_eq!(place.inbox.heard(&one, call).await, Heard::Over);
        assert!(place.inbox.same(&one, &key(0)).is_none());
        assert_eq!(place.answer(&one, call).await, Err(ProblemCode::QuestionOver));
        place.inbox.forget_due().await.expect("the store works");
        let listed = place.inbox.list(&one, None, 9);
        assert_eq!(listed.iter().map(|it| it.state).collect::<Vec<_>>(), [QuestionState::Over]);
        place.passes(QUESTION_KEPT);
        place.inbox.forget_due().await.expect("the store works");
        assert_eq!((place.rows().await, place.inbox.list(&one, None, 9).len()), (0, 0));
        assert_eq!(place.answer(&one, call).await, Err(ProblemCode::CallMissing));
    }

    /// Mutation: keep every question that is over, or let go of the newest.
    #[tokio::test]
    async fn those_that_are_over_make_room() {
        let place = Place::new().await;
        let one = namespace("one");
        for n in 0..QUESTIONS_KEPT_MAX + 10 {
            let call = place.ask(&one, n).await.expect("none waits");
            place.answer(&one, call).await.expect("it waits");
        }
        assert_eq!(place.rows().await, QUESTIONS_KEPT_MAX);
        let listed = place.inbox.list(&one, None, 1);
        assert_eq!(listed[0].call, CallId::from_uuid(uuid::Uuid::from_u128(11)).to_string());
    }
}
