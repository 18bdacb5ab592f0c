//! The catalogue that is shipped, and what its reader refuses.

use base::Timestamp;
use pricing::{Bound, Catalogue, Class, Kind, Problem, Service, Totals, Usage, bound};

const MODELS: &str = "provider,model,aliases,kind,context_tokens,output_tokens_max,image_tokens_max,capabilities,retires,source,via,dated";
const PRICES: &str = "provider,model,region,service,above,span,currency,cache_read,cache_write_5m,cache_write_1h,input,audio_in,image_in,output,reasoning,audio_out,image_out,image,search,request,second,from,to,source,via,dated";
const MODEL: &str =
    "p,m,m-latest m-2026,chat,1000,100,,tools streaming,,https://p.example,,2026-11-22";

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect(text)
}

/// A price row: region, service, input, output, from, to.
fn row(region: &str, service: &str, input: &str, output: &str, from: &str, to: &str) -> String {
    format!(
        "p,m,{region},{service},0,whole,USD,,,,{input},,,{output},,,,,,,,{from},{to},https://p.example,,2026-11-22"
    )
}

fn read(models: &[&str], prices: &[String]) -> Result<Catalogue, pricing::CatalogueError> {
    let models = format!("{MODELS}\n{}\n", models.join("\n"));
    Catalogue::read(&models, &format!("{PRICES}\n{}\n", prices.join("\n")))
}

/// Mutation: take the source or the day out of a row of the shipped tables.
#[test]
fn every_shipped_row_has_a_source_and_a_price() {
    let shipped = Catalogue::shipped().expect("the shipped tables");
    assert!(shipped.models().count() >= 100);
    for model in shipped.models() {
        let name = format!("{}/{}", model.provider, model.name);
        assert!(model.source.url.starts_with("https://"), "{name}");
        let now = at("2026-11-22T00:00:00Z");
        assert!(shipped.price(&model.provider, &model.name, None, now).is_some(), "{name}");
        let bounded = matches!(model.kind, Kind::Chat | Kind::Completion | Kind::Embedding);
        assert!(!bounded || model.context_tokens.is_some(), "{name}");
    }
    for price in shipped.prices() {
        assert!(price.offer.source.url.starts_with("https://"), "{:?}", price.offer);
        assert_eq!(price.offer.source.dated.len(), 10);
    }
    for provider in ["openai", "google", "mistral", "deepseek", "cohere", "groq", "together"] {
        assert!(shipped.models().any(|model| model.provider == provider), "{provider}");
    }
}

/// Mutation: leave the output limit of a shipped chat model out: its calls have no bound.
#[test]
fn calls_of_shipped_chat_models_can_be_bounded() {
    let shipped = Catalogue::shipped().expect("the shipped tables");
    let unbounded: Vec<&str> = (shipped.models().filter(|model| model.kind == Kind::Chat))
        .filter(|model| {
            let price =
                shipped.price(&model.provider, &model.name, None, at("2026-11-22T00:00:00Z"));
            let limits = Bound {
                input_tokens_max: model.context_tokens,
                output_tokens_max: model.output_tokens_max,
                service: None,
                ..Bound::default()
            };
            bound(price.expect("a price"), &limits).is_none()
        })
        .map(|model| model.name.as_str())
        .collect();
    assert!(unbounded.is_empty(), "{unbounded:?}");
}

/// Mutation: let a price hold on its last day, or before its first.
#[test]
fn the_price_of_the_day_holds() {
    let prices = [row("", "", "1", "2", "", "2026-06-01"), row("", "", "3", "4", "2026-06-01", "")];
    let catalogue = read(&[MODEL], &prices).expect("a catalogue");
    let million = Usage::of(&Totals { input: 1_000_000, ..Totals::default() }).expect("sane");
    let check = |time, expected| {
        let price = catalogue.price("p", "m", None, at(time)).expect("a price");
        assert_eq!(price.cost(&million).expect("a cost").to_string(), expected, "{time}");
    };
    check("2026-05-31T23:59:59.999Z", "1.00 USD");
    check("2026-06-01T00:00:00Z", "3.00 USD");
    let ended = read(&[MODEL], &prices[..1]).expect("a catalogue");
    assert!(ended.price("p", "m", None, at("2026-06-01T00:00:00Z")).is_none());
}

