//! A program on the LAN that is not Bonfire: says hello, asks for anything, serves anything, lies when told to.
//!
//! Written from the wire's page and not from Bonfire's own network code, so that a mistake there does not cancel itself
//! out here. Runs on a thread of its own inside a room's network namespace.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bonfire_proto::chunk::{ChunkHasher, chunk_hash, merge_chunk_hashes};
use bonfire_proto::game::library_digest;
use bonfire_proto::{
    Availability, Digest, GameId, GameSummary, Manifest, ManifestFile, PeerId, RelPath, chunk_count, chunk_span,
};
use quinn::{Connection, RecvStream, SendStream};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use serde_json::{Value, json};

use crate::link::Link;
use crate::namespace::Namespace;

/// What every step of a stranger is given.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs an async block inside a cable's namespace and returns what it came to.
///
/// # Panics
/// When the block panics.
pub fn inside<T, F, W>(link: &Link, work: W) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
    W: FnOnce() -> F + Send + 'static,
{
    spawn_inside(link, work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn spawn_inside<T, F, W>(link: &Link, work: W) -> std::thread::JoinHandle<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
    W: FnOnce() -> F + Send + 'static,
{
    let path = link.path();
    std::thread::spawn(move || {
        Namespace::enter(&path);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    })
}

/// A stranger that goes on in the background until this value is dropped.
#[derive(Debug)]
pub struct Background {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Background {
    /// Starts it. The work is dropped when this value is.
    pub fn new<F, W>(link: &Link, work: W) -> Self
    where
        F: Future<Output = ()>,
        W: FnOnce() -> F + Send + 'static,
    {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = spawn_inside(link, move || async move {
            tokio::select! {
                () = work() => {}
                _ = stopped => {}
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the stranger in the background panicked");
        }
    }
}

/// A key, a certificate and a QUIC endpoint.
#[derive(Debug)]
pub struct Stranger {
    /// The id that the certificate proves.
    pub id: PeerId,
    endpoint: quinn::Endpoint,
}

impl Stranger {
    /// A stranger with a fresh key. Within `inside` only.
    ///
    /// # Panics
    /// When no socket can be had.
    #[must_use]
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let id = PeerId::from_spki_der(&rcgen::PublicKeyData::subject_public_key_info(&key));
        let certificate =
            rcgen::CertificateParams::new(vec!["stranger".to_owned()]).unwrap().self_signed(&key).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_client_auth_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        tls.alpn_protocols = vec![b"bonfire/1".to_vec()];
        let mut config =
            quinn::ClientConfig::new(Arc::new(quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap()));
        let mut transport = quinn::TransportConfig::default();
        transport.max_idle_timeout(Some(Duration::from_secs(60).try_into().unwrap()));
        transport.keep_alive_interval(Some(Duration::from_secs(2)));
        config.transport_config(Arc::new(transport));
        let mut endpoint = quinn::Endpoint::client("[::]:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(config);
        Self { id, endpoint }
    }

    /// Connects to a peer's listener.
    ///
    /// # Panics
    /// When that does not come about in time.
    pub async fn connect(&self, addr: SocketAddr) -> Connection {
        let v6 = match addr {
            SocketAddr::V4(a) => SocketAddr::from((a.ip().to_ipv6_mapped(), a.port())),
            v6 @ SocketAddr::V6(_) => v6,
        };
        timely(self.endpoint.connect(v6, "bonfire").unwrap()).await.unwrap()
    }

    /// A hello of this stranger that holds these games.
    #[must_use]
    pub fn hello(&self, games: &[GameSummary]) -> Value {
        json!({
            "type": "hello",
            "peer_id": self.id,
            "proto_ver": 1,
            "listen_addr": format!("0.0.0.0:{}", self.endpoint.local_addr().unwrap().port()),
            "library_epoch": "6f1c2d60-0000-4000-8000-000000000001",
            "library_rev": 1,
            "library_digest": library_digest(games),
            "features": [],
            "name": "stranger",
        })
    }

    /// Opens the control stream, says hello and waits for the answer.
    ///
    /// # Panics
    /// When there is no answer in time.
    pub async fn introduce(&self, connection: &Connection, hello: &Value) -> (SendStream, RecvStream, Value) {
        let (mut send, mut recv) = timely(connection.open_bi()).await.unwrap();
        write_frame(&mut send, hello).await;
        let answer = timely(read_frame(&mut recv)).await.expect("an answer to hello");
        (send, recv, answer)
    }

    /// Connects and introduces itself with an honest hello and no games.
    ///
    /// # Panics
    /// When the peer does not take it.
    pub async fn join(&self, addr: SocketAddr) -> (Connection, SendStream, RecvStream) {
        let connection = self.connect(addr).await;
        let (send, recv, answer) = self.introduce(&connection, &self.hello(&[])).await;
        assert_eq!(answer["type"], "hello_ack", "{answer}");
        (connection, send, recv)
    }
}

impl Default for Stranger {
    fn default() -> Self {
        Self::new()
    }
}

async fn timely<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(LIMIT, work).await.expect("in time")
}

/// Writes a frame. A stream that the other side stopped is no surprise to a stranger.
///
/// # Panics
/// Never: a failed write is ignored.
pub async fn write_frame(send: &mut SendStream, message: &Value) {
    let body = serde_json::to_vec(message).unwrap();
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(body);
    let _ = send.write_all(&frame).await;
}

/// Reads a frame; `None` when the stream or the connection ended instead.
pub async fn read_frame(recv: &mut RecvStream) -> Option<Value> {
    let mut prefix = [0; 4];
    recv.read_exact(&mut prefix).await.ok()?;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(prefix)).ok()?];
    recv.read_exact(&mut body).await.ok()?;
    serde_json::from_slice(&body).ok()
}

/// Sends raw bytes as a request and returns the first frame of the answer, if one came.
///
/// # Panics
/// When nothing happens in time.
pub async fn ask_raw(connection: &Connection, bytes: &[u8]) -> Option<Value> {
    let (mut send, mut recv) = timely(connection.open_bi()).await.ok()?;
    // A peer that refuses before it has read everything is what many scenarios want.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    timely(read_frame(&mut recv)).await
}

/// Sends a request and returns the first frame of the answer, if one came.
///
/// # Panics
/// When nothing happens in time.
pub async fn ask(connection: &Connection, request: &Value) -> Option<Value> {
    let body = serde_json::to_vec(request).unwrap();
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(body);
    ask_raw(connection, &frame).await
}

/// What a stranger that serves a game does wrong, from the first chunk on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Nothing.
    Honest,
    /// Flips a byte of every chunk and says the right hash.
    WrongBytes,
    /// Sends half a chunk and then nothing.
    Stall,
    /// Announces a chunk that is longer than a chunk can be.
    LongChunk,
    /// Says of every chunk that it is the one beside it.
    OtherChunk,
}

/// A game that a stranger serves: taken from a real game root.
#[derive(Debug, Clone)]
pub struct Served {
    manifest: Manifest,
    bytes: BTreeMap<RelPath, Vec<u8>>,
    hashes: BTreeMap<RelPath, Vec<Digest>>,
    name: String,
    asked: Arc<AtomicU32>,
}

impl Served {
    /// Reads a game root.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read(root: &Path, name: &str) -> Self {
        let mut bytes = BTreeMap::new();
        for (path, hash) in crate::tree::payload(root) {
            if hash.is_some() {
                bytes.insert(RelPath::new(path.clone()).unwrap(), std::fs::read(root.join(&path)).unwrap());
            }
        }
        Self::of(root.file_name().unwrap().to_str().unwrap(), name, bytes)
    }

    /// A game of these files; `version.ini` must be among them.
    ///
    /// # Panics
    /// When the id is none.
    #[must_use]
    pub fn of(id: &str, name: &str, bytes: BTreeMap<RelPath, Vec<u8>>) -> Self {
        let mut hashes = BTreeMap::new();
        let mut files = Vec::new();
        for (path, content) in &bytes {
            let size = content.len() as u64;
            let chunks: Vec<Digest> = (0..chunk_count(size)).map(|i| chunk_hash(size, i, span(content, i))).collect();
            files.push(ManifestFile { path: path.clone(), size, blake3: merge_chunk_hashes(&chunks) });
            hashes.insert(path.clone(), chunks);
        }
        let version = bytes
            .get(&RelPath::new("version.ini").unwrap())
            .map(|b| String::from_utf8_lossy(b).trim().to_owned())
            .unwrap_or_default();
        let manifest = Manifest::new(GameId::new(id).unwrap(), version, files);
        Self { manifest, bytes, hashes, name: name.to_owned(), asked: Arc::default() }
    }

    /// Counts the chunks that were asked for, and so the lies that were told.
    #[must_use]
    pub fn asked(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.asked)
    }

    /// Its line in a list.
    #[must_use]
    pub fn summary(&self) -> GameSummary {
        GameSummary {
            id: self.manifest.game_id.clone(),
            name: self.name.clone(),
            eti_version: self.manifest.eti_version.clone(),
            size: self.manifest.size(),
            downloaded: true,
            installed: false,
            manifest_hash: self.manifest.manifest_hash,
            content_hash: self.manifest.content_hash,
            availability: Availability::Ready,
        }
    }

    /// Connects to a peer, offers this game, and answers what the peer asks, lying as told, until the connection ends.
    pub async fn offer_to(self, addr: SocketAddr, lie: Lie) {
        let me = Stranger::new();
        let connection = me.connect(addr).await;
        let (_control, _pushed, _) = me.introduce(&connection, &me.hello(&[self.summary()])).await;
        let served = Arc::new(self);
        let id = me.id;
        while let Ok((send, recv)) = connection.accept_bi().await {
            tokio::spawn(answer(Arc::clone(&served), id, lie, send, recv));
        }
    }
}

