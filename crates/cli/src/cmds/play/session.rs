//! What is agreed with the peer around a game: before it, that the newest save is on the disk and stays; after it, that
//! what it left is in history and with whom. Nothing here stops a game that a person wants to play, but that its install is
//! being changed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bonfire_engine::command::{Command, PlayCommand, Reply, SaveRef, SavesCommand};
use bonfire_engine::saves_view::SlotView;
use bonfire_engine::{ErrorClass, Report, Snapshot};
use bonfire_proto::{GameId, SnapshotId};
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};

use super::tell;
use crate::args::saves::PlayArgs;
use crate::cmds::asker::{Asker, exactly};
use crate::cmds::find;
use crate::cmds::saves::change::open_question;
use crate::cmds::saves::show::{device_name, newest, notes, slot_line, title, version_line};
use crate::control::{Client, Pushed};
use crate::exit::Failure;
use crate::platform::StopSignals;
use crate::progress::signals_failed;
use crate::prompt;
use crate::render::{Out, Tone, span};
use crate::when;

/// How long the peer may take to put what the game left into history, at least.
const CAPTURE_LIMIT: Duration = Duration::from_secs(60);

/// How long a peer that was lost while the game runs has before it is looked for again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// A game that is about to be played, is played, or was.
pub(super) struct Session<'a> {
    out: &'a Out,
    data_dir: PathBuf,
    game: GameId,
    /// Which line; nothing when no peer keeps it.
    at: Option<SaveRef>,
    /// The version that the game begins with.
    before: Option<SnapshotId>,
}

impl<'a> Session<'a> {
    /// Brings the save up to date as far as can be waited for, and has it left alone from then on.
    ///
    /// # Errors
    /// A conflict or a held save that nobody wants to play over, a game without a save set, an interruption; no peer, when
    /// one is insisted on.
    pub(super) async fn begin(out: &'a Out, data_dir: &Path, args: &PlayArgs) -> Result<Self, Failure> {
        let game = args.which.game.clone();
        let mut session = Self { out, data_dir: data_dir.to_path_buf(), game, at: None, before: None };
        let mut asker = match Asker::connect(out, data_dir).await {
            Ok(asker) => asker,
            Err(Failure::Report(report)) if report.class == ErrorClass::Unreachable && !args.strict => {
                tell(out, Tone::Plain, &format!("{}; playing with the save that is here", report.message));
                tell(out, Tone::Hint, "the new one is kept as soon as a peer runs again: bonfire run");
                return Ok(session);
            }
            Err(failure) => return Err(failure),
        };
        session.occupy(&mut asker).await?;
        let snapshot = asker.snapshot().await?;
        let name = &args.which.game;
        // Whoever starts a game as it says itself may have no saves to keep, and no player to keep them for.
        let is_own = args.command.is_empty() && args.which.slot.is_none() && args.which.player.is_none();
        if is_own && !snapshot.players.iter().flat_map(|p| &p.slots).any(|s| s.game == *name && s.is_here) {
            tell(out, Tone::Plain, &format!("no save of {name} is kept on this machine"));
            tell(out, Tone::Hint, &format!("to keep it, say where it lies: bonfire saves add {name} PATH"));
            return Ok(session);
        }
        let at = asker.at(&args.which).await?;
        let Some(slot) = find::slot(&snapshot, &at).filter(|slot| slot.is_here) else {
            let report = Report::new(ErrorClass::NotFound, "no_such_save", format!("no save of {name} lies on this machine"))
                .hint(format!(
                    "say where with: bonfire saves add {name} PATH (another slot: bonfire saves switch {name} --slot SLOT); \
                     or play without with --anyway"
                ));
            if !args.anyway {
                return Err(report.into());
            }
            tell(out, Tone::Plain, &format!("{}; it is not kept", report.message));
            return Ok(session);
        };
        let at = exactly(slot);
        let offline = is_alone(slot, &snapshot);
        let slot = session.up_to_date(&mut asker, &at, args, offline).await?;
        session.before = slot.as_ref().and_then(|slot| slot.base);
        session.at = Some(at);
        session.hold(&mut asker, args).await?;
        Ok(session)
    }

    /// Has the install left alone from here on, whether a save of it is kept or not.
    async fn occupy(&self, asker: &mut Asker<'_>) -> Result<(), Failure> {
        let begins = PlayCommand::Begins { game: self.game.clone(), pid: std::process::id() };
        let begun = asker.client.command(Command::Plays(begins));
        asker.stop.before(&self.game, begun).await.map(drop)
    }

