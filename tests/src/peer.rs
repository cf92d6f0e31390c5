//! One `bonfire run --json` in a seat of a room, and the CLI beside it.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::child::{self, until};
use crate::events::Log;
use crate::games::Recipe;
use crate::link::Link;
use crate::program::bonfire;

/// What most waits are given: much more than they need on a quiet machine.
pub const SOON: Duration = Duration::from_secs(30);
/// For a whole download over a shaped link.
pub const LONG: Duration = Duration::from_secs(90);

/// What a CLI call came to.
#[derive(Debug)]
pub struct CliOutcome {
    /// Exit code; 128 and the signal when it was killed.
    pub code: i32,
    /// Every line of stdout that is JSON.
    pub lines: Vec<Value>,
    /// Stdout as it was.
    pub stdout: String,
    /// Stderr as it was.
    pub stderr: String,
}

impl CliOutcome {
    /// The code of the error that it printed, or nothing.
    #[must_use]
    pub fn error_code(&self) -> String {
        self.lines.iter().find_map(|l| l["error"]["code"].as_str()).unwrap_or_default().to_owned()
    }
}

/// A seat and the peer in it.
#[derive(Debug)]
pub struct Peer {
    /// The seat's name, and the peer's.
    pub name: String,
    /// Its games folder.
    pub games: PathBuf,
    /// Its data folder.
    pub data: PathBuf,
    /// Its cable.
    pub link: Rc<Link>,
    arguments: Vec<OsString>,
    wrapper: Vec<OsString>,
    environment: Vec<(String, String)>,
    process: Option<(Child, RefCell<ChildStdin>)>,
    log: Arc<Log>,
    streams: u32,
    mark: usize,
    forgiven: bool,
    next_id: Cell<u64>,
    id: String,
}

impl Peer {
    pub(crate) fn new(name: &str, link: Rc<Link>, folder: &Path) -> Self {
        let (games, data) = (folder.join("games"), folder.join("data"));
        std::fs::create_dir_all(&games).unwrap();
        std::fs::create_dir_all(&data).unwrap();
        Self {
            name: name.to_owned(),
            games,
            data,
            link,
            arguments: Vec::new(),
            wrapper: Vec::new(),
            environment: Vec::new(),
            process: None,
            log: Arc::default(),
            streams: 0,
            mark: 0,
            forgiven: false,
            next_id: Cell::new(1),
            id: String::new(),
        }
    }

    /// Adds an argument to `bonfire run` for the next start.
    pub fn argument(&mut self, argument: impl Into<OsString>) -> &mut Self {
        self.arguments.push(argument.into());
        self
    }

    /// Replaces all arguments for the next start.
    pub fn set_arguments(&mut self, arguments: &[&str]) -> &mut Self {
        self.arguments = arguments.iter().map(OsString::from).collect();
        self
    }

    /// Lines of the log at level ERROR no longer fail the test: for runs whose system calls are made to fail.
    pub fn forgive_errors(&mut self) -> &mut Self {
        self.forgiven = true;
        self
    }

    /// Sends a command without waiting for anything; a process that is gone is no surprise.
    pub fn post(&self, command: &Value) {
        if let Some((_, stdin)) = &self.process {
            let _ = writeln!(stdin.borrow_mut(), "{}", json!({"command": command}));
        }
    }

