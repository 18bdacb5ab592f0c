//! A wide-area network on one machine: hosts are network namespaces, and what is between them is here.
//!
//! ```text
//!  namespace of a site ── tun ──► a packet ─► lost? cut? ─► due after a while ─► tun ── namespace of the hub
//! ```
//!
//! The kernels of both ends do what they do over any line that is slow, loses packets and breaks. That the
//! line is here and not in the kernel needs no module of it, and has it be the same for the same seed.

use std::collections::BinaryHeap;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::chance::Chance;

/// The least that any path carries whole, with room for whoever packs it up once more.
const MTU: u16 = 1_400;

/// A link is slow in both directions.
const DELAY_MIN: Duration = Duration::from_millis(5);
const DELAY_SPREAD_MILLIS: usize = 40;

/// One packet of so many gets lost.
const LOST: usize = 100;

/// After so many packets, more or less, a link is cut.
const WHOLE_PACKETS: usize = 300;
const CUT_MAX_MILLIS: usize = 3_000;

/// One end of the wire: a namespace of its own, with one address.
pub struct Host {
    name: String,
    pub address: Ipv4Addr,
}

/// What has happened on the wire.
#[derive(Debug, Default)]
pub struct Seen {
    pub packets: AtomicU64,
    pub lost: AtomicU64,
    pub cuts: AtomicU64,
}

/// Its hosts, the hub first. Packets go while it is there.
pub struct Wire {
    pub hosts: Vec<Host>,
    pub seen: Arc<Seen>,
    is_bad: Arc<AtomicBool>,
}

/// The link of a site, both ways.
struct Link {
    chance: Chance,
    /// Packets until it is cut.
    whole: usize,
    cut_until: Option<Instant>,
}

struct Due {
    at: Instant,
    /// Of two at one time, the first that came.
    number: u64,
    to: usize,
    packet: Vec<u8>,
}

/// Why there is no wire here; nothing where there can be one.
pub fn is_missing() -> Option<String> {
    let tried = Command::new("ip").args(["netns", "list"]).output();
    match tried {
        Err(error) => return Some(format!("no `ip`: {error}")),
        Ok(ended) if !ended.status.success() => return Some("`ip netns` does not work".to_owned()),
        Ok(_) => {}
    }
    if !rustix::process::geteuid().is_root() {
        return Some("namespaces of the network are for root alone".to_owned());
    }
    File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .err()
        .map(|error| format!("no /dev/net/tun: {error}"))
}

fn ip(args: &[&str]) {
    let ended = Command::new("ip").args(args).output().expect("`ip` starts");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "ip {args:?}: {said}");
}

impl Host {
    fn new(number: usize) -> (Self, SyncDevice) {
        let own = std::process::id();
        let (name, device) = (format!("isonomy-{own}-{number}"), format!("iso{own}n{number}"));
        let low = u8::try_from(number + 1).expect("few hosts");
        let address = Ipv4Addr::new(10, 74, 0, low);
        ip(&["netns", "add", &name]);
        let host = Self { name, address };
        let tun = DeviceBuilder::new().name(device.as_str()).mtu(MTU).enable(false).build_sync();
        let tun = tun.expect("a device");
        ip(&["link", "set", &device, "netns", &host.name]);
        let within = |args: &[&str]| ip(&[&["-n", host.name.as_str()], args].concat());
        within(&["addr", "add", &format!("{address}/16"), "dev", &device]);
        within(&["link", "set", &device, "up"]);
        within(&["link", "set", "lo", "up"]);
        (host, tun)
    }

    /// The same command on this host.
    pub fn on(&self, command: &Command) -> Command {
        let mut on = Command::new("ip");
        on.args(["netns", "exec", &self.name]).arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            on.current_dir(folder);
        }
        on.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env_clear();
        on.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        on
    }

    /// This thread is on this host from now on.
    pub fn enter(&self) {
        let name = File::open(format!("/run/netns/{}", self.name)).expect("the namespace");
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&name), kind).expect("may enter");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

