//! Runs the pairing protocol on a stream of a connection.
//!
//! In stages, so that the caller decides and makes durable between them: prove the code, then invite or be invited, then
//! done. Owns the bounds on frames and time; holds no rule about who may pair.

use std::sync::Arc;

use bonfire_engine::trust::Secret;
use bonfire_proto::CloseCode;
use bonfire_proto::limits::PAIR_FRAME_LEN_MAX;
use bonfire_proto::message_pair::{
    DeviceRole, PairDevice, PairInvite, PairMessage, PairPart, PairPlayer, PairRefusal, PairRefused, PairStart,
};
use bonfire_proto::text::clean;

use super::error::PairError;
use super::exchange::{Binding, Broken, Confirmed, End, Shower, Typer};
use crate::connection::{Connection, Link};
use crate::error::NetError;
use crate::frames::{FrameReader, FrameWriter, Patience};

/// Label of the exporter, of the kind that RFC 5705 leaves to applications.
const EXPORTER: &[u8] = b"EXPERIMENTAL-bonfire-pairing";

const DOING: &str = "pairing";

/// Types a code (or uses a token): proves it to the device that shows it, and has it proven. `random` is used once and must
/// be fresh from the system.
///
/// # Errors
/// When the other side shows no such code, refuses, breaks the protocol, or the connection ended. Nothing of a player was
/// told by then.
pub async fn type_code(
    connection: &Connection,
    ours: End,
    secret: &Secret,
    part: PairPart,
    random: [u8; 32],
) -> Result<Paired, PairError> {
    let binding = Binding { shower: theirs(connection), typer: ours, exporter: connection.exporter(EXPORTER, &[])? };
    let mut stream = connection.open_pairing().await?;
    let (typer, start) = Typer::begin(binding, secret, part, random);
    stream.send(PairMessage::PairStart(start)).await?;
    let reply = match stream.receive().await? {
        PairMessage::PairReply(reply) => reply,
        other => return Err(stream.out_of_turn(&other).await),
    };
    let (waiting, confirm) = stream.unbroken(typer.reply(&reply)).await?;
    stream.send(PairMessage::PairConfirm(confirm)).await?;
    let confirm = match stream.receive().await? {
        PairMessage::PairConfirm(confirm) => confirm,
        other => return Err(stream.out_of_turn(&other).await),
    };
    let confirmed = stream.unbroken(waiting.confirm(&confirm)).await?;
    Ok(Paired { stream, confirmed })
}

/// A pairing that the other side began and that nobody answered yet.
pub struct IncomingPairing {
    connection: Connection,
    stream: PairStream,
    start: PairStart,
}

impl IncomingPairing {
    pub(crate) const fn new(connection: Connection, stream: PairStream, start: PairStart) -> Self {
        Self { connection, stream, start }
    }

    /// What the other side asks for.
    #[must_use]
    pub const fn start(&self) -> &PairStart {
        &self.start
    }

    /// Turns it away.
    pub async fn refuse(mut self, reason: PairRefusal) {
        self.stream.refuse(reason).await;
    }

    /// Answers with what is shown here. The caller has counted the try, durably where it must be, before this is called.
    /// `random` as for `type_code`.
    ///
    /// # Errors
    /// When the code is another one, the other side broke the protocol, or the connection ended.
    pub async fn show(self, ours: End, secret: &Secret, part: PairPart, random: [u8; 32]) -> Result<Paired, PairError> {
        let exporter = self.connection.exporter(EXPORTER, &[])?;
        let binding = Binding { shower: ours, typer: theirs(&self.connection), exporter };
        let mut stream = self.stream;
        let answered = Shower::answer(binding, secret, part, random, &self.start);
        let (shower, reply) = stream.unbroken(answered).await?;
        stream.send(PairMessage::PairReply(reply)).await?;
        let confirm = match stream.receive().await? {
            PairMessage::PairConfirm(confirm) => confirm,
            other => return Err(stream.out_of_turn(&other).await),
        };
        let (confirmed, confirm) = stream.unbroken(shower.confirm(&confirm)).await?;
        stream.send(PairMessage::PairConfirm(confirm)).await?;
        Ok(Paired { stream, confirmed })
    }
}

