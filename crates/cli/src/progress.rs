//! Watches one operation of the running peer to its end and shows how it goes: a bar on a terminal, lines when piped,
//! JSON objects for scripts. Decides nothing about the operation itself.

use std::fmt::Display;
use std::time::Duration;

use bonfire_engine::command::{Command, TransferCommand};
use bonfire_engine::event::PeerEvent;
use bonfire_engine::snapshot::{OperationView, Phase};
use bonfire_engine::{ErrorClass, Report, Snapshot};
use bonfire_proto::{GameId, PeerId};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::time::Instant;

use crate::cmds::status::{phase, waited};
use crate::control::{Client, Pushed};
use crate::exit::Failure;
use crate::platform::StopSignals;
use crate::render::{Out, percent, shown, size, span};

/// Shortest time between two progress objects with `--json`.
const JSON_INTERVAL: Duration = Duration::from_millis(500);
/// How often a person or a script that waits for an operation which stands still is told so again.
const REMIND_EVERY: Duration = Duration::from_secs(60);
/// How long the event that ends an operation may trail the snapshot that no longer has it.
const END_GRACE: Duration = Duration::from_secs(3);

/// Shows how one operation goes.
pub(crate) struct Progress {
    out: Out,
    title: String,
    form: Form,
}

enum Form {
    Bar(ProgressBar),
    Lines { last: Option<u64> },
    Json { next_at: Instant },
}

impl Progress {
    /// For an operation that people know under this title.
    pub(crate) fn new(out: &Out, title: &str) -> Self {
        let form = if out.is_json() {
            Form::Json { next_at: Instant::now() }
        } else if out.has_bars() {
            let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos:>3} % {msg}")
                .expect("BUG: the template of the bar is wrong")
                .progress_chars("=> ");
            let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
            Form::Bar(bar.with_style(style).with_prefix(shown(title)))
        } else {
            Form::Lines { last: None }
        };
        Self { out: *out, title: shown(title), form }
    }

    /// Shows where it stands.
    ///
    /// # Errors
    /// When nobody reads stdout.
    pub(crate) fn update(&mut self, operation: &OperationView, snapshot: &Snapshot) -> Result<(), Failure> {
        let done = percent(operation.done_bytes, operation.total_bytes);
        match &mut self.form {
            Form::Json { next_at } => {
                if Instant::now() >= *next_at {
                    *next_at = Instant::now() + JSON_INTERVAL;
                    self.out.json(&json!({ "progress": operation }))?;
                }
            }
            Form::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(details(operation, snapshot));
            }
            Form::Lines { last } => {
                let step = done / 10 * 10;
                if operation.total_bytes > 0 && last.is_none_or(|last| step >= last + 10) {
                    *last = Some(step);
                    let total = size(operation.total_bytes);
                    self.out.talk(&format!(
                        "{}: {done} % of {total}{}",
                        self.title,
                        comma(&details(operation, snapshot))
                    ));
                }
            }
        }
        Ok(())
    }

    /// Says something between two steps.
    pub(crate) fn note(&self, text: &str) {
        match &self.form {
            Form::Bar(bar) => bar.suspend(|| self.out.talk(text)),
            Form::Lines { .. } => self.out.talk(text),
            Form::Json { .. } => {}
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }
}

fn comma(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(", {text}") }
}

/// `12.0 MiB/s, 3 s left, from ann, ben`, or the phase while nothing moves.
fn details(operation: &OperationView, snapshot: &Snapshot) -> String {
    let mut parts = Vec::new();
    if operation.phase != Phase::Transferring {
        parts.push(phase(operation.phase).to_owned());
    }
    if operation.total_files > 0 {
        parts.push(format!("{} of {} files", operation.done_files, operation.total_files));
    }
    if operation.bytes_per_second > 0 {
        parts.push(format!("{}/s", size(operation.bytes_per_second)));
    }
    if let Some(eta) = operation.eta_ms {
        parts.push(format!("{} left", span(Duration::from_millis(eta))));
    }
    if !operation.sources.is_empty() {
        let names: Vec<String> = operation.sources.iter().map(|id| peer_name(snapshot, *id)).collect();
        parts.push(format!("from {}", names.join(" and ")));
    }
    parts.join(", ")
}

/// A peer's name for people, or the beginning of its id.
pub(crate) fn peer_name(snapshot: &Snapshot, id: PeerId) -> String {
    let name = snapshot.peers.iter().find(|p| p.peer == id).map(|p| shown(&p.name));
    name.filter(|n| !n.is_empty()).unwrap_or_else(|| id.short())
}

/// What to do besides watching.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    /// Ctrl-C cancels the operation and waits for the sweep; otherwise it only ends the watching.
    pub(crate) cancel_on_signal: bool,
    /// Ends with an error as soon as the operation stands still.
    pub(crate) leave_when_paused: bool,
}

/// Stop signals from the first moment of a command on, and whether one was heard.
pub(crate) struct Stop {
    signals: StopSignals,
    is_asked: bool,
}