impl Wire {
    /// A hub and so many sites, over lines that do no harm yet.
    pub fn new(sites: usize, seed: u64) -> Self {
        let (hosts, devices): (Vec<_>, Vec<_>) = (0..=sites).map(Host::new).unzip();
        let devices: Arc<[SyncDevice]> = devices.into();
        let links: Arc<[Mutex<Link>]> =
            (0..=sites).map(|site| Mutex::new(Link::new(seed ^ site as u64))).collect();
        let (seen, is_bad) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let (send, due) = channel();
        for from in 0..devices.len() {
            let (devices, links) = (Arc::clone(&devices), Arc::clone(&links));
            let (seen, is_bad, send) = (Arc::clone(&seen), Arc::clone(&is_bad), send.clone());
            std::thread::spawn(move || {
                let take = |number, to: usize, packet| {
                    let site = from.max(to);
                    let is_bad = is_bad.load(Ordering::Relaxed);
                    let at = links[site].lock().expect("whole").pass(is_bad, &seen)?;
                    Some(Due { at, number, to, packet })
                };
                read(&devices[from], &send, take);
            });
        }
        std::thread::spawn(move || deliver(&due, &devices));
        Self { hosts, seen, is_bad }
    }

    /// From now on packets get lost, and links are cut.
    pub fn set_bad(&self, is_bad: bool) {
        self.is_bad.store(is_bad, Ordering::Relaxed);
    }
}

impl Link {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let whole = 1 + chance.below(WHOLE_PACKETS);
        Self { chance, whole, cut_until: None }
    }

    /// When a packet is at its other end, if ever.
    fn pass(&mut self, is_bad: bool, seen: &Seen) -> Option<Instant> {
        let now = Instant::now();
        seen.packets.fetch_add(1, Ordering::Relaxed);
        if is_bad {
            self.whole = self.whole.saturating_sub(1);
            if self.whole == 0 {
                let millis = 100 + self.chance.below(CUT_MAX_MILLIS);
                self.cut_until = Some(now + Duration::from_millis(millis as u64));
                self.whole = 1 + self.chance.below(2 * WHOLE_PACKETS);
                seen.cuts.fetch_add(1, Ordering::Relaxed);
            }
            let is_cut = self.cut_until.is_some_and(|until| now < until);
            if is_cut || self.chance.once_in(LOST) {
                seen.lost.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
        let spread = self.chance.below(DELAY_SPREAD_MILLIS);
        Some(now + DELAY_MIN + Duration::from_millis(spread as u64))
    }
}

/// Until the device is gone.
fn read(
    device: &SyncDevice,
    send: &Sender<Due>,
    mut take: impl FnMut(u64, usize, Vec<u8>) -> Option<Due>,
) {
    let mut buffer = vec![0; usize::from(MTU)];
    for number in 0.. {
        let Ok(bytes) = device.recv(&mut buffer) else { return };
        let packet = buffer[..bytes].to_vec();
        let Some(to) = receiver(&packet) else { continue };
        if let Some(due) = take(number, to, packet)
            && send.send(due).is_err()
        {
            return;
        }
    }
}

/// The host that a packet of IPv4 is for.
fn receiver(packet: &[u8]) -> Option<usize> {
    let is_ipv4 = packet.len() >= 20 && packet[0] >> 4 == 4;
    let number = is_ipv4.then(|| usize::from(packet[19]))?;
    (packet[16..19] == [10, 74, 0]).then_some(number.checked_sub(1)?)
}

/// Each at its time.
fn deliver(due: &Receiver<Due>, devices: &[SyncDevice]) {
    let mut waiting: BinaryHeap<Due> = BinaryHeap::new();
    loop {
        let now = Instant::now();
        while let Some(next) = waiting.peek().filter(|next| next.at <= now) {
            if let Some(device) = devices.get(next.to) {
                // Where nobody is there any more it is lost, as on any wire.
                let _: io::Result<usize> = device.send(&next.packet);
            }
            waiting.pop();
        }
        let until = waiting.peek().map_or(Duration::from_secs(60), |next| next.at - now);
        match due.recv_timeout(until) {
            Ok(packet) => waiting.push(packet),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The heap gives the greatest first: the one that is due first is that.
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}
