//! Discovery among simulated peers: announcements travel where the network is whole.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bonfire_net::{Announcement, Discovery, DiscoveryEvent, NetError};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::SimNet;

/// How long an announcement travels.
const DELAY: Duration = Duration::from_millis(120);

/// How often an announcement is heard again by those who could not hear it, as mDNS queries repeat.
const REPEAT: Duration = Duration::from_secs(20);

/// How long a silent peer is remembered, as an mDNS record is.
const MEMORY: Duration = Duration::from_secs(120);

/// The shared air of a room. Cheap to clone.
#[derive(Clone)]
pub struct SimDiscovery {
    shared: Arc<Shared>,
}

struct Shared {
    net: SimNet,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    members: BTreeMap<SocketAddr, Member>,
    /// What happens next, in order of time and then of cause.
    agenda: BTreeMap<(Instant, u64), Item>,
    sequence: u64,
}

struct Member {
    tx: mpsc::Sender<DiscoveryEvent>,
    said: Option<Announcement>,
    /// What it was told of each other, and when last.
    heard: BTreeMap<SocketAddr, (Announcement, Instant)>,
    running: bool,
}

enum Item {
    /// A member's announcement reaches whom it can.
    Tell { from: SocketAddr, again: bool },
    /// A member's goodbye reaches whom it can.
    Goodbye { from: SocketAddr },
    /// Members forget whom they have not heard for long.
    Forget,
}

impl SimDiscovery {
    /// The air over a network. Must be called inside its runtime.
    #[must_use]
    pub fn new(net: SimNet) -> Self {
        let shared = Arc::new(Shared { net, state: Mutex::default(), changed: Notify::new() });
        tokio::spawn(drive(shared.clone()));
        Self { shared }
    }

    /// A member at an address; what it hears goes to `tx`. A full channel loses events, as a peer that does not listen.
    #[must_use]
    pub fn join(&self, addr: SocketAddr, tx: mpsc::Sender<DiscoveryEvent>) -> Arc<dyn Discovery> {
        let mut state = self.shared.lock();
        state.members.insert(addr, Member { tx, said: None, heard: BTreeMap::new(), running: true });
        let others: Vec<SocketAddr> = state.members.keys().copied().filter(|a| *a != addr).collect();
        for from in others {
            state.plan(DELAY, Item::Tell { from, again: false });
        }
        drop(state);
        self.shared.changed.notify_one();
        Arc::new(Handle { shared: self.shared.clone(), addr })
    }

    /// A member crashes: it says nothing more, and the others forget it when its memory runs out.
    pub fn vanish(&self, addr: SocketAddr) {
        self.shared.lock().members.remove(&addr);
    }
}

struct Handle {
    shared: Arc<Shared>,
    addr: SocketAddr,
}

impl Discovery for Handle {
    fn announce(&self, announcement: &Announcement) -> Result<(), NetError> {
        let mut state = self.shared.lock();
        let Some(member) = state.members.get_mut(&self.addr).filter(|m| m.running) else {
            return Err(NetError::Discovery { doing: "announce", why: "it was shut down".to_owned() });
        };
        if member.said.as_ref() == Some(announcement) {
            return Ok(());
        }
        let first = member.said.is_none();
        member.said = Some(announcement.clone());
        state.plan(DELAY, Item::Tell { from: self.addr, again: first });
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }

    fn shutdown(&self) {
        let mut state = self.shared.lock();
        if let Some(member) = state.members.get_mut(&self.addr) {
            member.running = false;
            state.plan(DELAY, Item::Goodbye { from: self.addr });
        }
        drop(state);
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_out(&self, item: &Item) {
        let mut state = self.lock();
        match item {
            Item::Tell { from, again } => {
                let Some(said) = state.members.get(from).filter(|m| m.running).and_then(|m| m.said.clone()) else {
                    return;
                };
                let now = Instant::now();
                for (to, member) in &mut state.members {
                    if to == from || !member.running || self.net.is_cut(from.ip(), to.ip()) {
                        continue;
                    }
                    let before = member.heard.insert(*from, (said.clone(), now));
                    if before.is_none_or(|(old, _)| old != said) {
                        tell(member, found(*from, &said));
                    }
                }
                if *again {
                    state.plan(REPEAT, Item::Tell { from: *from, again: true });
                }
                state.plan(MEMORY, Item::Forget);
            }
            Item::Goodbye { from } => {
                for (to, member) in &mut state.members {
                    if !self.net.is_cut(from.ip(), to.ip())
                        && let Some((said, _)) = member.heard.remove(from)
                    {
                        tell(member, DiscoveryEvent::Lost { peer_id: said.peer_id });
                    }
                }
                state.members.remove(from);
            }
            Item::Forget => {
                let now = Instant::now();
                for member in state.members.values_mut() {
                    let old = |at: &Instant| now.duration_since(*at) >= MEMORY;
                    let gone: Vec<SocketAddr> =
                        member.heard.iter().filter(|(_, (_, at))| old(at)).map(|(addr, _)| *addr).collect();
                    for addr in gone {
                        if let Some((said, _)) = member.heard.remove(&addr) {
                            tell(member, DiscoveryEvent::Lost { peer_id: said.peer_id });
                        }
                    }
                }
            }
        }
    }
}

impl State {
    fn plan(&mut self, after: Duration, item: Item) {
        self.sequence += 1;
        self.agenda.insert((Instant::now() + after, self.sequence), item);
    }
}

fn found(from: SocketAddr, said: &Announcement) -> DiscoveryEvent {
    DiscoveryEvent::Found {
        peer_id: said.peer_id,
        addrs: vec![SocketAddr::new(from.ip(), said.port)],
        proto_ver: said.proto_ver,
        library_rev: said.library_rev,
        library_epoch: said.library_epoch,
        hostname: said.hostname.clone(),
    }
}

fn tell(member: &Member, event: DiscoveryEvent) {
    if let Err(e) = member.tx.try_send(event) {
        tracing::debug!(error = %e, "a simulated peer does not listen to discovery");
    }
}

async fn drive(shared: Arc<Shared>) {
    loop {
        let next = shared.lock().agenda.keys().next().map(|(due, _)| *due);
        match next {
            None => shared.changed.notified().await,
            Some(due) if due > Instant::now() => {
                tokio::select! {
                    biased;
                    () = shared.changed.notified() => {}
                    () = tokio::time::sleep_until(due) => {}
                }
            }
            Some(_) => {
                let item = shared.lock().agenda.pop_first();
                if let Some((_, item)) = item {
                    shared.carry_out(&item);
                }
            }
        }
    }
}
