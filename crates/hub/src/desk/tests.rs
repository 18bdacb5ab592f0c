//! What has begun at a desk when the line ends that it came by.

use std::pin::pin;
use std::time::Duration;

use base::SystemRandom;
use base::stream::PerStream;
use futures::FutureExt as _;
use identity::{Name, PublicKey};
use store::memory::MemoryStore;
use tokio::sync::{Notify, RwLock};
use tokio::time::timeout;
use wire::link::{Hello, Ready, Refuse};

use super::*;
use crate::stage::{Stage, domain, key, member, signed, site, site_doc};

/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store whose commits the test can hold up.
struct Gate {
    passing: Arc<RwLock<()>>,
    came: Arc<Notify>,
}

impl Gate {
    fn before(store: MemoryStore) -> (Self, Arc<MemoryStore>) {
        let gate = Self { passing: Arc::default(), came: Arc::default() };
        let (passing, came) = (Arc::clone(&gate.passing), Arc::clone(&gate.came));
        let store = store.behind(move || {
            let (passing, came) = (Arc::clone(&passing), Arc::clone(&came));
            async move {
                came.notify_one();
                drop(passing.read().await);
                Ok(())
            }
            .boxed()
        });
        (gate, Arc::new(store))
    }

    /// What is heard is dropped when its first commit has come, and the commit passes then.
    async fn cut(&self, hearing: impl Future<Output = Result<(), DeskError>>) {
        let shut = self.passing.write().await;
        // Of a commit before.
        self.came.notified().now_or_never();
        {
            let hearing = pin!(hearing);
            tokio::select! {
                heard = hearing => panic!("it waits for the store: {heard:?}"),
                () = self.came.notified() => {}
            }
        }
        drop(shut);
    }
}

async fn line(
    hub: &crate::Hub,
    name: &str,
    key: PublicKey,
) -> (Line, mpsc::UnboundedReceiver<Down>) {
    let (not_before, not_after) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
    let name = Name::Site(domain(), site(name));
    let shown = Certificate { name: name.clone(), key, not_before, not_after };
    let Name::Site(_, site) = name else { unreachable!("it was made so") };
    hub.desks().open(&site, &shown).await.expect("a member")
}

fn hello(name: &str, edition: Option<Signed>) -> SiteFrame {
    SiteFrame::Hello(Hello {
        versions: vec![1],
        site: site(name),
        incarnation: IncarnationId::new(Timestamp::from_millis(0), &SystemRandom),
        ancestors: Vec::new(),
        session: 0,
        last: PerStream::of(|_| 0),
        edition,
    })
}

async fn until_closed(down: &mut mpsc::UnboundedReceiver<Down>) {
    let closed = async { while let Some(Down::Frame(..)) = down.recv().await {} };
    timeout(PATIENCE, closed).await.expect("the line is closed");
}

/// Mutation: leave, or learn from an edition, in the task of the line.
#[tokio::test(start_paused = true)]
async fn what_a_site_has_begun_goes_on_when_its_line_ends() {
    let (stage, [one, two]) = (Stage::new(), [key().public(), key().public()]);
    let (gate, store) = Gate::before(MemoryStore::new(stage.life()));
    member(&store, "clinic-1", one.pin()).await;
    member(&store, "clinic-2", two.pin()).await;
    let before = vec![stage.life()];
    let hub = stage.hub(Arc::clone(&store) as Arc<dyn Store>, before).await;
    let (first, mut down) = line(&hub, "clinic-1", one).await;
    let (_second, mut other_down) = line(&hub, "clinic-2", two.clone()).await;

    let lost = signed(&stage.authority, &stage.head(9, &[two.pin()]));
    gate.cut(first.hear(hello("clinic-1", Some(lost)))).await;
    until_closed(&mut other_down).await;
    assert!(site_doc(&store, "clinic-2").await.revoked_at.is_some());

    first.hear(hello("clinic-1", None)).await.expect("heard");
    let Some(Down::Frame(frame, _)) = down.recv().await else { panic!("it is welcome") };
    let HubFrame::Welcome(welcome) = *frame else { panic!("it is welcome: {frame:?}") };
    let ready = SiteFrame::Ready(Ready { session: welcome.session });
    first.hear(ready).await.expect("heard");
    gate.cut(first.hear(SiteFrame::Refuse(Refuse { code: RefuseCode::Left }))).await;
    until_closed(&mut down).await;
    assert!(site_doc(&store, "clinic-1").await.left_at.is_some());
}
