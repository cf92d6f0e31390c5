//! One conversation with the running peer about players and their saves: finds who and what is meant, asks, waits as long as
//! it takes, and ends with the first stop signal. The peer goes on with what it was asked.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use bonfire_engine::command::{Command, DevicesCommand, Reply, SaveRef, SavesCommand};
use bonfire_engine::saves_view::{SlotView, VersionView};
use bonfire_engine::{ErrorClass, Report, Snapshot};
use bonfire_proto::{GameId, PlayerId, SlotName, SnapshotId};

use super::find;
use crate::args::saves::Which;
use crate::control::Client;
use crate::exit::Failure;
use crate::progress::Stop;
use crate::render::Out;

/// After how long a person is told that it still goes on.
const PATIENCE: Duration = Duration::from_secs(5);

/// A conversation.
pub(crate) struct Asker<'a> {
    /// Where it is told.
    pub(crate) out: &'a Out,
    /// The peer.
    pub(crate) client: Client,
    /// Stop signals since the beginning.
    pub(crate) stop: Stop,
}

impl<'a> Asker<'a> {
    /// Connects to the peer of this data folder.
    ///
    /// # Errors
    /// `Unreachable` when none runs.
    pub(crate) async fn connect(out: &'a Out, data_dir: &Path) -> Result<Self, Failure> {
        let mut stop = Stop::new()?;
        let client = stop.before(&"the peer", Client::connect(data_dir)).await?;
        Ok(Self { out, client, stop })
    }

    /// The whole state.
    ///
    /// # Errors
    /// `Unreachable` when the peer is gone.
    pub(crate) async fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        self.stop.before(&"the peer", self.client.snapshot()).await
    }

    /// The player that a person named, if one was.
    ///
    /// # Errors
    /// When there is none, or several.
    pub(crate) async fn player(&mut self, wanted: Option<&str>) -> Result<Option<PlayerId>, Failure> {
        let Some(wanted) = wanted else { return Ok(None) };
        let snapshot = self.snapshot().await?;
        Ok(Some(find::player(&snapshot, wanted)?))
    }

    /// The line that a person named.
    ///
    /// # Errors
    /// As for `player`.
    pub(crate) async fn at(&mut self, which: &Which) -> Result<SaveRef, Failure> {
        self.line(&which.game, which.slot.clone(), which.player.as_deref()).await
    }

    /// As `at`, out of its parts.
    ///
    /// # Errors
    /// As for `player`.
    pub(crate) async fn line(
        &mut self,
        game: &GameId,
        slot: Option<SlotName>,
        player: Option<&str>,
    ) -> Result<SaveRef, Failure> {
        Ok(SaveRef { game: game.clone(), slot, player: self.player(player).await? })
    }

    /// Asks about saves and waits for the answer.
    ///
    /// # Errors
    /// The refusal; `Unreachable`; interrupted.
    pub(crate) async fn saves(&mut self, what: &impl Display, command: SavesCommand) -> Result<Reply, Failure> {
        self.ask(what, Command::Saves(command)).await
    }

    /// Asks about players and devices and waits for the answer.
    ///
    /// # Errors
    /// The refusal; `Unreachable`; interrupted.
    pub(crate) async fn devices(&mut self, what: &impl Display, command: DevicesCommand) -> Result<Reply, Failure> {
        self.ask(what, Command::Devices(command)).await
    }

    async fn ask(&mut self, what: &impl Display, command: Command) -> Result<Reply, Failure> {
        let (out, client) = (self.out, &mut self.client);
        let answer = async {
            let asked = client.long_command(command);
            tokio::pin!(asked);
            match tokio::time::timeout(PATIENCE, &mut asked).await {
                Ok(answer) => answer,
                Err(_) => {
                    if !out.is_json() {
                        out.talk(&format!("{what}: this takes a while; Ctrl-C leaves it to the peer"));
                    }
                    asked.await
                }
            }
        };
        self.stop.before(what, answer).await
    }

    /// The versions of a slot, newest first.
    ///
    /// # Errors
    /// The refusal; `Unreachable`; interrupted.
    pub(crate) async fn history(&mut self, at: &SaveRef) -> Result<Vec<VersionView>, Failure> {
        match self.saves(&at.game, SavesCommand::History { at: at.clone() }).await? {
            Reply::History { versions } => Ok(versions),
            other => Err(unfit(&other)),
        }
    }

    /// The version whose id, or the beginning of it, a person gave.
    ///
    /// # Errors
    /// When there is none, or several; as for `history`.
    pub(crate) async fn version(&mut self, at: &SaveRef, wanted: &str) -> Result<SnapshotId, Failure> {
        if let Ok(id) = wanted.parse() {
            return Ok(id);
        }
        let history = self.history(at).await?;
        Ok(find::version(&history, wanted)?)
    }
}

/// The reference to exactly this slot.
pub(crate) fn exactly(slot: &SlotView) -> SaveRef {
    SaveRef { game: slot.game.clone(), slot: Some(slot.slot.clone()), player: Some(slot.player) }
}

/// An answer that does not belong to what was asked.
pub(crate) fn unfit(reply: &Reply) -> Failure {
    Report::new(ErrorClass::Bug, "bad_answer", format!("the peer gave an answer to something else: {reply:?}"))
        .hint("the peer and this command may be of different versions: restart the peer")
        .into()
}
