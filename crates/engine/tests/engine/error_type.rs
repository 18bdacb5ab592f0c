//! The standard errors match under every address that documents in the wild use for them.

use base::ErrorType;
use base::fault::BASES;

use crate::walk::Walk;

fn caught(filter: &str, raise: &str) -> bool {
    let body = format!(
        "
do:
  - guard:
      try: [{{work: {raise}}}]
      catch: {{errors: {{with: {{type: '{filter}'}}}}, do: [{{note: {{set: {{caught: true}}}}}}]}}
"
    );
    let walk = Walk::run(&body, "{}");
    let ended = walk.machine.ended().expect("it ended");
    ended.output.is_some()
}

fn raise(uri: &str) -> String {
    format!("{{raise: {{error: {{type: '{uri}', status: 400}}}}}}")
}

/// The base that the conformance kit uses in its filters, and that of the specification's prose.
const KIT: &str = "https://open-workflow-specification.org/dsl/errors/types/";
const PROSE: &str = "https://open-workflow-specification.org/spec/1.0.0/errors/";

/// Mutation: drop a base, compare addresses as they stand, or match by the last part alone.
#[test]
fn a_filter_matches_a_standard_error_under_every_base() {
    assert!(BASES.contains(&KIT) && BASES.contains(&PROSE));
    for kind in ErrorType::STANDARD.map(ErrorType::name) {
        for wanted in BASES {
            for raised in BASES {
                let filter = format!("{wanted}{kind}");
                assert!(caught(&filter, &raise(&format!("{raised}{kind}"))), "{filter}, {raised}");
            }
        }
    }
    let other = format!("{KIT}timeout");
    assert!(!caught(&other, &raise(&format!("{PROSE}communication"))));
    assert!(!caught(&other, &raise("https://example.com/errors/timeout")));
    assert!(!caught("https://example.com/errors/timeout", &raise(&other)));
    // What is not standard matches as it stands, under a known base too.
    let own = format!("{KIT}sold-out");
    assert!(caught(&own, &raise(&own)));
    assert!(!caught(&own, &raise(&format!("{PROSE}sold-out"))));
}

/// Mutation: raise the engine's own errors under an address that is not known.
#[test]
fn the_engines_own_errors_match_under_every_base() {
    let cases = [
        ("expression", "{set: {a: '${ 1 | keys }'}}"),
        ("validation", "{input: {schema: {document: {type: string}}}, set: {a: 1}}"),
        ("timeout", "{timeout: {after: PT1S}, wait: PT1H}"),
        ("communication", "{call: http, with: {method: get, endpoint: 'http://world/bad'}}"),
        ("configuration", "{call: http, with: {method: get, endpoint: 'http://world/{missing}'}}"),
    ];
    for (kind, task) in cases {
        for base in BASES {
            assert!(caught(&format!("{base}{kind}"), task), "{base}{kind}");
            assert!(!caught(&format!("{base}runtime"), task), "{base}{kind}");
        }
    }
}
