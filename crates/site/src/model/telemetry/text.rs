//! Metrics of calls in the text form of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use models::genai::{
    ERROR_TYPE, OPERATION_DURATION, OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL, RESPONSE_MODEL,
    TIME_TO_FIRST_CHUNK, TOKEN_TYPE, TOKEN_USAGE,
};
use models::{Histogram, Labels, Measures};

use super::Seen;
use crate::metrics::Text;

/// As OpenTelemetry has it for what is beyond a limit of series.
const OVERFLOW: &str = "otel_metric_overflow=\"true\"";

const SPANS: &str = "isonomy_telemetry_spans_total";

pub(crate) fn write(out: &mut Text, seen: &Seen) {
    let (durations, answers) = (seen.meters.durations(), seen.meters.answers());
    let beyond = seen.meters.beyond();
    let rows = |rows: &BTreeMap<Labels, Measures>| -> Vec<(String, Measures)> {
        let known = rows.iter().map(|(labels, it)| (spelled(labels), *it));
        known.chain(beyond.map(|it| (OVERFLOW.to_owned(), *it))).collect()
    };
    let (durations, answers) = (rows(&durations), rows(&answers));
    let told = |all: &[(String, Measures)], of: fn(&Measures) -> Histogram| {
        let all = all.iter().map(|(labels, it)| (labels.clone(), of(it)));
        all.filter(|(_, it)| it.count() > 0).collect::<Vec<_>>()
    };
    let seconds = |name: &str| format!("{}_seconds", name.replace('.', "_"));
    let help = "How long calls of models took.";
    histograms(
        out,
        &seconds(OPERATION_DURATION),
        help,
        &told(&durations, |it| it.duration),
        micros,
    );
    let help = "Until the first piece of an answer that came as a stream.";
    histograms(out, &seconds(TIME_TO_FIRST_CHUNK), help, &told(&answers, |it| it.first), micros);
    let typed = |kind: &str, of| {
        let all = told(&answers, of).into_iter();
        let name = TOKEN_TYPE.replace('.', "_");
        all.map(|(labels, it)| (format!("{labels},{name}=\"{kind}\""), it)).collect::<Vec<_>>()
    };
    let tokens = [typed("input", |it| it.input), typed("output", |it| it.output)].concat();
    let name = TOKEN_USAGE.replace('.', "_");
    histograms(out, &name, "Tokens of calls of models.", &tokens, |it| it.to_string());
    if let Some(spans) = seen.spans {
        out.head(SPANS, "counter", "Spans of calls, by what became of them.");
        out.line(SPANS, "end=\"sent\"", spans.sent);
        out.line(SPANS, "end=\"dropped\"", spans.dropped);
        out.line(SPANS, "end=\"refused\"", spans.refused);
    }
}

/// No name of a model holds what a label may not.
fn spelled(labels: &Labels) -> String {
    let mut text = String::new();
    let error = labels.error.map(|it| it.to_string());
    let pairs = [
        (OPERATION_NAME, Some(labels.operation)),
        (PROVIDER_NAME, Some(labels.provider)),
        (REQUEST_MODEL, Some(labels.asked.as_str())),
        (RESPONSE_MODEL, labels.answered.as_ref().map(|it| it.as_str())),
        (ERROR_TYPE, error.as_deref()),
    ];
    for (name, value) in pairs {
        let Some(value) = value else { continue };
        let comma = if text.is_empty() { "" } else { "," };
        // Writing into a string cannot fail.
        let _ = write!(text, "{comma}{}=\"{value}\"", name.replace('.', "_"));
    }
    text
}

fn histograms(
    out: &mut Text,
    name: &str,
    help: &str,
    rows: &[(String, Histogram)],
    shown: fn(u64) -> String,
) {
    if rows.is_empty() {
        return;
    }
    out.head(name, "histogram", help);
    for (labels, it) in rows {
        let bucket = format!("{name}_bucket");
        for (bound, count) in it.cumulative() {
            out.line(&bucket, &format!("{labels},le=\"{}\"", shown(bound)), count);
        }
        out.line(&bucket, &format!("{labels},le=\"+Inf\""), it.count());
        out.decimal(&format!("{name}_sum"), labels, &shown(it.sum()));
        out.line(&format!("{name}_count"), labels, it.count());
    }
}

/// Millionths of a second as seconds.
fn micros(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use models::genai::{ErrorKind, Observed, Provider};
    use models::{Meters, ModelName, Used};

    use super::*;
    use crate::model::telemetry::SpanCounts;

    /// Mutation: tell a bucket without those below it, seconds in millionths, or an error of none.
    #[test]
    fn metrics_are_spelled_as_prometheus_has_it() {
        let named = |name| ModelName::parse(name).expect("a name");
        let mut meters = Meters::default();
        let answered = Observed {
            operation: "chat",
            provider: Provider::OTHER,
            asked: named("team/route"),
            answered: Some(named("small@1")),
            error: None,
            micros: 15_000,
            first_micros: Some(10_000),
            used: Some(Used { input: 5, output: 70_000_000, ..Used::default() }),
        };
        meters.note(&answered);
        let (error, used) = (Some(ErrorKind::Status(503)), None);
        meters.note(&Observed { answered: None, error, first_micros: None, used, ..answered });
        let mut out = Text::default();
        let spans = Some(SpanCounts { sent: 3, dropped: 2, refused: 1 });
        write(&mut out, &Seen { meters, spans });
        let text = out.into_text();
        let of = "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"_OTHER\",gen_ai_request_model=\"team/route\"";
        let by = format!("{of},gen_ai_response_model=\"small@1\"");
        for line in [
            "# TYPE gen_ai_client_operation_duration_seconds histogram".to_owned(),
            format!("gen_ai_client_operation_duration_seconds_bucket{{{by},le=\"0.01\"}} 0"),
            format!("gen_ai_client_operation_duration_seconds_bucket{{{by},le=\"0.02\"}} 1"),
            format!("gen_ai_client_operation_duration_seconds_bucket{{{by},le=\"+Inf\"}} 1"),
            format!("gen_ai_client_operation_duration_seconds_sum{{{by}}} 0.015"),
            format!("gen_ai_client_operation_duration_seconds_count{{{of},error_type=\"503\"}} 1"),
            format!("gen_ai_client_operation_time_to_first_chunk_seconds_sum{{{by}}} 0.01"),
            format!(
                "gen_ai_client_token_usage_bucket{{{by},gen_ai_token_type=\"input\",le=\"4\"}} 0"
            ),
            format!(
                "gen_ai_client_token_usage_bucket{{{by},gen_ai_token_type=\"input\",le=\"16\"}} 1"
            ),
            format!("gen_ai_client_token_usage_sum{{{by},gen_ai_token_type=\"output\"}} 70000000"),
            "isonomy_telemetry_spans_total{end=\"dropped\"} 2".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains(&format!("token_usage_count{{{of},gen_ai_token_type")), "{text}");
    }
}
