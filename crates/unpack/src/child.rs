//! The process that reads archives: one request on its standard input, lines of progress and an outcome on its output.
//!
//! Opens what it was told to, gives up every other right, and only then reads the first byte of an archive. Ends at once
//! when its input ends or says anything more: then nobody waits for it. Decides nothing.

use std::io::{self, BufReader, Read as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bonfire_disk::fs::{Fs, FsFile, FsPath};
use bonfire_proto::RelPath;

use crate::error::{UnpackError, Why};
use crate::job::{self, ArchiveFile};
use crate::place::{Only, Place, Staging};
use crate::policy::{Control, Unattended, lock};
use crate::protocol::{Asked, NAMES_A_LINE, Request, Said, Task, read_line, write_line};
use crate::sandbox;
use crate::source::{Bytes, Source};

/// Time between two lines of progress.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// Status of a child that ended because nobody waits for it any more.
const STATUS_LEFT: i32 = 3;

/// Set before the last word.
static IS_OVER: AtomicBool = AtomicBool::new(false);

/// Runs the child to its end. The whole of standard input and output is its own.
#[must_use]
pub fn main() -> ExitCode {
    let mut stdin = BufReader::new(io::stdin());
    // Nothing to answer to who asks nothing, or nonsense.
    let Ok(Some(request)) = read_line::<Request>(&mut stdin) else { return ExitCode::from(2) };
    let said = match run(&request, stdin) {
        Ok(said) => said,
        Err(e) => Said::Failed(e),
    };
    // Whoever heard the last word may close the input before this process has ended.
    IS_OVER.store(true, Ordering::SeqCst);
    if say(&said).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(request: &Request, stdin: BufReader<io::Stdin>) -> Result<Said, UnpackError> {
    let first = request.archives.first().and_then(|a| a.parts.first()).cloned().unwrap_or_default();
    let failed = |doing: &str, e: &io::Error| UnpackError::new(&first, Why::io(doing, e));
    let root = bonfire_disk::fs::real(&request.root).map_err(|e| failed("opening the folder of the archives", &e))?;
    let archives: Vec<ArchiveFile> = request.archives.iter().map(|a| open(&*root, a)).collect::<Result<_, _>>()?;
    drop(root);
    let staging = match &request.task {
        Task::List => None,
        Task::Extract { staging } => {
            Some(bonfire_disk::fs::real(staging).map_err(|e| failed("opening the folder to unpack to", &e))?)
        }
    };
    let writes_to = match &request.task {
        Task::List => None,
        Task::Extract { staging } => Some(staging.as_path()),
    };
    let runs_other = archives.iter().any(|archive| archive.other_reader.is_some());
    let granted = sandbox::restrict(writes_to, runs_other, &request.limits)
        .map_err(|e| failed("giving up the rights that are not needed", &e))?;
    let unheard = |e: io::Error| failed("speaking to the process that asked", &e);
    say(&Said::Restricted(granted)).map_err(unheard)?;
    // Only now, so that the thread is restricted like this one.
    std::thread::Builder::new()
        .name("unpack-leave".into())
        .spawn(move || leave_with(stdin))
        .map_err(|e| failed("starting a thread", &e))?;
    let Some(staging) = staging else {
        let expanded = job::list(&archives, &request.limits)?;
        return Ok(Said::Listed { bytes: expanded.bytes, files: expanded.files });
    };
    let place = Staging::new(staging, FsPath::root()).map_err(|e| failed("starting a thread", &e))?;
    let place: Arc<dyn Place> = match request.only.clone() {
        Some(wanted) => Arc::new(Only::new(place, wanted)),
        None => Arc::new(place),
    };
    let control = Arc::new(Telling { last: Mutex::new(None) });
    let mut extracted = job::extract(&archives, &request.limits, place, control)?;
    let content = std::mem::take(&mut extracted.content).into_iter();
    let is_asked = |path: &RelPath| request.only.as_ref().is_none_or(|only| only.contains_key(path));
    let content = content.filter(|(path, _)| is_asked(path)).map(|(path, known)| (path, known.size, known.blake3));
    let content: Vec<_> = content.collect();
    for piece in content.chunks(NAMES_A_LINE) {
        say(&Said::Content(piece.to_vec())).map_err(unheard)?;
    }
    Ok(Said::Extracted(extracted))
}

/// Opens the parts of an archive, each as a file right in the root and through no link. Reads nothing.
fn open(root: &dyn Fs, asked: &Asked) -> Result<ArchiveFile, UnpackError> {
    let name = asked.parts.first().cloned().unwrap_or_default();
    let mut files: Vec<(Arc<dyn Bytes>, u64)> = Vec::new();
    for part in &asked.parts {
        let bad = |what: &str| UnpackError::new(part, Why::Name(what.to_owned()));
        let path = RelPath::new(part.as_str()).map_err(|e| bad(&e.to_string()))?;
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => UnpackError::new(&name, Why::PartMissing(part.clone())),
            _ => UnpackError::new(part, Why::io("opening the archive", &e)),
        };
        let file: Box<dyn FsFile> = root.open_read(&FsPath::root().beneath(&path)).map_err(failed)?;
        let len = file.stat().map_err(failed)?.len;
        files.push((Arc::new(file), len));
    }
    let parts = match asked.are_volumes {
        true => files.into_iter().map(|file| Source::new(vec![file])).collect(),
        false => vec![Source::new(files)],
    };
    Ok(ArchiveFile { name, format: asked.format, parts, other_reader: asked.other_reader.clone() })
}

/// Ends the process when its input ends, or says something: there is only one thing left to be said.
fn leave_with(mut stdin: BufReader<io::Stdin>) {
    let mut byte = [0; 1];
    loop {
        match stdin.read(&mut byte) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            _ => std::process::exit(if IS_OVER.load(Ordering::SeqCst) { 0 } else { STATUS_LEFT }),
        }
    }
}

fn say(said: &Said) -> io::Result<()> {
    write_line(&mut io::stdout().lock(), said)
}

struct Telling {
    last: Mutex<Option<Instant>>,
}

impl Control for Telling {
    fn is_cancelled(&self) -> bool {
        Unattended.is_cancelled()
    }

    fn progress(&self, bytes: u64, files: u64) {
        let mut last = lock(&self.last);
        if last.is_some_and(|last| last.elapsed() < TOLD_EVERY) {
            return;
        }
        *last = Some(Instant::now());
        // Whom it does not reach is gone, and the end of the input says so.
        drop(say(&Said::Progress { bytes, files }));
    }

    fn begins(&self, archive: &str) {
        drop(say(&Said::Begins(archive.to_owned())));
    }
}