async fn answer(game: Arc<Served>, me: PeerId, lie: Lie, mut send: SendStream, mut recv: RecvStream) {
    let Some(request) = read_frame(&mut recv).await else { return };
    let path = request["path"].as_str().and_then(|p| RelPath::new(p).ok());
    match request["type"].as_str().unwrap_or_default() {
        "get_library_snapshot" | "get_library_delta" => {
            let snapshot = json!({
                "type": "library_snapshot", "peer_id": me, "page": 0, "pages": 1,
                "snapshot": {
                    "library_epoch": "6f1c2d60-0000-4000-8000-000000000001", "library_rev": 1,
                    "games": [game.summary()],
                },
            });
            write_frame(&mut send, &snapshot).await;
        }
        "get_game" => {
            let manifest = serde_json::to_value(&game.manifest).unwrap();
            let page = json!({"type": "manifest", "manifest": manifest, "page": 0, "pages": 1});
            write_frame(&mut send, &page).await;
        }
        "get_chunk_hashes" => {
            let hashes = path.and_then(|p| game.hashes.get(&p)).cloned().unwrap_or_default();
            write_frame(&mut send, &json!({"type": "chunk_hashes", "hashes": hashes, "page": 0, "pages": 1})).await;
        }
        "get_chunks" => {
            let Some(content) = path.and_then(|p| game.bytes.get(&p)) else { return };
            let first = u32::try_from(request["first"].as_u64().unwrap_or(0)).unwrap_or(0);
            let count = u32::try_from(request["count"].as_u64().unwrap_or(0)).unwrap_or(0);
            for index in first..first.saturating_add(count) {
                game.asked.fetch_add(1, Ordering::Relaxed);
                if !send_chunk(content, index, lie, &mut send).await {
                    return;
                }
            }
        }
        _ => write_frame(&mut send, &json!({"type": "error", "code": "unsupported", "message": "no"})).await,
    }
    if send.finish().is_ok() {
        // Kept until the other side has it, or is gone.
        let _ = send.stopped().await;
    }
}

