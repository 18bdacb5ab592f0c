//! Real handshakes between the two ends, over memory.

use std::sync::Arc;

use base::{Duration, SiteName, Timestamp};
use identity::{
    Authority, Certificate, Domain, GRACE, HUB_CERTIFICATE_LIFE, Key, Name, Pin, Root,
    SITE_CERTIFICATE_LIFE, hub_config, site_config,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, Connection, ServerConfig, ServerConnection};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

const DAY: Duration = Duration::from_secs(24 * 3600);

fn key() -> Key {
    Key::generate().expect("a key")
}

fn domain() -> Domain {
    Domain::parse("acme").expect("a domain")
}

fn plant() -> SiteName {
    SiteName::parse("plant-1").expect("a name")
}

struct Fleet {
    root: Root,
    authority: Authority,
}

impl Fleet {
    fn new() -> Self {
        let root = Root::create(&domain(), key(), NOW).expect("a root");
        let authority = root.authority(&domain(), key(), NOW).expect("an authority");
        Self { root, authority }
    }

    fn pin(&self) -> Pin {
        self.root.pin()
    }

    /// The hub, which takes sites of these authorities.
    fn hub(&self, authorities: &[&Authority]) -> ServerConfig {
        let own = key();
        let chain = self.authority.hub_chain(&own.public(), NOW).expect("a chain");
        let known: Vec<_> = authorities.iter().map(|it| it.certificate().clone()).collect();
        hub_config(chain, &own, &known).expect("a configuration")
    }
}

/// Hands bytes to and fro until both are satisfied or one is not.
fn handshake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), String> {
    for _ in 0..10 {
        pass(&mut client.into(), &mut server.into())?;
        pass(&mut server.into(), &mut client.into())?;
    }
    if client.is_handshaking() || server.is_handshaking() {
        return Err("nothing moves".to_owned());
    }
    Ok(())
}

/// One of the two ends.
enum End<'a> {
    Client(&'a mut ClientConnection),
    Server(&'a mut ServerConnection),
}

impl<'a> From<&'a mut ClientConnection> for End<'a> {
    fn from(it: &'a mut ClientConnection) -> Self {
        Self::Client(it)
    }
}

impl<'a> From<&'a mut ServerConnection> for End<'a> {
    fn from(it: &'a mut ServerConnection) -> Self {
        Self::Server(it)
    }
}

