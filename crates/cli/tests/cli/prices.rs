//! Prices that an owner brings: from LiteLLM's list or written by hand, laid over those that are shipped.

use serde_json::{Value, json};

use crate::models::until;
use crate::support::http::{Door, ask};
use crate::support::world::{Answer, World};
use crate::support::{Dev, Home};

/// Columns of `prices.csv`.
const HEAD: &str = "provider,model,region,service,above,span,currency,cache_read,cache_write_5m,cache_write_1h,input,audio_in,image_in,output,reasoning,audio_out,image_out,image,search,request,second,from,to,source,via,dated";

/// In the form of LiteLLM's list: two models that come over, one of them with a note, one that stands there twice,
/// and two that do not come over.
fn list() -> String {
    let chat = json!({
        "litellm_provider": "acme", "mode": "chat", "max_input_tokens": 32_000, "max_output_tokens": 1_000,
        "input_cost_per_token": 1.5e-6, "cache_read_input_token_cost": 3e-7, "output_cost_per_token": 7e-6,
        "input_cost_per_token_batches": 7.5e-7, "output_cost_per_token_batches": 3.5e-6,
        "source": "https://acme.example/prices",
    });
    let mini = json!({
        "litellm_provider": "openai", "mode": "chat", "max_input_tokens": 128_000, "max_output_tokens": 16_384,
        "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6,
        "file_search_cost_per_1k_calls": 0.0025,
    });
    json!({
        "sample_spec": {"mode": "one of: chat, embedding", "litellm_provider": "one of them"},
        "acme/team/chat-1": &chat,
        "team/chat-1": &chat,
        "gpt-4o-mini": mini,
        "acme/free": {
            "litellm_provider": "acme", "mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0,
        },
        "acme/film": {"litellm_provider": "acme", "mode": "video_generation", "output_cost_per_second": 1},
    })
    .to_string()
}

/// Allows this address, and names a folder beside the one of the site.
fn configure(home: &Home, url: &str) {
    let config = format!(
        "spec:\n  egress: [{{destination: '{url}', allow: true}}]\n  models:\n    prices: ../prices\n"
    );
    home.write(".isonomy/site.yaml", &config);
}

/// It has used 1,000 tokens of input, 200 of them from its cache, and 100 of output.
fn upstream() -> World {
    World::new(|_| {
        let message = json!({"role": "assistant", "content": "Hello."});
        let usage = json!({
            "prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100,
            "prompt_tokens_details": {"cached_tokens": 200},
        });
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        Answer::Json(json!({"choices": [choice], "usage": usage}).to_string())
    })
}

/// What one call of a model costs that has this price.
fn cost(home: &Home, dev: &Dev, url: &str, name: &str, price: &str) -> Value {
    let url = format!("{url}/v1");
    home.run(&["models", "add", name, &url, "--price", price]).ends_with(0);
    let key = ["keys", "create", name, "--scope", "model", "--models", name];
    let key = home.run(&key).ends_with(0).stdout.trim().to_owned();
    let door = Door { url: dev.url.clone(), key: Some(key) };
    let body = json!({"model": name, "messages": [{"role": "user", "content": "Hi"}]});
    let reply = ask(&door, "POST", "/v1/chat/completions", &body).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.body);
    let by = ["usage", "--by", "model", "-o", "json"];
    let row = |usage: &Value| -> Option<Value> {
        let items = usage["items"].as_array().expect("rows");
        items.iter().find(|row| row["group"]["model"] == name).cloned()
    };
    let usage = until(home, &by, |usage| row(usage).is_some());
    row(&usage).expect("a row")["cost"].clone()
}

