//! The listener of this machine: whether it answers on each address. Asked from this machine itself, so it says that the
//! peer listens; a firewall is proven by other peers and by multicast, never here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use super::Check;
use crate::args::DEFAULT_PORT;

/// How long to wait for the answer of a listener.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Most addresses and interfaces that are looked at: a container host has dozens.
pub(super) const SUBJECTS_MAX: usize = 32;

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
            Ok(Ok(true)) => Check::ok(
                "listener",
                subject,
                "answers this machine; only another peer can tell whether it answers others",
            ),
            Ok(Ok(false)) => Check::failed(
                "listener",
                subject,
                format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
                "stop the peer and start it again",
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

/// Waits for a packet that fits, within `ANSWER_TIMEOUT`.
fn wait_for(socket: &UdpSocket, fits: impl Fn(&[u8]) -> bool) -> io::Result<bool> {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
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
