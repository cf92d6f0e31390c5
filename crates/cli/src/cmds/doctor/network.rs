//! The network of this machine: interfaces, multicast on each, whether the listener answers on each address.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use if_addrs::Interface;
use socket2::{Domain, Protocol, Socket, Type};

use super::Check;
use crate::args::DEFAULT_PORT;

/// Group of mDNS: if a switch or a firewall stops it here, it stops discovery. The port is one of our own.
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// The same for IPv6.
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// How long to listen for our own packet, and for the answer of a listener.
const HEAR_TIMEOUT: Duration = Duration::from_secs(1);
/// Most addresses and interfaces that are looked at: a container host has dozens.
const SUBJECTS_MAX: usize = 32;

/// Lists interfaces and sends a packet to itself through each.
pub(super) async fn interfaces() -> Vec<Check> {
    let found = match if_addrs::get_if_addrs() {
        Ok(found) => found,
        Err(e) => {
            return vec![Check::failed("interfaces", "", e.to_string(), "check the network settings of this machine")];
        }
    };
    let mut by_name: BTreeMap<String, Vec<Interface>> = BTreeMap::new();
    for interface in found.into_iter().filter(|i| !i.is_loopback()) {
        by_name.entry(interface.name.clone()).or_default().push(interface);
    }
    if by_name.is_empty() {
        let hint = "connect this machine to the network: plug in the cable or join the Wi-Fi";
        return vec![Check::failed("interfaces", "", "no interface but the loopback one has an address", hint)];
    }
    let mut checks = Vec::new();
    let mut trials = Vec::new();
    for (name, addresses) in by_name.into_iter().take(SUBJECTS_MAX) {
        let list: Vec<String> = addresses.iter().map(|i| i.ip().to_string()).collect();
        checks.push(Check::ok("interfaces", name.clone(), list.join(", ")));
        trials.push(tokio::task::spawn_blocking(move || multicast(&name, &addresses)));
    }
    for trial in trials {
        checks.push(
            trial.await.unwrap_or_else(|e| Check::failed("multicast", "", e.to_string(), "report this as a bug")),
        );
    }
    checks
}

/// One interface: the IPv4 address if it has one, for that is what discovery uses most.
fn multicast(name: &str, addresses: &[Interface]) -> Check {
    if !addresses.iter().any(Interface::is_oper_up) {
        return Check::skipped("multicast", name, "the interface is down");
    }
    if addresses.iter().any(Interface::is_p2p) {
        return Check::skipped("multicast", name, "a tunnel to one place; discovery does not go through it");
    }
    let v4 = addresses.iter().find_map(|i| if let IpAddr::V4(ip) = i.ip() { Some(ip) } else { None });
    let (family, heard) = match (v4, addresses.iter().find_map(|i| i.index)) {
        (Some(ip), _) => ("IPv4", hear_v4(ip)),
        (None, Some(index)) => ("IPv6", hear_v6(index)),
        (None, None) => return Check::skipped("multicast", name, "the interface has no number to send through"),
    };
    match heard {
        Ok(true) => Check::ok("multicast", name, format!("sent and heard ({family})")),
        Ok(false) => Check::failed(
            "multicast",
            name,
            format!("sent, but not heard within {} s ({family})", HEAR_TIMEOUT.as_secs()),
            "let UDP port 5353 and the bonfire program through this machine's firewall; on networks without multicast \
             name a peer with --peer ADDR",
        ),
        Err(e) => Check::failed(
            "multicast",
            name,
            format!("{e} ({family})"),
            "if this interface leads to other players, allow multicast on it; otherwise this does not matter",
        ),
    }
}

fn hear_v4(ip: Ipv4Addr) -> io::Result<bool> {
    let hear = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    hear.join_multicast_v4(&GROUP_V4, &ip)?;
    let send = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    send.bind(&SocketAddr::from((ip, 0)).into())?;
    send.set_multicast_if_v4(&ip)?;
    send.set_multicast_loop_v4(true)?;
    send.set_multicast_ttl_v4(1)?;
    let group = SocketAddr::from((GROUP_V4, hear.local_addr()?.port()));
    exchange(&send, group, &hear)
}

fn hear_v6(index: u32) -> io::Result<bool> {
    let hear = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    hear.join_multicast_v6(&GROUP_V6, index)?;
    let send = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    send.set_multicast_if_v6(index)?;
    send.set_multicast_loop_v6(true)?;
    let group = SocketAddrV6::new(GROUP_V6, hear.local_addr()?.port(), 0, index);
    exchange(&send, group.into(), &hear)
}

/// Sends a packet that nobody else sends, and waits for it.
fn exchange(send: &Socket, group: SocketAddr, hear: &UdpSocket) -> io::Result<bool> {
    let token = format!("bonfire doctor {} {}", std::process::id(), hear.local_addr()?.port());
    send.send_to(token.as_bytes(), &group.into())?;
    wait_for(hear, |packet| packet == token.as_bytes())
}

