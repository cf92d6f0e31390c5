//! One connection with one proven peer: where its streams come from and why it ended.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bonfire_proto::text::clean_to;
use bonfire_proto::{CloseCode, PeerId, Request};
use quinn::{ConnectionError, VarInt};
use tokio::sync::Semaphore;

use crate::admission::Place;
use crate::control::{ControlReceiver, ControlSender};
use crate::error::{NetError, Who};
use crate::frames::{FrameReader, FrameWriter, in_time};
use crate::pairing::PairStream;
use crate::request::Answer;
use crate::serve::IncomingStream;
use crate::tls::KeyHash;
use crate::tuning::{BUSY_WINDOW, QUIET_WINDOW, Tuning};

/// Requests of one peer whose frame is longer than usual and still being received: at most 4 × 1 MiB.
const LONG_FRAMES_MAX: usize = 4;

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedBecause {
    /// The numbered reason, when one was given and we know the number.
    pub code: Option<CloseCode>,
    /// Whether the other side ended it on purpose.
    pub by_peer: bool,
    /// For people; cleaned.
    pub text: String,
}

impl fmt::Display for ClosedBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str(if self.by_peer { " (said the other side)" } else { "" })
    }
}

impl ClosedBecause {
    pub(crate) fn new(error: &ConnectionError, ours: Option<CloseCode>) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                let code = CloseCode::from_number(close.error_code.into_inner());
                let said = clean_to(&String::from_utf8_lossy(&close.reason), 128);
                let text = match code {
                    Some(code) => code.text().to_owned(),
                    None => format!("closed with code {}: {said}", close.error_code),
                };
                Self { code, by_peer: true, text }
            }
            ConnectionError::LocallyClosed => {
                Self { code: ours, by_peer: false, text: ours.map_or("closed here", CloseCode::text).to_owned() }
            }
            ConnectionError::TimedOut => {
                Self { code: None, by_peer: false, text: "the other side fell silent".to_owned() }
            }
            ConnectionError::Reset => {
                Self { code: None, by_peer: true, text: "the other side restarted and knows nothing of it".to_owned() }
            }
            ConnectionError::ConnectionClosed(close) => {
                Self { code: None, by_peer: true, text: clean_to(&close.to_string(), 256) }
            }
            other => Self { code: None, by_peer: false, text: clean_to(&other.to_string(), 256) },
        }
    }
}

/// A connection with a peer whose identity was proven. Cheap to clone; ends when it is closed, or when every clone and
/// every stream is gone.
#[derive(Clone)]
pub struct Connection {
    link: Arc<Link>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.link.who)
    }
}

/// What all streams of a connection share.
pub(crate) struct Link {
    pub(crate) quinn: quinn::Connection,
    /// Not quinn's own, which is an address in memory and is soon another connection's.
    number: usize,
    pub(crate) who: Who,
    pub(crate) tuning: Arc<Tuning>,
    /// Bounds frames under assembly on streams that the other side opened.
    pub(crate) long_frames: Semaphore,
    key_hash: KeyHash,
    we_dialed: bool,
    control_taken: AtomicBool,
    closed_with: OnceLock<CloseCode>,
    asking: Mutex<usize>,
    _place: Option<Place>,
}

impl Link {
    pub(crate) fn lost(&self, doing: &'static str, error: &ConnectionError) -> NetError {
        NetError::Lost { who: self.who, doing, because: self.because(error) }
    }

    fn because(&self, error: &ConnectionError) -> ClosedBecause {
        ClosedBecause::new(error, self.closed_with.get().copied())
    }

    /// One more or one less answer is awaited; opens the receive window while there is any.
    pub(crate) fn asking(&self, more: bool) {
        let mut count = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        *count = if more { *count + 1 } else { count.saturating_sub(1) };
        match (*count, more) {
            (1, true) => self.quinn.set_receive_window(VarInt::from_u32(BUSY_WINDOW)),
            (0, false) => self.quinn.set_receive_window(VarInt::from_u32(QUIET_WINDOW)),
            _ => {}
        }
    }
}

/// IPv4 addresses as such, also when they come through an IPv6 socket.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        IpAddr::V6(_) => addr,
    }
}

impl Connection {
    pub(crate) const fn of(link: Arc<Link>) -> Self {
        Self { link }
    }

    pub(crate) fn new(
        quinn: quinn::Connection,
        number: usize,
        who: Who,
        key_hash: KeyHash,
        we_dialed: bool,
        tuning: Arc<Tuning>,
        place: Option<Place>,
    ) -> Self {
        Self {
            link: Arc::new(Link {
                quinn,
                number,
                who,
                tuning,
                long_frames: Semaphore::new(LONG_FRAMES_MAX),
                key_hash,
                we_dialed,
                control_taken: AtomicBool::new(false),
                closed_with: OnceLock::new(),
                asking: Mutex::new(0),
                _place: place,
            }),
        }
    }

