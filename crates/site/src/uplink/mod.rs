//! The line to the hub: dialled again and again, spoken over by `link`, kept by the store.
//!
//! Nothing at the site waits for it. What should go up is in the outbox whether somebody listens or not.

mod clock;
mod error;
mod exchange;
mod hours;
mod keeper;
mod membership;
mod socket;
mod view;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base::stream::Stream;
use base::{Clock, IncarnationId, Random, Timestamp};
pub(crate) use clock::HubClock;
pub use error::LineError;
pub(crate) use exchange::Errand;
use futures::{Stream as Source, StreamExt as _};
use gateway::uplink::retry_after;
use gateway::{Amount, Left};
pub(crate) use hours::SPANS_MAX;
pub use hours::{Hours, Terms};
use identity::Certificate;
pub(crate) use keeper::LineKeeper;
pub use keeper::{LeaveError, leave};
use link::site::{
    Effect, Ending, Input, Line, Saying, Session, Write, edition, edition_forget, read,
};
use link::{MESSAGE_BYTES_MAX, pack};
pub use membership::{IDENTITY_FILE, Membership, MembershipError};
use socket::{Outgoing, Socket, broken, closed, frame, rule, write};
use store::{Preconditions, Store};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
pub(crate) use view::Watch;
use wire::link::{HubFrame, RefusedCode, SiteFrame};

/// Between signs of life: less than any box between forgets a connection, and few bytes.
const PING_EVERY: Duration = Duration::from_secs(50);

/// A hub that says nothing for so long, not even to a ping, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(150);

/// From a connection to its first frame.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Between two attempts: at first.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// At last.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A line that was up for so long begins anew with short pauses.
const STEADY: Duration = Duration::from_secs(60);

/// When only a person can help: he should not wait for days, nor the hub be asked all the time.
const PAUSE_REFUSED: Duration = Duration::from_secs(3600);

/// A revoked site asks once a day whether it still is.
const PAUSE_REVOKED: Duration = Duration::from_secs(24 * 3600);

/// Two connections of one site must not throw each other out all the time.
const PAUSE_REPLACED: Duration = Duration::from_secs(60);

/// Files that are waited for: people come one after the other.
const ERRANDS_MAX: usize = 4;

/// What is read in one go: a page of entries or orders in a few.
const BUFFER_BYTES: usize = 16 * 1024;

/// How the line is, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineState {
    Down {
        since: Timestamp,
        why: String,
    },
    /// To that life of the hub.
    Up {
        since: Timestamp,
        hub: Option<IncarnationId>,
    },
}

/// What the line is made of.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub membership: Membership,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// Told when there is something new in an outbox.
    pub grown: Arc<Notify>,
    /// To tell when orders of the hub are written down.
    pub came: Arc<Notify>,
    /// To tell when something of an edition is.
    pub edited: Arc<Notify>,
    /// What is to be said apart from the streams.
    pub saying: watch::Receiver<Saying>,
    /// The owner ends it.
    pub leaving: CancellationToken,
    /// Where what leaves is counted.
    pub left: Left,
    /// What the owner allows it.
    pub terms: Terms,
}

/// The line of a site that has joined.
pub struct Uplink {
    parts: Parts,
    line: Line,
    state: watch::Sender<LineState>,
    /// With which of the hub's addresses the next attempt begins.
    first: usize,
    clock: Arc<HubClock>,
    asking: mpsc::Sender<Errand>,
    errands: mpsc::Receiver<Errand>,
}

impl Uplink {
    /// Opens no connection yet.
    pub async fn open(mut parts: Parts) -> Result<Self, LineError> {
        let membership = &parts.membership;
        let (site, joined) = (membership.site(), membership.joined());
        let store = parts.store.as_ref();
        let line = Line::open(store, site, joined, membership.has_begun()).await?;
        parts.membership.begun()?;
        let kept = edition(parts.store.as_ref()).await?;
        if let Some(Err(wrong)) = kept.map(|kept| parts.membership.believes(&kept)) {
            tracing::warn!(%wrong, "the edition that is here is not of this hub");
            let forget = edition_forget(parts.store.as_ref()).await?;
            parts.store.commit(forget, Preconditions::none()).await?;
        }
        let down = LineState::Down { since: parts.clock.now(), why: "not tried yet".to_owned() };
        let clock = HubClock::new(Arc::clone(&parts.clock), parts.membership.seen_at());
        if let Some(at) = exchange::told(parts.store.as_ref()).await {
            clock.is_past(at);
        }
        let (asking, errands) = mpsc::channel(ERRANDS_MAX);
        let (state, clock) = (watch::Sender::new(down), Arc::new(clock));
        Ok(Self { parts, line, state, first: 0, clock, asking, errands })
    }

