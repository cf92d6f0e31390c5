//! Multicast as discovery uses it: an mDNS query on port 5353 through each interface, heard again by this machine, and
//! answered by the peer that runs here. What a firewall does to discovery, it does to this. Asks nothing that mDNS
//! programs do not ask all the time.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use bonfire_engine::Snapshot;
use bonfire_proto::limits::MDNS_SERVICE;
use if_addrs::Interface;
use socket2::{Domain, Protocol, Socket, Type};

use super::Check;
use super::network::SUBJECTS_MAX;
use crate::platform::share_port;

/// Where mDNS is spoken (RFC 6762).
const PORT: u16 = 5353;
/// Its group.
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// The same for IPv6.
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// How long to listen for our own query, and for the answer.
const HEAR_TIMEOUT: Duration = Duration::from_secs(3);
/// When to ask once more: a responder leaves out what it said less than a second ago.
const ASK_AGAIN: Duration = Duration::from_millis(1_300);
/// What to do where nothing comes back.
pub(super) const FIREWALL: &str = "let UDP port 5353 and the bonfire program through this machine's firewall; on \
                                   networks without multicast name a peer with --peer ADDR";

/// What came of it.
pub(super) struct Outcome {
    /// One for each interface, and one for discovery.
    pub(super) checks: Vec<Check>,
    /// Whether discovery is on, and nothing was heard of it.
    pub(super) is_silent: bool,
}

/// Who should answer our query.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expect {
    /// Nobody: no peer runs here, or it was told to be silent.
    Nobody,
    /// The peer of this id.
    Peer(String),
}

/// What was heard through one interface.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    /// Our own query.
    query: bool,
    /// An answer with our peer in it.
    answer: bool,
}

/// Lists interfaces and sends a query to everyone through each, this machine included.
pub(super) async fn interfaces(snapshot: Option<&Snapshot>) -> Outcome {
    let only = |check| Outcome { checks: vec![check], is_silent: false };
    let found = match if_addrs::get_if_addrs() {
        Ok(found) => found,
        Err(e) => {
            return only(Check::failed("interfaces", "", e.to_string(), "check the network settings of this machine"));
        }
    };
    let mut by_name: BTreeMap<String, Vec<Interface>> = BTreeMap::new();
    for interface in found.into_iter().filter(|i| !i.is_loopback()) {
        by_name.entry(interface.name.clone()).or_default().push(interface);
    }
    if by_name.is_empty() {
        let hint = "connect this machine to the network: plug in the cable or join the Wi-Fi";
        return only(Check::failed("interfaces", "", "no interface but the loopback one has an address", hint));
    }
    let expect = match snapshot {
        Some(snapshot) if snapshot.me.mdns => Expect::Peer(snapshot.me.peer.to_string()),
        _ => Expect::Nobody,
    };
    let mut checks = Vec::new();
    let mut trials = Vec::new();
    for (number, (name, addresses)) in by_name.into_iter().take(SUBJECTS_MAX).enumerate() {
        let list: Vec<String> = addresses.iter().map(|i| i.ip().to_string()).collect();
        checks.push(Check::ok("interfaces", name.clone(), list.join(", ")));
        let expect = expect.clone();
        trials.push(tokio::task::spawn_blocking(move || multicast(&name, &addresses, number, &expect)));
    }
    let mut heard = Heard::default();
    for trial in trials {
        match trial.await {
            Ok((check, here)) => {
                heard = Heard { query: heard.query || here.query, answer: heard.answer || here.answer };
                checks.push(check);
            }
            Err(e) => checks.push(Check::failed("multicast", "", e.to_string(), "report this as a bug")),
        }
    }
    let discovery = snapshot.map(|snapshot| discovery(snapshot, heard));
    let is_silent = expect != Expect::Nobody && !heard.answer;
    checks.extend(discovery);
    Outcome { checks, is_silent }
}

/// Whether the running peer can be found.
fn discovery(snapshot: &Snapshot, heard: Heard) -> Check {
    if !snapshot.me.mdns {
        let detail = "off: this peer runs with --no-mdns, and meets only those that are named with --peer";
        return Check::skipped("discovery", "", detail);
    }
    if heard.answer {
        return Check::ok("discovery", "", "the running peer answers when the network is asked for peers");
    }
    match snapshot.problems.iter().find(|p| p.code == "discovery_failed") {
        Some(problem) => {
            let hint = if problem.hint.is_empty() { FIREWALL } else { &problem.hint };
            Check::failed("discovery", "", problem.message.clone(), hint)
        }
        None => {
            let seconds = HEAR_TIMEOUT.as_secs();
            let detail =
                format!("the running peer gave no answer within {seconds} s when the network was asked for peers");
            Check::failed("discovery", "", detail, FIREWALL)
        }
    }
}