/// Mutation: lose a row without a word, write over what is there, take the batch's price, or reckon with the shipped
/// prices alone, or with the owner's alone.
#[test]
fn prices_from_litellms_list_are_laid_over_the_shipped_ones_and_billed_by() {
    let (home, world) = (Home::new(), upstream());
    home.write("list.json", &list());
    let import =
        ["prices", "import", "list.json", "--from", "1.109.1", "--dated", "2026-11-20", "--out"];
    let made = home.run(&[&import[..], &["prices", "-o", "json"]].concat()).ends_with(0);
    assert_eq!(
        made.stderr,
        "2 of 5 rows came over, 1 of them with notes; 1 repeat others, 2 were refused\n     \
         1 refused: `video_generation` is no kind of call that is priced here\n     \
         1 refused: it does not say what a call costs\n\
         `-o json` names each row, with its reason\n\
         written: prices/models.csv\nwritten: prices/prices.csv\n\
         name the folder as `spec.models.prices` in `site.yaml`: its tables are laid over the shipped ones\n"
    );
    let row = |row: &str, reason: &str| json!({"row": row, "reason": reason});
    assert_eq!(
        made.json(),
        json!({
            "imported": [
                {"row": "acme/team/chat-1", "price": "acme/team/chat-1"},
                {"row": "gpt-4o-mini", "price": "openai/gpt-4o-mini"},
            ],
            "noted": [row("gpt-4o-mini", "`file_search_cost_per_1k_calls` cannot be expressed")],
            "same": ["team/chat-1"],
            "refused": [
                row("acme/film", "`video_generation` is no kind of call that is priced here"),
                row("acme/free", "it does not say what a call costs"),
            ],
            "files": ["prices/models.csv", "prices/prices.csv"],
        })
    );
    let again = home.run(&[&import[..], &["prices"]].concat()).ends_with(2);
    assert!(again.stderr.contains("are there already; nothing was written"), "{}", again.stderr);
    let piped = ["prices", "import", "-", "--from", "1.109.1", "--dated", "2026-11-20", "--out"];
    let piped = home.run_with_stdin(&[&piped[..], &["piped"]].concat(), &list()).ends_with(0);
    assert_eq!(piped.stdout, "");
    let read = |file: &str| std::fs::read_to_string(home.path(file)).expect("a table");
    assert_eq!(read("piped/prices.csv"), read("prices/prices.csv"));

    configure(&home, &world.url);
    let dev = home.dev();
    // 800 at 1.50, 200 at 0.30 and 100 at 7.00 USD for a million.
    assert_eq!(cost(&home, &dev, &world.url, "new", "acme/team/chat-1"), json!(["0.00196 USD"]));
    // 1,000 at 1.00 and 100 at 2.00, where the shipped price has 0.15 and 0.60.
    assert_eq!(cost(&home, &dev, &world.url, "mini", "openai/gpt-4o-mini"), json!(["0.0012 USD"]));

    let shown = home.run(&["prices", "show", "acme/team/chat-1", "-o", "json"]).ends_with(0).json();
    let sheet = |service: &str, rates: Value| json!({"service": service, "above": 0, "span": "whole", "rates": rates});
    assert_eq!(
        shown["prices"],
        json!([{
            "currency": "USD", "holds": true,
            "source": {"url": "https://acme.example/prices", "via": "litellm 1.109.1", "dated": "2026-11-20"},
            "sheets": [
                sheet("standard", json!({"input": "1.5", "cache_read": "0.3", "output": "7"})),
                sheet("batch", json!({"input": "0.75", "output": "3.5"})),
            ],
        }])
    );
    assert_eq!((&shown["contextTokens"], &shown["kind"]), (&json!(32_000), &json!("chat")));
    let text = home.run(&["prices", "show", "acme/team/chat-1"]).ends_with(0).stdout;
    let version = shown["version"].as_str().expect("a version");
    assert_eq!(
        text,
        format!(
            "acme/team/chat-1, chat, context 32000 tokens, output 1000 tokens\ncan: streaming\n\n\
             everywhere in USD\nhttps://acme.example/prices by litellm 1.109.1, read 2026-11-20\n\
             FOR         STANDARD  BATCH\ncache_read  0.3\ninput       1.5       0.75\noutput      7         3.5\n\n\
             list {version}\n"
        )
    );
    home.run(&["prices", "show", "anthropic/claude-haiku-4-5"]).ends_with(0);
    let listed = home.run(&["prices", "--provider", "acme"]).ends_with(0).stdout;
    assert_eq!(
        listed,
        "MODEL             KIND  REGION  IN   INPUT  CACHED  OUTPUT  ALSO   DATED\n\
         acme/team/chat-1  chat          USD  1.5    0.3     7       batch  2026-11-20\n"
    );
    dev.stop().ends_with(0);
}

