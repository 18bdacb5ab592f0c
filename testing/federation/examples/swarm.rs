//! Many sites in one process, for `cargo xtask bench fleet`: each with its own key, certificate, line and
//! session, as in the product, and a store in memory.
//!
//! Reads tokens from the file that is named, one to a line, joins, says `joined`, and then does what it is
//! told on stdin, a word to a line, and says the same word when it is done:
//!
//! | word | |
//! |---|---|
//! | `up` | holds all lines, until all are up |
//! | `down` | until all lines are down |
//! | `outcomes N` | ends so many runs at each site, until the hub has acknowledged all |
//! | `watch` | remembers the newest edition that is there |
//! | `edition` | until all have a newer one, have verified it, and say so |

#[path = "../tests/federation/ended.rs"]
#[allow(dead_code)]
mod ended;

use std::collections::VecDeque;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::stream::Stream;
use base::{Clock, IncarnationId, SystemClock, SystemRandom};
use futures::future::join_all;
use identity::JoinToken;
use link::site::{Saying, edition};
use site::uplink::{LineState, Membership, Parts, Uplink};
use store::memory::MemoryStore;
use store::{Preconditions, Store};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use wire::edition::{Head, Leaf};
use wire::link::Health;

use ended::ended;

/// Sites that join at once: more would wait at the hub's door.
const JOINING: usize = 64;

struct Swarmer {
    number: u64,
    store: Arc<dyn Store>,
    grown: Arc<Notify>,
    line: watch::Receiver<LineState>,
    edition: watch::Receiver<u64>,
    uplink: Option<Uplink>,
}

impl Swarmer {
    async fn join(number: u64, folder: PathBuf, token: &str) -> Self {
        let token = JoinToken::parse(token).expect("a token");
        let clock = SystemClock;
        let membership = Membership::join(&folder, &token, clock.now(), &SystemRandom).await;
        let membership = membership.expect("joins");
        let life = IncarnationId::new(clock.now(), &SystemRandom);
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(life));
        let (grown, edited) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (say, saying) = watch::channel(Saying::default());
        let parts = Parts {
            store: Arc::clone(&store),
            membership,
            clock: Arc::new(clock),
            random: Arc::new(SystemRandom),
            grown: Arc::clone(&grown),
            came: Arc::new(Notify::new()),
            edited: Arc::clone(&edited),
            saying,
            leaving: CancellationToken::new(),
            left: gateway::Left::default(),
            terms: site::uplink::Terms::default(),
        };
        let uplink = Uplink::open(parts).await.expect("the line is kept");
        let (told, edition) = watch::channel(0);
        tokio::spawn(reconcile(Arc::clone(&store), edited, say, told));
        let line = uplink.state();
        Self { number, store, grown, line, edition, uplink: Some(uplink) }
    }

    async fn is(&mut self, is_so: impl FnMut(&LineState) -> bool) {
        self.line.wait_for(is_so).await.expect("the line is there");
    }

    /// So many runs end, and the hub acknowledges all.
    async fn outcomes(&self, count: u64) {
        let last = self.store.outbox_last(Stream::Outcome).await.expect("read");
        for number in last + 1..=last + count {
            let ops = ended(self.number + 1, number);
            self.store.commit(ops, Preconditions::none()).await.expect("commits");
        }
        self.grown.notify_one();
        loop {
            let outbox = self.store.outbox_get(Stream::Outcome).await.expect("read");
            if outbox.is_some_and(|it| it.mark.position >= last + count) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

/// Says which edition is there. Nothing is applied: the sites of a swarm run no workflows.
async fn reconcile(
    store: Arc<dyn Store>,
    edited: Arc<Notify>,
    say: watch::Sender<Saying>,
    told: watch::Sender<u64>,
) {
    loop {
        let kept = edition(store.as_ref()).await.expect("readable");
        let mut health = Health::default();
        if let Some(kept) = kept {
            // The line has verified it before it was written down.
            let head = Head::decode(kept.signed.head.get().as_bytes()).expect("a head");
            let leaf = Leaf::decode(kept.leaf.get().as_bytes()).expect("a leaf");
            health.edition = Some(head.number);
            health.content = Some(leaf.content.digest());
        }
        let number = health.edition.unwrap_or(0);
        say.send_replace(Saying { health: Some(health), want: None });
        told.send_replace(number);
        edited.notified().await;
    }
}

async fn joined(tokens: &Path, folder: &Path) -> Vec<Swarmer> {
    let tokens = std::fs::read_to_string(tokens).expect("the tokens");
    let turns = Semaphore::new(JOINING);
    let joining = (0_u64..).zip(tokens.lines()).map(|(number, token)| {
        let folder = folder.join(number.to_string());
        let turns = &turns;
        async move {
            let _turn = turns.acquire().await.expect("open");
            Swarmer::join(number, folder, token).await
        }
    });
    join_all(joining).await
}

async fn done(word: &str, number: u64, sites: &mut [Swarmer], newest: &mut u64) {
    let is_up = |state: &LineState| matches!(state, LineState::Up { .. });
    match word {
        "up" => {
            for uplink in sites.iter_mut().filter_map(|site| site.uplink.take()) {
                tokio::spawn(uplink.run(CancellationToken::new()));
            }
            join_all(sites.iter_mut().map(|site| site.is(is_up))).await;
        }
        "down" => {
            join_all(sites.iter_mut().map(|site| site.is(|state| !is_up(state)))).await;
        }
        "outcomes" => {
            join_all(sites.iter().map(|site| site.outcomes(number))).await;
        }
        "watch" => {
            let have = sites.iter().map(|site| *site.edition.borrow());
            *newest = have.max().unwrap_or(0);
        }
        "edition" => {
            let have = sites.iter_mut().map(|site| site.edition.wait_for(|it| *it > *newest));
            join_all(have).await;
        }
        _ => panic!("no such word: {word}"),
    }
}

#[tokio::main]
async fn main() {
    let mut args: VecDeque<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (tokens, folder) = args.pop_front().zip(args.pop_front()).expect("TOKENS FOLDER");
    let mut sites = joined(&tokens, &folder).await;
    let say = |word: &str| {
        println!("{word}");
        std::io::stdout().flush().expect("somebody listens");
    };
    say("joined");
    let mut newest = 0;
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let (word, number) = line.split_once(' ').unwrap_or((&line, "0"));
        done(word, number.parse().expect("a number"), &mut sites, &mut newest).await;
        say(word);
    }
}