async fn send_chunk(content: &[u8], index: u32, lie: Lie, send: &mut SendStream) -> bool {
    let size = content.len() as u64;
    if chunk_span(size, index).is_none() {
        write_frame(send, &json!({"type": "error", "code": "bad_request", "message": "no such chunk"})).await;
        return false;
    }
    let mut bytes = span(content, index).to_vec();
    let mut hasher = ChunkHasher::new(size, index);
    let hash = hasher.update(&bytes).finish();
    let (mut said_index, mut said_len) = (index, bytes.len() as u64);
    match lie {
        Lie::Honest => {}
        Lie::WrongBytes => {
            if let Some(byte) = bytes.last_mut() {
                *byte ^= 0x55;
            }
        }
        Lie::Stall => bytes.truncate(bytes.len() / 2),
        Lie::LongChunk => said_len = 1 << 31,
        Lie::OtherChunk => said_index = index ^ 1,
    }
    write_frame(send, &json!({"type": "chunk", "index": said_index, "len": said_len, "hash": hash})).await;
    if send.write_all(&bytes).await.is_err() {
        return false;
    }
    if lie == Lie::Stall {
        std::future::pending::<()>().await;
    }
    true
}

fn span(content: &[u8], index: u32) -> &[u8] {
    let Some((start, len)) = chunk_span(content.len() as u64, index) else { return &[] };
    let start = usize::try_from(start).unwrap();
    &content[start..start + usize::try_from(len).unwrap()]
}

/// Believes every certificate: whom a stranger talks to is not its concern.
#[derive(Debug)]
struct Anyone;

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![
            rustls::SignatureScheme::ED25519,
            rustls::SignatureScheme::ECDSA_NISTP256_SHA256,
            rustls::SignatureScheme::RSA_PSS_SHA256,
        ]
    }
}
