//! The pairing protocol as a state machine: SPAKE2, confirmation both ways, then a channel in which each message proves
//! all before it.
//!
//! Pure: the exporter of the connection and the randomness are arguments. A state is used up by the message that it waits
//! for, so no message can be taken twice, out of order, or after a failure. Which messages a stream carries is `driver`'s.

use std::fmt;

use bonfire_engine::trust::Secret;
use bonfire_proto::digest::FieldHasher;
use bonfire_proto::limits::PROTO_VERSION;
use bonfire_proto::message_pair::{
    DeviceRole, PAIR_VERSION, PAKE_LEN, PairAccept, PairConfirm, PairDevice, PairDone, PairInvite, PairPart,
    PairPlayer, PairRefusal, PairReply, PairStart, PakeMessage,
};
use bonfire_proto::{Digest, PeerId};
use rand_core::{CryptoRng, RngCore};
use ring::{hkdf, hmac};
use spake2::{Ed25519Group, Identity as PakeIdentity, Password, Spake2};

use crate::identity::Identity;
use crate::tls::KeyHash;

const PROTOCOL: &[u8] = b"bonfire pairing 1";

/// One end of the connection, as its certificate proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Its id.
    pub peer_id: PeerId,
    /// The whole hash of its key.
    pub key_hash: KeyHash,
}

impl End {
    /// Our own.
    #[must_use]
    pub const fn of(identity: &Identity) -> Self {
        Self { peer_id: identity.peer_id(), key_hash: identity.key_hash() }
    }

    fn is(&self, device: &PairDevice) -> bool {
        device.peer_id == self.peer_id && device.key_hash == self.key_hash.0
    }
}

/// What a pairing is bound to: both ends, by what they do, and the connection between them.
#[derive(Clone, Copy)]
pub struct Binding {
    /// Who shows the code.
    pub shower: End,
    /// Who types it.
    pub typer: End,
    /// What only the two ends of this connection can compute.
    pub exporter: [u8; 32],
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binding({} shows, {} types)", self.shower.peer_id.short(), self.typer.peer_id.short())
    }
}

/// Why an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Another version of the pairing protocol.
    #[error("it speaks another version of the pairing protocol")]
    Version,
    /// Both invite, or both want to join; or the other side sent what belongs to our part.
    #[error("both sides have the same part")]
    Part,
    /// It uses a token where we expect a code, or another token.
    #[error("it uses another kind of secret")]
    OtherSecret,
    /// Not a SPAKE2 message of the other side.
    #[error("its key exchange message is malformed")]
    Malformed,
    /// The confirmation is wrong: another code, or somebody in between.
    #[error("the codes differ, or somebody stands between the two devices")]
    WrongCode,
    /// A message after the confirmations was changed, repeated or left out.
    #[error("a message was changed on its way")]
    Forged,
    /// It describes itself as another device than the connection proves.
    #[error("it describes itself as another device than it is")]
    WrongIdentity,
}

impl Broken {
    /// The reason to tell the other side.
    #[must_use]
    pub const fn refusal(self) -> PairRefusal {
        match self {
            Self::Version => PairRefusal::Version,
            Self::Part => PairRefusal::SamePart,
            Self::OtherSecret => PairRefusal::NoCode,
            // As for a wrong code: it was an attempt all the same.
            Self::Malformed | Self::WrongCode => PairRefusal::WrongCode,
            Self::Forged | Self::WrongIdentity => PairRefusal::Failed,
        }
    }
}

/// The side on which the code was typed, before it hears anything.
pub struct Typer {
    binding: Binding,
    spake: Spake2<Ed25519Group>,
    start: PairStart,
}

impl Typer {
    /// Begins. `random` is used once and must be fresh from the system.
    #[must_use]
    pub fn begin(binding: Binding, secret: &Secret, part: PairPart, random: [u8; 32]) -> (Self, PairStart) {
        let (shown, typed) = identities(&binding);
        let (spake, message) =
            Spake2::<Ed25519Group>::start_b_with_rng(&password(secret), &shown, &typed, Stretched::new(random));
        let token = secret.token_name().cloned();
        let start = PairStart { version: PAIR_VERSION, part, token, pake: pake_message(&message) };
        (Self { binding, spake, start: start.clone() }, start)
    }

    /// Takes the answer and proves what we know.
    ///
    /// # Errors
    /// When the answer is no SPAKE2 message.
    pub fn reply(self, reply: &PairReply) -> Result<(TyperWaiting, PairConfirm), Broken> {
        let shared = self.spake.finish(&reply.pake.0).map_err(|_| Broken::Malformed)?;
        let mut channel = Channel::new(&self.binding, &self.start, reply, &shared, Side::Typer);
        let confirm = PairConfirm { mac: channel.seal(CONFIRM, &[]) };
        Ok((TyperWaiting { channel, part: self.start.part }, confirm))
    }
}

/// The side on which the code was typed, waiting for the other's proof.
pub struct TyperWaiting {
    channel: Channel,
    part: PairPart,
}