/// Waits for a packet that fits, within `HEAR_TIMEOUT`.
fn wait_for(socket: &UdpSocket, fits: impl Fn(&[u8]) -> bool) -> io::Result<bool> {
    let deadline = Instant::now() + HEAR_TIMEOUT;
    let mut packet = [0; 2048];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut packet) {
            Ok(n) if fits(&packet[..n]) => return Ok(true),
            Ok(_) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Asks the listener on every address of this machine for a sign of life; without a running peer, whether the default
/// port is free. `listens_on` holds what the running peer says, `None` within when it makes no sense.
pub(super) async fn listener(listens_on: Option<Option<SocketAddr>>) -> Vec<Check> {
    let listen = match listens_on {
        None => return vec![free_port()],
        Some(None) => {
            return vec![Check::failed(
                "listener",
                "",
                "the peer names no address",
                "stop the peer and start it again",
            )];
        }
        Some(Some(listen)) => listen,
    };
    let mut trials = Vec::new();
    for address in own_addresses(listen) {
        trials.push((address, tokio::task::spawn_blocking(move || is_listening(address))));
    }
    let mut checks = Vec::new();
    for (address, trial) in trials {
        let subject = address.to_string();
        checks.push(match trial.await {
            Ok(Ok(true)) => Check::ok("listener", subject, "answers"),
            Ok(Ok(false)) => Check::failed(
                "listener",
                subject,
                format!("no answer within {} s", HEAR_TIMEOUT.as_secs()),
                format!("let UDP port {} through this machine's firewall, or restart the peer", address.port()),
            ),
            Ok(Err(e)) => {
                Check::failed("listener", subject, e.to_string(), "restart the peer on another --listen address")
            }
            Err(e) => Check::failed("listener", subject, e.to_string(), "report this as a bug"),
        });
    }
    checks
}

fn free_port() -> Check {
    let subject = format!("UDP port {DEFAULT_PORT}");
    match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)) {
        Ok(_) => Check::ok("listener", subject, "free for a peer"),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            Check::skipped("listener", subject, "taken by another program; a peer will listen on another port")
        }
        Err(e) => {
            Check::failed("listener", subject, e.to_string(), "give bonfire the right to listen, or use --listen")
        }
    }
}

/// The addresses under which others can find a listener.
fn own_addresses(listen: SocketAddr) -> Vec<SocketAddr> {
    if !listen.ip().is_unspecified() {
        return vec![listen];
    }
    let both = listen.is_ipv6();
    let found = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<SocketAddr> = found
        .into_iter()
        .filter_map(|i| match i.ip() {
            IpAddr::V4(ip) => Some(SocketAddr::from((ip, listen.port()))),
            IpAddr::V6(ip) if both => {
                let scope = if ip.is_unicast_link_local() { i.index.unwrap_or(0) } else { 0 };
                Some(SocketAddrV6::new(ip, listen.port(), 0, scope).into())
            }
            IpAddr::V6(_) => None,
        })
        .collect();
    addresses.truncate(SUBJECTS_MAX);
    addresses
}

/// Whether a QUIC listener answers here. A first packet of a version that nobody speaks must be answered with the list
/// of versions, before any handshake: no key, no connection, no trace in the room.
pub(super) fn is_listening(address: SocketAddr) -> io::Result<bool> {
    let any: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    let our_id = [0xb0, 0x4f, 0x1e, 0xd0, 0xc7, 0x02, 0x00, 0x01];
    socket.send(&version_probe(&our_id))?;
    match wait_for(&socket, |packet| is_version_list(packet, &our_id)) {
        // The system says at once that nobody listens there.
        Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) => Ok(false),
        other => other,
    }
}

/// A long-header packet of a reserved version (RFC 9000, 15), padded to the size of a first packet.
fn version_probe(our_id: &[u8; 8]) -> Vec<u8> {
    let mut packet = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8];
    packet.extend_from_slice(&[0x5e; 8]);
    packet.push(8);
    packet.extend_from_slice(our_id);
    packet.resize(1200, 0);
    packet
}

/// Whether a packet is a version negotiation (version 0) that echoes our id.
fn is_version_list(packet: &[u8], our_id: &[u8; 8]) -> bool {
    packet.len() > 14
        && packet[0] & 0x80 != 0
        && packet[1..5] == [0; 4]
        && packet[5] == 8
        && packet[6..14] == our_id[..]
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::{is_listening, is_version_list, version_probe};

    #[test]
    fn a_silent_port_is_not_listening() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(!is_listening(silent.local_addr().unwrap()).unwrap());
        let address = silent.local_addr().unwrap();
        drop(silent);
        assert!(!is_listening(address).unwrap());
    }

    #[test]
    fn only_a_version_list_with_our_id_counts() {
        let id = [7; 8];
        assert_eq!(version_probe(&id).len(), 1200);
        let mut answer = vec![0x80, 0, 0, 0, 0, 8];
        answer.extend_from_slice(&id);
        answer.extend_from_slice(&[8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!(is_version_list(&answer, &id));
        assert!(!is_version_list(&answer, &[8; 8]));
        assert!(!is_version_list(&answer[..10], &id));
    }
}
