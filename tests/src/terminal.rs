//! A program in a terminal of its own, played by a script: keys go in, and what its screen shows is waited for. The
//! terminal is that of `script`, a program of every Linux system.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::child;
use crate::namespace::Namespace;
use crate::screen::Screen;

/// What a screen is given to show something. A game may have to build its caches first.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Shown {
    screen: Screen,
    ended: bool,
}

/// A program and its screen. Ended when it is dropped.
#[derive(Debug)]
pub struct Terminal {
    what: String,
    child: Child,
    keys: Option<ChildStdin>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
}

impl Terminal {
    /// Runs a line of shell in a terminal within a namespace. `exec` in front of its last command spares a process.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn new(namespace: &Namespace, line: &str) -> Self {
        let mut command = namespace.command(std::path::Path::new("script"));
        // The size is that of the screen here; input that comes from a pipe brings none along.
        command.args(["-q", "-e", "-f", "-c", &format!("stty rows 24 columns 80 && {line}"), "/dev/null"]);
        Self::run(&mut command, line)
    }

    fn run(command: &mut Command, what: &str) -> Self {
        command.env("TERM", "vt100").env("SHELL", "/bin/sh").env_remove("LINES").env_remove("COLUMNS");
        command.env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1").env("BONFIRE_LOG", "warn");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let shown: Arc<(Mutex<Shown>, Condvar)> = Arc::default();
        let (to, mut out) = (Arc::clone(&shown), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            loop {
                let read = out.read(&mut block).unwrap_or(0);
                let mut shown = to.0.lock().unwrap_or_else(PoisonError::into_inner);
                shown.screen.write(&block[..read]);
                shown.ended = read == 0;
                to.1.notify_all();
                if read == 0 {
                    break;
                }
            }
        });
        Self { what: what.to_owned(), keys: child.stdin.take(), child, shown }
    }

    /// Presses keys.
    ///
    /// # Panics
    /// When nobody reads them any more.
    pub fn types(&mut self, keys: &str) -> &mut Self {
        let sent = self.keys.as_mut().unwrap().write_all(keys.as_bytes());
        assert!(sent.is_ok(), "{}: nobody reads {keys:?}; the screen shows\n{}", self.what, self.screen());
        self.keys.as_mut().unwrap().flush().unwrap();
        self
    }

    /// Waits until the screen shows a text; the screen.
    ///
    /// # Panics
    /// With the screen, when it does not in time.
    pub fn shows(&self, text: &str) -> String {
        self.shows_one(&[text]).1
    }

    /// Waits until the screen shows one of these texts; which one, and the screen.
    ///
    /// # Panics
    /// With the screen, when it shows none in time.
    pub fn shows_one(&self, texts: &[&str]) -> (usize, String) {
        let start = Instant::now();
        let mut shown = self.shown.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let screen = shown.screen.text();
            if let Some(at) = texts.iter().position(|text| screen.contains(text)) {
                return (at, screen);
            }
            let left = LIMIT.saturating_sub(start.elapsed());
            assert!(!left.is_zero() && !shown.ended, "{}: none of {texts:?}; the screen shows\n{screen}", self.what);
            shown = self.shown.1.wait_timeout(shown, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What the screen shows.
    #[must_use]
    pub fn screen(&self) -> String {
        self.shown.0.lock().unwrap_or_else(PoisonError::into_inner).screen.text()
    }

    /// Waits for the end of the program.
    ///
    /// # Panics
    /// With the screen, when it does not end in time.
    pub fn ends(&mut self) -> ExitStatus {
        let status = child::wait_exit(&mut self.child, LIMIT);
        status.unwrap_or_else(|| panic!("{} does not end; the screen shows\n{}", self.what, self.screen()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("=== the screen of {}\n{}", self.what, self.screen());
        }
    }
}
