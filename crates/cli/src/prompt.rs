//! Questions to a person at the terminal, and one line from stdin. Decides nothing when nobody is there to ask.

use std::io::{BufRead, IsTerminal, Write};

use bonfire_engine::{ErrorClass, Report};

use crate::render::{Out, shown};

/// Longest answer that is read, in bytes.
const ANSWER_LEN_MAX: usize = 4096;

/// Whether there is somebody to ask.
pub(crate) fn is_possible(out: &Out) -> bool {
    !out.is_json() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for yes or no; anything but yes is no.
///
/// # Errors
/// When stdin cannot be read.
pub(crate) async fn confirm(question: &str) -> Result<bool, Report> {
    let answer = line(&format!("{question} [y/N] ")).await?;
    Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for one line, trimmed. The question goes to stderr, and only when stdin is a terminal.
///
/// # Errors
/// When stdin cannot be read.
pub(crate) async fn line(question: &str) -> Result<String, Report> {
    let failed = |e: std::io::Error| {
        Report::new(ErrorClass::Environment, "no_answer", format!("cannot read the answer from stdin: {e}"))
    };
    if std::io::stdin().is_terminal() {
        let mut stderr = std::io::stderr().lock();
        // Nobody is left to ask when stderr is gone; the answer may come all the same.
        if write!(stderr, "{}", shown(question)).and_then(|()| stderr.flush()).is_err() {}
    }
    let read = tokio::task::spawn_blocking(|| {
        let mut line = Vec::new();
        let mut stdin = std::io::Read::take(std::io::stdin().lock(), ANSWER_LEN_MAX as u64);
        stdin.read_until(b'\n', &mut line).map(|_| line)
    });
    let line = read.await.map_err(std::io::Error::other).and_then(|read| read).map_err(failed)?;
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}