/// Mutation: forget aliases or regions in the look-up.
#[test]
fn a_model_is_found_by_its_names_and_priced_by_its_region() {
    let prices = [row("", "", "1", "2", "", ""), row("eu", "", "1.1", "2.2", "", "")];
    let catalogue = read(&[MODEL], &prices).expect("a catalogue");
    assert_eq!(catalogue.model("p", "m-2026").map(|model| model.name.as_str()), Some("m"));
    assert!(catalogue.model("q", "m").is_none());
    let input = |region| {
        let price = catalogue.price("p", "m-latest", region, at("2026-06-01T00:00:00Z"));
        price.expect("a price").sheets()[0].rates[Class::Input].expect("a rate").pico()
    };
    assert_eq!(
        (input(None), input(Some("eu")), input(Some("us"))),
        (1_000_000, 1_100_000, 1_000_000)
    );
}

/// Mutation: keep the version of the catalogue below, or one of its models' old names.
#[test]
fn what_is_laid_over_wins() {
    let below = read(&[MODEL], &[row("", "", "1", "2", "", "")]).expect("a catalogue");
    let model = MODEL.replace("m-latest m-2026", "m-2027");
    let over = read(&[&model], &[row("", "", "5", "6", "", "")]).expect("a catalogue");
    let (old, version) = (below.version(), over.version());
    let both = below.overlaid(over);
    assert!(both.model("p", "m-latest").is_none());
    assert!(both.model("p", "m-2027").is_some());
    assert_eq!(both.prices().count(), 1);
    assert_eq!(both.version(), version, "nothing of the other one is left");
    assert_ne!(both.version(), old);
}

/// Mutation: want the models of the catalogue below to be repeated, lay a price over another region's, or take a
/// price of a model that is in neither.
#[test]
fn an_operators_tables_may_leave_out_what_stands_below() {
    let eu = || row("eu", "", "3", "4", "", "");
    let below = || read(&[MODEL], &[row("", "", "1", "2", "", ""), eu()]).expect("a catalogue");
    let prices = |rows: &[String]| format!("{PRICES}\n{}\n", rows.join("\n"));
    let input = |catalogue: &Catalogue, region| {
        let price = catalogue.price("p", "m", region, at("2026-06-01T00:00:00Z"));
        price.expect("a price").sheets()[0].rates[Class::Input].expect("a rate").pico()
    };
    let dearer = prices(&[row("", "", "5", "6", "", "")]);
    let both = below().with(None, Some(&dearer)).expect("a table");
    assert_eq!((input(&both, None), input(&both, Some("eu"))), (5_000_000, 3_000_000));
    assert_eq!(both.prices_of("p", "m").count(), 2);
    let models = format!("{MODELS}\n{}\n", MODEL.replace("m-latest m-2026", "m-2027"));
    let both = below().with(Some(&models), None).expect("a table");
    assert_eq!(input(&both, None), 1_000_000);
    assert!(both.model("p", "m-2027").is_some() && both.model("p", "m-2026").is_none());
    assert_eq!(below().with(None, None).expect("nothing").version(), below().version());
    let strange = prices(&[row("", "", "5", "6", "", "").replace("p,m,", "p,n,")]);
    let error = below().with(None, Some(&strange)).expect_err("no such model");
    assert_eq!((error.line, error.problem), (2, Problem::NoModel));
    let unpriced = prices(&[row("", "", "5", "", "", "")]);
    let error = below().with(None, Some(&unpriced)).expect_err("no price of output");
    assert_eq!(error.problem, Problem::NotPriced { column: "output" });
}

