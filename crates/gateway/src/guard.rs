//! What a permitted name must not resolve to.
//!
//! A rule allows a name; whoever owns that name decides its addresses. So addresses that stand for
//! "this very machine's cloud" are refused here, after the permit and before the connection, however
//! many times the name changes its mind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Metadata services outside the link-local ranges: Alibaba, Oracle, and Amazon over IPv6.
const METADATA_V4: [Ipv4Addr; 2] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// The prefix under which an IPv6-only network reaches IPv4 addresses (RFC 6052).
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

pub(crate) fn is_guarded(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6 == METADATA_V6
                || embedded(v6).is_some_and(|v4| is_guarded(IpAddr::V4(v4)))
        }
    }
}

/// The IPv4 address that an IPv6 address stands for.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d] = *v6.octets().last_chunk::<4>().expect("sixteen bytes");
    let nat64 = v6.segments()[..6] == NAT64;
    v6.to_ipv4_mapped().or(nat64.then_some(Ipv4Addr::new(a, b, c, d)))
}

/// Every address of the name is guarded.
#[derive(Debug, thiserror::Error)]
#[error("resolves to the guarded address {0}")]
pub(crate) struct GuardedAddress(pub(crate) IpAddr);

#[derive(Debug, thiserror::Error)]
#[error("the name has no address")]
struct NoAddress;

/// The system's resolver, less what is guarded.
pub(crate) struct GuardedResolver;

/// The system's resolver as it is, for destinations that the site's owner wrote down.
pub(crate) struct OpenResolver;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move { Ok(Box::new(kept(lookup(name).await?)?.into_iter()) as Addrs) })
    }
}

impl Resolve for OpenResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move { Ok(Box::new(lookup(name).await?.into_iter()) as Addrs) })
    }
}

async fn lookup(name: Name) -> std::io::Result<Vec<SocketAddr>> {
    // The port is the client's business; 0 says so.
    Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect())
}

pub(crate) fn kept(
    found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    let (guarded, kept): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|found| is_guarded(found.ip()));
    match (kept.is_empty(), guarded.first()) {
        (false, _) => Ok(kept),
        (true, Some(guarded)) => Err(GuardedAddress(guarded.ip()).into()),
        (true, None) => Err(NoAddress.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: drop a range, or look only at the outside of an IPv6 address.
    #[test]
    fn link_local_and_metadata_addresses_are_guarded_in_every_spelling() {
        for (address, expected) in [
            ("169.254.169.254", true),
            ("169.254.0.0", true),
            ("169.255.0.0", false),
            ("100.100.100.200", true),
            ("192.0.0.192", true),
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", false),
            ("fd00:ec2::254", true),
            ("::ffff:169.254.169.254", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("::ffff:10.0.0.1", false),
            ("::1", false),
        ] {
            assert_eq!(is_guarded(address.parse().expect(address)), expected, "{address}");
        }
    }

    /// Mutation: refuse the whole name for one guarded address, or keep the guarded ones.
    #[test]
    fn a_name_keeps_only_its_open_addresses() {
        let of = |list: &[&str]| {
            list.iter().map(|one| one.parse().expect(one)).collect::<Vec<SocketAddr>>()
        };
        let mixed = kept(of(&["169.254.169.254:0", "10.0.0.1:0"])).expect("one is open");
        assert_eq!(mixed, of(&["10.0.0.1:0"]));
        let error = kept(of(&["169.254.169.254:0"])).expect_err("none is open");
        assert!(error.is::<GuardedAddress>());
        assert!(kept(Vec::new()).expect_err("none at all").is::<NoAddress>());
    }
}
