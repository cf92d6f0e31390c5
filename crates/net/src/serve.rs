//! The answering side of a request: read it within limits, send frames and raw bytes back.

use std::future::Future;
use std::sync::Arc;

use bonfire_proto::frame::{self, FrameError};
use bonfire_proto::limits::PAIR_FRAME_LEN_MAX;
use bonfire_proto::message_pair::{PairMessage, PairStart};
use bonfire_proto::{CloseCode, Request, Response};
use bytes::Bytes;

use crate::connection::{Connection, Link};
use crate::error::NetError;
use crate::frames::{FrameReader, FrameWriter, Patience};
use crate::pairing::{IncomingPairing, PairStream};

/// Longest request that needs no permit. The requests of version 1 are under 2 KiB; the bound on a frame is 1 MiB, and
/// every stream of a hostile peer may hold one half-sent.
const USUAL_REQUEST_LEN: usize = 64 * 1024;

const DOING: &str = "reading a request";

/// Type of the message that begins a pairing.
const PAIRING: &str = "pair_start";

/// A stream that the other side opened, unread.
pub struct IncomingStream {
    link: Arc<Link>,
    writer: FrameWriter,
    reader: FrameReader,
}

/// A request and the way to answer it.
pub struct ServedRequest {
    /// The request, or why it is none; then `FrameError::code` is the answer.
    pub request: Result<Request, FrameError>,
    /// Takes the answer.
    pub reply: Reply,
}

/// What a stream turned out to be.
pub enum Opened {
    /// A request.
    Request(ServedRequest),
    /// A pairing, which goes on in both directions.
    Pairing(IncomingPairing),
}

enum First {
    Request(Request),
    Pairing(PairStart),
}

impl IncomingStream {
    pub(crate) const fn new(link: Arc<Link>, writer: FrameWriter, reader: FrameReader) -> Self {
        Self { link, writer, reader }
    }

    /// Reads the request, all of it within the time that a stream may be without progress. The beginning of a pairing is
    /// no request: see `open`.
    ///
    /// # Errors
    /// When it did not come in time, the stream was given up, or the connection ended.
    pub async fn read_request(mut self) -> Result<ServedRequest, NetError> {
        let request = self.in_time(Self::whole_request).await;
        // Says nothing when the stream was read to its end, which is the ordinary case.
        self.reader.stop(CloseCode::Protocol);
        Ok(ServedRequest { request: request?, reply: Reply { writer: self.writer } })
    }

    /// As `read_request`, for who also pairs.
    ///
    /// # Errors
    /// As `read_request`.
    pub async fn open(mut self) -> Result<Opened, NetError> {
        let first = self.in_time(Self::request_or_pairing).await;
        let request = match first {
            Ok(Ok(First::Pairing(start))) => {
                let stream = PairStream::new(self.link.clone(), self.writer, self.reader);
                return Ok(Opened::Pairing(IncomingPairing::new(Connection::of(self.link), stream, start)));
            }
            Ok(Ok(First::Request(request))) => Ok(Ok(request)),
            Ok(Err(e)) => Ok(Err(e)),
            Err(e) => Err(e),
        };
        self.reader.stop(CloseCode::Protocol);
        Ok(Opened::Request(ServedRequest { request: request?, reply: Reply { writer: self.writer } }))
    }

    /// Turns the stream away unread.
    pub fn refuse(mut self, code: CloseCode) {
        self.reader.stop(code);
        self.writer.reset(code);
    }

    async fn in_time<T>(
        &mut self,
        read: impl AsyncFnOnce(&Link, &mut FrameReader) -> Result<Result<T, FrameError>, NetError>,
    ) -> Result<Result<T, FrameError>, NetError> {
        let limit = self.link.tuning.progress_limit;
        match tokio::time::timeout(limit, read(&self.link, &mut self.reader)).await {
            Err(_) => Err(NetError::Stalled { who: self.link.who, doing: DOING, limit }),
            Ok(Err(NetError::Frame { source, .. })) => Ok(Err(source)),
            Ok(read) => read,
        }
    }

