//! Discovery over mDNS: `_bonfire._udp.local.` on every interface, IPv4 and IPv6.
//!
//! Owns the library's daemon and starts it anew when it dies. Sends nothing when the announcement did not change.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bonfire_proto::limits::MDNS_SERVICE;
use mdns_sd::{DaemonEvent, MDNS_PORT, Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::discovery::{Announcement, Discovery, DiscoveryEvent};
use crate::error::NetError;
use crate::hearing::Hearing;
use crate::platform::share_port;

/// Wait before a dead daemon is started again: doubled from the first to the second.
const RESTART_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Wait before everybody is asked anew because a TXT record is missing: doubled while it stays so. A responder sends a
/// record at most once a second and leaves it out of answers meanwhile. The browser neither asks for a TXT record that it
/// lacks, nor gets it along with the PTR record, which it says it knows: without this the peer is not heard of for an hour.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(1_200), Duration::from_secs(30));

/// Time to answer after everybody was asked anew: four questions, one, two and four seconds apart.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// The mDNS discovery. Dropping it takes the announcement back.
pub struct Mdns {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    stop: Notify,
}

#[derive(Default)]
struct State {
    daemon: Option<ServiceDaemon>,
    announced: Option<Announcement>,
    stopped: bool,
}

/// A daemon and what it tells.
struct Session {
    daemon: ServiceDaemon,
    heard: Receiver<ServiceEvent>,
    monitor: Receiver<DaemonEvent>,
}

impl Mdns {
    /// Starts listening; events go to `tx`. Needs a Tokio runtime. While `tx` is full, events are merged by peer. When it
    /// cannot start, `Failed` is the first event, and it is tried again.
    #[must_use]
    pub fn start(tx: mpsc::Sender<DiscoveryEvent>) -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), stop: Notify::new() });
        let session = shared.open();
        tokio::spawn(run(shared.clone(), session, tx));
        Self { shared }
    }
}

impl Discovery for Mdns {
    fn announce(&self, announcement: &Announcement) -> Result<(), NetError> {
        let mut state = self.shared.lock();
        if state.announced.as_ref() == Some(announcement) {
            return Ok(());
        }
        // Remembered first: when the daemon is down, it is announced as soon as that is up again.
        state.announced = Some(announcement.clone());
        match &state.daemon {
            Some(daemon) => register(daemon, announcement),
            None => Err(NetError::Discovery { doing: "announce", why: "it is being started again".to_owned() }),
        }
    }

    fn shutdown(&self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        self.shared.stop.notify_one();
        let Some(daemon) = state.daemon.take() else { return };
        if let Some(announced) = state.announced.take() {
            // The daemon says goodbye on the wire for whatever is registered; an error means that it is dead.
            if let Err(e) = daemon.unregister(&format!("{}.{MDNS_SERVICE}", announced.peer_id)) {
                tracing::debug!(error = %e, "could not take the announcement back");
            }
        }
        stop_daemon(&daemon);
    }
}

impl Drop for Mdns {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<Session, NetError> {
        let failed = |doing| move |e: mdns_sd::Error| NetError::Discovery { doing, why: e.to_string() };
        // The daemon itself tells nobody that it has no socket.
        may_bind().map_err(|e| NetError::Discovery { doing: "start", why: format!("UDP port {MDNS_PORT}: {e}") })?;
        let daemon = ServiceDaemon::new().map_err(failed("start"))?;
        let session = self.subscribe(&daemon);
        if session.is_err() {
            // Its thread would live on.
            stop_daemon(&daemon);
        }
        session
    }

    fn subscribe(&self, daemon: &ServiceDaemon) -> Result<Session, NetError> {
        let failed = |e: mdns_sd::Error| NetError::Discovery { doing: "listen", why: e.to_string() };
        let heard = daemon.browse(MDNS_SERVICE).map_err(failed)?;
        let monitor = daemon.monitor().map_err(failed)?;
        let mut state = self.lock();
        if state.stopped {
            return Err(NetError::Discovery { doing: "start", why: "it was shut down".to_owned() });
        }
        if let Some(announced) = &state.announced {
            register(daemon, announced)?;
        }
        state.daemon = Some(daemon.clone());
        Ok(Session { daemon: daemon.clone(), heard, monitor })
    }
}

impl Session {
    /// Forgets what was heard and asks everybody.
    fn ask_anew(&mut self) -> Result<(), mdns_sd::Error> {
        self.daemon.stop_browse(MDNS_SERVICE)?;
        self.heard = self.daemon.browse(MDNS_SERVICE)?;
        Ok(())
    }
}

/// Whether the port of mDNS can be had beside those who share it. A machine without IPv4 is no obstacle.
fn may_bind() -> io::Result<()> {
    let Ok(socket) = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)) else { return Ok(()) };
    share_port(&socket)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, MDNS_PORT)).into())
}

fn stop_daemon(daemon: &ServiceDaemon) {
    // An error means that it is dead already.
    if let Err(e) = daemon.shutdown() {
        tracing::debug!(error = %e, "mDNS had stopped before");
    }
}