    /// The hub's time, as far as it is known.
    pub(crate) fn clock(&self) -> Arc<HubClock> {
        Arc::clone(&self.clock)
    }

    /// In which life the site speaks.
    pub(crate) const fn life(&self) -> IncarnationId {
        self.line.incarnation
    }

    /// Where files are asked for.
    pub(crate) fn errands(&self) -> mpsc::Sender<Errand> {
        self.asking.clone()
    }

    #[must_use]
    pub fn state(&self) -> watch::Receiver<LineState> {
        self.state.subscribe()
    }

    /// Holds the line until `closing`.
    pub async fn run(mut self, closing: CancellationToken) {
        let mut pause = PAUSE_MIN;
        let (_, nobody) = mpsc::channel(1);
        let mut errands = std::mem::replace(&mut self.errands, nobody);
        loop {
            let began = Instant::now();
            let error = tokio::select! {
                error = self.attempt() => error,
                Some(errand) = errands.recv() => {
                    self.carry(errand).await;
                    continue;
                }
                () = closing.cancelled() => return,
            };
            if self.parts.leaving.is_cancelled() {
                return;
            }
            tracing::info!(%error, "no line to the hub");
            let (now, why) = (self.parts.clock.now(), error.to_string());
            self.state.send_modify(|state| {
                // An attempt that fails is no new beginning.
                let since = match state {
                    LineState::Down { since, .. } => *since,
                    LineState::Up { .. } => now,
                };
                *state = LineState::Down { since, why };
            });
            if began.elapsed() > STEADY {
                pause = PAUSE_MIN;
            }
            let rest = self.rest(&error, pause);
            pause = (pause * 2).min(PAUSE_MAX);
            tokio::select! {
                () = sleep(rest) => {}
                Some(errand) = errands.recv() => self.carry(errand).await,
                () = closing.cancelled() => return,
                () = self.parts.leaving.cancelled() => return,
            }
        }
    }

    /// How long to wait after this, at random, so that not all sites come at once.
    fn rest(&self, error: &LineError, pause: Duration) -> Duration {
        if matches!(error, LineError::Due) {
            return self.between(Duration::ZERO, PAUSE_MIN);
        }
        if matches!(error, LineError::Hours(_)) {
            // The clock may be set meanwhile; and whoever opens at ten does not come at ten with all others.
            let closed = self.parts.terms.hours.closed_for(self.parts.clock.now());
            let least = closed.unwrap_or_default().min(PING_EVERY);
            return self.between(least, least + PAUSE_MIN);
        }
        let refused = match error {
            LineError::Ended(Ending::Refused(refused)) => refused,
            // At the door: only a person can help.
            LineError::Membership(MembershipError::Refused(_)) => {
                return self.between(PAUSE_REFUSED / 2, PAUSE_REFUSED);
            }
            LineError::Later(after)
            | LineError::Membership(MembershipError::Later { after, .. }) => {
                return self.between(*after, *after * 2);
            }
            _ => return self.between(pause / 2, pause),
        };
        match refused.code {
            RefusedCode::Quarantined
            | RefusedCode::RetiredIncarnation
            | RefusedCode::UnknownSite
            | RefusedCode::NoCommonVersion => self.between(PAUSE_REFUSED / 2, PAUSE_REFUSED),
            RefusedCode::Revoked => self.between(PAUSE_REVOKED / 2, PAUSE_REVOKED),
            RefusedCode::Replaced => self.between(PAUSE_REPLACED / 2, PAUSE_REPLACED),
            RefusedCode::Overloaded => {
                let asked = refused.retry_after_ms.map_or(pause, Duration::from_millis);
                let asked = asked.min(PAUSE_REFUSED);
                self.between(asked, asked * 2)
            }
            RefusedCode::BadFrame | RefusedCode::ChainDiffers => self.between(pause / 2, pause),
        }
    }