/// One interface: the IPv4 address if it has one, for that is what discovery uses most.
fn multicast(name: &str, addresses: &[Interface], number: usize, expect: &Expect) -> (Check, Heard) {
    let nothing = |check| (check, Heard::default());
    if !addresses.iter().any(Interface::is_oper_up) {
        return nothing(Check::skipped("multicast", name, "the interface is down"));
    }
    if addresses.iter().any(Interface::is_p2p) {
        return nothing(Check::skipped("multicast", name, "a tunnel to one place; discovery does not go through it"));
    }
    let v4 = addresses.iter().find_map(|i| if let IpAddr::V4(ip) = i.ip() { Some(ip) } else { None });
    let query = query(&format!("bonfire-doctor-{}-{number}", std::process::id()));
    let (family, heard) = match (v4, addresses.iter().find_map(|i| i.index)) {
        (Some(ip), _) => ("IPv4", hear_v4(ip, &query, expect)),
        (None, Some(index)) => ("IPv6", hear_v6(index, &query, expect)),
        (None, None) => {
            return nothing(Check::skipped("multicast", name, "the interface has no number to send through"));
        }
    };
    match heard {
        Ok(heard) if heard.query => {
            (Check::ok("multicast", name, format!("sent and heard on UDP port {PORT} ({family})")), heard)
        }
        Ok(heard) => {
            let seconds = HEAR_TIMEOUT.as_secs();
            let detail = format!("sent, but not heard on UDP port {PORT} within {seconds} s ({family})");
            (Check::failed("multicast", name, detail, FIREWALL), heard)
        }
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => nothing(Check::failed(
            "multicast",
            name,
            format!("another program holds UDP port {PORT} for itself ({family})"),
            "stop that program, or name a peer with --peer ADDR",
        )),
        Err(e) => nothing(Check::failed(
            "multicast",
            name,
            format!("{e} ({family})"),
            "if this interface leads to other players, allow multicast on it; otherwise this does not matter",
        )),
    }
}

fn hear_v4(ip: Ipv4Addr, query: &[u8], expect: &Expect) -> io::Result<Heard> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    share_port(&socket)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
    socket.join_multicast_v4(&GROUP_V4, &ip)?;
    socket.set_multicast_if_v4(&ip)?;
    socket.set_multicast_loop_v4(true)?;
    // Link-local, and the mark of mDNS.
    socket.set_multicast_ttl_v4(255)?;
    exchange(&socket.into(), SocketAddr::from((GROUP_V4, PORT)), query, expect)
}

fn hear_v6(index: u32, query: &[u8], expect: &Expect) -> io::Result<Heard> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    share_port(&socket)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)).into())?;
    socket.join_multicast_v6(&GROUP_V6, index)?;
    socket.set_multicast_if_v6(index)?;
    socket.set_multicast_loop_v6(true)?;
    socket.set_multicast_hops_v6(255)?;
    exchange(&socket.into(), SocketAddrV6::new(GROUP_V6, PORT, 0, index).into(), query, expect)
}

/// Sends a query that nobody else sends, and waits for it and for its answer.
fn exchange(socket: &UdpSocket, group: SocketAddr, query: &[u8], expect: &Expect) -> io::Result<Heard> {
    socket.send_to(query, group)?;
    let start = Instant::now();
    let mut has_asked_again = false;
    let mut heard = Heard::default();
    let mut buffer = [0; 9000];
    while !(heard.query && (heard.answer || *expect == Expect::Nobody)) {
        let until = if has_asked_again { HEAR_TIMEOUT } else { ASK_AGAIN };
        let left = until.saturating_sub(start.elapsed());
        if left.is_zero() {
            if has_asked_again {
                break;
            }
            has_asked_again = true;
            socket.send_to(query, group)?;
            continue;
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv_from(&mut buffer) {
            Ok((n, from)) => {
                let packet = &buffer[..n];
                heard.query |= packet == query;
                // Not what a program on this machine tells this machine alone.
                heard.answer |= !from.ip().is_loopback() && matches!(expect, Expect::Peer(id) if is_answer(packet, id));
            }
            // The loop looks at the time.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(heard)
}

/// A query for all peers, and for a name that only we ask for, by which it is known again.
fn query(token: &str) -> Vec<u8> {
    const PTR: [u8; 4] = [0, 12, 0, 1];
    const TXT: [u8; 4] = [0, 16, 0, 1];
    let mut packet = vec![0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
    for (name, kind) in [(MDNS_SERVICE.to_owned(), PTR), (format!("{token}.local."), TXT)] {
        for label in name.split('.').filter(|label| !label.is_empty()) {
            packet.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
            packet.extend_from_slice(label.as_bytes());
        }
        packet.push(0);
        packet.extend_from_slice(&kind);
    }
    packet
}

/// Whether this is an answer that names this peer.
fn is_answer(packet: &[u8], id: &str) -> bool {
    packet.get(2).is_some_and(|flags| flags & 0x80 != 0)
        && packet.windows(id.len()).any(|part| part.eq_ignore_ascii_case(id.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{is_answer, query};

    #[test]
    fn a_query_asks_for_all_peers_and_for_its_own_name() {
        let packet = query("mark-1");
        assert_eq!(packet[..12], [0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
        let rest = [&b"\x08_bonfire\x04_udp\x05local\0\0\x0c\0\x01"[..], b"\x06mark-1\x05local\0\0\x10\0\x01"].concat();
        assert_eq!(packet[12..], rest);
        assert_ne!(packet, query("mark-2"));
    }

    #[test]
    fn only_an_answer_with_the_peer_in_it_counts() {
        let id = "49915e0d-7d4b-802e-b017-d010bc1c0e83";
        let named = |flags: u8| [&[0, 0, flags, 0, 0, 0, 0, 1, 0, 0, 0, 0][..], id.as_bytes(), b"rest"].concat();
        assert!(is_answer(&named(0x84), id));
        assert!(!is_answer(&named(0), id), "a question that names it");
        assert!(!is_answer(&named(0x84), "49915e0d-7d4b-802e-b017-d010bc1c0e84"));
        assert!(!is_answer(b"", id));
    }
}
