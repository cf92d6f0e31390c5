//! Frames and raw bytes on one direction of a stream.
//!
//! Every wait is bounded by the time without progress. Reading is safe to cancel: what has arrived stays here.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bonfire_proto::CloseCode;
use bonfire_proto::frame::{self, FrameError, PREFIX_LEN};
use bonfire_proto::message::Family;
use bytes::Bytes;
use quinn::{ReadError, RecvStream, SendStream, StoppedError, VarInt, WriteError};

use crate::connection::Link;
use crate::error::NetError;

/// Pieces taken from the connection at once: each is a packet's worth, each take costs a lock.
const PIECES: usize = 16;

/// A frame buffer grows with what arrives, from this.
const FIRST_BUFFER: usize = 4 * 1024;

/// Waits for one step, at most as long as a stream may be without progress.
pub(crate) async fn in_time<F: Future>(link: &Link, doing: &'static str, step: F) -> Result<F::Output, NetError> {
    let limit = link.tuning.progress_limit;
    tokio::time::timeout(limit, step).await.map_err(|_| NetError::Stalled { who: link.who, doing, limit })
}

pub(crate) fn close_code(n: VarInt) -> Option<CloseCode> {
    CloseCode::from_number(n.into_inner())
}

/// What a reader waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Answers: silence beyond the limit is an error.
    Limited,
    /// The control stream: silence is normal.
    Endless,
}

/// The receiving half.
pub(crate) struct FrameReader {
    link: Arc<Link>,
    recv: RecvStream,
    /// Arrived and not consumed, in order; never an empty piece.
    pieces: VecDeque<Bytes>,
    prefix: Vec<u8>,
    /// The frame under assembly and its whole length.
    body: Option<(Vec<u8>, usize)>,
    ended: bool,
}

impl FrameReader {
    pub(crate) fn new(link: Arc<Link>, recv: RecvStream) -> Self {
        Self { link, recv, pieces: VecDeque::new(), prefix: Vec::new(), body: None, ended: false }
    }

    /// The next message; `None` when the stream ended between frames.
    pub(crate) async fn next<M: Family>(
        &mut self,
        patience: Patience,
        doing: &'static str,
    ) -> Result<Option<M>, NetError> {
        match self.next_body(patience, doing).await? {
            None => Ok(None),
            Some(body) => match frame::decode(&body) {
                Ok(message) => Ok(Some(message)),
                Err(source) => Err(self.bad_frame(doing, source)),
            },
        }
    }

    /// The next frame's body, undecoded.
    pub(crate) async fn next_body(
        &mut self,
        patience: Patience,
        doing: &'static str,
    ) -> Result<Option<Vec<u8>>, NetError> {
        while self.next_len(patience, doing).await?.is_some() {
            if let Some(body) = self.fill_body() {
                return Ok(Some(body));
            }
            if !self.fetch(patience, doing).await? {
                return Err(NetError::Truncated { who: self.link.who, doing });
            }
        }
        Ok(None)
    }

    /// Length of the frame that begins next or is under assembly; `None` at the end of the stream.
    pub(crate) async fn next_len(
        &mut self,
        patience: Patience,
        doing: &'static str,
    ) -> Result<Option<usize>, NetError> {
        loop {
            if let Some((_, len)) = self.body {
                return Ok(Some(len));
            }
            while let Some(need) = PREFIX_LEN.checked_sub(self.prefix.len()).filter(|n| *n > 0) {
                let Some(piece) = self.take_piece(need) else { break };
                self.prefix.extend_from_slice(&piece);
            }
            if let Ok(prefix) = <[u8; PREFIX_LEN]>::try_from(self.prefix.as_slice()) {
                let len = match frame::body_len(prefix) {
                    Ok(len) => len,
                    Err(source) => {
                        // Where the next frame begins is beyond our bound: nothing more is read from here.
                        self.stop(CloseCode::Protocol);
                        return Err(self.bad_frame(doing, source));
                    }
                };
                self.prefix.clear();
                self.body = Some((Vec::with_capacity(len.min(FIRST_BUFFER)), len));
            } else if !self.fetch(patience, doing).await? {
                if self.prefix.is_empty() {
                    return Ok(None);
                }
                return Err(NetError::Truncated { who: self.link.who, doing });
            }
        }
    }

    /// Raw bytes, at most `max`, uncopied; `None` at the end of the stream.
    pub(crate) async fn next_raw(&mut self, max: usize, doing: &'static str) -> Result<Option<Bytes>, NetError> {
        if max == 0 {
            return Ok(Some(Bytes::new()));
        }
        if self.body.is_some() || !self.prefix.is_empty() {
            return Err(NetError::Misuse("raw bytes are read between frames"));
        }
        loop {
            if let Some(piece) = self.take_piece(max) {
                return Ok(Some(piece));
            }
            if !self.fetch(Patience::Limited, doing).await? {
                return Ok(None);
            }
        }
    }

