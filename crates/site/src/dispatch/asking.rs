//! What runs of this site have others do: asked, followed, and over.
//!
//! One change at a time, and each is one commit. Whoever waits reads what is there when he is told.

use std::collections::BTreeSet;

use base::value::{Json, parse, to_json};
use base::{Clock as _, DispatchId, Duration, ErrorType, Fault, Timestamp, Value};
use engine::effect::Certainty;
use futures::FutureExt;
use futures::future::BoxFuture;
use link::ORDER_LIFE_MAX;
use store::{Op, Preconditions};
use wire::dispatch::{Answer, Bond, Found, Meant, News, SEALED_BYTES_MAX, Say, Sites};
use worker::functions::dispatch::{self as function, Ask, Done};

use super::result::Known;
use super::row::{self, At, Head, Quorum};
use super::{DISPATCHES_MAX, DispatchError, Dispatches, INPUT, OUTPUT, entry_op, seal, unseal};

/// The longest sleep: who waits for days looks at the clock now and then.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// How long a dispatch is remembered after its time: until no order of the hub can bring news of it.
const KEPT: Duration = ORDER_LIFE_MAX;

impl function::Sites for Dispatches {
    fn dispatch(&self, ask: Ask) -> BoxFuture<'static, Done> {
        let it = self.clone();
        async move {
            let (dispatch, run) = (ask.dispatch, ask.run);
            match it.ask(ask).await {
                Ok(result) => Done { result, certainty: Certainty::Definite },
                Err(error @ DispatchError::TooLarge { .. }) => {
                    let detail = format!("what is asked of other sites has {error}");
                    let result = Err(Fault::new(ErrorType::Validation, detail));
                    Done { result, certainty: Certainty::Definite }
                }
                Err(error) => {
                    tracing::error!(%dispatch, %run, %error, "cannot follow a dispatch");
                    let detail = format!("the site cannot follow the dispatch: {error}");
                    let result = Err(Fault::new(ErrorType::Runtime, detail));
                    // The next attempt goes on with the same.
                    Done { result, certainty: Certainty::Unknown }
                }
            }
        }
        .boxed()
    }

    fn has_begun(&self, dispatch: DispatchId) -> BoxFuture<'static, bool> {
        let it = self.clone();
        // Where nobody can tell, nothing more leaves.
        async move { row::head(it.store(), dispatch).await.is_ok_and(|head| head.is_some()) }
            .boxed()
    }
}

