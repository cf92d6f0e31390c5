//! A RAR file that the reader here does not understand, read by an installed `bsdtar`.
//!
//! It is asked for a tar stream of what the archive holds, and that goes through our own reader and rules: it writes no
//! file, and in the child it inherits every restriction. The archive reaches it through a pipe, so sets of volumes, which
//! it would have to open by itself, are not read this way. A child may end no process, not even one of its own, so the
//! program is ended by its pipes: nothing more comes, and nobody reads.

use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{UnpackError, Why};
use crate::policy::Archive;
use crate::read;
use crate::source::{READ_BUFFER, Source};

/// Most bytes of its complaints that are kept.
const STDERR_MAX: u64 = 4 << 10;

/// Everything out of an archive by way of `program`.
///
/// # Errors
/// What the rules refuse; what the program complained about; the system's.
pub(crate) fn extract(archive: &Archive, program: &Path, parts: &[Source]) -> Result<(), UnpackError> {
    let [source] = parts else {
        return Err(archive.error(Why::Unsupported("a set of volumes by another program".to_owned())));
    };
    let failed = |doing: &str, e: &io::Error| archive.error(Why::io(doing, e));
    let mut child = Command::new(program)
        .args(["-cf", "-", "--format=pax", "@-"])
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed("starting bsdtar", &e))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(failed("starting bsdtar", &io::ErrorKind::BrokenPipe.into()));
    };
    let is_refused = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let is_refused = &is_refused;
        let feeding = scope.spawn(move || {
            let mut from = source.range(0, source.len());
            let mut buffer = vec![0; READ_BUFFER];
            loop {
                if is_refused.load(Ordering::Relaxed) {
                    return Ok(());
                }
                match from.read(&mut buffer)? {
                    0 => return Ok::<(), io::Error>(()),
                    // It may have enough, or be gone: how it ends says which.
                    n if stdin.write_all(&buffer[..n]).is_err() => return Ok(()),
                    _ => {}
                }
            }
        });
        let complaining = scope.spawn(move || {
            let mut text = Vec::new();
            let mut stderr = stderr;
            let kept = stderr.by_ref().take(STDERR_MAX).read_to_end(&mut text);
            // A full pipe would hold it up.
            kept.and_then(|_| io::copy(&mut stderr, &mut io::sink())).map(|_| text)
        });
        let mut stdout = stdout;
        let came = read::extract_tar(archive, &mut stdout);
        is_refused.store(came.is_err(), Ordering::Relaxed);
        drop(stdout);
        let status = child.wait();
        let read = feeding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let complaints = complaining.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        read.map_err(|e| failed("reading the archive", &e))?;
        let complaints = complaints.map_err(|e| failed("listening to bsdtar", &e))?;
        match came {
            // A stream that ends too early is what becomes of an archive that it gave up on.
            Err(e) if complaints.is_empty() || e.why != Why::Truncated => return Err(e),
            _ => {}
        }
        let status = status.map_err(|e| failed("waiting for bsdtar", &e))?;
        if !status.success() || !complaints.is_empty() {
            return Err(archive.error(Why::format(format!("bsdtar: {}", String::from_utf8_lossy(&complaints).trim()))));
        }
        Ok(())
    })
}