    /// Sets an environment variable for the next start.
    pub fn environment(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the peer under another program (`strace ..`) at the next start; empty for none.
    pub fn under(&mut self, wrapper: &[&str]) -> &mut Self {
        self.wrapper = wrapper.iter().map(OsString::from).collect();
        self
    }

    /// Makes a game in the games folder and lists it in the catalog. Before the start.
    pub fn add_game(&self, recipe: &Recipe) -> PathBuf {
        let root = recipe.write(&self.games);
        self.list_in_catalog(&recipe.id);
        root
    }

    /// Lists a game in `catalog.json` by hand. Before the start.
    pub fn list_in_catalog(&self, id: &str) {
        let file = self.games.join("catalog.json");
        let mut catalog: Value = std::fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_else(|| json!({"format": 1, "games": []}));
        catalog["games"].as_array_mut().unwrap().push(json!({"id": id, "name": format!("The {id} game")}));
        std::fs::write(file, serde_json::to_vec_pretty(&catalog).unwrap()).unwrap();
    }

    /// Starts the peer and waits until it says so.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&mut self) -> &mut Self {
        self.spawn();
        let started = self.expect("started", SOON, |e| e["type"] == "started");
        started["peer"].as_str().unwrap().clone_into(&mut self.id);
        self
    }

    /// Starts the process without waiting for anything.
    ///
    /// # Panics
    /// When it runs already, or cannot be spawned.
    pub fn spawn(&mut self) -> &mut Self {
        assert!(self.process.is_none(), "{} runs already", self.name);
        self.mark();
        let mut wrapper = self.wrapper.iter();
        let mut command = match wrapper.next() {
            None => self.link.namespace().command(bonfire()),
            Some(first) => {
                let mut command = self.link.namespace().command(Path::new(first));
                command.args(wrapper).arg(bonfire());
                command
            }
        };
        command.args(["run", "--json", "--name", &self.name]);
        command.arg("--games-dir").arg(&self.games).arg("--data-dir").arg(&self.data);
        command.args(&self.arguments);
        command.env("BONFIRE_LOG", std::env::var("BONFIRE_LOG").unwrap_or_else(|_| "info".to_owned()));
        command.env("NO_COLOR", "1").envs(self.environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        self.log.follow_stdout(process.stdout.take().unwrap());
        self.log.follow_stderr(process.stderr.take().unwrap());
        self.streams += 2;
        let stdin = process.stdin.take().unwrap();
        self.process = Some((process, RefCell::new(stdin)));
        self
    }

    /// The peer's id.
    ///
    /// # Panics
    /// When it was never started.
    #[must_use]
    pub fn id(&self) -> &str {
        assert!(!self.id.is_empty(), "{} was never started", self.name);
        &self.id
    }

    /// The process id.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().0.id()
    }

    /// From here on, only events that come later count for the waits.
    pub fn mark(&mut self) {
        self.mark = self.log.len();
    }