    /// Whether the stream ends here. Bytes that follow stay unread.
    pub(crate) async fn at_end(&mut self, doing: &'static str) -> Result<bool, NetError> {
        while self.pieces.is_empty() {
            if !self.fetch(Patience::Limited, doing).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells the other side that nothing more will be read.
    pub(crate) fn stop(&mut self, code: CloseCode) {
        self.pieces.clear();
        self.prefix.clear();
        self.body = None;
        if !std::mem::replace(&mut self.ended, true) {
            // An error means that it was stopped or read to its end before.
            let _over = self.recv.stop(VarInt::from_u32(code.number()));
        }
    }

    fn bad_frame(&self, doing: &'static str, source: FrameError) -> NetError {
        NetError::Frame { who: self.link.who, doing, source }
    }

    fn take_piece(&mut self, max: usize) -> Option<Bytes> {
        let front = self.pieces.front_mut()?;
        if front.len() > max { Some(front.split_to(max)) } else { self.pieces.pop_front() }
    }

    fn fill_body(&mut self) -> Option<Vec<u8>> {
        loop {
            let (body, len) = self.body.as_mut()?;
            let need = *len - body.len();
            if need == 0 {
                return self.body.take().map(|(body, _)| body);
            }
            let piece = self.take_piece(need)?;
            if let Some((body, _)) = self.body.as_mut() {
                body.extend_from_slice(&piece);
            }
        }
    }

    /// Takes over what has arrived, or waits for more; false at the end of the stream.
    async fn fetch(&mut self, patience: Patience, doing: &'static str) -> Result<bool, NetError> {
        if self.ended {
            return Ok(false);
        }
        let mut bufs: [Bytes; PIECES] = Default::default();
        let read = match patience {
            Patience::Limited => in_time(&self.link, doing, self.recv.read_chunks(&mut bufs)).await?,
            Patience::Endless => self.recv.read_chunks(&mut bufs).await,
        };
        let who = self.link.who;
        match read {
            Ok(Some(n)) => {
                self.pieces.extend(bufs.into_iter().take(n).filter(|b| !b.is_empty()));
                Ok(true)
            }
            Ok(None) => {
                self.ended = true;
                Ok(false)
            }
            Err(ReadError::Reset(code)) => Err(NetError::GaveUp { who, doing, code: close_code(code) }),
            Err(ReadError::ConnectionLost(e)) => Err(self.link.lost(doing, &e)),
            Err(ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected) => {
                Err(NetError::Misuse("read from a stream that is over"))
            }
        }
    }
}

/// The sending half. Dropped before `finish`, it resets the stream: half an answer never looks like a whole one.
pub(crate) struct FrameWriter {
    link: Arc<Link>,
    send: SendStream,
    /// Awaited beside every write: a write that waits for the *connection's* window is not woken by a stop (quinn-proto
    /// 0.11.19 reports the window first, and then never again once the stream's own window is used up).
    stopped: Option<Stopped>,
    over: bool,
}

type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync>>;

impl FrameWriter {
    pub(crate) const fn new(link: Arc<Link>, send: SendStream) -> Self {
        Self { link, send, stopped: None, over: false }
    }

    pub(crate) async fn send<M: Family>(&mut self, message: &M, doing: &'static str) -> Result<(), NetError> {
        let frame = frame::encode(message).map_err(|source| NetError::Unsendable { who: self.link.who, source })?;
        self.send_bytes(Bytes::from(frame), doing).await
    }

    pub(crate) async fn send_bytes(&mut self, bytes: Bytes, doing: &'static str) -> Result<(), NetError> {
        let mut bufs = [bytes];
        let (link, send) = (&self.link, &mut self.send);
        // Put back only while it has not resolved.
        let mut stopped = self.stopped.take().unwrap_or_else(|| Box::pin(send.stopped()));
        while !bufs[0].is_empty() {
            let written = async {
                tokio::select! {
                    biased;
                    stop = &mut stopped => match stop {
                        Ok(Some(code)) => Err(WriteError::Stopped(code)),
                        Ok(None) => Err(WriteError::ClosedStream),
                        Err(StoppedError::ConnectionLost(e)) => Err(WriteError::ConnectionLost(e)),
                        Err(StoppedError::ZeroRttRejected) => Err(WriteError::ZeroRttRejected),
                    },
                    written = send.write_chunks(&mut bufs) => written.map(|_| ()),
                }
            };
            in_time(link, doing, written).await?.map_err(|e| write_failed(link, doing, e))?;
        }
        self.stopped = Some(stopped);
        Ok(())
    }

    pub(crate) fn finish(mut self) {
        self.over = true;
        // An error means that the other side gave up on the stream: there is nobody to tell.
        let _gone = self.send.finish();
    }

    /// Finishes, and waits until the other side received all of it (`None`), gave it up (with its reason) or is gone.
    ///
    /// Whoever finishes and looks away goes on sending what is buffered, megabytes of it, to one that has given up:
    /// QUIC leaves the reset that stops this to us.
    pub(crate) async fn deliver(mut self) -> Option<CloseCode> {
        let stopped = self.send.stopped();
        self.over = true;
        // An error means that the other side gave up already, which `stopped` tells.
        let _gone = self.send.finish();
        let code = stopped.await.ok().flatten()?;
        let _gone = self.send.reset(code);
        Some(close_code(code).unwrap_or(CloseCode::Cancelled))
    }

    pub(crate) fn reset(mut self, code: CloseCode) {
        self.over = true;
        let _gone = self.send.reset(VarInt::from_u32(code.number()));
    }

    /// Resolves when the other side stopped the stream (with its reason), received all of it, or is gone.
    pub(crate) fn stopped(&self) -> impl Future<Output = Option<CloseCode>> + Send + 'static {
        let stopped = self.send.stopped();
        async move { stopped.await.ok().flatten().and_then(close_code) }
    }
}

fn write_failed(link: &Link, doing: &'static str, error: WriteError) -> NetError {
    match error {
        WriteError::Stopped(code) => NetError::GaveUp { who: link.who, doing, code: close_code(code) },
        WriteError::ConnectionLost(e) => link.lost(doing, &e),
        WriteError::ClosedStream | WriteError::ZeroRttRejected => NetError::Misuse("wrote to a stream that is over"),
    }
}

impl Drop for FrameWriter {
    fn drop(&mut self) {
        if !self.over {
            // An error means that the stream or the connection is over.
            let _gone = self.send.reset(VarInt::from_u32(CloseCode::Cancelled.number()));
        }
    }
}