    async fn whole_request(link: &Link, reader: &mut FrameReader) -> Result<Result<Request, FrameError>, NetError> {
        match Self::body(link, reader).await? {
            Ok(body) => Self::ended(reader, frame::decode(&body)).await,
            Err(e) => Ok(Err(e)),
        }
    }

    async fn request_or_pairing(link: &Link, reader: &mut FrameReader) -> Result<Result<First, FrameError>, NetError> {
        let body = match Self::body(link, reader).await? {
            Ok(body) => body,
            Err(e) => return Ok(Err(e)),
        };
        match frame::decode::<Request>(&body) {
            Err(FrameError::Unsupported(kind)) if kind == PAIRING => Ok(pairing(&body).map(First::Pairing)),
            request => Ok(Self::ended(reader, request).await?.map(First::Request)),
        }
    }

    async fn body(link: &Link, reader: &mut FrameReader) -> Result<Result<Vec<u8>, FrameError>, NetError> {
        let Some(len) = reader.next_len(Patience::Limited, DOING).await? else {
            return Ok(malformed("the stream ended without a request"));
        };
        let _permit = if len > USUAL_REQUEST_LEN {
            let permit = link.long_frames.acquire().await;
            Some(permit.map_err(|_| NetError::Misuse("the semaphore of long frames is never closed"))?)
        } else {
            None
        };
        match reader.next_body(Patience::Limited, DOING).await? {
            Some(body) => Ok(Ok(body)),
            None => Ok(malformed("the stream ended without a request")),
        }
    }

    async fn ended(
        reader: &mut FrameReader,
        request: Result<Request, FrameError>,
    ) -> Result<Result<Request, FrameError>, NetError> {
        // What is refused is refused at once, also on a stream that waits for an answer before it goes on.
        if request.is_err() || reader.at_end(DOING).await? {
            Ok(request)
        } else {
            Ok(malformed("bytes after the request"))
        }
    }
}

fn malformed<T>(why: &str) -> Result<T, FrameError> {
    Err(FrameError::Malformed(why.to_owned()))
}

fn pairing(body: &[u8]) -> Result<PairStart, FrameError> {
    let bad = |detail: String| FrameError::BadMessage { kind: PAIRING.to_owned(), detail };
    if body.len() > PAIR_FRAME_LEN_MAX {
        return Err(bad(format!("{} bytes are over its limit of {PAIR_FRAME_LEN_MAX}", body.len())));
    }
    match frame::decode(body)? {
        PairMessage::PairStart(start) => Ok(start),
        _ => Err(bad("not the beginning of a pairing".to_owned())),
    }
}

/// Takes the answer to one request. Dropped without `finish`, it resets the stream, so that the asker never takes a part
/// of an answer for the whole.
pub struct Reply {
    writer: FrameWriter,
}

impl Reply {
    /// Sends one frame.
    ///
    /// # Errors
    /// When the asker gave up or reads nothing for too long, or the connection ended.
    pub async fn send(&mut self, response: &Response) -> Result<(), NetError> {
        self.writer.send(response, "sending an answer").await
    }

    /// Sends raw bytes, without copying them.
    ///
    /// # Errors
    /// As `send`.
    pub async fn send_bytes(&mut self, bytes: Bytes) -> Result<(), NetError> {
        self.writer.send_bytes(bytes, "sending bytes").await
    }

    /// The answer is complete.
    pub fn finish(self) {
        self.writer.finish();
    }

    /// The answer is complete; waits until the asker has all of it (`None`), gave up (with its reason) or is gone, and
    /// stops sending at once when it gave up.
    pub async fn deliver(self) -> Option<CloseCode> {
        self.writer.deliver().await
    }

    /// Breaks the answer off.
    pub fn abort(self, code: CloseCode) {
        self.writer.reset(code);
    }

    /// Resolves when the asker gave up (with its reason) or is gone; also once it received the whole finished answer.
    /// Independent of `self`, so that it can be awaited beside `send`.
    pub fn stopped(&self) -> impl Future<Output = Option<CloseCode>> + Send + 'static {
        self.writer.stopped()
    }
}