    /// Who is at the other end, proven by its certificate.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.link.who.peer
    }

    /// The whole hash of its public key, for pins.
    #[must_use]
    pub fn key_hash(&self) -> KeyHash {
        self.link.key_hash
    }

    /// The address it is seen at: of its listener when we dialled, else of whatever port it dialled from.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        canonical(self.link.quinn.remote_address())
    }

    /// Whether this side opened the connection.
    #[must_use]
    pub fn we_dialed(&self) -> bool {
        self.link.we_dialed
    }

    /// Tells connections of one endpoint apart, for as long as the endpoint lives: no number is used twice.
    #[must_use]
    pub fn stable_id(&self) -> usize {
        self.link.number
    }

    /// Current estimate of the round trip.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.link.quinn.rtt()
    }

    /// Current size of a UDP payload on this path, in bytes.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.link.quinn.stats().path.current_mtu
    }

    /// 32 bytes that only the two ends of this very connection can compute (TLS exporter): binds a pairing to it.
    ///
    /// # Errors
    /// When the connection cannot export.
    pub fn exporter(&self, label: &[u8], context: &[u8]) -> Result<[u8; 32], NetError> {
        let mut out = [0u8; 32];
        self.link.quinn.export_keying_material(&mut out, label, context).map_err(|_| NetError::Crypto {
            doing: "export keying material",
            why: "refused by the TLS session".to_owned(),
        })?;
        Ok(out)
    }

    /// Opens the control stream. Only the dialler does, once, before any request. The other side sees it with the first
    /// frame.
    ///
    /// # Errors
    /// When the connection ended, or this side did not dial.
    pub async fn open_control(&self) -> Result<(ControlSender, ControlReceiver), NetError> {
        if !self.link.we_dialed || self.link.control_taken.swap(true, Ordering::SeqCst) {
            return Err(NetError::Misuse("the dialler opens the control stream, once"));
        }
        let (send, recv) = self.open("opening the control stream").await?;
        Ok((ControlSender::new(FrameWriter::new(self.link.clone(), send)), ControlReceiver::new(self.reader(recv))))
    }

    /// Waits for the control stream of the dialler. Must come before the first `accept_stream`.
    ///
    /// # Errors
    /// When the connection ended, the dialler did not speak in time, or this side dialled.
    pub async fn accept_control(&self) -> Result<(ControlSender, ControlReceiver), NetError> {
        let doing = "waiting for its control stream";
        if self.link.we_dialed || self.link.control_taken.swap(true, Ordering::SeqCst) {
            return Err(NetError::Misuse("the dialled side accepts the control stream, once"));
        }
        let (send, recv) =
            in_time(&self.link, doing, self.link.quinn.accept_bi()).await?.map_err(|e| self.link.lost(doing, &e))?;
        Ok((ControlSender::new(FrameWriter::new(self.link.clone(), send)), ControlReceiver::new(self.reader(recv))))
    }

    /// Sends a request on a stream of its own and finishes it. The answer is read from what is returned.
    ///
    /// # Errors
    /// When the connection ended, or the request could not be sent in time.
    pub async fn request(&self, request: &Request) -> Result<Answer, NetError> {
        if self.link.we_dialed && !self.link.control_taken.load(Ordering::SeqCst) {
            return Err(NetError::Misuse("the control stream is opened before the first request"));
        }
        let (send, recv) = self.open("opening a request stream").await?;
        // Made first: when sending fails or is dropped, it gives the stream up with the right code.
        let answer = Answer::new(self.link.clone(), self.reader(recv));
        let mut writer = FrameWriter::new(self.link.clone(), send);
        writer.send(request, "sending a request").await?;
        writer.finish();
        Ok(answer)
    }

    /// The next stream that the other side opens for a request. Returns before anything of it was read, so a slow stream
    /// holds up nobody: read each in a task of its own.
    ///
    /// # Errors
    /// When the connection ended.
    pub async fn accept_stream(&self) -> Result<IncomingStream, NetError> {
        if !self.link.we_dialed && !self.link.control_taken.load(Ordering::SeqCst) {
            return Err(NetError::Misuse("the control stream is accepted before the first request"));
        }
        let (send, recv) =
            self.link.quinn.accept_bi().await.map_err(|e| self.link.lost("waiting for its requests", &e))?;
        Ok(IncomingStream::new(self.link.clone(), FrameWriter::new(self.link.clone(), send), self.reader(recv)))
    }

    /// Opens the stream of a pairing.
    pub(crate) async fn open_pairing(&self) -> Result<PairStream, NetError> {
        if self.link.we_dialed && !self.link.control_taken.load(Ordering::SeqCst) {
            return Err(NetError::Misuse("the control stream is opened before a pairing"));
        }
        let (send, recv) = self.open("opening a stream to pair").await?;
        Ok(PairStream::new(self.link.clone(), FrameWriter::new(self.link.clone(), send), self.reader(recv)))
    }

    /// Ends the connection with a numbered reason, at once: what was not sent yet is dropped.
    pub fn close(&self, code: CloseCode) {
        // The first reason is the one that counts, as in QUIC itself.
        let _kept = self.link.closed_with.set(code);
        self.link.quinn.close(VarInt::from_u32(code.number()), code.text().as_bytes());
    }

    /// Resolves when the connection is over, with the reason.
    pub async fn closed(&self) -> ClosedBecause {
        let error = self.link.quinn.closed().await;
        self.link.because(&error)
    }

    async fn open(&self, doing: &'static str) -> Result<(quinn::SendStream, quinn::RecvStream), NetError> {
        in_time(&self.link, doing, self.link.quinn.open_bi()).await?.map_err(|e| self.link.lost(doing, &e))
    }

    fn reader(&self, recv: quinn::RecvStream) -> FrameReader {
        FrameReader::new(self.link.clone(), recv)
    }
}