    /// Pulls, for a while.
    async fn up_to_date(
        &self,
        asker: &mut Asker<'_>,
        at: &SaveRef,
        args: &PlayArgs,
        offline: bool,
    ) -> Result<Option<SlotView>, Failure> {
        let pull = Command::Saves(SavesCommand::Pull { at: at.clone(), optimistic: false });
        let limit = Duration::from_secs(args.wait);
        let pulled = async { Ok(timeout(limit, asker.client.long_command(pull)).await) };
        let pulled = asker.stop.before(&at.game, pulled).await?;
        let (slot, refusal) = match pulled {
            Ok(Ok(Reply::Save { slot })) => (Some(*slot), None),
            Ok(Ok(_)) => (None, None),
            Ok(Err(report)) => (None, Some(report)),
            Err(_) => {
                let report = Report::new(
                    ErrorClass::Remote,
                    "not_in_time",
                    format!("the newest save of {} did not arrive within {}", at.game, span(limit)),
                );
                (None, Some(report))
            }
        };
        let slot = match slot {
            Some(slot) => Some(slot),
            None => find::slot(&asker.snapshot().await?, at).cloned(),
        };
        if let Some(question) = slot.as_ref().and_then(open_question) {
            self.go_on(asker, args, question).await?;
        } else if let Some(report) = refusal {
            tell(self.out, Tone::Plain, &format!("{}; playing with the save that is here", report.message));
            if !report.hint.is_empty() {
                tell(self.out, Tone::Hint, &report.hint);
            }
        } else if let Some(slot) = &slot {
            tell(self.out, Tone::Good, &format!("{}: {}", title(slot), slot_line(slot, when::now())));
            if offline {
                tell(
                    self.out,
                    Tone::Plain,
                    "none of the other devices is connected: there may be a newer save elsewhere",
                );
            }
        }
        if self.out.is_json() {
            self.out.json(&json!({ "before": slot }))?;
        }
        Ok(slot)
    }

    /// Lets a person, or the flag, decide about an open question.
    async fn go_on(&self, asker: &mut Asker<'_>, args: &PlayArgs, question: Report) -> Result<(), Failure> {
        if args.anyway {
            tell(self.out, Tone::Plain, &format!("{}; playing all the same", question.message));
            tell(self.out, Tone::Hint, &question.hint);
            return Ok(());
        }
        if !prompt::is_possible(self.out) {
            let hint = format!("{}; or play all the same with --anyway", question.hint);
            return Err(Report { hint, ..question }.into());
        }
        tell(self.out, Tone::Plain, &question.message);
        tell(self.out, Tone::Hint, &question.hint);
        let asked = prompt::confirm("Play with what is on this disk all the same?");
        if asker.stop.before(&"an answer", asked).await? {
            return Ok(());
        }
        Err(Report { hint: String::new(), ..question }.into())
    }

    /// Has the disk left alone from here on.
    async fn hold(&self, asker: &mut Asker<'_>, args: &PlayArgs) -> Result<(), Failure> {
        let Some(at) = &self.at else { return Ok(()) };
        let begins = SavesCommand::PlayBegins { at: at.clone(), pid: std::process::id() };
        let held = asker.client.command(Command::Saves(begins));
        match asker.stop.before(&at.game, held).await {
            Ok(_) => Ok(()),
            Err(Failure::Report(report)) if report.class != ErrorClass::Cancelled && args.anyway => {
                tell(self.out, Tone::Plain, &format!("{}; playing all the same", report.message));
                Ok(())
            }
            // A save that may be replaced while the game runs is worse than a game that does not start.
            Err(failure) => Err(failure),
        }
    }

    /// Tells whoever reads which process the game is, also when it has ended by now.
    pub(super) fn tell_started(&self, pid: Option<u32>) {
        if let (true, Some(pid)) = (self.out.is_json(), pid)
            && self.out.json(&json!({ "playing": { "pid": pid } })).is_err()
        {
            tracing::debug!("nobody reads which process the game is");
        }
    }

