//! What was heard over mDNS, checked, bounded, and told once: anyone on the LAN can say anything there.

use std::collections::{BTreeMap, BTreeSet};
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

/// How often it is asked anew for the missing part of one announcement. Who never sends it costs no more than that.
const ASKS_MAX: u8 = 5;

/// Peers heard of, and what of it was not told yet.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    known: BTreeMap<PeerId, DiscoveryEvent>,
    untold: BTreeMap<PeerId, DiscoveryEvent>,
    /// Announcements that came without their TXT record, and how often they were asked for. At most `PEERS_MAX`.
    incomplete: BTreeMap<PeerId, u8>,
    /// Known from before everything was asked for anew, and not heard since.
    unconfirmed: BTreeSet<PeerId>,
}

impl Hearing {
    /// Somebody announced. Malformed announcements, and those over the bounds, are as if never heard.
    pub(crate) fn found(&mut self, service: &ResolvedService, ourselves: Option<PeerId>) {
        let Some(event) = read(service) else {
            if let Some(peer_id) = without_txt(service).filter(|id| Some(*id) != ourselves)
                && (self.incomplete.len() < PEERS_MAX || self.incomplete.contains_key(&peer_id))
            {
                self.incomplete.entry(peer_id).or_default();
                return;
            }
            tracing::debug!(name = %clean_to(service.get_fullname(), 128), "ignored a malformed announcement");
            return;
        };
        let DiscoveryEvent::Found { peer_id, addrs, .. } = &event else { return };
        let peer_id = *peer_id;
        self.incomplete.remove(&peer_id);
        self.unconfirmed.remove(&peer_id);
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
        self.incomplete.remove(&peer_id);
        self.lost(peer_id);
    }

    /// Whether a part of an announcement is missing that is worth asking for.
    pub(crate) fn misses_something(&self) -> bool {
        self.incomplete.values().any(|asks| *asks < ASKS_MAX)
    }

    /// Everybody is asked anew, with nothing remembered.
    pub(crate) fn asked_anew(&mut self) {
        for asks in self.incomplete.values_mut() {
            *asks = (*asks + 1).min(ASKS_MAX);
        }
        self.unconfirmed = self.known.keys().copied().collect();
    }

    /// Whoever carried the announcements is another one now, who knows nobody.
    pub(crate) fn began_anew(&mut self) {
        self.incomplete.clear();
        self.unconfirmed = self.known.keys().copied().collect();
    }

    /// Whether somebody has to be heard again to count as there.
    pub(crate) fn waits_for_answers(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// Everybody had the time to answer: who did not is gone, since nobody remembers when its announcement runs out.
    pub(crate) fn all_answered(&mut self) {
        for peer_id in std::mem::take(&mut self.unconfirmed) {
            self.lost(peer_id);
        }
    }

    fn lost(&mut self, peer_id: PeerId) {
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

/// Whose announcement it is, when its TXT record did not come along.
fn without_txt(service: &ResolvedService) -> Option<PeerId> {
    service.get_properties().is_empty().then(|| service.get_fullname().split('.').next()?.parse().ok())?
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