fn register(daemon: &ServiceDaemon, a: &Announcement) -> Result<(), NetError> {
    let failed = |e: mdns_sd::Error| NetError::Discovery { doing: "announce", why: e.to_string() };
    let txt = [
        ("peer_id", a.peer_id.to_string()),
        ("proto_ver", a.proto_ver.to_string()),
        ("library_rev", a.library_rev.to_string()),
        ("library_epoch", a.library_epoch.to_string()),
        ("hostname", a.hostname.clone()),
    ];
    let host = format!("bonfire-{}.local.", a.peer_id.short());
    let mut info = ServiceInfo::new(MDNS_SERVICE, &a.peer_id.to_string(), &host, "", a.port, &txt[..])
        .map_err(failed)?
        .enable_addr_auto();
    // The name is derived from a key: a probe for conflicts would only delay every change of the revision.
    info.set_requires_probe(false);
    daemon.register(info).map_err(failed)
}

async fn run(shared: Arc<Shared>, session: Result<Session, NetError>, tx: mpsc::Sender<DiscoveryEvent>) {
    let mut hearing = Hearing::default();
    let mut session = match session {
        Ok(session) => Some(session),
        Err(e) => {
            tracing::warn!(error = %e, "mDNS does not start");
            if tx.send(DiscoveryEvent::Failed(e.to_string())).await.is_err() {
                return;
            }
            None
        }
    };
    let mut wait = RESTART_WAIT.0;
    loop {
        if let Some(mut alive) = session.take() {
            let why = listen(&shared, &mut alive, &mut hearing, &tx).await;
            // Whatever ended it, a daemon that is left behind would go on announcing.
            stop_daemon(&alive.daemon);
            shared.lock().daemon = None;
            hearing.began_anew();
            if shared.lock().stopped || tx.is_closed() {
                return;
            }
            tracing::warn!(why, "mDNS stopped working; starting it again");
            if tx.send(DiscoveryEvent::Failed(why)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = shared.stop.notified() => return,
            () = tokio::time::sleep(wait) => {}
        }
        match shared.open() {
            Ok(alive) => {
                session = Some(alive);
                wait = RESTART_WAIT.0;
                if tx.send(DiscoveryEvent::Works).await.is_err() {
                    return;
                }
            }
            Err(e) => {
                wait = (wait * 2).min(RESTART_WAIT.1);
                tracing::warn!(error = %e, "mDNS does not start");
            }
        }
    }
}

/// Listens until the daemon dies or everything stops; says why.
async fn listen(
    shared: &Shared,
    session: &mut Session,
    hearing: &mut Hearing,
    tx: &mpsc::Sender<DiscoveryEvent>,
) -> String {
    let mut wait = ASK_AGAIN.0;
    let mut ask: Option<Instant> = None;
    // Who was heard before this daemon began and is not heard by it has left in between.
    let mut answers = hearing.waits_for_answers().then(|| Instant::now() + ANSWERS_WITHIN);
    loop {
        match (hearing.misses_something(), ask) {
            (true, None) => ask = Some(Instant::now() + wait),
            (false, Some(_)) => (ask, wait) = (None, ASK_AGAIN.0),
            _ => {}
        }
        tokio::select! {
            () = sleep_until(ask) => {
                ask = None;
                wait = (wait * 2).min(ASK_AGAIN.1);
                tracing::debug!("an announcement came in part; asking everybody again");
                if let Err(e) = session.ask_anew() {
                    return e.to_string();
                }
                hearing.asked_anew();
                answers = Some(Instant::now() + ANSWERS_WITHIN);
            }
            () = sleep_until(answers) => {
                answers = None;
                hearing.all_answered();
            }
            () = shared.stop.notified() => return "stopped".to_owned(),
            () = tx.closed() => return "nobody listens".to_owned(),
            event = session.heard.recv_async() => match event {
                Ok(ServiceEvent::ServiceResolved(service)) => {
                    let ourselves = shared.lock().announced.as_ref().map(|a| a.peer_id);
                    hearing.found(&service, ourselves);
                }
                Ok(ServiceEvent::ServiceRemoved(_, fullname)) => hearing.removed(&fullname),
                Ok(_) => {}
                Err(_) => return "its thread ended".to_owned(),
            },
            event = session.monitor.recv_async() => match event {
                Ok(DaemonEvent::Error(e)) => tracing::debug!(error = %e, "mDNS reports an error"),
                Ok(_) => {}
                Err(_) => return "its thread ended".to_owned(),
            },
            permit = tx.reserve(), if hearing.has_untold() => match (permit, hearing.next_untold()) {
                (Ok(permit), Some(event)) => permit.send(event),
                (Err(_), _) => return "nobody listens".to_owned(),
                (Ok(_), None) => {}
            },
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    #[tokio::test]
    async fn a_dead_daemon_is_told_of_and_started_again_which_is_told_too() {
        let (tx, mut rx) = mpsc::channel(4);
        let mdns = Mdns::start(tx);
        for _ in 0..2 {
            let daemon = loop {
                if let Some(daemon) = mdns.shared.lock().daemon.clone() {
                    break daemon;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            stop_daemon(&daemon);
            let told = tokio::time::timeout(Duration::from_secs(20), async {
                let mut has_failed = false;
                while let Some(event) = rx.recv().await {
                    has_failed |= matches!(event, DiscoveryEvent::Failed(_));
                    if has_failed && event == DiscoveryEvent::Works {
                        return;
                    }
                }
                panic!("discovery ended");
            });
            told.await.expect("the failure and its end are told");
        }
        mdns.shutdown();
        while rx.recv().await.is_some() {}
    }
}