/// Mutation: forget the filters or the cursor of the list, find a model by its own name alone, or let a key look that
/// is for models alone.
#[test]
fn prices_are_listed_page_by_page_and_found_by_name() {
    let home = Home::new();
    let dev = home.dev();
    let names = |args: &[&str]| -> Vec<String> {
        let page =
            home.run(&[&["prices", "list", "-o", "json"], args].concat()).ends_with(0).json();
        let items = page["items"].as_array().expect("models").iter();
        items.map(|it| it["name"].as_str().expect("a name").to_owned()).collect()
    };
    let all = names(&["--all"]);
    assert!(all.len() >= 100 && all.is_sorted(), "{all:?}");
    assert_eq!(names(&["--all", "--limit", "7"]), all);
    assert_eq!(names(&["--limit", "3"]), all[..3]);
    let claude: Vec<&String> = all.iter().filter(|it| it.starts_with("anthropic/")).collect();
    assert_eq!(names(&["--all", "--provider", "anthropic"]).iter().collect::<Vec<_>>(), claude);
    let haiku = names(&["--search", "HAIKU-4-5-2025"]);
    assert_eq!(haiku, ["anthropic/claude-haiku-4-5"], "by another of its names");
    assert!(!names(&["--search", "llama-3.1-405b"]).is_empty(), "written with capitals");
    let shown = home.run(&["prices", "show", "anthropic/claude-haiku-4-5-20251001"]).ends_with(0);
    assert!(shown.stdout.starts_with("anthropic/claude-haiku-4-5, chat"), "{}", shown.stdout);
    let missing = home.run(&["prices", "show", "acme/none"]).ends_with(2);
    let said = "there is no `acme/none` in the catalogue; `isonomy prices --search TEXT`";
    assert!(missing.stderr.contains(said), "{}", missing.stderr);
    home.run(&["prices", "show", "none"]).ends_with(2);

    let look = |role: &[&str], name: &str| {
        let create = [&["keys", "create", name], role].concat();
        let key = home.run(&create).ends_with(0).stdout.trim().to_owned();
        let door = Door { url: dev.url.clone(), key: Some(key) };
        ask(&door, "GET", "/api/v1/prices", &Value::Null).expect("an answer").status
    };
    assert_eq!(look(&["--role", "viewer", "-n", "sales"], "viewer"), 200);
    assert_eq!(look(&["--scope", "model"], "bot"), 401, "a key for models asks models alone");
}

/// Mutation: start with the shipped prices where the owner's are wrong.
#[test]
fn a_table_that_is_wrong_is_told_and_no_site_begins() {
    let home = Home::new();
    configure(&home, "https://acme.example");
    let row = |input: &str| {
        format!(
            "{HEAD}\nopenai,gpt-4o-mini,,,0,,EUR,,,,{input},,,2,,,,,,,,,,https://acme.example,,2026-11-20\n"
        )
    };
    let said = home.run(&["dev", "--port", "0"]).ends_with(2).stderr;
    assert!(said.contains("there is neither `models.csv` nor `prices.csv` in"), "{said}");
    home.write("prices/prices.csv", &row("0,15"));
    home.run(&["dev", "--port", "0"]).ends_with(2);
    home.write("prices/prices.csv", &row("dear"));
    for args in [&["dev", "--port", "0"][..], &["site", "serve", "--port", "0"]] {
        let said = home.run(args).ends_with(2).stderr;
        assert!(said.starts_with("error: .isonomy/site.yaml:4:13: "), "{said}");
        let place =
            "prices/prices.csv:2`: `input` is not a number: expected digits like `12` or `0.25`";
        assert!(said.contains(place), "{said}");
    }
    home.write("prices/prices.csv", &row("1"));
    let dev = home.dev();
    let shown = home.run(&["prices", "show", "openai/gpt-4o-mini", "-o", "json"]).ends_with(0);
    assert_eq!(shown.json()["prices"][0]["currency"], "EUR");
    dev.stop().ends_with(0);
}

/// Mutation: take any file for the list, or write tables of nothing.
#[test]
fn what_is_no_list_is_refused_and_nothing_is_written() {
    let home = Home::new();
    let out = ["--out", "prices"];
    let import = |text: &str, more: &[&str]| {
        home.write("list.json", text);
        let args = [&["prices", "import", "list.json"], &out[..], more].concat();
        home.run(&args).ends_with(2).stderr
    };
    let said = import("[1]", &[]);
    assert!(said.contains("not LiteLLM's price file: line 1, column"), "{said}");
    assert!(said.contains("hint: LiteLLM keeps it as"), "{said}");
    let said = import("{}", &[]);
    assert!(said.contains("no row of `list.json` came over; nothing was written"), "{said}");
    let said = import(&list(), &["--from", "\u{1b}[2J"]);
    assert!(said.contains("`--from` has 1 to 60 printable characters"), "{said}");
    import(&list(), &["--dated", "yesterday"]);
    home.run(&[&["prices", "import", "nowhere.json"], &out[..]].concat()).ends_with(2);
    assert!(!home.path("prices").exists());
}