    fn between(&self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from((most - least).as_millis()).unwrap_or(u64::MAX);
        least + Duration::from_millis(self.parts.random.u64() % (span + 1))
    }

    /// One connection, until it ends.
    async fn attempt(&mut self) -> LineError {
        let now = self.parts.clock.now();
        if let Some(error) = self.outside_hours() {
            return error;
        }
        if self.parts.membership.is_due(now)
            && let Err(error) = self.renew(now).await
        {
            return error.into();
        }
        let mut hubs = self.parts.membership.hubs().to_vec();
        let first = self.first % hubs.len().max(1);
        hubs.rotate_left(first);
        let mut last = LineError::Broken("no address of a hub is known".to_owned());
        for (n, hub) in hubs.iter().enumerate() {
            match self.connect(hub).await {
                Ok(socket) => {
                    let error = self.talk(socket, &format!("hub {hub}")).await;
                    // Whoever has sent it away may be an old one: the next is tried first.
                    let is_refused = matches!(error, LineError::Ended(_));
                    self.first = first + n + usize::from(is_refused);
                    return error;
                }
                Err(LineError::Door(401 | 403)) => {
                    // By the hub's clock its time is over.
                    match self.renew(now).await {
                        Ok(()) => return LineError::Due,
                        Err(error) => last = error.into(),
                    }
                }
                Err(error) => last = error,
            }
        }
        last
    }

    fn outside_hours(&self) -> Option<LineError> {
        let hours = &self.parts.terms.hours;
        hours.closed_for(self.parts.clock.now()).map(|_| LineError::Hours(hours.clone()))
    }

    async fn renew(&mut self, now: Timestamp) -> Result<(), MembershipError> {
        let to = self.parts.membership.hubs().join(", ");
        let amount = Amount { times: 1, bytes: 0 };
        self.parts.left.note(&format!("hub {to}"), "link/certificate", amount);
        self.parts.membership.renew(now).await
    }