/// Both sides have proven the code. Dropped, it breaks the pairing off.
pub struct Paired {
    stream: PairStream,
    confirmed: Confirmed,
}

impl std::fmt::Debug for Paired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Paired({:?})", self.confirmed)
    }
}

impl Paired {
    /// The other device: who it is, and what to pin.
    #[must_use]
    pub const fn other(&self) -> End {
        self.confirmed.other()
    }

    /// What this side does.
    #[must_use]
    pub const fn part(&self) -> PairPart {
        self.confirmed.part()
    }

    /// Breaks it off with a reason.
    pub async fn refuse(mut self, reason: PairRefusal) {
        self.stream.refuse(reason).await;
    }

    /// For the side that invites: says to which player, and waits for the yes.
    ///
    /// # Errors
    /// When this side joins, the other refuses or breaks the protocol, or the connection ended.
    pub async fn invite(
        mut self,
        player: PairPlayer,
        role: DeviceRole,
        ours: PairDevice,
    ) -> Result<Accepted, PairError> {
        let invite = self.stream.unbroken(self.confirmed.invite(player, role, ours)).await?;
        self.stream.send(PairMessage::PairInvite(invite)).await?;
        let accept = match self.stream.receive().await? {
            PairMessage::PairAccept(accept) => accept,
            other => return Err(self.stream.out_of_turn(&other).await),
        };
        self.stream.unbroken(self.confirmed.accepted(&accept)).await?;
        Ok(Accepted { device: accept.device, paired: self })
    }

    /// For the side that joins: waits for the invitation.
    ///
    /// # Errors
    /// As `invite`.
    pub async fn invitation(mut self) -> Result<Invitation, PairError> {
        let invite = match self.stream.receive().await? {
            PairMessage::PairInvite(invite) => invite,
            other => return Err(self.stream.out_of_turn(&other).await),
        };
        self.stream.unbroken(self.confirmed.invited(&invite)).await?;
        Ok(Invitation { invite, paired: self })
    }
}

/// The other device took the invitation.
#[derive(Debug)]
pub struct Accepted {
    /// The new device, as it describes itself. Its id and key are those that the connection proves.
    pub device: PairDevice,
    paired: Paired,
}

impl Accepted {
    /// Tells the new device that it is durable here, which the caller has seen to.
    ///
    /// # Errors
    /// When the connection ended. The device is one of the player's all the same; it will ask again, and nothing changes.
    pub async fn done(mut self) -> Result<(), PairError> {
        let done = self.paired.stream.unbroken(self.paired.confirmed.done()).await?;
        self.paired.stream.send(PairMessage::PairDone(done)).await?;
        self.paired.stream.deliver().await;
        Ok(())
    }

    /// Takes the invitation back.
    pub async fn refuse(self, reason: PairRefusal) {
        self.paired.refuse(reason).await;
    }
}

/// An invitation to a player.
#[derive(Debug)]
pub struct Invitation {
    /// What is offered. The device is the one at the other end.
    pub invite: PairInvite,
    paired: Paired,
}

impl Invitation {
    /// Takes it, and waits until the inviting device has made it durable. Only then may this side make it so.
    ///
    /// # Errors
    /// When the other side refuses or breaks the protocol, or the connection ended. The other side may have made this device
    /// one of the player's; pairing again changes nothing there.
    pub async fn accept(mut self, ours: PairDevice) -> Result<(), PairError> {
        let accept = self.paired.stream.unbroken(self.paired.confirmed.accept(ours)).await?;
        self.paired.stream.send(PairMessage::PairAccept(accept)).await?;
        let done = match self.paired.stream.receive().await? {
            PairMessage::PairDone(done) => done,
            other => return Err(self.paired.stream.out_of_turn(&other).await),
        };
        self.paired.stream.unbroken(self.paired.confirmed.is_done(&done)).await?;
        self.paired.stream.deliver().await;
        Ok(())
    }

