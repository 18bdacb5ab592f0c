//! The egress map: which destinations the site's owner allows, in the words of the configuration.
//!
//! A denying rule wins over every allowing one, wherever it stands: whoever adds a rule can only
//! forbid more. Among the allowing rules the first that matches counts. Whether a crossing passes
//! is in `decide`.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::destination::{Destination, Host, Scheme};

/// Rules of one map. Each is compared on every request, and a list that nobody can read protects
/// nobody.
pub const RULES_MAX: usize = 1_000;

/// One entry of `egress` as it is written. Exactly one of `allow`, `deny` and `to`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressRule {
    /// `scheme://host[:port]`. The host may be `*` or `*.example.com`, the port `*`.
    pub destination: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deny: bool,
    /// Allowed, but connected to here; the request keeps its own `Host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Rules that cannot be wrong any more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<EgressRule>", into = "Vec<EgressRule>")]
pub struct EgressMap {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule {number} of `egress` (`{destination}`): {what}")]
pub struct EgressError {
    /// The first rule is 1.
    pub number: usize,
    pub destination: String,
    pub what: EgressMistake,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressMistake {
    #[error("write exactly one of `allow: true`, `deny: true` and `to: http://host:port`")]
    Verdict,
    #[error(
        "write the destination as `https://host` or `http://host:port`, without user, path or query"
    )]
    Destination,
    #[error("`*` stands for a whole host or for the beginning of one, as in `*.example.com`")]
    Wildcard,
    #[error("the port is a number from 1 to 65535, or `*`")]
    Port,
    #[error("write `to` as `http://host:port`, without user, path or query")]
    To,
    #[error("more than {RULES_MAX} rules; join some by `*.example.com`")]
    TooMany,
}

/// A rule, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The first rule is 1.
    pub(crate) number: usize,
    pub(crate) pattern: Pattern,
    pub(crate) verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    Deny,
    To(Destination),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    scheme: Scheme,
    host: HostPattern,
    /// `None` is any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// Every name below this one, not the name itself.
    Below(String),
    Exact(Host),
}

impl EgressError {
    #[must_use]
    pub fn code(&self) -> Code {
        Code::EgressRule
    }
}

impl EgressMap {
    pub fn parse(rules: Vec<EgressRule>) -> Result<Self, EgressError> {
        let rules = rules.into_iter().enumerate().map(|(at, rule)| Rule::parse(at + 1, &rule));
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// The rule that counts for `destination`, if any matches.
    pub(crate) fn find(&self, destination: &Destination) -> Option<&Rule> {
        let mut allowed = None;
        for rule in self.rules.iter().filter(|rule| rule.pattern.matches(destination)) {
            match rule.verdict {
                Verdict::Deny => return Some(rule),
                Verdict::Allow | Verdict::To(_) => allowed = allowed.or(Some(rule)),
            }
        }
        allowed
    }
}

impl Rule {
    fn parse(number: usize, text: &EgressRule) -> Result<Self, EgressError> {
        let wrong = |what| EgressError { number, destination: shown(&text.destination), what };
        if number > RULES_MAX {
            return Err(wrong(EgressMistake::TooMany));
        }
        let pattern = Pattern::parse(&text.destination).map_err(wrong)?;
        let verdict = match (text.allow, text.deny, &text.to) {
            (true, false, None) => Verdict::Allow,
            (false, true, None) => Verdict::Deny,
            (false, false, Some(to)) => Verdict::To(target(to).ok_or(wrong(EgressMistake::To))?),
            _ => return Err(wrong(EgressMistake::Verdict)),
        };
        Ok(Self { number, pattern, verdict })
    }
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, EgressMistake> {
        let (scheme, rest) = text.split_once("://").ok_or(EgressMistake::Destination)?;
        let scheme = Scheme::parse(scheme).ok_or(EgressMistake::Destination)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['@', '/', '?', '#']) {
            return Err(EgressMistake::Destination);
        }
        let (host, port) = match rest.rsplit_once(':') {
            // The colons of an IPv6 address stand inside its brackets.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let port = match port {
            None => Some(scheme.default_port()),
            Some("*") => None,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(EgressMistake::Port),
                Ok(port) => Some(port),
            },
        };
        Ok(Self { scheme, host: HostPattern::parse(host)?, port })
    }

    pub(crate) fn matches(&self, destination: &Destination) -> bool {
        self.scheme == destination.scheme
            && self.port.is_none_or(|port| port == destination.port)
            && self.host.matches(&destination.host)
    }

    /// Whether the rule spells out this very address, so that its author meant it.
    pub(crate) fn names(&self, address: IpAddr) -> bool {
        self.host == HostPattern::Exact(Host::Address(address))
    }
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self, EgressMistake> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(below) = text.strip_prefix("*.") {
            return match exact(below)? {
                Host::Name(name) => Ok(Self::Below(name)),
                Host::Address(_) => Err(EgressMistake::Wildcard),
            };
        }
        exact(text).map(Self::Exact)
    }

    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Exact(exact), host) => exact == host,
            (Self::Below(parent), Host::Name(name)) => {
                name.strip_suffix(parent.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
            (Self::Below(_), Host::Address(_)) => false,
        }
    }
}

