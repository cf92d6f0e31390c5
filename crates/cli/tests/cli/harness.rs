//! Starts the program and reads what it says. Waits for lines, never for time.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything takes on a busy machine; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one command said and how it ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Stdout as JSON lines; fails when a line is none.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| {
                let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line:?}"));
                assert!(value.is_object(), "not an object: {line}");
                value
            })
            .collect()
    }

    /// Fails unless the program ended with this code.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

/// The program, without what the tester's own environment says.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bonfire"));
    for name in ["BONFIRE_DATA_DIR", "BONFIRE_LOG", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Said {
    said(program().args(args))
}

/// Runs a prepared command to its end.
pub(crate) fn said(command: &mut Command) -> Said {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A program that runs on, whose lines can be waited for.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Everything that was read so far.
    pub(crate) seen: Vec<Value>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, stdin, lines, seen: Vec::new() }
    }

    /// Writes a line to its stdin.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        stdin.write_all(b"\n").unwrap();
        stdin.flush().unwrap();
    }

    /// Closes its stdin.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line, or `None` when there will be none.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let line = match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return None,
            Err(e) => panic!("{e} after {:#?}", self.seen),
        };
        let value: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} in {line:?}"));
        assert!(value.is_object(), "not an object: {line}");
        self.seen.push(value.clone());
        Some(value)
    }

    /// Waits for a line that fits.
    pub(crate) fn wait(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.next() {
                Some(line) if fits(&line) => return line,
                Some(_) => {}
                None => panic!("ended after {:#?}", self.seen),
            }
        }
    }

    /// As `wait`, and a line that was read already counts too: others may be heard of before a peer says that it started.
    pub(crate) fn ever(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        match self.seen.iter().find(|line| fits(line)) {
            Some(line) => line.clone(),
            None => self.wait(fits),
        }
    }

    /// Waits for an event of this type.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        self.wait(|line| line["event"]["type"] == name)["event"].clone()
    }

    /// Reads to the end and returns how it ended.
    pub(crate) fn end(&mut self) -> ExitStatus {
        while self.next().is_some() {}
        self.child.wait().unwrap()
    }

    /// Sends a signal.
    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed half way leaves no process behind.
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// A peer with folders of its own.
pub(crate) struct Peer {
    pub(crate) running: Running,
    pub(crate) listens_on: String,
    home: TempDir,
}

impl Peer {
    /// Folders without a running peer.
    pub(crate) fn home() -> TempDir {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("games")).unwrap();
        home
    }

    /// A peer that is ready; `prepare` fills its games folder first.
    pub(crate) fn start(args: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let home = Self::home();
        prepare(&home.path().join("games"));
        Self::start_in(home, args)
    }

    pub(crate) fn start_in(home: TempDir, args: &[&str]) -> Self {
        let mut command = program();
        command.args(["run", "--json", "--no-mdns", "--listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(home.path().join("data")).arg("--games-dir").arg(home.path().join("games"));
        let mut running = Running::start(command.args(args));
        let started = running.event("started");
        Self { running, listens_on: started["listen_addr"].as_str().unwrap().to_owned(), home }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    pub(crate) fn games_dir(&self) -> PathBuf {
        self.home.path().join("games")
    }

    /// A command for this peer.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = program();
        command.arg("--data-dir").arg(self.data_dir()).args(args);
        command
    }

    /// Runs a command for this peer to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        said(&mut self.command(args))
    }

    /// Stops the peer in order.
    pub(crate) fn stop(mut self) {
        self.running.tell(r#"{"peer":"shut_down"}"#);
        assert!(self.running.end().success());
    }
}

/// Writes a small game.
pub(crate) fn write_game(games_dir: &Path, name: &str, version: &str) {
    let root = games_dir.join(name);
    std::fs::create_dir_all(root.join("data")).unwrap();
    std::fs::write(root.join("version.ini"), version).unwrap();
    std::fs::write(root.join("game.eti"), name.repeat(1000)).unwrap();
    std::fs::write(root.join("data/empty.eti"), "").unwrap();
}
