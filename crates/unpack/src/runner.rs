//! The side that starts the child, hears it out and ends it.
//!
//! Blocks the thread that calls it; no runtime. A child that crashes, is killed or speaks nonsense is an error that names
//! the archive it was at, never a success. Owns the second try of a RAR file by an installed `bsdtar`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bonfire_engine::installs::Known;
use bonfire_proto::RelPath;
use bonfire_proto::text::clean_to;

use crate::error::{UnpackError, Why};
use crate::format::Format;
use crate::job::{Expanded, Extracted};
use crate::limits::Limits;
use crate::parts::Payload;
use crate::place;
use crate::policy::lock;
use crate::protocol::{Asked, Granted, Request, Said, Task, read_line, write_line};

/// How long a child may take to end once it has said its last word.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// Most bytes of paths in a request, half of a line: control characters, which take more, are in no path.
const ONLY_MAX: usize = 2 << 20;
/// Most bytes of a crash's message that are kept.
const STDERR_MAX: u64 = 4 << 10;

/// The archives of one game, and where they go.
#[derive(Debug, Clone)]
pub struct Job {
    /// The folder that holds the archives.
    pub root: PathBuf,
    /// As `group` gave them; what is `Plain` is left alone.
    pub payload: Vec<Payload>,
    /// An empty folder that takes what comes out. Not used by `list`.
    pub staging: PathBuf,
    /// What may come out.
    pub limits: Limits,
    /// Only these files are written, at most so many bytes of each, and told of as having come with all that they hold;
    /// everything where there are too many to say (`is_sayable`). Not used by `list`.
    pub only: Option<BTreeMap<RelPath, u64>>,
}

/// How far a child is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It runs, restricted so far.
    Restricted(Granted),
    /// So much came out.
    Came {
        /// Bytes of files.
        bytes: u64,
        /// Files.
        files: u64,
    },
}

/// Ends a child from another thread. Once cancelled it stays so.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    is_cancelled: bool,
    child: Option<Child>,
}

impl Cancel {
    /// One that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the child that runs, and keeps further ones from starting. The run returns `Cancelled` once it is gone.
    pub fn cancel(&self) {
        let mut running = lock(&self.0);
        running.is_cancelled = true;
        if let Some(child) = &mut running.child {
            // It may have ended by itself; whoever runs it sees how.
            drop(child.kill());
        }
    }

    /// Whether somebody cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        lock(&self.0).is_cancelled
    }
}

/// Runs archives through children.
#[derive(Debug, Clone)]
pub struct Unpacker {
    program: PathBuf,
    arguments: Vec<OsString>,
    bsdtar: Option<PathBuf>,
}

