//! LiteLLM's price file: an excerpt of version 1.109.1 (MIT, `excerpt/LICENSE-litellm.txt`), and the
//! whole file where there is one.

use std::path::PathBuf;

use pricing::litellm::{ImportError, Imported, Reason, import};
use pricing::{
    Amount, Capability, Catalogue, Class, DecimalError, Kind, Price, Service, Totals, Usage,
};

use crate::source;

const EXCERPT: &[u8] = include_bytes!("excerpt/litellm.json");

fn read(file: &str) -> Imported {
    import(file.as_bytes(), &source()).expect("a file")
}

fn excerpt() -> Imported {
    import(EXCERPT, &source()).expect("the excerpt")
}

fn price<'a>(imported: &'a Imported, model: &str) -> &'a Price {
    let found = imported.prices.iter().find(|price| price.offer.model == model);
    found.unwrap_or_else(|| panic!("{model}"))
}

fn pico(price: &Price, totals: Totals) -> u128 {
    price.cost(&Usage::of(&totals).expect("sane")).expect("a cost").amount.pico()
}

/// Mutation: read prices through `f64`, or take a batch's price for the standard one.
#[test]
fn prices_come_over_exactly() {
    let imported = excerpt();
    let mini = price(&imported, "gpt-4o-mini");
    let million =
        Totals { input: 1_000_000, cache_read: 400_000, output: 1_000_000, ..Totals::default() };
    let cost = |price, totals: Totals| Amount::from_pico(pico(price, totals)).to_string();
    assert_eq!(cost(mini, million), "0.72");
    assert_eq!(cost(mini, Totals { service: Service::Batch, ..million }), "0.375");
    let long = price(&imported, "gemini-2.5-pro");
    assert_eq!(cost(long, Totals { input: 200_000, output: 1_000, ..Totals::default() }), "0.26");
    assert_eq!(
        cost(long, Totals { input: 200_001, output: 1_000, ..Totals::default() }),
        "0.515002"
    );
    let heard = price(&imported, "whisper-large-v3");
    assert_eq!(pico(heard, Totals { milliseconds: 1_000, ..Totals::default() }), 30_830_000);
    let ranged = price(&imported, "qwen-flash");
    assert_eq!(pico(ranged, Totals { input: 256_000, ..Totals::default() }), 256_000 * 50_000);
    assert_eq!(pico(ranged, Totals { input: 256_001, ..Totals::default() }), 256_001 * 250_000);
}

/// Mutation: forget the limits of a model, or list what it cannot do.
#[test]
fn models_come_over_with_what_bounds_their_calls() {
    let imported = excerpt();
    let model = imported.models.iter().find(|model| model.name == "gpt-4o-mini").expect("a model");
    assert_eq!(
        (model.kind, model.context_tokens, model.output_tokens_max),
        (Kind::Chat, Some(128_000), Some(16_384))
    );
    let tools = [Capability::Tools, Capability::Vision, Capability::Streaming];
    assert!(tools.iter().all(|it| model.capabilities.contains(it)));
    assert!(!model.capabilities.contains(&Capability::Audio));
    assert!(model.source.url.starts_with("https://developers.openai.com/"));
}

/// Mutation: drop a row or a price without telling.
#[test]
fn what_does_not_come_over_is_told() {
    let imported = excerpt();
    let refused: Vec<String> =
        imported.refused.iter().map(|told| format!("{}: {}", told.name, told.reason)).collect();
    assert_eq!(
        refused,
        ["azure/low/1024-x-1024/gpt-image-1: `input_cost_per_pixel` cannot be expressed"]
    );
    assert_eq!(imported.same, ["deepseek/deepseek-chat"]);
    let noted = |name: &str| imported.notes.iter().filter(|told| told.name == name).count();
    assert!(noted("gpt-6.1-terra") > 0);
    assert_eq!(noted("gpt-4o-mini"), 0);
    let all = imported.prices.len() + imported.refused.len() + imported.same.len();
    assert_eq!(all, 12, "every row but the sample is accounted for");
}

/// Mutation: take a name that a table gives back otherwise, or that says two things.
#[test]
fn a_name_that_no_table_holds_is_refused() {
    for (name, provider) in
        [(" m", "x"), ("", "x"), ("x/", "x"), ("m", "x/y"), ("m", ""), ("m\\n", "x")]
    {
        let file = format!(
            r#"{{"{name}":{{"litellm_provider":"{provider}","mode":"chat","input_cost_per_token":1e-6,"output_cost_per_token":1e-6}}}}"#
        );
        let mut imported = read(&file);
        assert_eq!(imported.refused.pop().map(|told| told.reason), Some(Reason::Name), "{name}");
        assert!(imported.prices.is_empty(), "{name}");
    }
}

