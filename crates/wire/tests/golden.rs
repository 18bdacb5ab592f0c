//! The frames of the line: what this binary says today is what `docs/spec/samples` shows, and what was
//! ever said in a version that is spoken can be read.
//!
//! `UPDATE_SAMPLES=1` writes the samples of the current version.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::{
    By, DatasetName, Digest, DispatchId, IncarnationId, Label, Namespace, OrderId, RunId, SiteName,
    Timestamp, WorkflowName,
};
use isonomy_wire::dispatch::{
    Answer, AnswerState, Dispatched, Entry, Found, Meant, News, Say, SiteKey, Sites,
};
use isonomy_wire::edition;
use isonomy_wire::exchange::{Begins, Down, Up};
use isonomy_wire::join::HubSealingSaid;
use isonomy_wire::lease::{Lease, PurseName, SignedLease, SignedWord, Word};
use isonomy_wire::link::{
    Acknowledged, Ancestor, Begin, Dataset, Document, Edition, Entries, Failed, Have, Head, Health,
    Hello, HubFrame, Order, Orders, PerStream, Proof, Prove, Ready, Refuse, RefuseCode, Refused,
    RefusedCode, Signed, SiteFrame, Stream, VERSION, Want, Welcome,
};
use isonomy_wire::order::{Act, Order as Ordered, Receipt, ReceiptState};
use serde_json::value::RawValue;
use uuid::Uuid;

const AT: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn life(n: u128) -> IncarnationId {
    IncarnationId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n))
}

fn order(n: u128) -> OrderId {
    OrderId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n))
}

fn head(position: u64) -> Head {
    Head { position, digest: Digest::of(&position.to_be_bytes()) }
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("JSON")
}

fn signed() -> Signed {
    let root = Digest::of(b"root");
    let head =
        edition::Head { number: 7, root, leaves: 3, at: AT, revoked: vec![Digest::of(b"key")] };
    Signed {
        head: raw(&String::from_utf8(head.encode()).expect("text")),
        signature: "c2lnbmF0dXJl".to_owned(),
        chain: vec!["YXV0aG9yaXR5".to_owned(), "cm9vdA==".to_owned()],
        ledger: None,
    }
}

fn hub_edition() -> Edition {
    let placed = edition::Placed {
        namespace: Namespace::parse("default").expect("a name"),
        name: WorkflowName::parse("screening").expect("a name"),
        text: Digest::of(b"text"),
    };
    let capped = edition::Capped {
        holder: "namespace/sales".to_owned(),
        budget: "50.00 EUR/month".to_owned(),
    };
    let leaf = edition::Leaf {
        site: SiteName::parse("plant-1").expect("a name"),
        salt: Digest::of(b"salt"),
        content: edition::Content { workflows: vec![placed], budgets: vec![capped] },
    };
    let leaf = raw(&String::from_utf8(leaf.encode()).expect("text"));
    let path = vec![Digest::of(b"neighbour"), Digest::of(b"others")];
    Edition { signed: signed(), leaf, index: 1, path }
}

fn health() -> Health {
    let failed = Failed {
        namespace: Namespace::parse("default").expect("a name"),
        name: WorkflowName::parse("screening").expect("a name"),
        code: "workflow-invalid".to_owned(),
    };
    let content = Some(Digest::of(b"content"));
    let dataset = Dataset {
        name: DatasetName::parse("patients").expect("a name"),
        labels: vec![Label::parse("health").expect("a label")],
        modified_at: Some(AT),
    };
    let (failed, datasets) = (vec![failed], vec![dataset]);
    Health { edition: Some(7), content, waiting: 2, failed, datasets }
}