impl Unpacker {
    /// A child is `program` with `arguments`, which runs `child::main`.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, arguments: Vec<OsString>) -> Self {
        Self { program: program.into(), arguments, bsdtar: None }
    }

    /// With a program for RAR files that the reader here does not understand (`find_bsdtar`).
    #[must_use]
    pub fn with_bsdtar(self, bsdtar: Option<PathBuf>) -> Self {
        Self { bsdtar, ..self }
    }

    /// What the archives would take, as far as headers tell.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn list(&self, job: &Job, cancel: &Cancel) -> Result<Expanded, UnpackError> {
        let request = request(job, Task::List);
        match self.one_child(&request, cancel, &mut |_| {}) {
            Ok(Outcome::Listed(expanded)) => Ok(expanded),
            Ok(Outcome::Extracted(_)) => Err(nonsense(&first_name(&request))),
            // The other reader will know when it unpacks.
            Err(e) if self.second_try(&request, &e).is_some() => Ok(Expanded::default()),
            Err(e) => Err(e),
        }
    }

    /// Everything out of the archives into `staging`, durable when this returns.
    ///
    /// # Errors
    /// The first thing that is wrong. What was written before lies in staging, to be swept.
    pub fn run(
        &self,
        job: &Job,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Extracted, UnpackError> {
        let mut request = request(job, Task::Extract { staging: job.staging.clone() });
        loop {
            let failed = match self.one_child(&request, cancel, on_progress) {
                Ok(Outcome::Extracted(extracted)) => return Ok(extracted),
                Ok(Outcome::Listed(_)) => return Err(nonsense(&first_name(&request))),
                Err(e) => e,
            };
            let Some(number) = self.second_try(&request, &failed) else { return Err(failed) };
            empty(&job.staging).map_err(|e| UnpackError::new(&failed.archive, Why::io("emptying staging", &e)))?;
            request.archives[number].other_reader.clone_from(&self.bsdtar);
        }
    }

    /// The archive that another reader might understand.
    fn second_try(&self, request: &Request, failed: &UnpackError) -> Option<usize> {
        self.bsdtar.as_ref()?;
        let number = request.archives.iter().position(|a| a.parts.first().is_some_and(|p| *p == failed.archive))?;
        let archive = &request.archives[number];
        let may = archive.format == Format::Rar && archive.parts.len() == 1 && archive.other_reader.is_none();
        (may && failed.is_of_format()).then_some(number)
    }

    fn one_child(
        &self,
        request: &Request,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, UnpackError> {
        let mut at = first_name(request);
        let cancelled = |at: &str| UnpackError::new(at, Why::Cancelled);
        let io_error = |at: &str, doing: &str, e: &io::Error| UnpackError::new(at, Why::io(doing, e));
        let (mut stdin, stdout, stderr) = {
            let mut running = lock(&cancel.0);
            if running.is_cancelled {
                return Err(cancelled(&at));
            }
            let mut child = self.start().map_err(|e| io_error(&at, "starting the process that unpacks", &e))?;
            let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            running.child = Some(child);
            match pipes {
                (Some(stdin), Some(stdout), Some(stderr)) => (stdin, stdout, stderr),
                _ => unreachable!("all three were asked for"),
            }
        };
        let crash = std::thread::spawn(move || last_words(stderr));
        // A child that is gone says so by the end of its output.
        let asked = write_line(&mut stdin, request);
        let mut stdout = BufReader::new(stdout);
        let heard = hear(&mut stdout, &mut at, on_progress, &request.limits);
        // The end of its input ends it, if it has not ended.
        drop(stdin);
        let status = end(cancel);
        // Its last word has to be its last.
        let says_more = stdout.read(&mut [0; 1]);
        let crash = crash.join().unwrap_or_default();
        if cancel.is_cancelled() {
            return Err(cancelled(&at));
        }
        let status = status.map_err(|e| io_error(&at, "waiting for the process that unpacks", &e))?;
        match heard {
            Ok(Some(_)) if !status.success() => Err(crashed(&at, status, &crash)),
            Ok(Some(outcome)) if matches!(says_more, Ok(0)) => outcome,
            Ok(None) => asked
                .map_err(|e| io_error(&at, "asking the process that unpacks", &e))
                .and(Err(crashed(&at, status, &crash))),
            Ok(Some(_)) | Err(_) => Err(nonsense(&at)),
        }
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if cfg!(unix) {
            // Nothing of it is needed, and some variables change what a program loads.
            command.env_clear().current_dir("/");
        }
        command.spawn()
    }
}

enum Outcome {
    Listed(Expanded),
    Extracted(Extracted),
}

/// Hears a child out: its outcome, or `None` when it ended without one. `at` follows the archive it is at.
///
/// # Errors
/// When what it says makes no sense.
fn hear(
    from: &mut dyn BufRead,
    at: &mut String,
    on_progress: &mut dyn FnMut(Progress),
    limits: &Limits,
) -> io::Result<Option<Result<Outcome, UnpackError>>> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let (mut content, mut names, mut is_restricted) = (BTreeMap::new(), 0, false);
    let outcome = loop {
        let Some(said) = read_line::<Said>(from)? else { return Ok(None) };
        match said {
            Said::Restricted(granted) if !is_restricted => {
                is_restricted = true;
                on_progress(Progress::Restricted(granted));
            }
            Said::Failed(e) => break Err(e),
            _ if !is_restricted => return Err(bad()),
            Said::Restricted(_) => return Err(bad()),
            Said::Begins(archive) => *at = clean_to(&archive, 300),
            Said::Progress { bytes, files } => on_progress(Progress::Came { bytes, files }),
            Said::Content(more) => {
                names += more.iter().map(|(path, ..)| path.as_str().len() as u64).sum::<u64>();
                content.extend(more.into_iter().map(|(path, size, blake3)| (path, Known { size, blake3 })));
                if content.len() as u64 > limits.entries || names > limits.names_bytes {
                    return Err(bad());
                }
            }
            Said::Listed { bytes, files } => break Ok(Outcome::Listed(Expanded { bytes, files })),
            Said::Extracted(extracted) => break Ok(Outcome::Extracted(Extracted { content, ..extracted })),
        }
    };
    Ok(Some(outcome))
}