impl Stop {
    /// From here on no signal ends the process by itself.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self { signals: StopSignals::new().map_err(signals_failed)?, is_asked: false })
    }

    /// Does what changes nothing; the first signal ends it.
    ///
    /// # Errors
    /// What the work says, or that it was stopped.
    pub(crate) async fn before<T>(
        &mut self,
        what: &impl Display,
        work: impl Future<Output = Result<T, Report>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            done = work => Ok(done?),
            () = self.signals.recv() => Err(cancelled(what)),
        }
    }

    /// Waits for a signal.
    pub(crate) async fn asked(&mut self) {
        self.signals.recv().await;
    }

    /// Waits for the answer to what may change something: the first signal is kept for `watch`, the second ends it.
    ///
    /// # Errors
    /// What the work says, or that it was stopped.
    pub(crate) async fn during<T>(
        &mut self,
        game: &GameId,
        work: impl Future<Output = Result<T, Report>>,
    ) -> Result<T, Failure> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done?),
                () = self.signals.recv() => {
                    if self.is_asked {
                        return Err(cancelled(game));
                    }
                    self.is_asked = true;
                }
            }
        }
    }
}

/// Watches an operation until its end and returns the event that ended it.
///
/// # Errors
/// When the peer stops, the operation stands still and the rules say to leave, or the outcome was missed.
pub(crate) async fn watch(
    out: &Out,
    client: &mut Client,
    (op, game): (u64, &GameId),
    rules: Rules,
    stop: &mut Stop,
) -> Result<PeerEvent, Failure> {
    let mut watch = Watch {
        progress: Progress::new(out, game.as_str()),
        out,
        op,
        game,
        rules,
        paused: None,
        waited: None,
        gone_since: None,
    };
    let mut is_told = false;
    let mut remind = tokio::time::interval_at(Instant::now() + REMIND_EVERY, REMIND_EVERY);
    let ended = loop {
        if stop.is_asked && !is_told {
            is_told = true;
            if let Err(failure) = watch.cancel(client, stop).await {
                break Err(failure);
            }
        }
        let give_up_at = watch.gone_since.map(|since| since + END_GRACE);
        tokio::select! {
            // What the peer said comes first: a machine that is slow must not make it look silent.
            biased;
            pushed = client.next() => {
                let pushed = match pushed {
                    Ok(pushed) => pushed,
                    Err(report) => break Err(report.into()),
                };
                match watch.take(pushed) {
                    Ok(None) => {}
                    Ok(Some(event)) => break Ok(event),
                    Err(failure) => break Err(failure),
                }
            }
            () = stop.signals.recv() => {
                if stop.is_asked {
                    break Err(cancelled(game));
                }
                stop.is_asked = true;
            }
            _ = remind.tick() => {
                if let Err(failure) = watch.remind() {
                    break Err(failure);
                }
            }
            () = sleep_until(give_up_at) => break Err(missed(game).into()),
        }
    };
    watch.progress.finish();
    ended
}

struct Watch<'a> {
    progress: Progress,
    out: &'a Out,
    op: u64,
    game: &'a GameId,
    rules: Rules,
    /// What was last said about why it stands still.
    paused: Option<Report>,
    /// How long it had waited when that was last heard, and when that was.
    waited: Option<(Duration, Instant)>,
    /// Since when the snapshot has not had the operation.
    gone_since: Option<Instant>,
}

impl Watch<'_> {
    /// After the first signal: cancels the operation if the rules say so. A second signal ends the wait for the answer.
    async fn cancel(&mut self, client: &mut Client, stop: &mut Stop) -> Result<(), Failure> {
        let game = self.game;
        if !self.rules.cancel_on_signal {
            return Err(cancelled(game));
        }
        self.progress.note(&format!("cancelling {game}; a second Ctrl-C leaves it to the peer"));
        let cancel = Command::Transfers(TransferCommand::Cancel { game: game.clone() });
        // A refusal is an answer: the operation may have ended meanwhile, and its event says how.
        let answer = async { Ok(client.command(cancel).await) };
        if let Err(refusal) = stop.during(game, answer).await? {
            self.progress.note(&refusal.message);
        }
        Ok(())
    }

    fn take(&mut self, pushed: Pushed) -> Result<Option<PeerEvent>, Failure> {
        match pushed {
            Pushed::Event(record) => self.take_event(record.event),
            Pushed::Snapshot(snapshot) => self.take_snapshot(&snapshot).map(|()| None),
        }
    }

    fn take_event(&mut self, event: PeerEvent) -> Result<Option<PeerEvent>, Failure> {
        if ends(&event, self.op, self.game) {
            return Ok(Some(event));
        }
        match event {
            PeerEvent::DownloadPaused { op, error, .. } if op == self.op => self.take_pause(error)?,
            PeerEvent::SourceDropped { op, peer, error, .. } if op == self.op => {
                self.progress.note(&format!("{}: gave up on peer {}: {}", self.game, peer.short(), error.message));
            }
            PeerEvent::Stopped => {
                return Err(Report::new(ErrorClass::Unreachable, "peer_stopped", "the peer has stopped")
                    .hint("start it again with: bonfire run; downloads go on by themselves")
                    .into());
            }
            _ => {}
        }
        Ok(None)
    }

    fn take_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), Failure> {
        let Some(operation) = snapshot.operations.iter().find(|o| o.op == self.op) else {
            self.gone_since.get_or_insert_with(Instant::now);
            return Ok(());
        };
        self.gone_since = None;
        self.waited = waited(operation, snapshot).map(|w| (w, Instant::now()));
        match &operation.error {
            Some(error) if operation.phase == Phase::Waiting => self.take_pause(error.clone())?,
            _ => self.paused = None,
        }
        self.progress.update(operation, snapshot)
    }

    fn take_pause(&mut self, error: Report) -> Result<(), Failure> {
        if self.rules.leave_when_paused {
            let report = Report::new(
                ErrorClass::Remote,
                &error.code,
                format!("{} stands still: {}; it goes on in the background", self.game, error.message),
            );
            return Err(report.hint(format!("cancel it with: bonfire cancel {}", self.game)).into());
        }
        if self.paused.as_ref() != Some(&error) {
            self.paused = Some(error);
            self.remind()?;
        }
        Ok(())
    }

    /// Says that it stands still, why, how long already, and how to leave.
    fn remind(&self) -> Result<(), Failure> {
        let Some(error) = &self.paused else { return Ok(()) };
        let waited = self.waited.map_or(Duration::ZERO, |(waited, at)| waited + at.elapsed());
        if self.out.is_json() {
            let waiting_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            self.out.json(&json!({ "paused": error, "waiting_ms": waiting_ms }))?;
        }
        self.progress.note(&standing_still(self.game, error, waited, self.rules.cancel_on_signal));
        Ok(())
    }
}

