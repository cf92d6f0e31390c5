//! What was heard over mDNS, checked, bounded, and told once: anyone on the LAN can say anything there.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use bonfire_proto::text::clean_to;
use bonfire_proto::{LibraryEpoch, PeerId};
use mdns_sd::{ResolvedService, ScopedIp};

use crate::discovery::DiscoveryEvent;

/// Announced peers that are remembered at once.
const PEERS_MAX: usize = 256;

/// Of these, how many may share one address: one machine cannot crowd the others out.
const PEERS_PER_ADDRESS: usize = 64;

/// Addresses of one peer.
const ADDRS_MAX: usize = 16;

/// Bytes of all TXT records of one peer. Ours are about 170.
const TXT_LEN_MAX: usize = 400;

/// A host label is a DNS label.
const HOSTNAME_LEN_MAX: usize = 63;

/// Peers heard of, and what of it was not told yet.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    known: BTreeMap<PeerId, DiscoveryEvent>,
    untold: BTreeMap<PeerId, DiscoveryEvent>,
}

impl Hearing {
    /// Somebody announced. Malformed announcements, and those over the bounds, are as if never heard.
    pub(crate) fn found(&mut self, service: &ResolvedService, ourselves: Option<PeerId>) {
        let Some(event) = read(service) else {
            tracing::debug!(name = %clean_to(service.get_fullname(), 128), "ignored a malformed announcement");
            return;
        };
        let DiscoveryEvent::Found { peer_id, addrs, .. } = &event else { return };
        let peer_id = *peer_id;
        if Some(peer_id) == ourselves || self.known.get(&peer_id) == Some(&event) {
            return;
        }
        if !self.has_room(peer_id, addrs) {
            tracing::debug!(peer = %peer_id, "ignored an announcement: too many peers");
            return;
        }
        self.known.insert(peer_id, event.clone());
        self.untold.insert(peer_id, event);
    }

    /// An announcement was taken back.
    pub(crate) fn removed(&mut self, fullname: &str) {
        let Some(peer_id) = fullname.split('.').next().and_then(|name| name.parse().ok()) else { return };
        if self.known.remove(&peer_id).is_some() {
            self.untold.insert(peer_id, DiscoveryEvent::Lost { peer_id });
        }
    }

    /// The next event to tell, the newest for its peer.
    pub(crate) fn next_untold(&mut self) -> Option<DiscoveryEvent> {
        self.untold.pop_first().map(|(_, event)| event)
    }

    pub(crate) fn has_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    fn has_room(&self, peer_id: PeerId, addrs: &[SocketAddr]) -> bool {
        let others = || self.known.iter().filter(|(id, _)| **id != peer_id);
        let at = |ip: IpAddr| {
            others()
                .filter(|(_, e)| matches!(e, DiscoveryEvent::Found { addrs, .. } if addrs.iter().any(|a| a.ip() == ip)))
                .count()
        };
        // `Lost` events that wait to be told are bounded too: they replace, one for one, peers that were known.
        others().count() < PEERS_MAX
            && self.untold.len() < 2 * PEERS_MAX
            && addrs.iter().all(|a| at(a.ip()) < PEERS_PER_ADDRESS)
    }
}

fn read(service: &ResolvedService) -> Option<DiscoveryEvent> {
    let txt = service.get_properties();
    let txt_len: usize = txt.iter().map(|p| p.key().len() + p.val().map_or(0, <[u8]>::len) + 2).sum();
    if txt_len > TXT_LEN_MAX || service.get_port() == 0 {
        return None;
    }
    let peer_id: PeerId = txt.get_property_val_str("peer_id")?.parse().ok()?;
    // A peer's records are removed by its instance name, so that must be the id too.
    if service.get_fullname().split('.').next()?.parse() != Ok(peer_id) {
        return None;
    }
    let mut addrs: Vec<SocketAddr> =
        service.get_addresses().iter().filter_map(|ip| socket_addr(ip, service.get_port())).collect();
    addrs.sort_unstable();
    addrs.dedup();
    addrs.truncate(ADDRS_MAX);
    if addrs.is_empty() {
        return None;
    }
    Some(DiscoveryEvent::Found {
        peer_id,
        addrs,
        proto_ver: txt.get_property_val_str("proto_ver")?.parse().ok()?,
        library_rev: txt.get_property_val_str("library_rev")?.parse().ok()?,
        library_epoch: txt.get_property_val_str("library_epoch")?.parse::<LibraryEpoch>().ok()?,
        hostname: clean_to(txt.get_property_val_str("hostname").unwrap_or_default(), HOSTNAME_LEN_MAX),
    })
}

fn socket_addr(ip: &ScopedIp, port: u16) -> Option<SocketAddr> {
    let addr = match ip {
        ScopedIp::V4(v4) => SocketAddr::new(IpAddr::V4(*v4.addr()), port),
        // A link-local address means nothing without the interface it was heard on.
        ScopedIp::V6(v6) if v6.addr().is_unicast_link_local() => {
            SocketAddr::V6(SocketAddrV6::new(*v6.addr(), port, 0, v6.scope_id().index))
        }
        ScopedIp::V6(v6) => SocketAddr::new(IpAddr::V6(*v6.addr()), port),
        _ => return None,
    };
    (!addr.ip().is_unspecified() && !addr.ip().is_multicast()).then_some(addr)
}

#[cfg(test)]
mod tests;
