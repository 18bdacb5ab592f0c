//! What is held back for a call is never less than what it costs.

use pricing::{
    Bound, Capability, Class, Kind, Model, Price, Prompt, Service, Span, Totals, Usage, bound,
    input_tokens_max,
};
use proptest::prelude::*;

use crate::{offer, price, sheet, source, standard};

fn rates(classes: &'static [Class]) -> impl Strategy<Value = Vec<(Class, u64)>> {
    let each = prop_oneof![Just(None), (0..2_000_000_000_u64).prop_map(Some)];
    prop::collection::vec(each, classes.len()).prop_map(move |rates| {
        let rates = classes.iter().copied().zip(rates);
        rates.filter_map(|(class, rate)| Some((class, rate?))).collect()
    })
}

fn prices() -> impl Strategy<Value = Price> {
    let services =
        prop::sample::subsequence(vec![Service::Batch, Service::Flex, Service::Priority], 0..=3);
    (rates(&Class::ALL), 1..6_000_u64, any::<bool>(), services).prop_flat_map(
        |(base, above, is_part, services)| {
            let (span, classes): (_, &'static [Class]) =
                if is_part { (Span::Part, &Class::INPUT) } else { (Span::Whole, &Class::ALL) };
            let mut base = standard(&base);
            base.rates[Class::Input].get_or_insert_default();
            let own = prop::collection::vec(
                (rates(&Class::ALL), rates(classes), any::<bool>()),
                services.len(),
            );
            (rates(classes), own).prop_map(move |(tier, own)| {
                let mut sheets = vec![base.clone(), sheet(Service::Standard, above, span, &tier)];
                for (service, (low, high, has_tier)) in services.iter().zip(own) {
                    sheets.push(sheet(*service, 0, Span::Whole, &low));
                    if has_tier {
                        sheets.push(sheet(*service, above, span, &high));
                    }
                }
                price(sheets)
            })
        },
    )
}

fn usages() -> impl Strategy<Value = Totals> {
    let tokens = || prop_oneof![Just(0), 0..3_000_u64];
    let parts = prop::collection::vec(tokens(), 10);
    let rest = prop::collection::vec(0..5_u64, 4);
    (parts, rest, prop::sample::select(Service::PRICED.to_vec())).prop_map(
        |(parts, rest, service)| Totals {
            input: parts[..6].iter().sum(),
            cache_read: parts[0],
            cache_write_5m: parts[1],
            cache_write_1h: parts[2],
            audio_in: parts[3],
            image_in: parts[4],
            output: parts[6..].iter().sum(),
            reasoning: parts[6],
            audio_out: parts[7],
            image_out: parts[8],
            images: rest[0],
            searches: rest[1],
            requests: rest[2],
            milliseconds: rest[3],
            service,
        },
    )
}

/// A bound that holds the usage, with some room.
fn around(totals: &Totals, room: u64, is_any: bool) -> Bound {
    Bound {
        input_tokens_max: Some(totals.input + room),
        output_tokens_max: Some(totals.output + room),
        images_max: Some(totals.images),
        searches_max: Some(totals.searches + room),
        milliseconds_max: Some(totals.milliseconds),
        requests_max: totals.requests,
        has_audio: totals.audio_in > 0,
        has_images: totals.image_in > 0,
        speaks: totals.audio_out > 0,
        service: (!is_any).then_some(totals.service),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Mutation: take plain input for the dearest, forget a tier or the fallback to the standard
    /// service, or the price of a class that a sheet does not state.
    #[test]
    fn no_call_within_its_bound_costs_more(
        price in prices(),
        totals in usages(),
        room in 0..50_u64,
        is_any in any::<bool>(),
    ) {
        let usage = Usage::of(&totals).expect("sane");
        let most = bound(&price, &around(&totals, room, is_any)).expect("all limits are known");
        if let Ok(cost) = price.cost(&usage) {
            prop_assert!(cost.amount <= most.amount, "{cost} > {most}: {usage:?}");
        }
    }

    /// Mutation: sum the lines of a bill otherwise than its cost.
    #[test]
    fn a_bill_adds_up_to_its_cost(price in prices(), totals in usages()) {
        let usage = Usage::of(&totals).expect("sane");
        let Ok(cost) = price.cost(&usage) else { return Ok(()) };
        let lines = price.bill(&usage).expect("it has a cost");
        let sum: u128 = lines.iter().map(|line| line.amount.pico()).sum();
        prop_assert_eq!(sum, cost.amount.pico());
        let tokens = |class: Class| lines.iter().filter(|it| it.class == class).map(|it| it.count).sum::<u64>();
        for class in Class::ALL.into_iter().filter(|class| class.is_token()) {
            prop_assert_eq!(tokens(class), usage.count(class));
        }
    }
}

/// Mutation: hold back more than the dearest call costs, such as audio's price for text.
#[test]
fn the_bound_is_what_the_dearest_call_costs() {
    let price = price(vec![
        standard(&[
            (Class::Input, 3),
            (Class::CacheWrite1h, 6),
            (Class::AudioIn, 90),
            (Class::Output, 15),
        ]),
        sheet(Service::Standard, 200, Span::Whole, &[(Class::Input, 9), (Class::Output, 20)]),
        sheet(Service::Priority, 0, Span::Whole, &[(Class::Input, 50), (Class::Output, 50)]),
    ]);
    let limits =
        Bound { input_tokens_max: Some(100), output_tokens_max: Some(10), ..Bound::default() };
    let pico = |bounded: Bound| bound(&price, &bounded).map(|it| it.amount.pico());
    assert_eq!(pico(limits), Some(100 * 6 + 10 * 15));
    assert_eq!(pico(Bound { input_tokens_max: Some(200), ..limits }), Some(200 * 6 + 10 * 15));
    assert_eq!(pico(Bound { input_tokens_max: Some(201), ..limits }), Some(201 * 9 + 10 * 20));
    assert_eq!(pico(Bound { has_audio: true, ..limits }), Some(100 * 90 + 10 * 15));
    assert_eq!(pico(Bound { service: None, ..limits }), Some(100 * 50 + 10 * 50));
}

/// Mutation: hold nothing for sound that is asked for, or for images that a model makes unasked.
#[test]
fn sound_and_images_that_come_out_are_held() {
    let rates = [(Class::Output, 10), (Class::AudioOut, 80), (Class::ImageOut, 30)];
    let of = |rates: &[(Class, u64)], speaks: bool| {
        let price = price(vec![standard(
            &[(Class::Input, 1)].iter().chain(rates).copied().collect::<Vec<_>>(),
        )]);
        let limits = Bound {
            input_tokens_max: Some(0),
            output_tokens_max: Some(10),
            speaks,
            ..Bound::default()
        };
        bound(&price, &limits).map(|it| it.amount.pico())
    };
    assert_eq!((of(&rates[..1], false), of(&rates[..1], true)), (Some(100), Some(100)));
    assert_eq!((of(&rates[..2], false), of(&rates[..2], true)), (Some(100), Some(800)));
    assert_eq!((of(&rates, false), of(&rates, true)), (Some(300), Some(800)));
}

/// Mutation: take an unknown limit for zero.
#[test]
fn without_a_limit_there_is_no_bound() {
    let chat = price(vec![standard(&[(Class::Input, 3), (Class::Output, 15)])]);
    let input = Bound { input_tokens_max: Some(100), ..Bound::default() };
    assert_eq!(bound(&chat, &input), None);
    assert_eq!(bound(&chat, &Bound { output_tokens_max: Some(1), ..Bound::default() }), None);
    let searching = price(vec![standard(&[(Class::Input, 3), (Class::Search, 15)])]);
    assert_eq!(bound(&searching, &Bound { searches_max: None, ..input }), None);
    // What costs nothing needs no limit.
    let free = price(vec![standard(&[(Class::Input, 3), (Class::Output, 0)])]);
    assert_eq!(bound(&free, &input).map(|it| it.amount.pico()), Some(300));
    let huge =
        Bound { input_tokens_max: Some(u64::MAX), output_tokens_max: Some(u64::MAX), ..input };
    assert!(bound(&chat, &huge).is_some());
}

fn model(context_tokens: Option<u64>, image_tokens_max: Option<u64>) -> Model {
    Model {
        provider: offer().provider,
        name: offer().model,
        aliases: Vec::new(),
        kind: Kind::Chat,
        context_tokens,
        output_tokens_max: None,
        image_tokens_max,
        capabilities: vec![Capability::Streaming],
        retires: None,
        source: source(),
    }
}

/// Mutation: count less than a token for a byte, leave out a template's share, or go beyond the context.
#[test]
fn a_prompt_has_no_more_tokens_than_bytes_and_templates() {
    let text = Prompt { text_bytes: 1_000, messages: 2, ..Prompt::default() };
    let most = |prompt: &Prompt, model: &Model| input_tokens_max(prompt, model);
    let wide = model(Some(1_000_000), Some(1_600));
    assert_eq!(most(&text, &wide), Some(1_000 + 2 * 16 + 256));
    assert_eq!(most(&Prompt { images: 3, ..text }, &wide), Some(1_288 + 4_800));
    assert_eq!(most(&Prompt { tools: 2, ..text }, &wide), Some(1_288 + 2_048 + 128));
    assert_eq!(most(&text, &model(Some(500), None)), Some(500));
    // Each question of a list may fill it.
    assert_eq!(most(&Prompt { questions: 2, ..text }, &model(Some(500), None)), Some(1_000));
    assert_eq!(most(&Prompt { questions: 3, ..text }, &model(Some(500), None)), Some(1_288));
    // What nobody can count is as much as fits; where nobody knows what fits, there is no bound.
    assert_eq!(most(&Prompt { images: 1, ..text }, &model(Some(500_000), None)), Some(500_000));
    assert_eq!(most(&Prompt { images: 1, ..text }, &model(None, None)), None);
    assert_eq!(most(&Prompt { has_other_media: true, ..text }, &wide), Some(1_000_000));
    let endless = Prompt { text_bytes: u64::MAX, ..text };
    assert_eq!(most(&endless, &wide), Some(1_000_000));
    assert_eq!(most(&endless, &model(None, None)), None);
}