fn site_frames() -> BTreeMap<&'static str, SiteFrame> {
    let (outcome, receipt) = (120, 7);
    let last = PerStream { outcome, receipt };
    let hello = Hello {
        versions: vec![1],
        site: SiteName::parse("plant-1").expect("a name"),
        incarnation: life(2),
        ancestors: vec![Ancestor { incarnation: life(1), last }],
        session: 41,
        last,
        edition: Some(signed()),
    };
    let entries = Entries {
        stream: Stream::Outcome,
        after: 118,
        entries: vec![raw(r#"{"type":"isonomy.outcome","v":1}"#), raw("{}")],
        digest: head(120).digest,
    };
    [
        ("hello", SiteFrame::Hello(hello)),
        ("proof", SiteFrame::Proof(Proof { nonce: 99, session: 41 })),
        ("ready", SiteFrame::Ready(Ready { session: 42 })),
        ("begin", SiteFrame::Begin(Begin { stream: Stream::Receipt, after: head(5) })),
        ("entries", SiteFrame::Entries(entries)),
        ("have", SiteFrame::Have(Have { orders: vec![order(1), order(2)] })),
        ("want", SiteFrame::Want(Want { text: Digest::of(b"text"), offset: 2 })),
        ("health", SiteFrame::Health(health())),
        ("refuse", SiteFrame::Refuse(Refuse { code: RefuseCode::ChainDiffers })),
    ]
    .into()
}

fn hub_frames() -> BTreeMap<&'static str, HubFrame> {
    let welcome = Welcome {
        version: 1,
        incarnation: life(4),
        before: vec![life(3)],
        session: 42,
        now: AT,
        heads: PerStream { outcome: Some(head(118)), receipt: None },
    };
    let refused = Refused { code: RefusedCode::Overloaded, retry_after_ms: Some(5_000) };
    let body = raw(r#"{"type":"isonomy.order","v":1}"#);
    [
        ("prove", HubFrame::Prove(Prove { nonce: 99 })),
        ("welcome", HubFrame::Welcome(welcome)),
        ("refused", HubFrame::Refused(refused)),
        (
            "acknowledged",
            HubFrame::Acknowledged(Acknowledged { stream: Stream::Outcome, head: head(120) }),
        ),
        ("orders", HubFrame::Orders(Orders { orders: vec![Order { id: order(1), order: body }] })),
        ("edition", HubFrame::Edition(Box::new(hub_edition()))),
        (
            "document",
            HubFrame::Document(Document {
                text: Digest::of(b"text"),
                offset: 2,
                total: 4,
                piece: "xt".to_owned(),
            }),
        ),
    ]
    .into()
}

fn exchange_up() -> Up {
    let frames = site_frames();
    let Some(SiteFrame::Hello(hello)) = frames.get("hello").cloned() else {
        panic!("there is a hello")
    };
    let begins = |position| Begins { after: head(position), base: position - 2 };
    let streams = PerStream { outcome: begins(118), receipt: begins(5) };
    Up { hello, number: 3, at: AT, streams, health: health() }
}

fn exchange_down() -> Down {
    let sealing = HubSealingSaid {
        key: "a2V5".to_owned(),
        at: AT,
        signature: "c2lnbmF0dXJl".to_owned(),
        chain: vec!["YXV0aG9yaXR5".to_owned(), "cm9vdA==".to_owned()],
    };
    Down {
        incarnation: life(4),
        before: vec![life(3)],
        number: 9,
        now: AT,
        site: Some(life(2)),
        heads: PerStream { outcome: Some(head(118)), receipt: None },
        sealing,
    }
}

fn site(name: &str) -> SiteName {
    SiteName::parse(name).expect("a name")
}

fn dispatch() -> DispatchId {
    DispatchId::of(RunId::from_uuid(*order(3).as_uuid()), "8f4b-0")
}

fn answer() -> Answer {
    Answer {
        started_at: Some(AT),
        ended_at: Some(AT),
        output: Some(sealed()),
        ..Answer::new(AnswerState::Completed, None, AT)
    }
}

/// As `identity` writes it; the hub and this room do not look into it.
fn sealed() -> serde_json::Value {
    let to = Digest::of(b"key").to_string();
    serde_json::json!({ "type": "isonomy.sealed", "v": 1, "to": to, "enc": "ZW5j", "body": "Ym9keQ==" })
}

/// What sites say to each other, upward.
fn dispatches() -> BTreeMap<&'static str, Entry> {
    let namespace = || Namespace::parse("default").expect("a name");
    let workflow = || WorkflowName::parse("screening").expect("a name");
    let entry = |say| Entry { dispatch: dispatch(), say };
    let find = |sites| Say::Find { namespace: namespace(), workflow: workflow(), sites };
    let ask = Say::Ask {
        to: site("clinic-1"),
        namespace: namespace(),
        workflow: workflow(),
        until: AT,
        sealed: sealed(),
    };
    let tags = [("role".to_owned(), "clinic".to_owned())].into();
    let dataset = DatasetName::parse("biopsies").expect("a name");
    [
        ("dispatch-find-names", entry(find(Meant::Names(vec![site("clinic-1")])))),
        ("dispatch-find-where", entry(find(Meant::Where(tags)))),
        ("dispatch-find-dataset", entry(find(Meant::Dataset(dataset)))),
        ("dispatch-find-all", entry(find(Meant::All))),
        ("dispatch-ask", entry(ask)),
        ("dispatch-answer", entry(Say::Answer { of: site("desk"), answer: answer() })),
    ]
    .into()
}

