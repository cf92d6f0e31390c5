//! The asking side of a request: frames and raw bytes of the answer, and giving up on it.

use std::sync::Arc;

use bonfire_proto::{CloseCode, Response};
use bytes::Bytes;

use crate::connection::Link;
use crate::error::NetError;
use crate::frames::{FrameReader, Patience};

/// An answer on its way. Dropping it gives up on it: the other side is told to stop sending.
pub struct Answer {
    link: Arc<Link>,
    reader: FrameReader,
}

impl Answer {
    pub(crate) fn new(link: Arc<Link>, reader: FrameReader) -> Self {
        link.asking(true);
        Self { link, reader }
    }

    /// The next frame; `None` when the answer is complete. Safe to cancel. A refusal is a frame, `Response::Error`.
    ///
    /// # Errors
    /// When the frame is no message, the other side gave up or made no progress, or the connection ended.
    pub async fn next(&mut self) -> Result<Option<Response>, NetError> {
        self.reader.next(Patience::Limited, "reading an answer").await
    }

    /// Raw bytes after a frame that announced them: what has arrived, at most `max` bytes, without copying; `None` when
    /// the stream ended. The caller counts and asks for no more than was announced. Safe to cancel.
    ///
    /// # Errors
    /// When the other side gave up or made no progress, or the connection ended.
    pub async fn read_raw(&mut self, max: usize) -> Result<Option<Bytes>, NetError> {
        self.reader.next_raw(max, "receiving bytes").await
    }

    /// Gives up on the answer.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.reader.stop(CloseCode::Cancelled);
        self.link.asking(false);
    }
}
