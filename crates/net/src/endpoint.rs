//! The socket on which this peer listens and from which it dials.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bonfire_proto::{CloseCode, PeerId};
use quinn::{AsyncUdpSocket, ClientConfig, EndpointConfig, Runtime, ServerConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use rustls::pki_types::CertificateDer;
use socket2::{Domain, Protocol, Socket, Type};

use crate::admission::{Admission, Place, Verdict};
use crate::connection::{ClosedBecause, Connection, canonical};
use crate::error::{NetError, Who};
use crate::identity::Identity;
use crate::plain_udp::LanRuntime;
use crate::seeded::{SeededCids, bytes_of, split_mix};
use crate::tls::{self, Expect, KeyHash, Proof, proof_of_chain};
use crate::tuning::Tuning;

/// TLS needs a name; nobody looks at it and it is not sent.
const SERVER_NAME: &str = "bonfire.invalid";

/// Handshake packets held for connections that nobody has accepted yet, in bytes: for each, and in all.
const INCOMING_BUFFER: (u64, u64) = (64 * 1024, 4 << 20);

/// Connections that wait to be accepted.
const INCOMING_MAX: usize = 256;

/// One socket for all connections, in both directions. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
}

struct Shared {
    quinn: quinn::Endpoint,
    identity: Identity,
    tuning: Arc<Tuning>,
    transport: Arc<quinn::TransportConfig>,
    admission: Arc<Admission>,
    /// Connections that came about so far.
    connections: AtomicUsize,
    /// Where a simulation's initial connection ids come from, one step for each attempt.
    seed: Option<Mutex<u64>>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("peer_id", &self.peer_id()).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Listens. With `[::]` both IPv6 and IPv4 are served, and only IPv4 where the system has no IPv6. Needs a Tokio
    /// runtime.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn bind(identity: Identity, listen: SocketAddr, tuning: Tuning) -> Result<Self, NetError> {
        let socket = open_socket(listen, &tuning).map_err(|source| NetError::Bind { addr: listen, source })?;
        let runtime = Arc::new(LanRuntime);
        let socket = runtime.wrap_udp_socket(socket).map_err(|source| NetError::Bind { addr: listen, source })?;
        Self::build(identity, socket, runtime, None, tuning)
    }

    /// The same over a socket and a clock of the caller, for simulations. With the same seed it sends the same packets.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn over(
        identity: Identity,
        socket: Arc<dyn AsyncUdpSocket>,
        runtime: Arc<dyn Runtime>,
        seed: u64,
        tuning: Tuning,
    ) -> Result<Self, NetError> {
        Self::build(identity, socket, runtime, Some(seed), tuning)
    }

    fn build(
        identity: Identity,
        socket: Arc<dyn AsyncUdpSocket>,
        runtime: Arc<dyn Runtime>,
        seed: Option<u64>,
        tuning: Tuning,
    ) -> Result<Self, NetError> {
        // Two peers of a simulation may be given one seed, but never one connection id.
        let seed = seed.map(|seed| identity.key_hash().0.0.iter().fold(seed, |s, b| s.rotate_left(8) ^ u64::from(*b)));
        // Made from the identity, they outlive a crash: who still talks to the process before is told by a stateless reset
        // (RFC 9000 §10.3) that it is gone, instead of waiting for it.
        let reset_key = hmac::Key::new(hmac::HMAC_SHA256, &identity.derived("bonfire quic stateless reset"));
        let mut config = EndpointConfig::new(Arc::new(reset_key));
        let failed = |why: String| NetError::Crypto { doing: "set up QUIC", why };
        config.max_udp_payload_size(tuning.mtu_max.max(1472)).map_err(|e| failed(e.to_string()))?;
        match seed {
            Some(seed) => {
                config.rng_seed(Some(bytes_of(seed)));
                config.cid_generator(move || Box::new(SeededCids(seed)));
            }
            None => {
                let [a, b, c, d, e, f, g, h, ..] = identity.derived("bonfire quic connection ids");
                let key = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
                config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(key)));
            }
        }
        let transport = tuning.transport();
        let mut server = ServerConfig::with_crypto(Arc::new(tls::server(&identity)?));
        let mut tokens = quinn::ValidationTokenConfig::default();
        // Tokens for later connections would be state that outlives a connection; a LAN needs no such short cut.
        tokens.sent(0);
        server
            .transport_config(transport.clone())
            .validation_token_config(tokens)
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BUFFER.0)
            .incoming_buffer_size_total(INCOMING_BUFFER.1);
        let addr = socket.local_addr();
        let quinn =
            quinn::Endpoint::new_with_abstract_socket(config, Some(server), socket, runtime).map_err(|source| {
                NetError::Bind { addr: addr.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)), source }
            })?;
        Ok(Self {
            shared: Arc::new(Shared {
                quinn,
                identity,
                tuning: Arc::new(tuning),
                transport,
                admission: Arc::new(Admission::default()),
                connections: AtomicUsize::new(0),
                seed: seed.map(Mutex::new),
            }),
        })
    }

    /// Where it listens; `[::]` with both families, `0.0.0.0` with IPv4 alone.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> Result<SocketAddr, NetError> {
        let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        self.shared.quinn.local_addr().map_err(|source| NetError::Bind { addr: unknown, source })
    }

    /// Who this peer is.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.shared.identity.peer_id()
    }

    /// The whole hash of its key.
    #[must_use]
    pub fn key_hash(&self) -> KeyHash {
        self.shared.identity.key_hash()
    }

    /// Connections that are open here, in both directions.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.quinn.open_connections()
    }

    /// Dials. With `expect`, anyone else fails inside the handshake. Dropping the future ends the attempt at once.
    ///
    /// # Errors
    /// When nobody answers in time, the handshake fails, or somebody else is there.
    pub async fn connect(&self, addr: SocketAddr, expect: Option<PeerId>) -> Result<Connection, NetError> {
        self.dial(addr, expect.map_or(Expect::Anyone, Expect::Peer)).await
    }

    /// Dials a paired peer, whose whole key hash is known.
    ///
    /// # Errors
    /// As `connect`.
    pub async fn connect_pinned(&self, addr: SocketAddr, pin: KeyHash) -> Result<Connection, NetError> {
        self.dial(addr, Expect::Key(pin)).await
    }

    /// The next peer that dials us; `None` once the endpoint is closed. Floods are turned away in here.
    pub async fn accept(&self) -> Option<Incoming> {
        loop {
            let incoming = self.shared.quinn.accept().await?;
            let addr = canonical(incoming.remote_address());
            let validated = incoming.remote_address_validated();
            match self.shared.admission.judge(&self.shared.tuning, addr.ip(), validated) {
                Verdict::Admit(place) => return Some(Incoming { incoming, addr, place, shared: self.shared.clone() }),
                Verdict::Validate => {
                    if let Err(e) = incoming.retry() {
                        e.into_incoming().refuse();
                    }
                }
                Verdict::Refuse => {
                    tracing::debug!(%addr, "turned a connection away: too many");
                    incoming.refuse();
                }
            }
        }
    }

    /// Ends every connection with a reason and accepts no more.
    pub fn close(&self, code: CloseCode) {
        self.shared.quinn.close(VarInt::from_u32(code.number()), code.text().as_bytes());
    }

    /// Resolves when every connection is over and the other sides were told.
    pub async fn wait_idle(&self) {
        self.shared.quinn.wait_idle().await;
    }

    async fn dial(&self, addr: SocketAddr, expect: Expect) -> Result<Connection, NetError> {
        let shared = &self.shared;
        let (crypto, met) = tls::client(&shared.identity, expect)?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(shared.transport.clone());
        if let Some(seed) = &shared.seed {
            let mut state = seed.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = [split_mix(&mut state), split_mix(&mut state)].map(u64::to_le_bytes).concat();
            config.initial_dst_cid_provider(Arc::new(move || quinn::ConnectionId::new(&bytes)));
        }
        let connecting = shared.quinn.connect_with(config, addr, SERVER_NAME).map_err(|e| match e {
            quinn::ConnectError::EndpointStopping => NetError::EndpointClosed,
            other => NetError::Undialable { addr, why: other.to_string() },
        })?;
        let limit = shared.tuning.handshake_limit;
        let outcome = tokio::time::timeout(limit, connecting).await;
        match outcome {
            Err(_) => Err(NetError::HandshakeTimeout { addr, limit }),
            Ok(Err(e)) => Err(match met.get() {
                Some(proof) => NetError::WrongIdentity { addr, proven: proof.peer_id },
                None => NetError::Handshake { addr, because: ClosedBecause::new(&e, None) },
            }),
            Ok(Ok(quinn)) => shared.admit(quinn, addr, true, None),
        }
    }
}