/// A host without wildcard, brought to its one spelling by the same parser as a request's.
fn exact(text: &str) -> Result<Host, EgressMistake> {
    if text.contains('*') {
        return Err(EgressMistake::Wildcard);
    }
    bare(&format!("https://{text}")).map(|found| found.host).ok_or(EgressMistake::Destination)
}

fn target(text: &str) -> Option<Destination> {
    bare(text)
}

/// The destination of an address that has nothing else in it.
fn bare(text: &str) -> Option<Destination> {
    let url = Url::parse(text).ok()?;
    let plain = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if plain { Destination::of(&url).ok() } else { None }
}

/// Enough of a wrong text to find it, and not the password that somebody wrote into it.
fn shown(text: &str) -> String {
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    text.chars().take(80).collect()
}

impl TryFrom<Vec<EgressRule>> for EgressMap {
    type Error = EgressError;

    fn try_from(rules: Vec<EgressRule>) -> Result<Self, EgressError> {
        Self::parse(rules)
    }
}

impl From<EgressMap> for Vec<EgressRule> {
    fn from(map: EgressMap) -> Self {
        let text = |rule: &Rule| EgressRule {
            destination: rule.pattern.to_string(),
            allow: rule.verdict == Verdict::Allow,
            deny: rule.verdict == Verdict::Deny,
            to: match &rule.verdict {
                Verdict::To(target) => Some(target.to_string()),
                Verdict::Allow | Verdict::Deny => None,
            },
        };
        map.rules.iter().map(text).collect()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        match &self.host {
            HostPattern::Any => f.write_str("*")?,
            HostPattern::Below(parent) => write!(f, "*.{parent}")?,
            HostPattern::Exact(host) => host.fmt(f)?,
        }
        match self.port {
            None => f.write_str(":*"),
            Some(port) if port == self.scheme.default_port() => Ok(()),
            Some(port) => write!(f, ":{port}"),
        }
    }
}