/// Mutation: repeat all of a file that is no table, or write a row that is read as a comment.
#[test]
fn a_name_is_given_back_as_it_is_or_not_at_all() {
    let long = Catalogue::read(&"x".repeat(100_000), PRICES).expect_err("no table");
    assert_eq!(long.problem, Problem::Column("x".repeat(60)));
    let slash = read(&[&MODEL.replace("p,m,", "p/q,m,")], &[]).expect_err("two names in one");
    assert!(matches!(slash.problem, Problem::Wrong { column: "provider", .. }));
    let marked = MODEL.replace("p,m,", "\"#p\",m,");
    let made = read(&[&marked], &[]).expect("a table");
    assert!(made.model("#p", "m").is_some());
    let read = Catalogue::read(&made.models_table(), &made.prices_table()).expect("as written");
    assert_eq!((read.version(), read.models().count()), (made.version(), 1));
}

/// Mutation: drop a check of the reader.
#[test]
fn a_table_with_something_wrong_is_refused_where_it_is() {
    let good = || row("", "", "1", "2", "", "");
    let refused = |models: &[&str], prices: &[String]| {
        let error = read(models, prices).expect_err("refused");
        (error.table, error.line, error.problem)
    };
    let wrong = |prices: &[String]| refused(&[MODEL], prices);
    let overlap = [good(), row("", "", "3", "4", "2026-06-01", "")];
    assert_eq!(wrong(&overlap), ("prices", 3, Problem::Overlap));
    assert_eq!(wrong(&[row("", "", "1", "", "", "")]).2, Problem::NotPriced { column: "output" });
    assert_eq!(wrong(&[row("", "fast", "1", "2", "", "")]).1, 2);
    assert!(matches!(
        wrong(&[row("", "", "-1", "2", "", "")]).2,
        Problem::Number { column: "input", .. }
    ));
    assert!(matches!(
        wrong(&[row("", "", "1e-7", "2", "", "")]).2,
        Problem::Number { column: "input", .. }
    ));
    assert!(matches!(
        wrong(&[row("", "", "1", "2", "soon", "")]).2,
        Problem::Wrong { column: "from", .. }
    ));
    let backwards = row("", "", "1", "2", "2026-06-02", "2026-06-01");
    assert!(matches!(wrong(&[backwards]).2, Problem::Price(_)));
    let sourceless = good().replace("https://p.example", "");
    assert_eq!(wrong(&[sourceless]).2, Problem::Empty { column: "source" });
    let undated = good().replace("2026-11-22", "");
    assert_eq!(wrong(&[undated]).2, Problem::Empty { column: "dated" });
    let http = good().replace("https", "http");
    assert!(matches!(wrong(&[http]).2, Problem::Wrong { column: "source", .. }));
    assert_eq!(refused(&[MODEL, MODEL], &[good()]), ("models", 3, Problem::Twice));
    assert_eq!(refused(&[], &[good()]), ("prices", 2, Problem::NoModel));
    assert!(matches!(wrong(&[good() + ",more"]).2, Problem::Csv(_)));
    let misnamed =
        Catalogue::read(MODELS, &PRICES.replace("reasoning", "resoning")).expect_err("refused");
    assert_eq!(misnamed.problem, Problem::Column("resoning".into()));
    let narrow = Catalogue::read(MODELS, &PRICES.replace("reasoning,", "")).expect_err("refused");
    assert_eq!(narrow.problem, Problem::NoColumn { column: "reasoning" });
}

/// Mutation: give a batch of a shipped model its standard price.
#[test]
fn a_shipped_batch_costs_half() {
    let shipped = Catalogue::shipped().expect("the shipped tables");
    let price =
        shipped.price("openai", "gpt-4.1", None, at("2026-11-22T00:00:00Z")).expect("a price");
    let cost = |service| {
        let totals = Totals { input: 1_000_000, output: 1_000_000, service, ..Totals::default() };
        price.cost(&Usage::of(&totals).expect("sane")).expect("a cost").to_string()
    };
    assert_eq!(cost(Service::Standard), "10.00 USD");
    assert_eq!(cost(Service::Batch), "5.00 USD");
}
