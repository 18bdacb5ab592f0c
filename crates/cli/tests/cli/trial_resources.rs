//! `isonomy test` of workflows that refer to something by its address: files stand for it.

use crate::support::Home;

const SHOP: &str = "
document: { dsl: '1.0.3', namespace: default, name: shop, version: '1.0.0' }
input:
  schema: { resource: { endpoint: 'https://shop.example/order.schema.json' } }
do:
  - ask:
      call: openapi
      with:
        document: { endpoint: 'https://shop.example/openapi.json' }
        operationId: getStock
        parameters: { item: '${ .item }' }
  - price:
      run:
        script:
          language: python
          source: { endpoint: 'https://shop.example/price.py' }
          arguments: ['${ .left | tostring }']
";

const SCHEMA: &str = r#"{"type": "object", "required": ["item"]}"#;

const OPENAPI: &str = r#"{
  "openapi": "3.0.3", "info": {"title": "shop", "version": "1"},
  "servers": [{"url": "https://api.shop.example/v2"}],
  "paths": {"/stock/{item}": {"get": {"operationId": "getStock",
    "parameters": [{"name": "item", "in": "path", "required": true, "schema": {"type": "string"}}],
    "responses": {"200": {"description": "how many"}}}}}
}"#;

const TESTS: &str = "
resources:
  https://shop.example/order.schema.json: stands/order.json
  https://shop.example/openapi.json: stands/openapi.json
  https://shop.example/price.py: stands/price.py
cases:
  - name: the price follows from the stock
    input: { item: lamp }
    stubs:
      - { call: GET https://api.shop.example/v2/stock/lamp, output: { left: 4 } }
      - { task: price, with: { code: \"print('dear')\\n\", arguments: ['4'] }, output: dear }
    expect: { output: dear }
  - name: what is no order is refused
    expect: { error: { type: validation, status: 400 } }
  - name: another script in this case only
    input: { item: lamp }
    resources: { 'https://shop.example/price.py': stands/cheap.py }
    stubs:
      - { task: ask, output: { left: 5 } }
      - { task: price, with: { code: \"print('cheap')\\n\" }, output: cheap }
    expect: { output: cheap }
";

fn home() -> Home {
    let home = Home::new();
    home.write("shop/flow.yaml", SHOP);
    home.write("shop/flow.test.yaml", TESTS);
    home.write("shop/stands/order.json", SCHEMA);
    home.write("shop/stands/openapi.json", OPENAPI);
    home.write("shop/stands/price.py", "print('dear')\n");
    home.write("shop/stands/cheap.py", "print('cheap')\n");
    home
}

/// Mutation: look for the files elsewhere than beside the test, take the file's stand-in for that of
/// the case, or run without what was read.
#[test]
fn files_stand_for_what_has_an_address() {
    let home = home();
    let ended = home.run(&["test", "shop"]).ends_with(0);
    assert!(ended.stdout.ends_with("3 passed, 0 failed\n"), "{}", ended.stdout);
    let compared = home.run(&["test", "shop", "--compare", "shop/flow.yaml"]).ends_with(0);
    assert!(compared.stdout.ends_with("3 passed, 0 failed\n"), "{}", compared.stdout);
}

/// Mutation: fetch, name only the first address, or leave the lines out that would help.
#[test]
fn an_address_without_a_file_is_told_with_the_lines_to_add() {
    let home = home();
    home.write("shop/flow.test.yaml", "cases: [{ name: a }]");
    let ended = home.run(&["test", "shop"]).ends_with(2);
    assert_eq!(
        ended.stderr,
        "error: `shop/flow.yaml` refers to `https://shop.example/openapi.json`, and a test fetches nothing
hint: name files that stand for them, from the test file's folder:
  resources:
    \"https://shop.example/openapi.json\": FILE
    \"https://shop.example/order.schema.json\": FILE
    \"https://shop.example/price.py\": FILE\n"
    );
}

/// Mutation: take a misspelt address, or a file that is not there, for nothing.
#[test]
fn a_stand_in_that_cannot_be_meant_is_refused_at_its_line() {
    let home = home();
    for (from, to, said) in [
        (
            "https://shop.example/price.py: s",
            "https://shop.example/prize.py: s",
            "https://shop.example/price.py",
        ),
        ("stands/price.py", "stands/none.py", "which stands for `https://shop.example/price.py`"),
        ("stands/price.py", "stands/none.py", "--> shop/flow.test.yaml:5"),
        (
            "resources:\n",
            "resources:\n  https://shop.example/openapi.jsn: stands/openapi.json\n",
            "hint: did you mean `https://shop.example/openapi.json`?",
        ),
        ("stands/openapi.json", "stands/price.py", "error[WF-"),
    ] {
        let tests = TESTS.replacen(from, to, 1);
        assert_ne!(tests, TESTS, "{from}");
        home.write("shop/flow.test.yaml", &tests);
        let ended = home.run(&["test", "shop"]).ends_with(2);
        assert!(ended.stderr.contains(said), "{to}\n{}", ended.stderr);
    }
}
