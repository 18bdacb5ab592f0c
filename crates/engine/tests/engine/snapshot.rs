//! What a snapshot holds of things in flight. That it holds the rest is checked at every record of
//! every walk.

use engine::effect::Action;
use engine::machine::Effect;
use spec::tree::HttpOutput;

use crate::walk::Walk;

/// Mutation: forget how a call wants its answer, or whether it follows redirects.
#[test]
fn a_call_in_flight_asks_for_the_same_after_a_snapshot() {
    for (output, expected) in [
        ("raw", HttpOutput::Raw),
        ("content", HttpOutput::Content),
        ("response", HttpOutput::Response),
    ] {
        let body = format!(
            "do: [{{call: {{call: http, with: {{method: get, endpoint: 'http://world/ok', output: {output}, redirect: true}}}}}}]"
        );
        // The walk takes the machine through a snapshot after each record.
        let walk = Walk::start(&body, "{}");
        let outstanding = walk.machine.outstanding();
        let [Effect::Perform(perform)] = outstanding.as_slice() else {
            panic!("one call is in flight: {outstanding:?}")
        };
        let Action::Http(request) = &*perform.action else { panic!("{perform:?}") };
        assert_eq!((request.output, request.redirect), (expected, true));
    }
}
