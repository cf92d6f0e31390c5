//! The answering side of a request: read it within limits, send frames and raw bytes back.

use std::future::Future;
use std::sync::Arc;

use bonfire_proto::frame::{self, FrameError};
use bonfire_proto::{CloseCode, Request, Response};
use bytes::Bytes;

use crate::connection::Link;
use crate::error::NetError;
use crate::frames::{FrameReader, FrameWriter, Patience};

/// Longest request that needs no permit. The requests of version 1 are under 2 KiB; the bound on a frame is 1 MiB, and
/// every stream of a hostile peer may hold one half-sent.
const USUAL_REQUEST_LEN: usize = 64 * 1024;

const DOING: &str = "reading a request";

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

impl IncomingStream {
    pub(crate) const fn new(link: Arc<Link>, writer: FrameWriter, reader: FrameReader) -> Self {
        Self { link, writer, reader }
    }

    /// Reads the request, all of it within the time that a stream may be without progress.
    ///
    /// # Errors
    /// When it did not come in time, the stream was given up, or the connection ended.
    pub async fn read_request(mut self) -> Result<ServedRequest, NetError> {
        let limit = self.link.tuning.progress_limit;
        let read = tokio::time::timeout(limit, Self::read(&self.link, &mut self.reader)).await;
        // Says nothing when the stream was read to its end, which is the ordinary case.
        self.reader.stop(CloseCode::Protocol);
        let request = match read {
            Err(_) => Err(NetError::Stalled { who: self.link.who, doing: DOING, limit }),
            Ok(Err(NetError::Frame { source, .. })) => Ok(Err(source)),
            Ok(Err(e)) => Err(e),
            Ok(Ok(request)) => Ok(request),
        }?;
        Ok(ServedRequest { request, reply: Reply { writer: self.writer } })
    }

    /// Turns the stream away unread.
    pub fn refuse(mut self, code: CloseCode) {
        self.reader.stop(code);
        self.writer.reset(code);
    }

    async fn read(link: &Link, reader: &mut FrameReader) -> Result<Result<Request, FrameError>, NetError> {
        let malformed = |why: &str| Ok(Err(FrameError::Malformed(why.to_owned())));
        let Some(len) = reader.next_len(Patience::Limited, DOING).await? else {
            return malformed("the stream ended without a request");
        };
        let _permit = if len > USUAL_REQUEST_LEN {
            let permit = link.long_frames.acquire().await;
            Some(permit.map_err(|_| NetError::Misuse("the semaphore of long frames is never closed"))?)
        } else {
            None
        };
        let Some(body) = reader.next_body(Patience::Limited, DOING).await? else {
            return malformed("the stream ended without a request");
        };
        let request = frame::decode(&body);
        if !reader.at_end(DOING).await? {
            return malformed("bytes after the request");
        }
        Ok(request)
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
