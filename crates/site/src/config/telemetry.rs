//! `telemetry`: where spans of calls of models are sent.

use std::collections::BTreeMap;

use base::{Namespace, SecretName};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{ConfigError, Reader};
use crate::model::telemetry::Collector;

/// Headers that a collector asks for; one or two.
const HEADERS_MAX: usize = 8;

/// What the protocol adds to an address for traces.
const TRACES: &str = "/v1/traces";

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TelemetryFile {
    otlp: Option<Spanned<String>>,
    headers: BTreeMap<String, Spanned<String>>,
    namespace: Option<Spanned<String>>,
}

impl Reader<'_> {
    pub(super) fn telemetry(
        &self,
        telemetry: &TelemetryFile,
    ) -> Result<Option<Collector>, ConfigError> {
        let TelemetryFile { otlp, headers, namespace } = telemetry;
        let Some(otlp) = otlp else { return Ok(None) };
        if models::address(&otlp.value).is_err() {
            let what = "write the address of a collector, such as `http://127.0.0.1:4318`";
            return Err(self.wrong(otlp, what));
        }
        let address = otlp.value.trim_end_matches('/');
        if address.ends_with(TRACES) {
            let what = format!("write the collector's address without `{TRACES}`, which is added");
            return Err(self.wrong(otlp, what));
        }
        let namespace = match namespace {
            None => Namespace::parse("default").expect("a name"),
            Some(found) => {
                Namespace::parse(&found.value).map_err(|wrong| self.wrong(found, wrong))?
            }
        };
        let mut secrets = BTreeMap::new();
        for (name, found) in headers {
            if secrets.len() == HEADERS_MAX {
                return Err(self.wrong(found, format!("`headers` has at most {HEADERS_MAX}")));
            }
            let is_ours = ["content-type", "content-encoding"].contains(&name.as_str());
            if is_ours || !gateway::header::may_be_set(name) {
                let what = "write a header's name in small letters that the site does not set itself, such as `authorization`";
                return Err(self.wrong(found, what));
            }
            let secret = SecretName::parse(&found.value).map_err(|_| {
                self.wrong(
                    found,
                    "this is not the name of a secret: headers have their values there",
                )
            })?;
            secrets.insert(name.clone(), secret);
        }
        Ok(Some(Collector { url: format!("{address}{TRACES}"), headers: secrets, namespace }))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Option<Collector>, String> {
        let text = format!("spec:\n  telemetry: {text}");
        let config = Config::parse(&text, "site.yaml", Path::new("/nowhere"));
        config.map(|it| it.telemetry).map_err(|wrong| wrong.to_string())
    }

    /// Mutation: send somewhere by default, or forget the path of traces.
    #[test]
    fn spans_go_where_the_owner_says() {
        assert_eq!(parse("{}"), Ok(None));
        let said =
            "{otlp: 'https://otel.example/x/', headers: {authorization: otlp}, namespace: ops}";
        let collector = parse(said).expect("a configuration").expect("a collector");
        assert_eq!(collector.url, "https://otel.example/x/v1/traces");
        assert_eq!(collector.namespace.as_str(), "ops");
        let secret = SecretName::parse("otlp").expect("a name");
        assert_eq!(collector.headers, BTreeMap::from([("authorization".to_owned(), secret)]));
    }

    /// Mutation: take any text as address, header or secret.
    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, expected) in [
            ("{otlp: otel.example}", "site.yaml:2:21: write the address of a collector"),
            (
                "{otlp: 'http://o/v1/traces'}",
                "site.yaml:2:21: write the collector's address without",
            ),
            ("{otlp: 'http://o', headers: {host: a}}", "site.yaml:2:49: write a header's name"),
            (
                "{otlp: 'http://o', headers: {a: 'Bearer x'}}",
                "site.yaml:2:46: this is not the name",
            ),
            ("{otlp: 'http://o', namespace: a/b}", "site.yaml:2:44: "),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(expected), "{text}\n  gives {error}");
        }
    }
}
