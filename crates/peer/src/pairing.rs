//! Pairings as they run: the protocol on its stream, and at each stage the engine's answer.
//!
//! Owns which pairing waits for which answer. Who may pair, with which code and into which player is the engine's; what
//! goes over the wire is `bonfire_net::pairing`'s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bonfire_engine::input::{PairAnswer, PairCall, PairId, PairInput};
use bonfire_engine::trust::roster::Proven;
use bonfire_engine::{ErrorClass, Report};
use bonfire_net::Connection;
use bonfire_net::pairing::{End, IncomingPairing, PairError, Paired, type_code};
use bonfire_proto::message_pair::PairRefusal;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::conns;
use crate::errors::chain;
use crate::task::Event;
use crate::world::Random;

/// Longest wait for the engine's answer. It decides at once; only what it makes durable takes time.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where the answers of pairings that are under way go.
#[derive(Debug, Default)]
pub(crate) struct Pairings {
    waiting: BTreeMap<PairId, mpsc::Sender<PairAnswer>>,
}

impl Pairings {
    /// Notes what a pairing says of itself: whom to answer, until it is over.
    pub(crate) fn said(&mut self, id: PairId, input: &PairInput, answers: mpsc::Sender<PairAnswer>) {
        if matches!(input, PairInput::Done(_) | PairInput::Failed { .. }) {
            self.waiting.remove(&id);
        } else {
            self.waiting.insert(id, answers);
        }
    }

    /// Hands on an answer. One that nobody waits for any more is of no use: the pairing said that it failed.
    pub(crate) fn answer(&mut self, id: PairId, answer: PairAnswer) {
        let sent = self.waiting.get(&id).is_some_and(|to| to.try_send(answer).is_ok());
        if !sent {
            tracing::debug!("an answer to {id:?} came when it was over");
        }
    }
}

/// One pairing, on its way to the task.
pub(crate) struct Pairing {
    id: PairId,
    ours: End,
    theirs: Proven,
    random: Arc<dyn Random>,
    events: mpsc::Sender<Event>,
    answers: mpsc::Receiver<PairAnswer>,
    answer_to: mpsc::Sender<PairAnswer>,
}

/// Why a pairing came to nothing, and what the other side said, if it did.
struct Broken(Report, Option<PairRefusal>);

impl From<PairError> for Broken {
    fn from(error: PairError) -> Self {
        let refused = match &error {
            PairError::Refused { reason, .. } => Some(*reason),
            _ => None,
        };
        let code = match (&error, refused) {
            (_, Some(PairRefusal::WrongCode)) | (PairError::Broken { .. }, _) => "wrong_code",
            (_, Some(_)) => "pairing_refused",
            _ => "pairing_failed",
        };
        let report = Report::new(error.class(), code, chain(&error));
        Self(if error.is_retryable() { report.retryable() } else { report }, refused)
    }
}

impl Pairing {
    pub(crate) fn new(
        id: PairId,
        ours: End,
        connection: &Connection,
        random: Arc<dyn Random>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        // One question at a time.
        let (answer_to, answers) = mpsc::channel(1);
        let theirs = Proven { peer: connection.peer_id(), key_hash: connection.key_hash().0 };
        Self { id, ours, theirs, random, events, answers, answer_to }
    }

    /// Types a code.
    pub(crate) async fn call(mut self, connection: Connection, call: PairCall) {
        let ended = self.type_code(connection, call).await;
        self.over(ended).await;
    }

    /// Answers one who typed a code.
    pub(crate) async fn incoming(mut self, incoming: IncomingPairing) {
        let ended = self.show(incoming).await;
        self.over(ended).await;
    }

    async fn over(self, ended: Result<(), Broken>) {
        match ended {
            Ok(()) => self.say(PairInput::Done(self.theirs)).await,
            Err(Broken(error, refused)) => self.say(PairInput::Failed { error, refused }).await,
        }
    }

    async fn type_code(&mut self, connection: Connection, call: PairCall) -> Result<(), Broken> {
        let random = self.fresh()?;
        let paired = type_code(&connection, self.ours, &call.secret, call.part, random).await?;
        self.proven(paired).await
    }

    async fn show(&mut self, incoming: IncomingPairing) -> Result<(), Broken> {
        let began = PairInput::Began(self.theirs, incoming.start().clone());
        match self.ask(began).await {
            Ok(PairAnswer::Show { secret, part }) => {
                let random = self.fresh()?;
                let paired = incoming.show(self.ours, &secret, part, random).await?;
                self.proven(paired).await
            }
            Ok(PairAnswer::Refuse(reason)) => {
                incoming.refuse(reason).await;
                Err(refused(reason))
            }
            other => {
                incoming.refuse(PairRefusal::Failed).await;
                Err(unanswered(other))
            }
        }
    }

    /// Both sides have proven the code.
    async fn proven(&mut self, paired: Paired) -> Result<(), Broken> {
        match self.ask(PairInput::Proven(self.theirs)).await {
            Ok(PairAnswer::Invite { player, role, ours }) => {
                let accepted = paired.invite(player, role, ours).await?;
                match self.ask(PairInput::Accepted(self.theirs, accepted.device.clone())).await {
                    Ok(PairAnswer::Confirm) => Ok(accepted.done().await?),
                    Ok(PairAnswer::Refuse(reason)) => {
                        accepted.refuse(reason).await;
                        Err(refused(reason))
                    }
                    other => {
                        accepted.refuse(PairRefusal::Failed).await;
                        Err(unanswered(other))
                    }
                }
            }
            Ok(PairAnswer::AwaitInvitation) => {
                let invitation = paired.invitation().await?;
                match self.ask(PairInput::Invited(self.theirs, invitation.invite.clone())).await {
                    Ok(PairAnswer::Accept { ours }) => Ok(invitation.accept(ours).await?),
                    Ok(PairAnswer::Refuse(reason)) => {
                        invitation.refuse(reason).await;
                        Err(refused(reason))
                    }
                    other => {
                        invitation.refuse(PairRefusal::Failed).await;
                        Err(unanswered(other))
                    }
                }
            }
            Ok(PairAnswer::Refuse(reason)) => {
                paired.refuse(reason).await;
                Err(refused(reason))
            }
            other => {
                paired.refuse(PairRefusal::Failed).await;
                Err(unanswered(other))
            }
        }
    }

    /// Asks the engine. That it has no answer in time is an error.
    async fn ask(&mut self, input: PairInput) -> Result<PairAnswer, Report> {
        self.say(input).await;
        let late = || Report::new(ErrorClass::Bug, "pairing_failed", "the pairing was not answered here in time");
        timeout(ANSWER_WITHIN, self.answers.recv()).await.ok().flatten().ok_or_else(late)
    }

    async fn say(&self, input: PairInput) {
        let answers = self.answer_to.clone();
        conns::send(&self.events, Event::Pairing(self.id, Box::new(input), answers)).await;
    }

    fn fresh(&self) -> Result<[u8; 32], Broken> {
        self.random.bytes().map_err(|e| Broken(e, None))
    }
}

fn unanswered(answer: Result<PairAnswer, Report>) -> Broken {
    let out_of_turn = |_| crate::task::bug("an answer to a pairing came out of turn");
    Broken(answer.map_or_else(|late| late, out_of_turn), None)
}

/// Broken off by the engine's own word.
fn refused(reason: PairRefusal) -> Broken {
    Broken(bonfire_engine::players::refused(reason), None)
}
