//! `bonfire doctor`: checks folders, network and peers, with or without a running peer, and says what to do about each
//! thing that fails. Changes nothing. Ends within ten seconds.

mod folders;
mod multicast;
mod network;
mod room;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bonfire_engine::{ErrorClass, Report, Snapshot};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::control::Client;
use crate::exit::{Exit, Failure};
use crate::render::{Out, Tone, count};

/// How long all checks together may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// All is well.
    Ok,
    /// Something does not work; `hint` says what to do.
    Failed,
    /// It could not be looked at; `detail` says why.
    Skipped,
}

/// One line of the outcome.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    /// Stable word for scripts.
    pub(super) check: &'static str,
    /// Interface, address, peer or folder; empty when there is only one.
    pub(super) subject: String,
    /// How it came out.
    pub(super) status: Status,
    /// What was found.
    pub(super) detail: String,
    /// What to do; empty unless it failed.
    pub(super) hint: String,
}

impl Check {
    pub(super) fn ok(check: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check, subject: subject.into(), status: Status::Ok, detail: detail.into(), hint: String::new() }
    }

    pub(super) fn skipped(check: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check, subject: subject.into(), status: Status::Skipped, detail: detail.into(), hint: String::new() }
    }

    pub(super) fn failed(
        check: &'static str,
        subject: impl Into<String>,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { check, subject: subject.into(), status: Status::Failed, detail: detail.into(), hint: hint.into() }
    }
}

/// What the running peer says, if one runs.
pub(super) struct Running {
    client: Client,
    snapshot: Snapshot,
}

impl Running {
    /// Where the peer listens, as it says.
    fn listens_on(&self) -> Option<SocketAddr> {
        self.snapshot.me.listen_addr.parse().ok()
    }
}

pub(crate) async fn run(out: &Out, data_dir: &Path) -> Result<Exit, Failure> {
    let deadline = Instant::now() + TIMEOUT;
    let mut tally = Tally { out: *out, failed: 0 };
    let (mut running, check) = match timeout_at(deadline, find_peer(data_dir)).await {
        Ok(found) => found,
        Err(_) => (None, late("peer")),
    };
    tally.show(vec![check])?;
    tally.show(folders::checks(data_dir, running.as_ref().map(|r| &r.snapshot)))?;
    let is_silent = match timeout_at(deadline, multicast::interfaces(running.as_ref().map(|r| &r.snapshot))).await {
        Ok(outcome) => {
            tally.show(outcome.checks)?;
            outcome.is_silent
        }
        Err(_) => {
            tally.show(vec![late("multicast")])?;
            true
        }
    };
    let listens_on = running.as_ref().map(Running::listens_on);
    tally.show_in_time(deadline, "listener", network::listener(listens_on)).await?;
    match &mut running {
        Some(running) => tally.show_in_time(deadline, "peer_reachable", room::checks(running, is_silent)).await?,
        None => tally.show(vec![Check::skipped("peer_reachable", "", "only a running peer can tell")])?,
    }
    if tally.failed > 0 {
        out.talk(&format!("{} failed", count(tally.failed, "check")));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

async fn find_peer(data_dir: &Path) -> (Option<Running>, Check) {
    let subject = data_dir.display().to_string();
    let found = async {
        let mut client = Client::connect(data_dir).await?;
        let snapshot = client.snapshot().await?;
        Ok::<_, Report>(Running { client, snapshot })
    };
    match found.await {
        Ok(running) => {
            let me = &running.snapshot.me;
            let detail = format!("{} runs as process {}", me.name, me.pid);
            (Some(running), Check::ok("peer", subject, detail))
        }
        Err(report) if report.code == "no_peer_running" => {
            (None, Check::skipped("peer", subject, "no peer runs here; start one with bonfire run to check more"))
        }
        Err(report) => (None, Check::failed("peer", subject, report.message, hint_of(report.class, report.hint))),
    }
}

fn hint_of(class: ErrorClass, hint: String) -> String {
    if !hint.is_empty() {
        return hint;
    }
    match class {
        ErrorClass::Unreachable => "stop the peer and start it again",
        _ => "see the log of the peer",
    }
    .to_owned()
}

fn late(check: &'static str) -> Check {
    let seconds = TIMEOUT.as_secs();
    Check::failed(
        check,
        "",
        format!("not done within {seconds} s"),
        "look at the checks that failed before, and try again",
    )
}

struct Tally {
    out: Out,
    failed: u64,
}

impl Tally {
    async fn show_in_time(
        &mut self,
        deadline: Instant,
        check: &'static str,
        checks: impl Future<Output = Vec<Check>>,
    ) -> Result<(), Failure> {
        let checks = timeout_at(deadline, checks).await.unwrap_or_else(|_| vec![late(check)]);
        self.show(checks)
    }

    fn show(&mut self, checks: Vec<Check>) -> Result<(), Failure> {
        for check in checks {
            let (tone, word) = match check.status {
                Status::Ok => (Tone::Good, "ok      "),
                Status::Failed => (Tone::Error, "FAILED  "),
                Status::Skipped => (Tone::Plain, "skipped "),
            };
            self.failed += u64::from(check.status == Status::Failed);
            if self.out.is_json() {
                self.out.json(&check)?;
                continue;
            }
            let subject = if check.subject.is_empty() { String::new() } else { format!(" {}", check.subject) };
            self.out.marked(tone, word, &format!("{}{subject}: {}", check.check.replace('_', " "), check.detail))?;
            if !check.hint.is_empty() {
                self.out.marked(Tone::Hint, "         do:", &check.hint)?;
            }
        }
        Ok(())
    }
}