impl Shared {
    fn admit(
        &self,
        quinn: quinn::Connection,
        addr: SocketAddr,
        we_dialed: bool,
        place: Option<Place>,
    ) -> Result<Connection, NetError> {
        match proof_of(&quinn) {
            Ok(proof) => {
                let who = Who { peer: proof.peer_id, addr };
                let number = self.connections.fetch_add(1, Ordering::Relaxed);
                Ok(Connection::new(quinn, number, who, proof.key_hash, we_dialed, self.tuning.clone(), place))
            }
            Err(source) => {
                quinn.close(VarInt::from_u32(CloseCode::WrongIdentity.number()), b"");
                Err(NetError::Certificate { addr, source })
            }
        }
    }
}

fn proof_of(quinn: &quinn::Connection) -> Result<Proof, tls::CertificateError> {
    let chain = quinn.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    proof_of_chain(chain.as_deref().map_or(&[], Vec::as_slice))
}

/// Somebody dials us. Dropping it turns it away.
pub struct Incoming {
    incoming: quinn::Incoming,
    addr: SocketAddr,
    place: Place,
    shared: Arc<Shared>,
}

impl Incoming {
    /// Where the first packet came from; not proven before the handshake is over.
    #[must_use]
    pub const fn remote_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Goes through the handshake.
    ///
    /// # Errors
    /// When it fails or does not end in time.
    pub async fn handshake(self) -> Result<Connection, NetError> {
        let Self { incoming, addr, mut place, shared } = self;
        let failed = |e: &quinn::ConnectionError| NetError::Handshake { addr, because: ClosedBecause::new(e, None) };
        let connecting = incoming.accept().map_err(|e| failed(&e))?;
        let limit = shared.tuning.handshake_limit;
        let quinn = tokio::time::timeout(limit, connecting)
            .await
            .map_err(|_| NetError::HandshakeTimeout { addr, limit })?
            .map_err(|e| failed(&e))?;
        place.opened();
        shared.admit(quinn, addr, false, Some(place))
    }

    /// Turns it away; the other side is told.
    pub fn refuse(self) {
        self.incoming.refuse();
    }

    /// Has it prove its address and come again; turned away when it has done so already.
    pub fn retry(self) {
        if let Err(e) = self.incoming.retry() {
            e.into_incoming().refuse();
        }
    }
}

fn open_socket(listen: SocketAddr, tuning: &Tuning) -> io::Result<std::net::UdpSocket> {
    match bind_socket(listen, tuning) {
        Err(e) if listen.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && e.kind() != io::ErrorKind::AddrInUse => {
            tracing::info!(error = %e, "no IPv6 here; listening on IPv4 alone");
            bind_socket(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), listen.port()), tuning)
        }
        other => other,
    }
}

fn bind_socket(listen: SocketAddr, tuning: &Tuning) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    if listen.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    // The system's default drops packets at a few Gb/s. It may grant less than we ask for, which is slower, not wrong.
    for result in [socket.set_recv_buffer_size(tuning.socket_buffer), socket.set_send_buffer_size(tuning.socket_buffer)]
    {
        if let Err(e) = result {
            tracing::debug!(error = %e, "the system refuses large socket buffers");
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    Ok(socket.into())
}