    /// Says no.
    pub async fn refuse(self, reason: PairRefusal) {
        self.paired.refuse(reason).await;
    }
}

fn theirs(connection: &Connection) -> End {
    End { peer_id: connection.peer_id(), key_hash: connection.key_hash() }
}

/// The stream of one pairing.
pub(crate) struct PairStream {
    link: Arc<Link>,
    /// Gone once it was finished.
    writer: Option<FrameWriter>,
    reader: FrameReader,
}

impl PairStream {
    pub(crate) const fn new(link: Arc<Link>, writer: FrameWriter, reader: FrameReader) -> Self {
        Self { link, writer: Some(writer), reader }
    }

    async fn send(&mut self, message: PairMessage) -> Result<(), PairError> {
        let writer = self.writer.as_mut().ok_or(NetError::Misuse("a pairing that is over sends nothing"))?;
        Ok(writer.send(&message, DOING).await?)
    }

    /// The next message, whole within the time that a stream may be without progress: a byte now and then is no progress
    /// here. A refusal is an error.
    async fn receive(&mut self) -> Result<PairMessage, PairError> {
        let (who, limit) = (self.link.who, self.link.tuning.progress_limit);
        let read = tokio::time::timeout(limit, self.next()).await;
        let read = read.unwrap_or(Err(NetError::Stalled { who, doing: DOING, limit }.into()));
        match read {
            Ok(PairMessage::PairRefused(refused)) => Err(PairError::Refused { who, reason: refused.reason }),
            Ok(PairMessage::Error(e)) => {
                Err(PairError::NotUnderstood { who, code: e.code, message: clean(&e.message) })
            }
            Ok(message) => Ok(message),
            Err(error) => {
                let told = matches!(&error, PairError::TooLong { .. } | PairError::Net(NetError::Frame { .. }));
                if told {
                    self.refuse(PairRefusal::Failed).await;
                }
                Err(error)
            }
        }
    }

    async fn next(&mut self) -> Result<PairMessage, PairError> {
        let who = self.link.who;
        match self.reader.next_len(Patience::Limited, DOING).await? {
            Some(len) if len > PAIR_FRAME_LEN_MAX => Err(PairError::TooLong { who, len }),
            Some(_) => {
                let message = self.reader.next(Patience::Limited, DOING).await?;
                message.ok_or_else(|| NetError::Truncated { who, doing: DOING }.into())
            }
            None => Err(NetError::Truncated { who, doing: DOING }.into()),
        }
    }

    /// Tells the other side when the exchange broke.
    async fn unbroken<T>(&mut self, step: Result<T, Broken>) -> Result<T, PairError> {
        match step {
            Ok(value) => Ok(value),
            Err(source) => {
                self.refuse(source.refusal()).await;
                Err(PairError::Broken { who: self.link.who, source })
            }
        }
    }

    async fn out_of_turn(&mut self, message: &PairMessage) -> PairError {
        self.refuse(PairRefusal::Failed).await;
        PairError::OutOfTurn { who: self.link.who, kind: kind(message) }
    }

    async fn refuse(&mut self, reason: PairRefusal) {
        // That it cannot be told is no news: the pairing is over either way.
        let _told = self.send(PairMessage::PairRefused(PairRefused { reason })).await;
        self.deliver().await;
        self.reader.stop(CloseCode::Cancelled);
    }

    /// Ends our direction and waits, within the limit, until the other side has all of it.
    async fn deliver(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        // Why it is over does not matter to who has nothing more to say.
        let _why = tokio::time::timeout(self.link.tuning.progress_limit, writer.deliver()).await;
    }
}

const fn kind(message: &PairMessage) -> &'static str {
    match message {
        PairMessage::PairStart(_) => "pair_start",
        PairMessage::PairReply(_) => "pair_reply",
        PairMessage::PairConfirm(_) => "pair_confirm",
        PairMessage::PairInvite(_) => "pair_invite",
        PairMessage::PairAccept(_) => "pair_accept",
        PairMessage::PairDone(_) => "pair_done",
        PairMessage::PairRefused(_) => "pair_refused",
        PairMessage::Error(_) => "error",
    }
}