/// Waits for a child that should be ending, and ends it when it does not. It can be cancelled meanwhile.
fn end(cancel: &Cancel) -> io::Result<ExitStatus> {
    let since = Instant::now();
    loop {
        let mut running = lock(&cancel.0);
        let Some(child) = &mut running.child else { return Err(io::ErrorKind::NotFound.into()) };
        if since.elapsed() > ENDS_WITHIN {
            child.kill()?;
        }
        if let Some(status) = child.try_wait()? {
            running.child = None;
            return Ok(status);
        }
        drop(running);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn last_words(mut stderr: impl Read) -> String {
    let mut text = Vec::new();
    // What a crash left unsaid is not worth an error of its own.
    drop(stderr.by_ref().take(STDERR_MAX).read_to_end(&mut text));
    drop(io::copy(&mut stderr, &mut io::sink()));
    clean_to(String::from_utf8_lossy(&text).trim(), 200)
}

fn crashed(at: &str, status: ExitStatus, words: &str) -> UnpackError {
    let words = if words.is_empty() { String::new() } else { format!(": {words}") };
    UnpackError::new(at, Why::Child(format!("ended without a result ({status}){words}")))
}

fn nonsense(at: &str) -> UnpackError {
    UnpackError::new(at, Why::Child("said what makes no sense".to_owned()))
}

fn first_name(request: &Request) -> String {
    request.archives.first().and_then(|a| a.parts.first()).cloned().unwrap_or_default()
}

/// Whether a child can be told that only these files are wanted.
#[must_use]
pub fn is_sayable(only: &BTreeMap<RelPath, u64>) -> bool {
    // A number, quotes and what stands between take up to 24 bytes.
    only.keys().map(|path| path.as_str().len() + 24).sum::<usize>() <= ONLY_MAX
}

fn request(job: &Job, task: Task) -> Request {
    let archives = job.payload.iter().filter_map(|payload| match payload {
        Payload::Plain { .. } => None,
        Payload::Archive { format, parts, are_volumes } => {
            Some(Asked { format: *format, parts: parts.clone(), are_volumes: *are_volumes, other_reader: None })
        }
    });
    let only = job.only.as_ref().filter(|only| is_sayable(only)).cloned();
    Request { task, root: job.root.clone(), archives: archives.collect(), limits: job.limits.clone(), only }
}

fn empty(staging: &Path) -> io::Result<()> {
    let fs = bonfire_disk::fs::real(staging)?;
    place::empty(&*fs, &bonfire_disk::fs::FsPath::root())
}

/// An installed `bsdtar`, where such programs are on this platform.
#[must_use]
pub fn find_bsdtar() -> Option<PathBuf> {
    ["/usr/bin/bsdtar", "/bin/bsdtar", "/usr/local/bin/bsdtar", "/opt/homebrew/opt/libarchive/bin/bsdtar"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
}