    /// Tells the peer which process the game is, and tells it anew when it was started again meanwhile. Never ends.
    pub(super) async fn keep_company(&self, pid: Option<u32>) {
        let Some(pid) = pid else { return std::future::pending().await };
        let mut is_begun = true;
        loop {
            let lost = async {
                let mut client = Client::connect(&self.data_dir).await?;
                for pid in [std::process::id(), pid] {
                    client.command(Command::Plays(PlayCommand::Is { game: self.game.clone(), pid })).await?;
                }
                if let Some(at) = &self.at {
                    if !is_begun {
                        let begins = SavesCommand::PlayBegins { at: at.clone(), pid: std::process::id() };
                        client.long_command(Command::Saves(begins)).await?;
                    }
                    client.command(Command::Saves(SavesCommand::PlayIs { at: at.clone(), pid })).await?;
                }
                // Nothing is pushed to who does not follow: this ends with the connection.
                loop {
                    client.next().await?;
                }
            };
            let lost: Result<(), Report> = lost.await;
            if let Err(report) = lost {
                tracing::debug!(error = %report, "the peer does not know of the game at present");
            }
            is_begun = false;
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    /// The game has ended, or could not be started: has what it left put into history, and says what came of it.
    pub(super) async fn end(&self, wait: u64, was_played: bool, pid: Option<u32>) {
        if let Err(report) = self.vacate(pid).await {
            tracing::debug!(error = %report, "the peer sees by itself that the game has ended");
        }
        let Some(at) = &self.at else { return };
        // New ones: a signal that ended the game must not end this too.
        let ended = match StopSignals::new() {
            Ok(mut signals) => tokio::select! {
                ended = self.hand_on(at, Duration::from_secs(wait), was_played) => ended,
                () = signals.recv() => {
                    Err(Report::new(ErrorClass::Cancelled, "interrupted", "not waiting for the save to be kept"))
                }
            },
            Err(error) => Err(signals_failed(error)),
        };
        if let Err(report) = ended {
            let kept = if report.class == ErrorClass::Unreachable {
                "it is kept as soon as a peer runs again: bonfire run"
            } else {
                "the peer goes on with it; see: bonfire saves list"
            };
            tell(self.out, Tone::Error, &format!("{}; {kept}", report.message));
        }
    }

    async fn vacate(&self, pid: Option<u32>) -> Result<(), Report> {
        let pids = [std::process::id()].into_iter().chain(pid).collect();
        let ends = Command::Plays(PlayCommand::Ends { game: self.game.clone(), pids });
        Client::connect(&self.data_dir).await?.command(ends).await.map(drop)
    }

    async fn hand_on(&self, at: &SaveRef, wait: Duration, was_played: bool) -> Result<(), Report> {
        let mut client = Client::connect(&self.data_dir).await?;
        let mut snapshot = client.follow().await?;
        let ends = Command::Saves(SavesCommand::PlayEnds { at: at.clone() });
        let limit = CAPTURE_LIMIT.max(wait);
        let reply = timeout(limit, client.long_command(ends)).await.map_err(|_| {
            Report::new(ErrorClass::Remote, "not_in_time", format!("the save was not kept within {}", span(limit)))
        })??;
        let mut slot = match reply {
            Reply::Save { slot } => *slot,
            _ => match find::slot(&snapshot, at) {
                Some(slot) => slot.clone(),
                None => return Ok(()),
            },
        };
        let is_new = slot.base != self.before;
        let until = Instant::now() + wait;
        while is_new && open_question(&slot).is_none() && others_lack(&slot, &snapshot) {
            match timeout_at(until, client.next()).await {
                Ok(Ok(Pushed::Snapshot(newer))) => {
                    // What was under way when the reply came still stands at what was there before the game.
                    if let Some(later) = find::slot(&newer, at).filter(|s| s.base != self.before) {
                        slot = later.clone();
                        snapshot = *newer;
                    }
                }
                Ok(Ok(Pushed::Event(_))) => {}
                // It is kept here, whatever becomes of the rest.
                Ok(Err(_)) | Err(_) => break,
            }
        }
        if was_played || is_new {
            self.report(&slot, &snapshot, is_new);
        }
        Ok(())
    }

    fn report(&self, slot: &SlotView, snapshot: &Snapshot, is_new: bool) {
        if self.out.is_json() {
            if self.out.json(&json!({ "after": slot, "is_new": is_new })).is_err() {
                tracing::debug!("nobody reads what came of the save");
            }
            return;
        }
        if let Some(question) = open_question(slot) {
            tell(self.out, Tone::Error, &question.message);
            tell(self.out, Tone::Hint, &question.hint);
            return;
        }
        match newest(slot) {
            Some(version) if is_new => {
                let what = format!("{}: kept as {}", title(slot), version_line(version, when::now()));
                tell(self.out, Tone::Good, &format!("{what}; {}", holders(slot, snapshot)));
            }
            _ => tell(self.out, Tone::Plain, &format!("{}: the game left nothing new", title(slot))),
        }
        notes(slot).iter().for_each(|note| tell(self.out, Tone::Plain, note));
    }
}

/// Whether other devices exist and none of them is connected.
fn is_alone(slot: &SlotView, snapshot: &Snapshot) -> bool {
    let others = snapshot.players.iter().filter(|p| p.player == slot.player).flat_map(|p| &p.devices);
    let mut others = others.filter(|d| !d.is_this && d.enabled).peekable();
    others.peek().is_some() && !others.any(|d| d.is_connected)
}

/// Whether a connected device that takes part does not hold the newest version yet.
fn others_lack(slot: &SlotView, snapshot: &Snapshot) -> bool {
    let devices = snapshot.players.iter().filter(|p| p.player == slot.player).flat_map(|p| &p.devices);
    let mut waiting = devices.filter(|d| !d.is_this && d.is_connected && d.enabled);
    waiting.any(|d| slot.devices.iter().any(|s| s.device == d.device && !s.holds && !s.is_untracked))
}

/// `held by 2 of 3 devices (tower, deck)`.
fn holders(slot: &SlotView, snapshot: &Snapshot) -> String {
    let names: Vec<String> = slot.devices.iter().filter(|d| d.holds).map(|d| device_name(snapshot, d.device)).collect();
    let held = crate::cmds::saves::show::held_by(slot);
    if names.is_empty() { held } else { format!("{held} ({})", names.join(", ")) }
}