impl TyperWaiting {
    /// Takes the other side's proof.
    ///
    /// # Errors
    /// When it is wrong.
    pub fn confirm(mut self, confirm: &PairConfirm) -> Result<Confirmed, Broken> {
        self.channel.open(CONFIRM, &[], confirm.mac).map_err(|_| Broken::WrongCode)?;
        Ok(Confirmed { channel: self.channel, part: self.part })
    }
}

/// The side that shows the code, after it answered.
pub struct Shower {
    channel: Channel,
    part: PairPart,
}

impl Shower {
    /// Answers the beginning of a pairing. The try has to be counted before the answer goes out. `random` as for `begin`.
    ///
    /// # Errors
    /// When the beginning does not fit what is shown here.
    pub fn answer(
        binding: Binding,
        secret: &Secret,
        part: PairPart,
        random: [u8; 32],
        start: &PairStart,
    ) -> Result<(Self, PairReply), Broken> {
        if start.version != PAIR_VERSION {
            return Err(Broken::Version);
        }
        if start.token.as_ref() != secret.token_name() {
            return Err(Broken::OtherSecret);
        }
        if start.part != part.other() {
            return Err(Broken::Part);
        }
        let (shown, typed) = identities(&binding);
        let (spake, message) =
            Spake2::<Ed25519Group>::start_a_with_rng(&password(secret), &shown, &typed, Stretched::new(random));
        let shared = spake.finish(&start.pake.0).map_err(|_| Broken::Malformed)?;
        let reply = PairReply { pake: pake_message(&message) };
        let channel = Channel::new(&binding, start, &reply, &shared, Side::Shower);
        Ok((Self { channel, part }, reply))
    }

    /// Takes the other side's proof, and gives ours only for a right one: who guesses learns nothing but that.
    ///
    /// # Errors
    /// When it is wrong.
    pub fn confirm(mut self, confirm: &PairConfirm) -> Result<(Confirmed, PairConfirm), Broken> {
        self.channel.open(CONFIRM, &[], confirm.mac).map_err(|_| Broken::WrongCode)?;
        let ours = PairConfirm { mac: self.channel.seal(CONFIRM, &[]) };
        Ok((Confirmed { channel: self.channel, part: self.part }, ours))
    }
}

/// Both sides know the code and sit at the two ends of one connection. Each message from here on proves all before it.
pub struct Confirmed {
    channel: Channel,
    part: PairPart,
}

impl fmt::Debug for Confirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Confirmed(with {}, {:?})", self.channel.theirs.peer_id.short(), self.part)
    }
}

impl Confirmed {
    /// What this side does.
    #[must_use]
    pub const fn part(&self) -> PairPart {
        self.part
    }

    /// The other end.
    #[must_use]
    pub const fn other(&self) -> End {
        self.channel.theirs
    }

    /// Invites the other side.
    ///
    /// # Errors
    /// When this side joins.
    pub fn invite(&mut self, player: PairPlayer, role: DeviceRole, device: PairDevice) -> Result<PairInvite, Broken> {
        self.is(PairPart::Invites)?;
        let mac = self.channel.seal(INVITE, &invite_fields(&player, role, &device));
        Ok(PairInvite { player, role, device, mac })
    }

    /// Takes the invitation of the other side.
    ///
    /// # Errors
    /// When it is not from there, or this side invites.
    pub fn invited(&mut self, invite: &PairInvite) -> Result<(), Broken> {
        self.is(PairPart::Joins)?;
        self.channel.open(INVITE, &invite_fields(&invite.player, invite.role, &invite.device), invite.mac)?;
        self.describes_itself(&invite.device)
    }

    /// Says yes.
    ///
    /// # Errors
    /// When this side invites.
    pub fn accept(&mut self, device: PairDevice) -> Result<PairAccept, Broken> {
        self.is(PairPart::Joins)?;
        let mac = self.channel.seal(ACCEPT, &device_fields(&device));
        Ok(PairAccept { device, mac })
    }

    /// Takes the other side's yes.
    ///
    /// # Errors
    /// When it is not from there, or this side joins.
    pub fn accepted(&mut self, accept: &PairAccept) -> Result<(), Broken> {
        self.is(PairPart::Invites)?;
        self.channel.open(ACCEPT, &device_fields(&accept.device), accept.mac)?;
        self.describes_itself(&accept.device)
    }

    /// Says that the new device is durable here.
    ///
    /// # Errors
    /// When this side joins.
    pub fn done(&mut self) -> Result<PairDone, Broken> {
        self.is(PairPart::Invites)?;
        Ok(PairDone { mac: self.channel.seal(DONE, &[]) })
    }

    /// Takes that word.
    ///
    /// # Errors
    /// When it is not from there, or this side invites.
    pub fn is_done(&mut self, done: &PairDone) -> Result<(), Broken> {
        self.is(PairPart::Joins)?;
        self.channel.open(DONE, &[], done.mac)
    }

    fn is(&self, part: PairPart) -> Result<(), Broken> {
        if self.part == part { Ok(()) } else { Err(Broken::Part) }
    }

    fn describes_itself(&self, device: &PairDevice) -> Result<(), Broken> {
        if self.channel.theirs.is(device) { Ok(()) } else { Err(Broken::WrongIdentity) }
    }
}