/// The same, downward.
fn acts() -> BTreeMap<&'static str, Ordered> {
    let key = || SiteKey {
        key: "a2V5".to_owned(),
        signature: "c2lnbmF0dXJl".to_owned(),
        certificate: "Y2VydGlmaWNhdGU=".to_owned(),
    };
    let chain = || vec!["YXV0aG9yaXR5".to_owned(), "cm9vdA==".to_owned()];
    let order = |act| {
        let by = By { actor: "site:desk".to_owned(), reason: None };
        Ordered { until: AT, by, act }
    };
    let sites = Sites {
        dispatch: dispatch(),
        page: 0,
        pages: 1,
        chain: chain(),
        sites: vec![
            Found { site: site("clinic-1"), key: Some(key()), code: None },
            Found { site: site("clinic-2"), key: None, code: Some("cordoned".to_owned()) },
        ],
        unmatched: 3,
        cordoned: 0,
        refused: None,
    };
    let dispatched = Dispatched {
        dispatch: dispatch(),
        from: site("desk"),
        key: key(),
        chain: chain(),
        namespace: Namespace::parse("default").expect("a name"),
        workflow: WorkflowName::parse("screening").expect("a name"),
        sealed: sealed(),
    };
    let news = News { dispatch: dispatch(), site: site("clinic-1"), answer: answer() };
    [
        ("order-sites", order(Act::Sites(Box::new(sites)))),
        ("order-dispatched", order(Act::Dispatched(Box::new(dispatched)))),
        ("order-news", order(Act::News(Box::new(news)))),
        ("order-lease", order(Act::Lease(Box::new(lease())))),
    ]
    .into()
}

fn purse() -> PurseName {
    PurseName {
        site: site("plant-1"),
        life: life(2),
        holder: "namespace/sales".to_owned(),
        period: "month".to_owned(),
        window: Some(AT),
    }
}

fn lease() -> SignedLease {
    let lease = Lease {
        purse: purse(),
        hub: life(4),
        granted: "5 EUR".to_owned(),
        answers: 3,
        is_short: true,
        at: AT,
    };
    SignedLease {
        lease: lease.encode(),
        signature: "c2lnbmF0dXJl".to_owned(),
        chain: vec!["YXV0aG9yaXR5".to_owned(), "cm9vdA==".to_owned()],
    }
}