impl End<'_> {
    fn write(&mut self, to: &mut Vec<u8>) {
        let wrote = match self {
            Self::Client(it) => it.write_tls(to),
            Self::Server(it) => it.write_tls(to),
        };
        wrote.expect("memory takes anything");
    }

    fn read(&mut self, mut from: &[u8]) -> Result<(), String> {
        while !from.is_empty() {
            let read = match self {
                Self::Client(it) => it.read_tls(&mut from),
                Self::Server(it) => it.read_tls(&mut from),
            };
            read.expect("memory gives what it has");
            let result = match self {
                Self::Client(it) => it.process_new_packets(),
                Self::Server(it) => it.process_new_packets(),
            };
            result.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn pass(from: &mut End<'_>, to: &mut End<'_>) -> Result<(), String> {
    let mut bytes = Vec::new();
    from.write(&mut bytes);
    to.read(&bytes)
}

/// Whom the hub takes the site for.
fn meet(
    hub: &ServerConfig,
    root: Pin,
    identity: Option<(CertificateDer<'static>, &Key)>,
    clock: Timestamp,
) -> Result<Option<Name>, String> {
    let config = site_config(root, identity, clock).expect("a configuration");
    let name = ServerName::try_from("192.0.2.1").expect("an address");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut server = ServerConnection::new(Arc::new(hub.clone())).expect("a server");
    handshake(&mut client, &mut server)?;
    let shown = Connection::from(server).peer_certificates().map(<[_]>::to_vec);
    Ok(shown.map(|shown| Certificate::read(&shown[0]).expect("one of ours").name))
}

/// Mutation: take a site's word for its name, or turn away who has no certificate yet.
#[test]
fn a_site_is_who_its_certificate_says_and_may_come_without_one() {
    let fleet = Fleet::new();
    let hub = fleet.hub(&[&fleet.authority]);
    assert_eq!(meet(&hub, fleet.pin(), None, NOW), Ok(None));
    let own = key();
    let certificate = fleet.authority.site(&plant(), &own.public(), NOW).expect("a certificate");
    let met = meet(&hub, fleet.pin(), Some((certificate, &own)), NOW);
    assert_eq!(met, Ok(Some(Name::Site(domain(), plant()))));
}

/// Mutation: compare no pin, or trust whatever root is shown.
#[test]
fn a_site_speaks_with_the_hub_of_its_root_alone() {
    let (ours, theirs) = (Fleet::new(), Fleet::new());
    let hub = theirs.hub(&[&theirs.authority]);
    let met = meet(&hub, ours.pin(), None, NOW);
    assert!(met.as_ref().is_err_and(|why| why.contains("UnknownIssuer")), "{met:?}");
    // Even where it shows our root besides.
    let own = key();
    let mut chain = theirs.authority.hub_chain(&own.public(), NOW).expect("a chain");
    chain.extend(ours.authority.hub_chain(&own.public(), NOW).expect("a chain").pop());
    let hub = hub_config(chain, &own, &[theirs.authority.certificate().clone()]);
    let met = meet(&hub.expect("a configuration"), ours.pin(), None, NOW);
    assert!(met.is_err(), "{met:?}");
}

/// Mutation: take certificates of any authority, or of the one before when there is a new one not at all.
#[test]
fn a_hub_takes_sites_of_its_authorities_alone() {
    let (ours, theirs) = (Fleet::new(), Fleet::new());
    let new = ours.root.authority(&domain(), key(), NOW).expect("an authority");
    let hub = ours.hub(&[&ours.authority, &new]);
    let own = key();
    for (by, is_taken) in [(&ours.authority, true), (&new, true), (&theirs.authority, false)] {
        let certificate = by.site(&plant(), &own.public(), NOW).expect("a certificate");
        let met = meet(&hub, ours.pin(), Some((certificate, &own)), NOW);
        assert_eq!(met.is_ok(), is_taken, "{met:?}");
    }
}

/// Mutation: let a site's certificate serve as the hub's, or the hub's as a site's.
#[test]
fn a_certificate_is_good_for_one_side_alone() {
    let fleet = Fleet::new();
    let own = key();
    let site = fleet.authority.site(&plant(), &own.public(), NOW).expect("a certificate");
    let mut chain = fleet.authority.hub_chain(&own.public(), NOW).expect("a chain");
    let hub_own = std::mem::replace(&mut chain[0], site);
    let known = [fleet.authority.certificate().clone()];
    let impostor = hub_config(chain, &own, &known).expect("a configuration");
    assert!(meet(&impostor, fleet.pin(), None, NOW).is_err());
    let hub = fleet.hub(&[&fleet.authority]);
    assert!(meet(&hub, fleet.pin(), Some((hub_own, &own)), NOW).is_err());
}

/// Mutation: judge the hub's certificate by a clock that may be wrong, or take one of long ago.
#[test]
fn a_wrong_clock_does_not_lock_a_site_out() {
    let fleet = Fleet::new();
    let hub = fleet.hub(&[&fleet.authority]);
    let end = NOW.plus(HUB_CERTIFICATE_LIFE);
    let clocks = [
        (NOW.plus(DAY), true),
        (NOW.minus(Duration::from_secs(7200)), true),
        (NOW.minus(DAY), true),
        (end.plus(minus_one(GRACE)), true),
        (end.plus(GRACE).plus(DAY), false),
        (NOW.minus(GRACE.saturating_add(DAY)), false),
    ];
    for (clock, is_taken) in clocks {
        let met = meet(&hub, fleet.pin(), None, clock);
        assert_eq!(met.is_ok(), is_taken, "{clock}: {met:?}");
    }
}

fn minus_one(of: Duration) -> Duration {
    Duration::from_millis(of.as_millis() - DAY.as_millis())
}

/// Mutation: have TLS refuse an expired certificate, or read its end wrongly.
#[test]
fn an_expired_certificate_still_says_who_somebody_is() {
    let fleet = Fleet::new();
    let hub = fleet.hub(&[&fleet.authority]);
    let own = key();
    let long_ago = NOW.minus(Duration::from_secs(30 * 24 * 3600));
    let certificate = fleet.authority.site(&plant(), &own.public(), long_ago).expect("made");
    let read = Certificate::read(&certificate).expect("one of ours");
    assert_eq!(read.not_after, long_ago.plus(SITE_CERTIFICATE_LIFE));
    assert_eq!(read.key, own.public());
    let met = meet(&hub, fleet.pin(), Some((certificate, &own)), NOW);
    assert_eq!(met, Ok(Some(Name::Site(domain(), plant()))));
}

/// Mutation: show a certificate without its key.
#[test]
fn a_copied_certificate_is_worth_nothing() {
    let fleet = Fleet::new();
    let hub = fleet.hub(&[&fleet.authority]);
    let (own, other) = (key(), key());
    let certificate = fleet.authority.site(&plant(), &own.public(), NOW).expect("a certificate");
    let config = site_config(fleet.pin(), Some((certificate, &other)), NOW);
    // The library sees it here already; where it does not, the hub must.
    if let Ok(config) = config {
        let name = ServerName::try_from("hub").expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut server = ServerConnection::new(Arc::new(hub)).expect("a server");
        assert!(handshake(&mut client, &mut server).is_err());
    }
}

/// Mutation: lose the key's match when an authority is read from its files.
#[test]
fn an_authority_comes_back_from_its_files() {
    let (root_key, own) = (key(), key());
    let (root_pem, own_pem) = (root_key.to_pem(), own.to_pem());
    let root = Root::create(&domain(), root_key, NOW).expect("a root");
    let authority = root.authority(&domain(), own, NOW).expect("an authority");
    let again = |pem: &str| {
        let key = Key::from_pem(pem).expect("a key");
        Authority::read(domain(), authority.pem(), key, root.pem())
    };
    let read = again(&own_pem).expect("what was written");
    assert_eq!((read.pem(), read.root_pin()), (authority.pem(), Some(root.pin())));
    assert!(again(&root_pem).is_err(), "another key");
    let root = Root::read(root.pem(), Key::from_pem(&root_pem).expect("a key")).expect("a root");
    assert_eq!(read.root_pin(), Some(root.pin()));
    // What the one that was read has signed is taken.
    let fleet = Fleet { root, authority: read };
    let hub = fleet.hub(&[&authority]);
    let own = key();
    let certificate = fleet.authority.site(&plant(), &own.public(), NOW).expect("a certificate");
    assert!(meet(&hub, fleet.pin(), Some((certificate, &own)), NOW).is_ok());
}
