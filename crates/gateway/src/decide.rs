//! Whether a crossing passes: a plain function of the rules and of who asks for what.
//!
//! Reads no clock, resolves no name. What a permitted name resolves to is watched by `guard`.

use std::fmt;
use std::net::IpAddr;

use base::name::{FunctionRef, Namespace};
use base::{ErrorType, Fault, RunId};

use crate::code::Code;
use crate::destination::{Destination, Host};
use crate::egress::{EgressMap, Verdict};
use crate::guard;

/// Title of every denial that a workflow sees.
pub const DENIED: &str = "Denied by policy";

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    pub namespace: &'a Namespace,
    /// `None` where the site itself asks, to resolve what a document refers to.
    pub run: Option<RunId>,
    /// The activation's text; empty where the site itself asks.
    pub activation: &'a str,
    /// Labels of all data that the run has read. No rule reads them yet.
    pub labels: &'a [String],
}

/// Something that wants to leave the run.
#[derive(Debug, Clone, Copy)]
pub struct Crossing<'a> {
    pub caller: Caller<'a>,
    pub what: What<'a>,
}

#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// An HTTP request, or one hop of it.
    Egress(&'a Destination),
    /// A function of the catalog, inside this process.
    Function(&'a FunctionRef),
    /// An encrypted connection of a foreign process, whose content is not seen.
    Tunnel(&'a Destination),
    /// A foreign process, in a sandbox or not.
    Process { what: &'a str, confined: bool },
}

/// The gate's word as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    pub allowed: bool,
    /// Which rule decided, in the words of the configuration.
    pub rule: String,
    /// Where to: scheme, host and port, or a function.
    pub destination: String,
}

/// A crossing passes, this way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub ruling: Ruling,
    pub route: Route,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Nothing to connect to.
    Inside,
    /// To the destination itself; addresses of link-local and metadata services are refused unless
    /// the rule names the address.
    Direct { named: bool },
    /// To this place instead, which the site's owner wrote down.
    Via(Destination),
}

/// A crossing does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    pub ruling: Ruling,
    pub reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    NoRule,
    /// The rule is in the ruling.
    Forbidden,
    /// The address belongs to a link-local or metadata service.
    Guarded(IpAddr),
    /// A foreign process without a sandbox, in a run with labels.
    Unconfined,
}

pub fn decide(map: &EgressMap, crossing: &Crossing<'_>) -> Result<Grant, Denial> {
    match crossing.what {
        What::Egress(destination) | What::Tunnel(destination) => egress(map, destination),
        What::Process { what, confined } => process(crossing.caller.labels, what, confined),
        What::Function(function) => {
            let ruling =
                Ruling { allowed: true, rule: "catalog".into(), destination: function.to_string() };
            Ok(Grant { ruling, route: Route::Inside })
        }
    }
}

/// In a sandbox a process reaches nothing but its door. Outside of one it reaches whatever the
/// site's user does, so nothing with a label is shown to it.
fn process(labels: &[String], what: &str, confined: bool) -> Result<Grant, Denial> {
    let rule = if confined { "sandbox" } else { "scripts: unconfined" };
    let allowed = confined || labels.is_empty();
    let ruling = Ruling { allowed, rule: rule.to_owned(), destination: what.to_owned() };
    if allowed {
        return Ok(Grant { ruling, route: Route::Inside });
    }
    Err(Denial { ruling, reason: Reason::Unconfined })
}

fn egress(map: &EgressMap, destination: &Destination) -> Result<Grant, Denial> {
    let Some(rule) = map.find(destination) else {
        return Err(Denial::new("no egress rule matches".into(), destination, Reason::NoRule));
    };
    let route = match &rule.verdict {
        Verdict::Deny => return Err(Denial::new(rule.to_string(), destination, Reason::Forbidden)),
        Verdict::To(target) => Route::Via(target.clone()),
        Verdict::Allow => match destination.host {
            Host::Name(_) => Route::Direct { named: false },
            Host::Address(address) => {
                let named = rule.pattern.names(address);
                if guard::is_guarded(address) && !named {
                    return Err(Denial::new(
                        rule.to_string(),
                        destination,
                        Reason::Guarded(address),
                    ));
                }
                Route::Direct { named }
            }
        },
    };
    let ruling =
        Ruling { allowed: true, rule: rule.to_string(), destination: destination.to_string() };
    Ok(Grant { ruling, route })
}

