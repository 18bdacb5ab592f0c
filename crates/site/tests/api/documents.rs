//! Workflows that the tests run.

pub const GREET: &str = "  - greet: {set: {greeting: '${ \"hello \" + .name }'}}";

/// Every kind of task that needs nothing from outside.
pub const EVERYTHING: &str = r#"
  - first: {set: {items: [1, 2, 3], total: 0}}
  - look:
      switch:
        - many: {when: '${ (.items | length) > 2 }', then: each}
        - few: {then: end}
  - never: {set: {wrong: true}}
  - each:
      for: {each: item, in: '${ .items }'}
      do:
        - add: {set: {items: '${ .items }', total: '${ .total + $item }'}}
  - both:
      fork:
        branches:
          - left: {set: {left: '${ .total }'}}
          - right: {set: {right: '${ .total * 2 }'}}
  - guard:
      try:
        - wrong: {raise: {error: {type: https://example.com/sold-out, status: 409, title: Sold out}}}
      catch:
        as: problem
        do:
          - note: {set: {caught: '${ $problem.status }', sums: '${ . }'}}
  - rest: {wait: {milliseconds: 5}}
  - say:
      call: echo:1.0.0@default
      with: {said: '${ .caught }', sums: '${ .sums }'}
"#;

/// Waits for ever, as far as a test is concerned.
pub const SLEEP: &str = "  - sleep: {wait: {hours: 10}}";

/// Calls `{url}` and gives what it says.
pub const CALL: &str = "  - call: {call: http, with: {method: get, endpoint: '${ .url }'}}";