const CONFIRM: &[u8] = b"confirm";
const INVITE: &[u8] = b"invite";
const ACCEPT: &[u8] = b"accept";
const DONE: &[u8] = b"done";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Shower,
    Typer,
}

/// The transcript so far and a key for each direction, so that nothing can be sent back to where it came from.
struct Channel {
    transcript: Digest,
    ours: hmac::Key,
    their_key: hmac::Key,
    side: Side,
    theirs: End,
}

impl Channel {
    fn new(binding: &Binding, start: &PairStart, reply: &PairReply, shared: &[u8], side: Side) -> Self {
        let transcript = transcript(binding, start, reply);
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &binding.exporter).extract(shared);
        let key = |label: &[u8]| {
            let info = [PROTOCOL, label, &transcript.0];
            let okm = prk.expand(&info, hmac::HMAC_SHA256).expect("BUG: 32 bytes are within the bound of HKDF");
            hmac::Key::from(okm)
        };
        let (shower, typer) = (key(b"shower"), key(b"typer"));
        let (ours, their_key, theirs) = match side {
            Side::Shower => (shower, typer, binding.typer),
            Side::Typer => (typer, shower, binding.shower),
        };
        Self { transcript, ours, their_key, side, theirs }
    }

    /// The proof of a message of ours, which becomes a part of the transcript.
    fn seal(&mut self, label: &[u8], fields: &[&[u8]]) -> Digest {
        self.transcript = self.with(self.side == Side::Shower, label, fields);
        let mut mac = [0u8; 32];
        mac.copy_from_slice(hmac::sign(&self.ours, &self.transcript.0).as_ref());
        Digest(mac)
    }

    /// Checks the proof of a message of theirs.
    fn open(&mut self, label: &[u8], fields: &[&[u8]], mac: Digest) -> Result<(), Broken> {
        self.transcript = self.with(self.side == Side::Typer, label, fields);
        // Takes the same time whatever differs.
        hmac::verify(&self.their_key, &self.transcript.0, &mac.0).map_err(|_| Broken::Forged)
    }

    fn with(&self, by_shower: bool, label: &[u8], fields: &[&[u8]]) -> Digest {
        let mut hasher = FieldHasher::new();
        hasher.field(&self.transcript.0).field(if by_shower { b"shower" } else { b"typer" }).field(label);
        for field in fields {
            hasher.field(field);
        }
        hasher.finish()
    }
}

fn transcript(binding: &Binding, start: &PairStart, reply: &PairReply) -> Digest {
    let mut hasher = FieldHasher::new();
    hasher.field(PROTOCOL).number(u64::from(PROTO_VERSION)).number(u64::from(start.version));
    for end in [&binding.shower, &binding.typer] {
        hasher.field(end.peer_id.as_uuid().as_bytes()).field(&end.key_hash.0.0);
    }
    hasher.field(match start.part {
        PairPart::Invites => b"invites",
        PairPart::Joins => b"joins",
    });
    hasher.option(start.token.as_ref().map(|t| t.as_str().as_bytes()));
    hasher.field(&reply.pake.0).field(&start.pake.0);
    hasher.finish()
}

fn invite_fields<'a>(player: &'a PairPlayer, role: DeviceRole, device: &'a PairDevice) -> Vec<&'a [u8]> {
    let role: &[u8] = match role {
        DeviceRole::Personal => b"personal",
        DeviceRole::Unattended => b"unattended",
    };
    let mut fields = vec![player.player_id.0.as_bytes().as_slice(), player.name.as_bytes(), role];
    fields.extend(device_fields(device));
    fields
}

fn device_fields(device: &PairDevice) -> [&[u8]; 5] {
    [
        device.peer_id.as_uuid().as_bytes(),
        &device.key_hash.0,
        device.device_epoch.0.as_bytes(),
        device.name.as_bytes(),
        device.platform.as_bytes(),
    ]
}

/// The identities of the two sides, in the order of their parts: who shows is A, who types is B.
fn identities(binding: &Binding) -> (PakeIdentity, PakeIdentity) {
    let id = |end: &End| PakeIdentity::new(end.peer_id.as_uuid().as_bytes());
    (id(&binding.shower), id(&binding.typer))
}

fn password(secret: &Secret) -> Password {
    Password::new(secret.password())
}

fn pake_message(bytes: &[u8]) -> PakeMessage {
    PakeMessage(<[u8; PAKE_LEN]>::try_from(bytes).expect("BUG: a side and a compressed point"))
}

/// Thirty-two random bytes made into as many as a scalar takes: HMAC of a counter, with the bytes as the key.
struct Stretched {
    key: hmac::Key,
    count: u64,
}

impl Stretched {
    fn new(random: [u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &random), count: 0 }
    }
}

impl CryptoRng for Stretched {}

impl RngCore for Stretched {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        for block in dest.chunks_mut(32) {
            let tag = hmac::sign(&self.key, &self.count.to_be_bytes());
            block.copy_from_slice(&tag.as_ref()[..block.len()]);
            self.count += 1;
        }
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