    async fn connect(&self, hub: &str) -> Result<Socket, LineError> {
        let uplink = gateway::uplink::Uplink::to(hub)?;
        let tls = self.parts.membership.tls(self.parts.clock.now())?;
        let stream = uplink.dial(tls, self.parts.terms.pace).await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let request = format!("wss://{hub}/link/v1").into_client_request();
        let request = request.map_err(broken)?;
        let opening = client_async_with_config(request, stream, Some(config));
        match timeout(OPEN_TIMEOUT, opening).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(Error::Http(answer))) => Err(match retry_after(answer.headers()) {
                Some(after) => LineError::Later(after),
                None => LineError::Door(answer.status().as_u16()),
            }),
            Ok(Err(error)) => Err(broken(error)),
            Err(_) => Err(LineError::Silent),
        }
    }

    async fn talk(&mut self, socket: Socket, to: &str) -> LineError {
        let shown = socket.get_ref().get_ref().1.peer_certificates().and_then(<[_]>::first);
        let shown = shown.and_then(|shown| Certificate::read(shown).ok());
        let (mut sink, source) = socket.split();
        // What may be under way bounds what waits here.
        let (queue, waiting) = mpsc::unbounded_channel();
        let (outcomes, many) = mpsc::unbounded_channel();
        let mut writing = pin!(write(&mut sink, waiting, many));
        let out = Outgoing { to, queue, outcomes };
        let error = tokio::select! {
            error = self.speak(source, &out, shown.as_ref()) => error,
            error = &mut writing => return error,
        };
        // The last word, such as why the hub was refused.
        drop(out);
        writing.await;
        error
    }

    async fn speak(
        &mut self,
        mut source: impl Source<Item = Result<Message, Error>> + Unpin,
        outgoing: &Outgoing<'_>,
        shown: Option<&Certificate>,
    ) -> LineError {
        let kept = match self.line.kept(self.parts.store.as_ref()).await {
            Ok(kept) => kept,
            Err(error) => return error.into(),
        };
        let mut session = Session::new(kept);
        let said = self.parts.saying.borrow_and_update().clone();
        let mut inputs = VecDeque::from([Input::Opened, Input::Say(said)]);
        let mut pings = interval(PING_EVERY);
        let mut heard = Instant::now();
        loop {
            while let Some(input) = inputs.pop_front() {
                for effect in session.handle(input) {
                    match self.perform(effect, outgoing).await {
                        Ok(next) => inputs.extend(next),
                        Err(error) => return error,
                    }
                }
            }
            tokio::select! {
                message = source.next() => match message {
                    Some(Ok(message)) => {
                        heard = Instant::now();
                        match frame(&message) {
                            Ok(Some(frame)) => {
                                if let Err(error) = self.time_told(&frame, shown) {
                                    return error;
                                }
                                if let HubFrame::Edition(edition) = &frame
                                    && let Err(wrong) = self.parts.membership.believes(edition)
                                {
                                    tracing::error!(%wrong, "an edition that is not for this site");
                                    inputs.push_back(Input::Unsigned);
                                    continue;
                                }
                                inputs.push_back(Input::Frame(frame));
                            }
                            Ok(None) => {}
                            Err(error) => return error,
                        }
                    }
                    Some(Err(error)) => return broken(error),
                    None => return closed(),
                },
                () = self.parts.grown.notified() => {
                    for stream in Stream::ALL {
                        match self.parts.store.outbox_last(stream).await {
                            Ok(last) => inputs.push_back(Input::Grown { stream, last }),
                            Err(error) => return error.into(),
                        }
                    }
                }
                changed = self.parts.saying.changed() => match changed {
                    Ok(()) => {
                        let said = self.parts.saying.borrow_and_update().clone();
                        inputs.push_back(Input::Say(said));
                    }
                    // Nobody says anything any more.
                    Err(_) => return closed(),
                },
                _ = pings.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        return LineError::Silent;
                    }
                    if self.parts.membership.is_due(self.clock.now()) {
                        return LineError::Due;
                    }
                    if let Some(error) = self.outside_hours() {
                        return error;
                    }
                    outgoing.queue.send(Message::Ping(bytes::Bytes::new())).ok();
                }
                () = self.parts.leaving.cancelled() => inputs.push_back(Input::Leave),
            }
        }
    }

    fn time_told(
        &mut self,
        frame: &HubFrame,
        shown: Option<&Certificate>,
    ) -> Result<(), LineError> {
        let HubFrame::Welcome(welcome) = frame else { return Ok(()) };
        self.clock.tell(welcome.now);
        match shown {
            Some(shown) => Ok(self.parts.membership.saw(welcome.now, shown)?),
            None => Ok(()),
        }
    }

    async fn perform(
        &mut self,
        effect: Effect,
        outgoing: &Outgoing<'_>,
    ) -> Result<Option<Input>, LineError> {
        let store = self.parts.store.as_ref();
        match effect {
            Effect::Send(frame) => {
                if matches!(frame, SiteFrame::Ready(_)) {
                    let (since, hub) = (self.parts.clock.now(), self.line.hub());
                    self.state.send_replace(LineState::Up { since, hub });
                }
                let packed = pack(&frame.encode());
                let amount = Amount { times: 1, bytes: packed.len() as u64 };
                self.parts.left.note(outgoing.to, rule(&frame), amount);
                let queue = match &frame {
                    SiteFrame::Entries(it) if it.stream == Stream::Outcome => &outgoing.outcomes,
                    _ => &outgoing.queue,
                };
                queue.send(Message::Binary(packed.into())).ok();
                Ok(None)
            }
            Effect::Read { stream, after } => {
                let entries = read(store, stream, after).await?;
                Ok(Some(Input::Read { stream, after, entries }))
            }
            Effect::Write(write) => {
                let ops = self.line.ops(&write, self.clock.now());
                store.commit(ops, Preconditions::none()).await?;
                self.line.wrote(&write);
                match &write {
                    Write::Orders(_) => self.parts.came.notify_one(),
                    Write::Edition(_) | Write::Piece(_) => self.parts.edited.notify_one(),
                    Write::Session { .. } | Write::Mark { .. } => {}
                }
                Ok(Some(Input::Written(write)))
            }
            Effect::Close(ending) => Err(LineError::Ended(ending)),
        }
    }
}