/// `doom stands still for 2 min 0 s: nobody connected has it (..); waiting, Ctrl-C cancels it`.
fn standing_still(game: &GameId, error: &Report, waited: Duration, cancel_on_signal: bool) -> String {
    let long = if waited < REMIND_EVERY { String::new() } else { format!(" for {}", span(waited)) };
    let hint = if error.hint.is_empty() { String::new() } else { format!(" ({})", error.hint) };
    let leave = if cancel_on_signal { "Ctrl-C cancels it" } else { "Ctrl-C ends the waiting" };
    format!("{game} stands still{long}: {}{hint}; waiting, {leave}", error.message)
}

/// Whether an event ends this operation.
fn ends(event: &PeerEvent, this_op: u64, this_game: &GameId) -> bool {
    match event {
        PeerEvent::DownloadFinished { op, game, .. }
        | PeerEvent::DownloadFailed { op, game, .. }
        | PeerEvent::DownloadCancelled { op, game, .. }
        | PeerEvent::GameRemoved { op, game }
        | PeerEvent::RemoveFailed { op, game, .. }
        | PeerEvent::InstallFinished { op, game, .. }
        | PeerEvent::InstallFailed { op, game, .. }
        | PeerEvent::InstallCancelled { op, game, .. }
        | PeerEvent::GameUninstalled { op, game, .. }
        | PeerEvent::UninstallFailed { op, game, .. }
        | PeerEvent::VerifyFinished { op, game, .. }
        | PeerEvent::VerifyFailed { op, game, .. } => *op == this_op && game == this_game,
        _ => false,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn cancelled(what: &impl Display) -> Failure {
    Report::new(ErrorClass::Cancelled, "interrupted", format!("stopped waiting for {what}"))
        .hint("see how it goes with: bonfire status")
        .into()
}

fn missed(game: &GameId) -> Report {
    Report::new(
        ErrorClass::Remote,
        "outcome_missed",
        format!("{game} is no longer being worked on, and its outcome was missed"),
    )
    .hint("see where it stands with: bonfire games")
}

/// The failure to hear stop signals.
#[expect(clippy::needless_pass_by_value, reason = "handed to map_err as it is")]
pub(crate) fn signals_failed(error: std::io::Error) -> Report {
    Report::new(ErrorClass::Environment, "signals", format!("cannot listen for stop signals: {error}"))
}

/// The failure for an operation that ended in an unexpected way.
pub(crate) fn unexpected(event: &PeerEvent) -> Failure {
    Report::new(ErrorClass::Bug, "unexpected_outcome", format!("the operation ended in an unexpected way: {event:?}"))
        .into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bonfire_engine::{ErrorClass, Report};
    use bonfire_proto::GameId;

    use super::standing_still;

    #[test]
    fn who_waits_is_told_for_what_how_long_already_and_how_to_leave() {
        let game = GameId::new("doom").unwrap();
        let error = Report::new(ErrorClass::Unreachable, "no_source", "nobody connected has doom").hint("it goes on");
        let first = standing_still(&game, &error, Duration::from_secs(3), true);
        assert_eq!(first, "doom stands still: nobody connected has doom (it goes on); waiting, Ctrl-C cancels it");
        let later = standing_still(&game, &error, Duration::from_secs(125), false);
        assert!(later.starts_with("doom stands still for 2 min 5 s: "), "{later}");
        assert!(later.ends_with("Ctrl-C ends the waiting"), "{later}");
    }
}
