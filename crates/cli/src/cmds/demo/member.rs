//! One peer of the demo: a child process of this very program, driven over its control channel. It ends with us: its
//! stdin closes when we go, however we go.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bonfire_engine::command::{Command, Reply, TransferCommand};
use bonfire_engine::event::PeerEvent;
use bonfire_engine::{ErrorClass, Report, Snapshot};
use bonfire_proto::GameId;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use crate::control::{Client, Pushed};

/// How long anything in the demo may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of a failed peer's log is shown, in lines.
const LOG_LINES: usize = 12;

/// A running peer and what is known of it.
pub(super) struct Member {
    /// Its name.
    pub(super) name: &'static str,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// What it said last.
    pub(super) snapshot: Box<Snapshot>,
    home: PathBuf,
    child: Child,
    client: Client,
}

/// An event as a peer writes it; other lines have none.
#[derive(Deserialize)]
struct EventLine {
    event: Option<PeerEvent>,
}

impl Member {
    /// Starts a peer in its own folder; a folder that is there already goes on where it stood.
    ///
    /// # Errors
    /// When it does not come up; the end of its log is part of the message.
    pub(super) async fn start(root: &Path, name: &'static str, peers: &[SocketAddr]) -> Result<Self, Report> {
        let home = root.join(name);
        std::fs::create_dir_all(home.join("games"))
            .map_err(|e| failed(format!("cannot make {}: {e}", home.display())))?;
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(home.join("log"))
            .map_err(|e| failed(format!("cannot open the log of {name}: {e}")))?;
        let program = std::env::current_exe().map_err(|e| failed(format!("cannot find this program: {e}")))?;
        let mut command = tokio::process::Command::new(program);
        command.args(["run", "--json", "--until-eof", "--no-mdns", "--listen", "127.0.0.1:0", "--name", name]);
        command.arg("--data-dir").arg(home.join("data")).arg("--games-dir").arg(home.join("games"));
        for peer in peers {
            command.arg("--peer").arg(peer.to_string());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| failed(format!("cannot start {name}: {e}")))?;
        let stdout = child.stdout.take().expect("BUG: stdout of the child was not piped");
        let up = async {
            let address = listening(stdout).await?;
            let mut client = Client::connect(&home.join("data")).await?;
            let snapshot = Box::new(client.follow().await?);
            Ok::<_, Report>((address, client, snapshot))
        };
        match timeout(PATIENCE, up).await {
            Ok(Ok((address, client, snapshot))) => Ok(Self { name, address, snapshot, home, child, client }),
            Ok(Err(e)) => Err(failed(format!("{name} did not start: {}{}", e.message, log_end(&home)))),
            Err(_) => Err(failed(format!("{name} did not start in time{}", log_end(&home)))),
        }
    }

    /// The folder of the game here.
    pub(super) fn game_root(&self, game: &GameId) -> PathBuf {
        self.home.join("games").join(game.as_str())
    }

    /// Sends a command.
    ///
    /// # Errors
    /// Its refusal, naming the peer.
    pub(super) async fn send(&mut self, command: Command) -> Result<Reply, Report> {
        let (name, home) = (self.name, &self.home);
        self.client.command(command).await.map_err(|e| failed(format!("{name}: {}{}", e.message, log_end(home))))
    }

    /// Sends a command about a game's files and returns the number of the work that it began, 0 when there was none.
    ///
    /// # Errors
    /// As `send`.
    pub(super) async fn transfer(&mut self, command: TransferCommand) -> Result<u64, Report> {
        match self.send(Command::Transfers(command)).await? {
            Reply::Started { op } => Ok(op),
            _ => Ok(0),
        }
    }

    /// Waits until an event or a state fits. `fits` sees the newest state with every event.
    ///
    /// # Errors
    /// When it takes too long, or the peer ends.
    pub(super) async fn wait<T>(
        &mut self,
        what: &str,
        mut fits: impl FnMut(&Snapshot, Option<&PeerEvent>) -> Option<T>,
    ) -> Result<T, Report> {
        if let Some(found) = fits(&self.snapshot, None) {
            return Ok(found);
        }
        let (client, snapshot) = (&mut self.client, &mut self.snapshot);
        let waited = timeout(PATIENCE, async {
            loop {
                let found = match client.next().await? {
                    Pushed::Snapshot(newer) => {
                        *snapshot = newer;
                        fits(snapshot, None)
                    }
                    Pushed::Event(record) => fits(snapshot, Some(&record.event)),
                };
                if let Some(found) = found {
                    return Ok::<_, Report>(found);
                }
            }
        });
        let (name, home) = (self.name, &self.home);
        match waited.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(e)) => Err(failed(format!("{name}, {what}: {}{}", e.message, log_end(home)))),
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                Err(failed(format!("{name}, {what}: nothing within {seconds} s{}", log_end(home))))
            }
        }
    }

    /// Ends the process at once, without a chance to tidy up, as a power cut would.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) async fn kill(mut self) -> Result<(), Report> {
        let name = self.name;
        self.child.kill().await.map_err(|e| failed(format!("cannot kill {name}: {e}")))
    }

    /// Stops the peer in order by closing its stdin.
    ///
    /// # Errors
    /// When it does not stop, or not with exit code 0.
    pub(super) async fn stop(mut self) -> Result<(), Report> {
        drop(self.child.stdin.take());
        let name = self.name;
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(failed(format!("{name} stopped with {status}{}", log_end(&self.home)))),
            Ok(Err(e)) => Err(failed(format!("cannot wait for {name}: {e}"))),
            Err(_) => Err(failed(format!("{name} did not stop{}", log_end(&self.home)))),
        }
    }
}

/// Waits until the peer says where it listens, and keeps reading so that it never waits for us.
async fn listening(stdout: ChildStdout) -> Result<SocketAddr, Report> {
    let mut lines = BufReader::new(stdout).lines();
    let listen_addr = loop {
        let line = lines.next_line().await.map_err(|e| failed(format!("its output cannot be read: {e}")))?;
        let line = line.ok_or_else(|| failed("it ended at once".to_owned()))?;
        let read: EventLine = serde_json::from_str(&line).map_err(|e| failed(format!("it said {line}: {e}")))?;
        if let Some(PeerEvent::Started { listen_addr, .. }) = read.event {
            break listen_addr;
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    listen_addr.parse().map_err(|_| failed(format!("it listens on {listen_addr:?}, which is no address")))
}

fn log_end(home: &Path) -> String {
    let Ok(log) = std::fs::read_to_string(home.join("log")) else { return String::new() };
    let lines: Vec<&str> = log.lines().collect();
    let end = lines.len().saturating_sub(LOG_LINES);
    if lines.is_empty() { String::new() } else { format!("; its log ends: {}", lines[end..].join(" | ")) }
}

/// The failure of a step.
#[expect(clippy::needless_pass_by_value, reason = "made on the spot by format!")]
pub(super) fn failed(message: String) -> Report {
    Report::new(ErrorClass::Environment, "demo_failed", &message)
}
