//! What is written down of calls: what this binary writes today is what `docs/spec/samples` shows, and what was
//! ever written can be read.
//!
//! `UPDATE_SAMPLES=1` writes the samples of the current form.

use std::path::PathBuf;
use std::sync::Arc;

use base::name::{Namespace, WorkflowKey};
use base::{CallId, Digest, RunId, Timestamp};
use models::{
    Admitted, Bill, By, Charge, Corrected, ENTRY_VERSION, End, Entry, Given, Hidden, Leg, Line,
    Missed, ModelName, Needs, OfPerson, Operation, Rebill, Recharge, Settled, Unseen, Used,
    Watched,
};
use pricing::{Class, Money, Period, PriceName, Service};
use uuid::Uuid;

const AT: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec/samples/v1")
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n)
}

fn call(n: u128) -> CallId {
    CallId::from_uuid(id(n))
}

fn money(text: &str) -> Money {
    text.parse().expect("an amount")
}

fn name(text: &str) -> ModelName {
    ModelName::parse(text).expect("a name")
}

fn namespace() -> Namespace {
    Namespace::parse("sales").expect("a name")
}

fn hidden() -> Hidden {
    Hidden::from([("email".to_owned(), 2), ("name".to_owned(), 1)])
}

fn line(amount: &str, window: Option<Timestamp>) -> Line {
    let holder = "namespace/sales".parse().expect("a holder");
    let period = if window.is_some() { Period::Month } else { Period::Total };
    Line { holder, period, window, amount: money(amount) }
}

fn admitted() -> Admitted {
    let name_of = base::WorkflowName::parse("note").expect("a name");
    let workflow = WorkflowKey { namespace: namespace(), name: name_of };
    Admitted {
        v: ENTRY_VERSION,
        call: call(1),
        at: AT,
        who: By::run(&workflow, RunId::from_uuid(id(2))),
        operation: Operation::Chat,
        asked: name("chat"),
        plan: vec![name("chat-small@1"), name("meta-llama/Llama-3.1-8B-Instruct")],
        streamed: true,
        held: vec![line("0.25EUR", Some(AT)), line("0.25EUR", None)],
        bound: Some(money("0.25EUR")),
        effect: Some("effect-1".to_owned()),
        trace: Some(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().expect("a trace"),
        ),
        needs: Needs {
            output_tokens: Some(500),
            tools: 2,
            images: 1,
            schema: true,
            elsewhere: true,
        },
        watched: None,
    }
}

fn watched() -> Admitted {
    Admitted {
        call: call(3),
        who: By { namespace: namespace(), key: None, workflow: None, run: None },
        held: Vec::new(),
        effect: None,
        trace: None,
        needs: Needs::default(),
        watched: Some(Watched {
            by: name("openai"),
            client: Some("1f6c09aa".to_owned()),
            found: Some(hidden()),
            estimated: true,
            unseen: Some(Unseen::TooLarge),
        }),
        ..admitted()
    }
}

fn settled() -> Settled {
    let charge = |class, service, above, cost| Charge { class, service, above, count: 9, cost };
    let price = PriceName {
        provider: "openai".to_owned(),
        model: "gpt-4o-mini".to_owned(),
        region: Some("eu".to_owned()),
        from: Some(AT),
        version: Digest::of(b"catalogue"),
    };
    let missed = Leg {
        model: name("chat-small@1"),
        status: None,
        why: Some(Missed::Outage),
        cause: None,
        micros: 0,
        hidden: None,
    };
    let answered = Leg {
        model: name("meta-llama/Llama-3.1-8B-Instruct"),
        status: Some(200),
        why: None,
        cause: None,
        micros: 20_500,
        hidden: Some(hidden()),
    };
    let bill = Bill {
        model: answered.model.clone(),
        usage: Some(Used { input: 9, cached: 3, output: 9, reasoning: 4, images: 1, millis: 20 }),
        cost: Some(money("0.000000000018EUR")),
        is_free: false,
        is_bound: false,
        lines: vec![
            charge(Class::Input, Service::Standard, 0, money("0.000000000009EUR")),
            charge(Class::Output, Service::Batch, 200_000, money("0.000000000009EUR")),
        ],
        price: Some(Arc::new(price)),
    };
    let lost = Bill::of(name("chat-small@1"), None, None, Some(money("0.25EUR")));
    Settled {
        v: ENTRY_VERSION,
        call: call(1),
        at: AT.plus(base::Duration::from_millis(21)),
        end: End::Answered,
        legs: vec![missed, answered],
        bills: vec![lost, bill],
        charged: vec![line("0.250000000018EUR", Some(AT))],
        degraded: true,
        micros: 21_000,
        own_micros: 500,
        first_micros: Some(8_000),
        repeated_by: Some(call(4)),
        hidden: hidden(),
        cached_from: Some(call(5)),
        resort: Some(Given::Person),
        person: Some(OfPerson { question: call(6), by: Some("key/ann".to_owned()) }),
    }
}

fn corrected() -> Corrected {
    let Admitted { who, operation, at, .. } = admitted();
    Corrected {
        v: ENTRY_VERSION,
        call: call(1),
        at: at.plus(base::Duration::from_secs(60)),
        by: "key/ann".to_owned(),
        reason: "the provider's bill".to_owned(),
        admitted: at,
        who,
        operation,
        bills: vec![Rebill {
            model: name("chat-small@1"),
            was: Some(money("0.25EUR")),
            cost: money("0.1EUR"),
            reported: None,
        }],
        charged: vec![Recharge { line: line("0.1EUR", Some(at)), was: money("0.25EUR") }],
    }
}

/// Of a call whose upstream has reported nonsense.
fn unreported() -> Corrected {
    let [_, bill] = &settled().bills[..] else { panic!("two bills") };
    let (model, was) = (bill.model.clone(), bill.cost);
    let reported = Some(bill.clone());
    let rebill = Rebill { model, was, cost: money("0EUR"), reported };
    Corrected { bills: vec![rebill], ..corrected() }
}

/// Mutation: rename a member, or leave one out that is there; or make a reader need one that older lines lack.
#[test]
fn this_binary_writes_and_reads_what_the_samples_show() {
    for (file, entry) in [
        ("call-admitted.json", Entry::Admitted(admitted())),
        ("call-watched.json", Entry::Admitted(watched())),
        ("call-settled.json", Entry::Settled(settled())),
        ("call-corrected.json", Entry::Corrected(corrected())),
        ("call-corrected-reported.json", Entry::Corrected(unreported())),
    ] {
        let path = folder().join(file);
        if std::env::var_os("UPDATE_SAMPLES").is_some() {
            std::fs::write(&path, entry.line()).expect("a sample is written");
        }
        let stored = std::fs::read(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let line = entry.line();
        assert_eq!(String::from_utf8_lossy(&stored), String::from_utf8_lossy(&line), "{file}");
        let read: Result<Vec<Entry>, _> = Entry::read(&stored).collect();
        assert_eq!(read.expect(file), [entry], "{file}");
    }
    // As they were before there was anything that a line may lack.
    for old in ["call-old-admitted.json", "call-old-settled.json"] {
        let stored = std::fs::read(folder().join(old)).expect(old);
        let read: Result<Vec<Entry>, _> = Entry::read(&stored).collect();
        let read = read.expect(old);
        let line: Vec<u8> = read.iter().flat_map(Entry::line).collect();
        assert_eq!(String::from_utf8_lossy(&stored), String::from_utf8_lossy(&line), "{old}");
    }
}