fn word() -> SignedWord {
    let word = Word {
        purse: purse(),
        hub: Some(life(4)),
        number: 4,
        granted: "5 EUR".to_owned(),
        spent: "1.2500005 EUR".to_owned(),
        returned: "2 EUR".to_owned(),
        asks: Some("0.5 EUR".to_owned()),
        at: AT,
    };
    SignedWord {
        word: word.encode(),
        signer: "a2V5".to_owned(),
        signature: "c2lnbmF0dXJl".to_owned(),
    }
}

fn samples() -> BTreeMap<String, Vec<u8>> {
    let receipt = Receipt::new(order(1), ReceiptState::Refused, Some("workflow-refused"), AT);
    let site = site_frames().into_iter().map(|(name, frame)| (name, frame.encode()));
    let hub = hub_frames().into_iter().map(|(name, frame)| (name, frame.encode()));
    let dispatch = dispatches().into_iter().map(|(name, said)| (name, said.encode()));
    let acts = acts().into_iter().map(|(name, order)| (name, order.encode()));
    let single = [("receipt", receipt.encode()), ("lease-word", word().encode())];
    let all = site.chain(hub).chain(single).chain(dispatch).chain(acts);
    let exchange = [
        ("exchange-up.json".to_owned(), exchange_up().encode()),
        ("exchange-down.json".to_owned(), exchange_down().encode()),
    ];
    all.map(|(name, bytes)| (format!("link-{name}.json"), bytes)).chain(exchange).collect()
}

fn folder(version: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/spec/samples/v{version}"))
}

/// Mutation: rename a field of a frame, or leave one out.
#[test]
fn this_binary_says_what_the_samples_show() {
    let folder = folder(VERSION);
    let samples = samples();
    if std::env::var_os("UPDATE_SAMPLES").is_some() {
        for (name, bytes) in &samples {
            std::fs::write(folder.join(name), bytes).expect("a sample is written");
        }
    }
    for (name, bytes) in &samples {
        let stored =
            std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(String::from_utf8_lossy(&stored), String::from_utf8_lossy(bytes), "{name}");
    }
}

/// Mutation: make a reader need a field that an old writer did not write, or refuse one that it does not
/// know.
#[test]
fn this_binary_understands_every_version_that_is_spoken() {
    for version in 1..=VERSION {
        for (name, now) in samples() {
            let Ok(bytes) = std::fs::read(folder(version).join(&name)) else {
                assert!(version < VERSION, "{name} is not there");
                continue;
            };
            let text = String::from_utf8(bytes).expect("text");
            // What a later version may add.
            let more = text.replacen('{', r#"{"later":[1],"#, 1);
            let understood = match name.as_str() {
                "link-receipt.json" => {
                    Receipt::decode(more.as_bytes()).expect_err("a closed struct");
                    Receipt::decode(text.as_bytes()).expect(&name).encode()
                }
                "link-lease-word.json" => {
                    SignedWord::decode(more.as_bytes()).expect_err("a closed struct");
                    SignedWord::decode(text.as_bytes()).expect(&name).0.encode()
                }
                "exchange-up.json" => Up::decode(more.as_bytes()).expect(&name).encode(),
                "exchange-down.json" => Down::decode(more.as_bytes()).expect(&name).encode(),
                name if name.starts_with("link-dispatch-") => {
                    Entry::decode(more.as_bytes()).expect_err("a closed struct");
                    Entry::decode(text.as_bytes()).expect(name).encode()
                }
                name if name.starts_with("link-order-") => {
                    Ordered::decode(more.as_bytes()).expect_err("done as a whole or not at all");
                    Ordered::decode(text.as_bytes()).expect(name).encode()
                }
                _ if hub_frames().keys().any(|it| name == format!("link-{it}.json")) => {
                    HubFrame::decode(more.as_bytes()).expect(&name).encode()
                }
                _ => SiteFrame::decode(more.as_bytes()).expect(&name).encode(),
            };
            if version == VERSION {
                let now = String::from_utf8_lossy(&now).into_owned();
                assert_eq!(String::from_utf8_lossy(&understood), now, "{name}");
            }
        }
    }
}
