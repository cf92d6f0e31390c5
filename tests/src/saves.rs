//! A player's saves in a room: pairing two seats, writing into a save's folder, waiting for how a slot stands. Asks the
//! peer and its CLI only; never reads what Bonfire stores.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::child;
use crate::peer::{CliOutcome, LONG, Peer, SOON};
use crate::program::bonfire;
use crate::tree::{self, Tree};

/// A CLI call that goes on, such as one that shows a code and waits. Ended when it is dropped.
#[derive(Debug)]
pub struct Call {
    child: Option<Child>,
    lines: Receiver<String>,
    seen: Vec<String>,
    stderr: Option<std::thread::JoinHandle<String>>,
}

impl Call {
    /// Waits for a line of stdout that is wanted.
    ///
    /// # Panics
    /// When there is none in time, or the call ended before.
    pub fn line(&mut self, what: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + limit;
        loop {
            let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) else {
                let ended = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten());
                panic!("no {what} within {limit:?}; it said {:?}, and ended with {ended:?}", self.seen);
            };
            self.seen.push(line);
            if let Some(found) = self.seen.last().and_then(|l| serde_json::from_str(l).ok()).filter(|v| wanted(v)) {
                return found;
            }
        }
    }

    /// Its process id; `ip netns exec` becomes the program that it starts.
    ///
    /// # Panics
    /// Never: a call has a process until it is waited for.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn end(mut self, limit: Duration) -> CliOutcome {
        let mut child = self.child.take().unwrap();
        let Some(status) = child::wait_exit(&mut child, limit) else {
            child.kill().ok();
            child.wait().ok();
            panic!("a call did not end within {limit:?}; it said {:?}", self.seen);
        };
        // What it started may hold its output open.
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(2)) {
            self.seen.push(line);
        }
        let code = status
            .code()
            .unwrap_or_else(|| 128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default());
        CliOutcome {
            code,
            lines: self.seen.iter().filter_map(|l| serde_json::from_str(l).ok()).collect(),
            stdout: self.seen.join("\n"),
            stderr: self.stderr.take().map(|t| t.join().unwrap()).unwrap_or_default(),
        }
    }

    /// Ends it with no chance to do anything.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn kill9(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().ok();
        child.wait().unwrap();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Peer {
    /// Begins a CLI call with `--json` that is not waited for.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn begin(&self, arguments: &[&str]) -> Call {
        let mut command = self.link.namespace().command(bonfire());
        command.arg("--data-dir").arg(&self.data).arg("--json").args(arguments);
        command.env("BONFIRE_LOG", "warn").env("NO_COLOR", "1");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (to, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if to.send(line).is_err() {
                    break;
                }
            }
        });
        let mut err = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut all = Vec::new();
            err.read_to_end(&mut all).ok();
            String::from_utf8_lossy(&all).into_owned()
        });
        Call { child: Some(child), lines, seen: Vec::new(), stderr: Some(stderr) }
    }

    /// Shows a code on this peer, which has a player, and types it at the other.
    ///
    /// # Panics
    /// When they do not become devices of one player.
    pub fn invites(&self, other: &Self) {
        other.sees(self);
        let mut showing = self.begin(&["devices", "pair"]);
        let code = showing.line("code", SOON, |l| l["result"]["type"] == "pair_code")["result"]["code"].clone();
        other.done(&["devices", "pair", "--code", code.as_str().unwrap(), "--with", self.id()]);
        let shown = showing.end(SOON);
        assert_eq!(shown.code, 0, "{shown:?}\n{}", self.log().describe());
    }

    /// The folder in which this seat's made-up game saves.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn saves(&self) -> PathBuf {
        let folder = self.data.with_file_name("saves");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Says where the made-up game saves.
    ///
    /// # Panics
    /// When that is refused.
    pub fn add_saves(&self, game: &str) {
        let folder = self.saves();
        self.done(&["saves", "add", game, folder.to_str().unwrap()]);
    }

    /// The made-up game saves: one file as a whole.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn writes(&self, file: &str, text: &str) {
        let (path, new) = (self.saves().join(file), self.saves().join(format!(".{file}.new")));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// As `writes`, with the time that this seat's clock shows.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn writes_at(&self, file: &str, text: &str, time: SystemTime) {
        let path = self.saves().join(file);
        std::fs::write(&path, text).unwrap();
        std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    /// What a file of the made-up game's save says; nothing where it is not there.
    #[must_use]
    pub fn reads(&self, file: &str) -> String {
        std::fs::read_to_string(self.saves().join(file)).unwrap_or_default()
    }

    /// Everything that lies in the made-up game's folder.
    #[must_use]
    pub fn save_tree(&self) -> Tree {
        tree::read(&self.saves())
    }

    /// A slot as this peer shows it, if it knows it.
    #[must_use]
    pub fn slot(&self, game: &str, slot: &str) -> Option<Value> {
        let snapshot = self.snapshot();
        let players = snapshot["players"].as_array()?;
        let mut slots = players.iter().filter_map(|p| p["slots"].as_array()).flatten();
        slots.find(|s| s["game"] == game && s["slot"] == slot).cloned()
    }

    /// Waits until the slot `main` of a game stands as wanted.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn slot_until(&self, game: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        let start = Instant::now();
        loop {
            let slot = self.slot(game, "main");
            if let Some(slot) = slot.as_ref().filter(|s| wanted(s)) {
                return slot.clone();
            }
            last = slot.or(last);
            assert!(
                start.elapsed() < LONG,
                "{}: {game} not within {LONG:?}: {what}\nlast {}\n{}",
                self.name,
                last.unwrap_or_default(),
                self.log().describe()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until a file of the made-up game's save says this.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn file_says(&self, file: &str, text: &str) {
        self.until(&format!("{file} says {text:?}"), LONG, || (self.reads(file) == text).then_some(()));
    }

    /// Versions of a game's slot, newest first, as `saves history` lists them.
    ///
    /// # Panics
    /// When they are refused.
    #[must_use]
    pub fn history(&self, game: &str) -> Vec<Value> {
        self.done(&["saves", "history", game]).lines
    }
}

/// Waits until all of these peers have one version of a game on their disks and say that all of them hold it; its id.
///
/// # Panics
/// When it does not come about in time.
pub fn in_step(peers: &[&Peer], game: &str) -> String {
    let mut said = Vec::new();
    let start = Instant::now();
    loop {
        said.clear();
        said.extend(peers.iter().map(|p| p.slot(game, "main").unwrap_or_default()));
        let first = said[0]["base"].clone();
        let count = peers.len() as u64;
        if first.is_string()
            && said.iter().all(|s| {
                s["base"] == first
                    && s["standing"] == "current"
                    && s["held_by"].as_u64() >= Some(count)
                    && s["heads"].as_array().is_some_and(|h| h.len() == 1 && h[0]["id"] == first)
            })
        {
            return first.as_str().unwrap().to_owned();
        }
        assert!(
            start.elapsed() < LONG,
            "{game} is not in step within {LONG:?}: {}",
            said.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        );
        std::thread::sleep(Duration::from_millis(30));
    }
}