/// The rule as a person finds it again.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "egress rule {}: {}", self.number, self.pattern)?;
        match &self.verdict {
            Verdict::Allow => f.write_str(", allow"),
            Verdict::Deny => f.write_str(", deny"),
            Verdict::To(target) => write!(f, ", to {target}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(destination: &str) -> EgressRule {
        EgressRule { destination: destination.into(), allow: true, ..EgressRule::default() }
    }

    fn matches(pattern: &str, address: &str) -> bool {
        let map = EgressMap::parse(vec![rule(pattern)]).expect(pattern);
        map.find(&Destination::parse(address).expect(address)).is_some()
    }

    /// Mutation: let `*.example.com` match `example.com` or `badexample.com`, ignore scheme or port.
    #[test]
    fn a_pattern_matches_exactly_what_it_says() {
        for (pattern, address, expected) in [
            ("https://example.com", "https://example.com/x", true),
            ("https://EXAMPLE.com/", "https://example.com.:443/x", true),
            ("https://example.com", "http://example.com", false),
            ("https://example.com", "https://example.com:444", false),
            ("https://example.com:*", "https://example.com:444", true),
            ("https://example.com:8443", "https://example.com:8443", true),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://badexample.com", false),
            ("https://*", "https://anything.org", true),
            ("https://*", "https://10.0.0.1", true),
            ("http://127.0.0.1:*", "http://127.1:9", true),
            ("http://[::1]", "http://[0:0::1]", true),
            ("http://[::1]:81", "http://[::1]", false),
            ("https://bücher.example", "https://xn--bcher-kva.example", true),
        ] {
            assert_eq!(matches(pattern, address), expected, "{pattern} and {address}");
        }
    }

    /// Mutation: allow one rule more or less than the limit, or only refuse exactly one more.
    #[test]
    fn there_are_no_more_rules_than_the_limit() {
        let many = |count: usize| EgressMap::parse(vec![rule("https://a.example"); count]);
        assert!(many(RULES_MAX).is_ok());
        for count in [RULES_MAX + 1, RULES_MAX + 2] {
            let error = many(count).expect_err("too many");
            assert_eq!((error.number, &error.what), (RULES_MAX + 1, &EgressMistake::TooMany));
        }
    }

    /// Mutation: skip any of the checks in `Rule::parse` or `Pattern::parse`.
    #[test]
    fn a_wrong_rule_is_named_with_what_to_write() {
        let verdicts = |allow, deny, to: Option<&str>| EgressRule {
            destination: "https://a.example".into(),
            allow,
            deny,
            to: to.map(Into::into),
        };
        for (wrong, what) in [
            (verdicts(false, false, None), EgressMistake::Verdict),
            (verdicts(true, true, None), EgressMistake::Verdict),
            (verdicts(true, false, Some("http://127.0.0.1")), EgressMistake::Verdict),
            (verdicts(false, false, Some("127.0.0.1:80")), EgressMistake::To),
            (verdicts(false, false, Some("http://127.0.0.1/base")), EgressMistake::To),
            (rule("a.example"), EgressMistake::Destination),
            (rule("ftp://a.example"), EgressMistake::Destination),
            (rule("https://a.example/path"), EgressMistake::Destination),
            (rule("https://u:secret@a.example"), EgressMistake::Destination),
            (rule("https://"), EgressMistake::Destination),
            (rule("https://a.*.example"), EgressMistake::Wildcard),
            (rule("https://*.10.0.0.1"), EgressMistake::Wildcard),
            (rule("https://a.example:0"), EgressMistake::Port),
            (rule("https://a.example:70000"), EgressMistake::Port),
        ] {
            let error =
                EgressMap::parse(vec![rule("http://first"), wrong.clone()]).expect_err("wrong");
            assert_eq!((error.number, &error.what), (2, &what), "{wrong:?}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let many = vec![rule("https://a.example"); RULES_MAX + 1];
        assert_eq!(EgressMap::parse(many).expect_err("too many").what, EgressMistake::TooMany);
    }

    /// Mutation: allow unknown fields, or write the port where it is the scheme's own.
    #[test]
    fn a_map_survives_its_own_text() {
        let text = r#"[{"destination":"https://petstore.swagger.io","to":"http://127.0.0.1:8080"},
            {"destination":"http://*.lab.example:*","allow":true},{"destination":"https://*","deny":true}]"#;
        let map: EgressMap = serde_json::from_str(text).expect("a map");
        let written = serde_json::to_string(&map).expect("text");
        assert_eq!(written, text.split_whitespace().collect::<String>());
        let unknown = r#"[{"destination":"https://a","alow":true}]"#;
        assert!(serde_json::from_str::<EgressMap>(unknown).is_err());
        let error = serde_json::from_str::<EgressMap>(r#"[{"destination":"https://a"}]"#);
        assert!(
            error.expect_err("no verdict").to_string().contains("rule 1 of `egress` (`https://a`)")
        );
    }
}