impl Dispatches {
    async fn ask(&self, ask: Ask) -> Result<Result<Value, Fault>, DispatchError> {
        let dispatch = ask.dispatch;
        let Ok(_place) = self.0.places.try_acquire() else {
            let detail = format!(
                "{DISPATCHES_MAX} dispatches of this site wait for others already; let them end, or `retry` with a `delay`"
            );
            return Ok(Err(
                Fault::new(ErrorType::Runtime, detail).with_title("Too many dispatches")
            ));
        };
        let told = self.wait_for(dispatch);
        if let Err(fault) = self.begin(ask).await? {
            return Ok(Err(fault));
        }
        loop {
            let Some(head) = row::head(self.store(), dispatch).await? else {
                let detail = "what was kept of the dispatch is gone";
                return Ok(Err(Fault::new(ErrorType::Runtime, detail)));
            };
            let now = self.now();
            if let Some(result) = self.result(dispatch, &head, now).await? {
                match head.over_at {
                    Some(_) => return Ok(result),
                    None => self.end(dispatch, now).await?,
                }
                continue;
            }
            let rest = head.until.since(now).min(SLEEP_MAX).as_std();
            tokio::select! {
                () = told.notified() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    async fn result(
        &self,
        dispatch: DispatchId,
        head: &Head,
        now: Timestamp,
    ) -> Result<Option<Result<Value, Fault>>, DispatchError> {
        // At each word of a site this is asked again: what they have given is read at the end alone.
        if !head.is_over(&row::tally(self.store(), dispatch).await?, now) {
            return Ok(None);
        }
        let sites = row::sites(self.store(), dispatch).await?;
        Ok(Known { dispatch, head, sites: &sites }.result(now))
    }

    /// Writes it down and asks the hub, unless that was done before.
    async fn begin(&self, ask: Ask) -> Result<Result<(), Fault>, DispatchError> {
        let Ask { dispatch, run, namespace, workflow, sites, input, quorum, timeout } = ask;
        if row::head(self.store(), dispatch).await?.is_some() {
            return Ok(Ok(()));
        }
        if self.0.parts.leaving.is_cancelled() {
            let detail = "this site has left its hub, so that it reaches no other site";
            return Ok(Err(Fault::new(ErrorType::Configuration, detail)));
        }
        let bytes = to_json(&input).len();
        if bytes > SEALED_BYTES_MAX {
            let detail = format!(
                "the input for other sites has {bytes} bytes, and {SEALED_BYTES_MAX} are the most: give names of data, and not the data"
            );
            return Ok(Err(Fault::new(ErrorType::Validation, detail)));
        }
        let now = self.now();
        let meant = match sites {
            function::Meant::Names(names) => Meant::Names(names),
            function::Meant::Where(tags) => Meant::Where(tags),
            function::Meant::Dataset(name) => Meant::Dataset(name),
            function::Meant::All => Meant::All,
        };
        let quorum = quorum.map(|quorum| match quorum {
            function::Quorum::Count(count) => Quorum::Count(count),
            function::Quorum::Majority => Quorum::Majority,
            function::Quorum::All => Quorum::All,
        });
        let find = Say::Find {
            namespace: namespace.clone(),
            workflow: workflow.clone(),
            sites: meant.clone(),
        };
        let head = Head {
            run,
            namespace,
            workflow,
            input: Some(Json(input)),
            meant,
            quorum,
            until: now.plus(timeout),
            pages: None,
            seen: BTreeSet::new(),
            unmatched: 0,
            cordoned: 0,
            refused: None,
            over_at: None,
        };
        let ops = vec![head.op(dispatch), entry_op(dispatch, find, now)?];
        self.store().commit(ops, Preconditions::none()).await?;
        self.0.parts.grown.notify_one();
        Ok(Ok(()))
    }

    /// It is over from now on, if it still is: what comes is late.
    async fn end(&self, dispatch: DispatchId, now: Timestamp) -> Result<(), DispatchError> {
        let _writing = self.0.writing.lock().await;
        let Some(head) = row::head(self.store(), dispatch).await? else { return Ok(()) };
        // Something may have come since it was looked at, and counts.
        if head.over_at.is_some() || self.result(dispatch, &head, now).await?.is_none() {
            return Ok(());
        }
        let over = Head { input: None, over_at: Some(now), ..head };
        self.store().commit(vec![over.op(dispatch)], Preconditions::none()).await?;
        Ok(())
    }

    /// The hub has said which sites are meant: each is asked, with `closing` in the same commit.
    pub(crate) async fn found(&self, said: Sites, closing: Vec<Op>) -> Result<(), DispatchError> {
        let dispatch = said.dispatch;
        let _writing = self.0.writing.lock().await;
        let mut ops = closing;
        let head = row::head(self.store(), dispatch).await?;
        // After its time nobody is asked any more.
        if let Some(mut head) = head.filter(|head| head.over_at.is_none())
            && head.seen.insert(said.page)
        {
            (head.pages, head.refused) = (Some(said.pages), said.refused.clone());
            (head.unmatched, head.cordoned) = (said.unmatched, said.cordoned);
            for found in &said.sites {
                ops.extend(self.ask_one(dispatch, &head, found, &said.chain));
            }
            if head.is_listed() {
                head.input = None;
            }
            ops.push(head.op(dispatch));
        }
        self.store().commit(ops, Preconditions::none()).await?;
        self.0.parts.grown.notify_one();
        self.changed(dispatch);
        Ok(())
    }

    fn ask_one(
        &self,
        dispatch: DispatchId,
        head: &Head,
        found: &Found,
        chain: &[String],
    ) -> Vec<Op> {
        let to = &found.site;
        let bond = Bond {
            dispatch,
            from: self.site(),
            to,
            namespace: &head.namespace,
            workflow: &head.workflow,
        };
        let sealed = match (&found.key, &found.code, &head.input) {
            (Some(key), None, Some(input)) => self
                .believed(to, key, chain)
                .and_then(|key| seal(&key, INPUT, &bond, &to_json(&input.0)).ok())
                .ok_or_else(|| "not-believed".to_owned()),
            (_, code, _) => Err(code.clone().unwrap_or_else(|| "no-sealing-key".to_owned())),
        };
        let mut at = At::new(to.clone());
        match sealed {
            Err(code) => {
                at.unasked = Some(code);
                vec![at.op(dispatch)]
            }
            Ok(sealed) => {
                let (own, now) = (self.now(), self.0.parts.clock.now());
                let until = now.plus(head.until.since(own));
                let (namespace, workflow) = (head.namespace.clone(), head.workflow.clone());
                let ask = Say::Ask { to: to.clone(), namespace, workflow, until, sealed };
                match entry_op(dispatch, ask, own) {
                    Ok(asked) => vec![at.op(dispatch), asked],
                    Err(_) => {
                        at.unasked = Some("too-large".to_owned());
                        vec![at.op(dispatch)]
                    }
                }
            }
        }
    }

    /// A site has answered.
    pub(crate) async fn heard(&self, news: News, closing: Vec<Op>) -> Result<(), DispatchError> {
        let News { dispatch, site, answer } = news;
        let _writing = self.0.writing.lock().await;
        let mut ops = closing;
        let head = row::head(self.store(), dispatch).await?;
        let at = row::at(self.store(), dispatch, &site).await?;
        if let (Some(head), Some(at)) = (head, at) {
            ops.extend(self.note(dispatch, &head, at, answer).map(|at| at.op(dispatch)));
        }
        self.store().commit(ops, Preconditions::none()).await?;
        self.changed(dispatch);
        Ok(())
    }

    /// What is to be written of an answer; nothing where more is known already.
    fn note(&self, dispatch: DispatchId, head: &Head, mut at: At, answer: Answer) -> Option<At> {
        let sealed = answer.output.clone();
        let answer = Answer { output: None, ..answer };
        if at.has_ended() {
            return None;
        }
        if head.over_at.is_some() {
            if at.late.as_ref().is_some_and(|late| late.state.is_end()) {
                return None;
            }
            let (site, state) = (&at.site, answer.state);
            tracing::info!(%dispatch, %site, ?state, "a site has answered late");
            at.late = Some(answer);
            return Some(at);
        }
        let bond = Bond {
            dispatch,
            from: self.site(),
            to: &at.site,
            namespace: &head.namespace,
            workflow: &head.workflow,
        };
        let open = |sealed| {
            let plain = unseal(&self.0.parts.sealing, OUTPUT, &bond, sealed).ok()?;
            parse(&plain).ok().map(Json)
        };
        let output = sealed.as_ref().map(open);
        let code = match output {
            Some(None) => Some("output-unread".to_owned()),
            _ => answer.code.clone(),
        };
        at.output = output.flatten();
        at.answer = Some(Answer { code, ..answer });
        Some(at)
    }
}

impl Dispatches {
    /// Forgets what nobody asks for any more.
    pub(super) async fn forget(&self) -> Result<(), DispatchError> {
        let until = self.now().minus(KEPT);
        let mut after = None;
        while let Some((dispatch, head)) = row::next(self.store(), after).await? {
            after = Some(dispatch);
            if head.until >= until {
                continue;
            }
            // Its head goes last: it is found again where this breaks off.
            while let Some(gone) = row::gone(self.store(), dispatch).await? {
                self.store().commit(gone, Preconditions::none()).await?;
            }
            self.store().commit(vec![row::head_gone(dispatch)], Preconditions::none()).await?;
        }
        Ok(())
    }
}