impl Denial {
    fn new(rule: String, destination: &Destination, reason: Reason) -> Self {
        let ruling = Ruling { allowed: false, rule, destination: destination.to_string() };
        Self { ruling, reason }
    }

    /// A permitted name that turned out to lead to a guarded address.
    pub(crate) fn guarded(grant: &Grant, address: IpAddr) -> Self {
        let ruling = Ruling { allowed: false, ..grant.ruling.clone() };
        Self { ruling, reason: Reason::Guarded(address) }
    }

    #[must_use]
    pub fn code(&self) -> Code {
        match self.reason {
            Reason::NoRule => Code::NoRule,
            Reason::Forbidden => Code::Forbidden,
            Reason::Guarded(_) => Code::Guarded,
            Reason::Unconfined => Code::Unconfined,
        }
    }

    /// As a workflow sees it: an `authorization` error that it may catch.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::new(ErrorType::Authorization, format!("{}: {self}", self.code())).with_title(DENIED)
    }
}

impl std::error::Error for Denial {}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ruling { rule, destination, .. } = &self.ruling;
        match self.reason {
            Reason::NoRule => write!(
                f,
                "no rule of the site's egress map allows `{destination}`; to allow it, add to the site's configuration:\n\
                 spec:\n  egress:\n    - destination: {destination}\n      allow: true"
            ),
            Reason::Forbidden => {
                write!(
                    f,
                    "`{destination}` is denied by {rule}; only the site's owner can remove that rule"
                )
            }
            Reason::Unconfined => write!(
                f,
                "the run has read labelled data, and {destination} would see it outside of a sandbox; \
                 run it at a site whose system allows a sandbox"
            ),
            Reason::Guarded(address) => write!(
                f,
                "`{destination}` leads to {address}, an address of link-local or metadata services, and the matching rule \
                 ({rule}) does not spell it out; to reach it on purpose, add a rule for `http://{}`",
                Host::Address(address)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::EgressRule;

    fn map() -> EgressMap {
        let rule = |destination: &str, allow, deny, to: Option<&str>| EgressRule {
            destination: destination.into(),
            allow,
            deny,
            to: to.map(Into::into),
        };
        EgressMap::parse(vec![
            rule("https://petstore.swagger.io", false, false, Some("http://127.0.0.1:8080")),
            rule("https://*.swagger.io", true, false, None),
            rule("https://*.example.com", true, false, None),
            rule("https://bad.example.com", false, true, None),
            rule("http://*:*", true, false, None),
            rule("http://169.254.169.253", true, false, None),
            rule("http://meta.internal", false, false, Some("http://169.254.169.254")),
        ])
        .expect("good rules")
    }

    /// Mutation: keep the grant's `allowed` in the denial that takes it back.
    #[test]
    fn a_name_that_leads_to_a_guarded_address_is_a_denial_in_the_record_too() {
        let ruling =
            Ruling { allowed: true, rule: "rule 3".into(), destination: "https://a".into() };
        let grant = Grant { ruling, route: Route::Direct { named: false } };
        let denial = Denial::guarded(&grant, "169.254.169.254".parse().expect("an address"));
        assert!(!denial.ruling.allowed);
        assert_eq!((&*denial.ruling.rule, denial.code()), ("rule 3", Code::Guarded));
    }

    fn check(map: &EgressMap, address: &str, expected: &str) {
        let namespace = Namespace::parse("lab").expect("a name");
        let run = RunId::from_uuid(uuid());
        let caller =
            Caller { namespace: &namespace, run: Some(run), activation: "/a", labels: &[] };
        let destination = Destination::parse(address).expect(address);
        let said = match decide(map, &Crossing { caller, what: What::Egress(&destination) }) {
            Ok(Grant { ruling, route }) => {
                assert!(ruling.allowed);
                let way = match route {
                    Route::Inside => "inside".to_owned(),
                    Route::Direct { named } => format!("direct, named {named}"),
                    Route::Via(target) => format!("via {target}"),
                };
                format!("{way} by {}", ruling.rule)
            }
            Err(denial) => {
                assert!(!denial.ruling.allowed);
                denial.to_string()
            }
        };
        assert_eq!(said, expected, "{address}");
    }

    fn uuid() -> uuid::Uuid {
        uuid::Uuid::from_u128(7)
    }

    /// Mutation: let the last match win, let an allow win over a deny, allow without a rule.
    #[test]
    fn the_first_allowing_rule_counts_and_a_deny_wins_over_all() {
        let map = map();
        check(
            &map,
            "https://petstore.swagger.io/v2/pet/1",
            "via http://127.0.0.1:8080 by egress rule 1: https://petstore.swagger.io, to http://127.0.0.1:8080",
        );
        check(
            &map,
            "https://x.swagger.io",
            "direct, named false by egress rule 2: https://*.swagger.io, allow",
        );
        check(
            &map,
            "https://good.example.com",
            "direct, named false by egress rule 3: https://*.example.com, allow",
        );
        check(
            &map,
            "https://bad.example.com",
            "`https://bad.example.com` is denied by egress rule 4: https://bad.example.com, deny; only the site's owner can remove that rule",
        );
        check(
            &map,
            "https://other.org:8443/secret?token=1",
            "no rule of the site's egress map allows `https://other.org:8443`; to allow it, add to the site's configuration:\n\
             spec:\n  egress:\n    - destination: https://other.org:8443\n      allow: true",
        );
    }

    /// Mutation: ask only whether some rule matches, or take a wildcard for a name.
    #[test]
    fn a_wildcard_never_reaches_a_metadata_service() {
        let map = map();
        let guarded = |destination: &str, address: &str, host: &str| {
            format!(
                "`{destination}` leads to {address}, an address of link-local or metadata services, and the matching rule \
                 (egress rule 5: http://*:*, allow) does not spell it out; to reach it on purpose, add a rule for `http://{host}`"
            )
        };
        for (address, shown, host) in [
            ("http://169.254.169.254/latest", "169.254.169.254", "169.254.169.254"),
            ("http://[fe80::1]/", "fe80::1", "[fe80::1]"),
            (
                "http://[::ffff:169.254.169.254]/",
                "::ffff:169.254.169.254",
                "[::ffff:169.254.169.254]",
            ),
        ] {
            let destination = Destination::parse(address).expect(address).to_string();
            check(&map, address, &guarded(&destination, shown, host));
        }
        check(
            &map,
            "http://meta.internal/x",
            "direct, named false by egress rule 5: http://*:*, allow",
        );
        check(&map, "http://10.0.0.1/", "direct, named false by egress rule 5: http://*:*, allow");
    }

    /// Mutation: let the guard refuse an address although the rule spells it out.
    #[test]
    fn an_address_that_a_rule_spells_out_is_meant() {
        let rule = |to: Option<&str>| EgressRule {
            destination: "http://169.254.169.254".into(),
            allow: to.is_none(),
            deny: false,
            to: to.map(Into::into),
        };
        let named = EgressMap::parse(vec![rule(None)]).expect("a rule");
        check(
            &named,
            "http://169.254.169.254/latest",
            "direct, named true by egress rule 1: http://169.254.169.254, allow",
        );
        let mapped = EgressMap::parse(vec![rule(Some("http://127.0.0.1:1"))]).expect("a rule");
        check(
            &mapped,
            "http://169.254.169.254/latest",
            "via http://127.0.0.1:1 by egress rule 1: http://169.254.169.254, to http://127.0.0.1:1",
        );
    }

    /// Mutation: take another kind of fault, or another status.
    #[test]
    fn a_denial_is_an_authorization_error_403() {
        let destination = Destination::parse("https://other.org/secret").expect("an address");
        let denial = egress(&EgressMap::default(), &destination).expect_err("no rule");
        let fault = denial.fault();
        assert_eq!((fault.kind(), fault.status), (ErrorType::Authorization, 403));
        assert_eq!(fault.title.as_deref(), Some(DENIED));
        let detail = fault.detail.expect("a detail");
        assert!(detail.starts_with("GATE-001: ") && !detail.contains("secret"), "{detail}");
    }
}