/// Mutation: take a row that says too little, or that all is free, or round a price that is too fine.
#[test]
fn rows_that_cannot_be_billed_are_refused() {
    let refused = |fields: &str| {
        let file = format!(r#"{{"x/m":{{"litellm_provider":"x","mode":"chat",{fields}}}}}"#);
        let mut imported = read(&file);
        assert!(imported.prices.is_empty(), "{fields}");
        imported.refused.pop().expect("a reason").reason
    };
    assert_eq!(refused(r#""input_cost_per_token":1e-6"#), Reason::NoPrice);
    assert_eq!(refused(r#""max_tokens":1"#), Reason::NoPrice);
    assert_eq!(refused(r#""input_cost_per_token":0.0,"output_cost_per_token":0"#), Reason::NoPrice);
    let number = |cause| Reason::Number { field: "input_cost_per_token".into(), cause };
    let priced = |input: &str| {
        refused(&format!(r#""output_cost_per_token":1e-6,"input_cost_per_token":{input}"#))
    };
    assert_eq!(priced("1.5e-13"), number(DecimalError::TooFine { places: 12 }));
    assert_eq!(priced("-1e-6"), number(DecimalError::Negative));
    assert_eq!(priced(r#""1e-6""#), number(DecimalError::Syntax));
    let unknown = refused(
        r#""input_cost_per_token":1e-6,"output_cost_per_token":1e-6,"tax_cost_per_dance":1"#,
    );
    assert_eq!(unknown, Reason::Field { field: "tax_cost_per_dance".into() });
    let mode = read(r#"{"m":{"litellm_provider":"x","mode":"video_generation"}}"#);
    assert_eq!(mode.refused[0].reason, Reason::Mode { mode: "video_generation".into() });
    assert_eq!(read(r#"{"m":{"mode":"chat"}}"#).refused[0].reason, Reason::NoProvider);
}

/// Mutation: let writing to the cache be free, or bill the dear service without its own output price
/// by the standard one.
#[test]
fn rows_that_say_too_little_are_read_to_the_dear_side() {
    let file = r#"{"x/m":{"litellm_provider":"x","mode":"chat","input_cost_per_token":4e-12,
        "output_cost_per_token":5e-12,"cache_creation_input_token_cost":0.0,
        "input_cost_per_token_priority":9e-12}}"#;
    let imported = read(file);
    let price = &imported.prices[0];
    let written = Totals { input: 1, cache_write_5m: 1, ..Totals::default() };
    assert_eq!(pico(price, written), 4);
    let dear = Usage::of(&Totals { service: Service::Priority, ..written }).expect("sane");
    assert!(price.cost(&dear).is_err());
    assert_eq!(imported.notes.len(), 1);
}

/// Mutation: let the text of what is wrong quote the file.
#[test]
fn a_file_that_is_none_is_refused() {
    for file in ["", "[]", r#"{"m":1}"#, r#"{"m":{"mode":}}"#] {
        let error = import(file.as_bytes(), &source()).expect_err(file);
        assert!(matches!(error, ImportError::Syntax { .. }), "{error}");
    }
}

/// Mutation: write a table that the reader does not take, or that says something else.
#[test]
fn what_came_over_can_be_written_as_tables() {
    let Imported { models, prices, .. } = excerpt();
    let made = Catalogue::of(models, prices).expect("a catalogue");
    let again =
        Catalogue::read(&made.models_table(), &made.prices_table()).expect("its own tables");
    assert_eq!(again.version(), made.version());
    assert!(again.prices().eq(made.prices()));
}

/// The whole file lies among the shared material, where there is some.
fn whole_file() -> Option<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let beside = here.ancestors().nth(3).map(|above| above.join("shared"));
    let shared = std::env::var_os("ISONOMY_SHARED").map(PathBuf::from).or(beside)?;
    let file = std::env::var_os("LITELLM_PRICES").map(PathBuf::from);
    file.or_else(|| Some(shared.join("data/litellm/prices.json"))).filter(|file| file.is_file())
}

/// Mutation: refuse every row with a service tier, or with a context tier.
#[test]
fn most_rows_of_the_whole_file_come_over() {
    let Some(file) = whole_file() else {
        println!("skipped: no price file of LiteLLM; LITELLM_PRICES may name one");
        return;
    };
    let imported = import(&std::fs::read(file).expect("the file"), &source()).expect("the file");
    let (whole, refused) = (imported.prices.len(), imported.refused.len());
    println!(
        "{whole} rows came over, {} are there twice, {refused} were refused",
        imported.same.len()
    );
    assert!(whole > 4 * refused, "{whole} of {}", whole + refused);
    let tiered = imported.prices.iter().filter(|price| price.sheets().len() > 1).count();
    assert!(tiered > 500, "{tiered}");
    assert!(imported.prices.iter().any(|it| it.sheets()[0].rates[Class::CacheWrite1h].is_some()));
    let made = Catalogue::of(imported.models, imported.prices).expect("they fit together");
    let again =
        Catalogue::read(&made.models_table(), &made.prices_table()).expect("its own tables");
    assert_eq!(again.version(), made.version());
}
