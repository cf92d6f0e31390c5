//! The control stream: both sides push messages on it for as long as the connection lives.

use bonfire_proto::Control;

use crate::error::NetError;
use crate::frames::{FrameReader, FrameWriter, Patience};

/// The sending half. Dropping it without `finish` resets the stream, which the other side takes for the end.
pub struct ControlSender {
    writer: FrameWriter,
}

impl ControlSender {
    pub(crate) const fn new(writer: FrameWriter) -> Self {
        Self { writer }
    }

    /// Sends one message. Not safe to cancel: a part of the frame may be on its way, so give the connection up then.
    ///
    /// # Errors
    /// When the connection ended or the other side reads nothing for too long.
    pub async fn send(&mut self, message: &Control) -> Result<(), NetError> {
        self.writer.send(message, "sending a control message").await
    }

    /// Ends this direction in order.
    pub fn finish(self) {
        self.writer.finish();
    }

    /// Ends this direction in order and waits until the other side has received all of it, gave it up, or is gone.
    pub async fn deliver(self) {
        // Why it is over does not matter to who has nothing more to say.
        let _why = self.writer.deliver().await;
    }
}

/// The receiving half.
pub struct ControlReceiver {
    reader: FrameReader,
}

impl ControlReceiver {
    pub(crate) const fn new(reader: FrameReader) -> Self {
        Self { reader }
    }

    /// The next message, however long it takes; `None` when the other side ended the stream. Safe to cancel.
    ///
    /// # Errors
    /// `NetError::Frame` for a frame that is no message: exactly that frame was consumed, and the next can be received
    /// (except after `TooLong`, which ends the stream). Anything else ends the stream.
    pub async fn recv(&mut self) -> Result<Option<Control>, NetError> {
        self.reader.next(Patience::Endless, "reading control messages").await
    }
}