    /// The events since the mark.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.log.since(self.mark)
    }

    /// Everything it said.
    #[must_use]
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Waits for an event since the mark.
    ///
    /// # Panics
    /// With the whole event log and the end of stderr, when there is none in time.
    pub fn expect(&self, what: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        self.log
            .wait(self.mark, limit, wanted)
            .unwrap_or_else(|said| panic!("{}: no {what} within {limit:?} (mark at {})\n{said}", self.name, self.mark))
    }

    /// Waits for an event of a type since the mark.
    ///
    /// # Panics
    /// As `expect`.
    pub fn expect_type(&self, kind: &str, limit: Duration) -> Value {
        self.expect(kind, limit, |e| e["type"] == kind)
    }

    /// Waits for an event of a type about a game since the mark.
    ///
    /// # Panics
    /// As `expect`.
    pub fn expect_game(&self, kind: &str, game: &str, limit: Duration) -> Value {
        self.expect(&format!("{kind} of {game}"), limit, |e| e["type"] == kind && e["game"] == game)
    }

    /// Waits until a condition holds; shows the log when it does not.
    ///
    /// # Panics
    /// When it does not hold in time.
    pub fn until<T>(&self, what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
        let mut found = None;
        let start = std::time::Instant::now();
        while found.is_none() {
            found = look();
            if found.is_none() {
                assert!(
                    start.elapsed() < limit,
                    "{}: not within {limit:?}: {what}\n{}",
                    self.name,
                    self.log.describe()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        found.unwrap()
    }

    /// Sends a command on stdin and waits for its reply.
    ///
    /// # Errors
    /// The refusal.
    ///
    /// # Panics
    /// When there is no reply in time.
    pub fn ask(&mut self, command: &Value) -> Result<Value, Value> {
        let answer = self.request(json!({"command": command}));
        match answer.get("reply") {
            Some(reply) => Ok(reply.clone()),
            None => Err(answer["error"].clone()),
        }
    }

    /// Sends a command and waits for nothing; the number by which its answer is had. A process that is gone is no surprise.
    ///
    /// # Panics
    /// When it was never started.
    pub fn send(&self, command: &Value) -> u64 {
        self.send_request(json!({"command": command}))
    }

    /// The answer to a command that was sent, once, if it has come: `reply` or `error`.
    #[must_use]
    pub fn answer(&self, id: u64) -> Option<Value> {
        self.log.take_reply(id)
    }

    fn send_request(&self, mut request: Value) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        request["id"] = json!(id);
        let (_, stdin) = self.process.as_ref().unwrap();
        let mut stdin = stdin.borrow_mut();
        // A peer that is gone shows as a missing reply, with its log.
        let _ = stdin.write_all(format!("{request}\n").as_bytes()).and_then(|()| stdin.flush());
        id
    }

    fn request(&self, request: Value) -> Value {
        let shown = request.to_string();
        let id = self.send_request(request);
        self.log.wait_reply(id, SOON).unwrap_or_else(|said| panic!("{}: no reply to {shown}\n{said}", self.name))
    }

    /// Sends a command that must be accepted.
    ///
    /// # Panics
    /// When it is refused.
    pub fn tell(&mut self, command: &Value) -> Value {
        match self.ask(command) {
            Ok(reply) => reply,
            Err(error) => panic!("{}: {command} was refused: {error}\n{}", self.name, self.log.describe()),
        }
    }

    /// Sets the mark and begins a download.
    ///
    /// # Panics
    /// When it is refused.
    pub fn get(&mut self, game: &str) -> Value {
        self.mark();
        self.tell(&json!({"transfers": {"get": {"game": game}}}))
    }

    /// Waits until a download is finished; fails at once when it fails instead.
    ///
    /// # Panics
    /// When it is not finished in time, or failed.
    pub fn finished(&self, game: &str) -> Value {
        let ended = self.expect(&format!("end of {game}"), LONG, |e| {
            e["game"] == game && (e["type"] == "download_finished" || e["type"] == "download_failed")
        });
        assert_eq!(ended["type"], "download_finished", "{}: {ended}\n{}", self.name, self.log.describe());
        ended
    }

    /// Where this peer listens, as others in the room reach it.
    ///
    /// # Panics
    /// When it was never started.
    #[must_use]
    pub fn addr(&self) -> std::net::SocketAddr {
        let listen = self.snapshot()["me"]["listen_addr"].as_str().unwrap().to_owned();
        let port = listen.rsplit(':').next().and_then(|p| p.parse().ok()).unwrap();
        (std::net::Ipv4Addr::new(10, 77, 0, self.link.number), port).into()
    }

    /// Sends a cancel.
    ///
    /// # Errors
    /// The refusal.
    pub fn cancel(&mut self, game: &str) -> Result<Value, Value> {
        self.ask(&json!({"transfers": {"cancel": {"game": game}}}))
    }

    /// Runs the CLI in this seat against this peer, with `--json`.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> CliOutcome {
        self.cli_for(arguments, LONG)
    }

    /// As `cli`, with a time limit.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn cli_for(&self, arguments: &[&str], limit: Duration) -> CliOutcome {
        let mut all = vec!["--json"];
        all.extend(arguments);
        self.text_cli(&all, limit)
    }

    /// As `cli`, for what has to succeed.
    ///
    /// # Panics
    /// When it does not end in time, or ends with another exit code than 0.
    pub fn done(&self, arguments: &[&str]) -> CliOutcome {
        let out = self.cli(arguments);
        assert_eq!(out.code, 0, "{}: {arguments:?}: {out:?}\n{}", self.name, self.log.describe());
        out
    }

    /// Runs the CLI in this seat as a person would.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn text_cli(&self, arguments: &[&str], limit: Duration) -> CliOutcome {
        let mut command = self.link.namespace().command(bonfire());
        command.arg("--data-dir").arg(&self.data).args(arguments);
        command.env("BONFIRE_LOG", "warn").env("NO_COLOR", "1");
        let out = child::run(&mut command, b"", limit);
        let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
        let code = out
            .status
            .code()
            .unwrap_or_else(|| 128 + std::os::unix::process::ExitStatusExt::signal(&out.status).unwrap_or_default());
        CliOutcome {
            code,
            lines: stdout.lines().filter_map(|l| serde_json::from_str(l).ok()).collect(),
            stdout,
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }

    /// The state of everything, as the peer shows it.
    ///
    /// # Panics
    /// When the peer does not answer.
    #[must_use]
    pub fn snapshot(&self) -> Value {
        let mut answer = self.request(json!({"get": "snapshot"}));
        assert!(answer["snapshot"].is_object(), "{}: no snapshot: {answer}", self.name);
        answer["snapshot"].take()
    }

    /// A game of this peer's own list.
    #[must_use]
    pub fn game(&self, id: &str) -> Option<Value> {
        find(&self.snapshot()["games"], "id", id)
    }

    /// What this peer knows about another.
    #[must_use]
    pub fn view_of(&self, other: &str) -> Option<Value> {
        find(&self.snapshot()["peers"], "peer", other)
    }

    /// What this peer knows about a game of another that is connected.
    #[must_use]
    pub fn remote_game(&self, other: &str, game: &str) -> Option<Value> {
        let view = self.view_of(other)?;
        (view["connected"] == true).then(|| find(&view["games"], "id", game)).flatten()
    }

    /// Waits until this peer is connected to another.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn sees(&self, other: &Self) {
        self.until(&format!("sees {}", other.name), SOON, || {
            self.view_of(other.id()).filter(|v| v["connected"] == true)
        });
    }

    /// Waits until this peer knows that another offers a game; what it knows.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn sees_game(&self, other: &Self, game: &str) -> Value {
        self.until(&format!("sees {game} of {} as ready", other.name), SOON, || {
            self.remote_game(other.id(), game).filter(|g| g["availability"] == "ready")
        })
    }

    /// As `sees_game`, and the content hash is known: sources can be mixed.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn sees_hashed(&self, other: &Self, game: &str) -> Value {
        self.until(&format!("sees the content hash of {game} of {}", other.name), LONG, || {
            self.remote_game(other.id(), game).filter(|g| g["availability"] == "ready" && g["content_hash"].is_string())
        })
    }

    /// The active operation of a game.
    #[must_use]
    pub fn operation(&self, game: &str) -> Option<Value> {
        find(&self.snapshot()["operations"], "game", game)
    }

    /// Waits until a download has verified at least this many bytes. The download must still run then.
    ///
    /// # Panics
    /// When it has not in time, or ended before.
    pub fn downloaded_at_least(&self, game: &str, bytes: u64) -> Value {
        self.until(&format!("{bytes} bytes of {game}"), LONG, || {
            let ended = self.events().into_iter().find(|e| {
                e["game"] == game
                    && ["download_finished", "download_failed", "download_cancelled"]
                        .iter()
                        .any(|kind| e["type"] == *kind)
            });
            if let Some(ended) = ended {
                panic!("{}: ended before {bytes} bytes: {ended}\n{}", self.name, self.log.describe());
            }
            self.operation(game).filter(|op| op["done_bytes"].as_u64().unwrap_or(0) >= bytes)
        })
    }

    /// Waits until a download waits for a peer that can give it; the operation.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn waits(&self, game: &str) -> Value {
        self.until("the download waits", SOON, || self.operation(game).filter(|o| o["phase"] == "waiting"))
    }

    /// Waits until nothing is active.
    ///
    /// # Panics
    /// When something still is at the limit.
    pub fn idle(&self) {
        self.until("no active operation", SOON, || {
            self.snapshot()["operations"].as_array().unwrap().is_empty().then_some(())
        });
    }

    /// Ends the process with no chance to do anything.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill9(&mut self) {
        let (mut process, stdin) = self.process.take().unwrap();
        if !self.wrapper.is_empty() {
            // A tracer that is killed lets go of what it traced.
            self.link.namespace().kill_all();
        }
        // It may have ended with what it traced.
        let _ = process.kill();
        process.wait().unwrap();
        drop(stdin);
        self.log.wait_closed(self.streams, SOON);
    }

    /// Asks the process to end and waits for it; its exit code.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn terminate(&mut self) -> Option<i32> {
        let (mut process, stdin) = self.process.take().unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = child::wait_exit(&mut process, SOON);
        drop(stdin);
        let Some(status) = status else {
            process.kill().unwrap();
            panic!("{} does not end on SIGTERM\n{}", self.name, self.log.describe());
        };
        self.log.wait_closed(self.streams, SOON);
        status.code()
    }

    /// Waits for the process to end by itself; its exit status.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait_exit(&mut self, limit: Duration) -> std::process::ExitStatus {
        let (mut process, stdin) = self.process.take().unwrap();
        let status = child::wait_exit(&mut process, limit);
        drop(stdin);
        let Some(status) = status else {
            process.kill().unwrap();
            process.wait().unwrap();
            panic!("{} did not end within {limit:?}\n{}", self.name, self.log.describe());
        };
        self.log.wait_closed(self.streams, SOON);
        status
    }

    /// Whether the process runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|(p, _)| p.try_wait().unwrap().is_none())
    }

    /// The root folder of a game here.
    #[must_use]
    pub fn root(&self, game: &str) -> PathBuf {
        self.games.join(game)
    }

    /// Asserts that a whole game here is byte for byte the one there, with nothing else beside it.
    ///
    /// # Panics
    /// When it is not.
    pub fn holds_same(&self, game: &str, other: &Self) {
        let (here, there) = (crate::tree::payload(&self.root(game)), crate::tree::payload(&other.root(game)));
        assert!(there.contains_key("version.ini"), "{} has no {game}", other.name);
        assert_eq!(here, there, "{game} of {} is not that of {}", self.name, other.name);
    }

    /// Asserts that nothing of a game is here: not even its folder.
    ///
    /// # Panics
    /// When something is.
    pub fn holds_nothing(&self, game: &str) {
        let here = crate::tree::read(&self.root(game));
        assert!(!self.root(game).exists(), "{} still has {here:?}\n{}", self.name, self.log.describe());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some((mut process, stdin)) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
            drop(stdin);
            self.log.wait_closed(self.streams, Duration::from_secs(2));
        }
        if std::thread::panicking() {
            eprintln!("=== {} said\n{}", self.name, self.log.describe());
            return;
        }
        if self.forgiven {
            return;
        }
        let errors = self.log.errors();
        assert!(errors.is_empty(), "{} logged errors:\n{}", self.name, errors.join("\n"));
        let strays = self.log.strays();
        assert!(strays.is_empty(), "{} printed on stdout what is no event:\n{}", self.name, strays.join("\n"));
    }
}

fn find(list: &Value, key: &str, wanted: &str) -> Option<Value> {
    list.as_array()?.iter().find(|item| item[key] == wanted).cloned()
}

/// Waits for a file to be there.
///
/// # Panics
/// When it is not in time.
pub fn file_appears(file: &Path) {
    until(&format!("{} appears", file.display()), SOON, || file.exists().then_some(()));
}
