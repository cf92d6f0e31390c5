//! What a peer said: its events, its replies, its log, with waits that show everything when they fail.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Everything that one peer said since its seat was made, over all its restarts.
#[derive(Debug, Default)]
pub struct Log {
    state: Mutex<Said>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    /// The `event` part of every event line.
    events: Vec<Value>,
    replies: BTreeMap<u64, Value>,
    /// Lines on stdout that are neither.
    strays: Vec<String>,
    stderr: Vec<String>,
    /// How many output streams have ended.
    closed: u32,
}

impl Log {
    /// Reads a process's stdout into the log until it ends.
    pub(crate) fn follow_stdout(self: &Arc<Self>, pipe: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let Ok(line) = line else { break };
                log.change(|said| match serde_json::from_str::<Value>(&line) {
                    Ok(mut value) if value.get("event").is_some() => said.events.push(value["event"].take()),
                    Ok(value)
                        if value.get("reply").is_some()
                            || value.get("error").is_some()
                            || value.get("snapshot").is_some() =>
                    {
                        said.replies.insert(value["id"].as_u64().unwrap_or(u64::MAX), value);
                    }
                    _ => said.strays.push(line),
                });
            }
            log.change(|said| said.closed += 1);
        });
    }

    /// Reads a process's stderr into the log until it ends.
    pub(crate) fn follow_stderr(self: &Arc<Self>, pipe: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n') {
                let Ok(line) = line else { break };
                log.change(|said| said.stderr.push(String::from_utf8_lossy(&line).into_owned()));
            }
            log.change(|said| said.closed += 1);
        });
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with(|said| said.events.len())
    }

    /// Whether there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The events from number `from` on.
    #[must_use]
    pub fn since(&self, from: usize) -> Vec<Value> {
        self.with(|said| said.events.get(from..).unwrap_or_default().to_vec())
    }

    /// Lines on stdout that were neither event nor reply.
    #[must_use]
    pub fn strays(&self) -> Vec<String> {
        self.with(|said| said.strays.clone())
    }

    /// Lines of the log at level ERROR, and panics.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        self.with(|said| {
            said.stderr.iter().filter(|l| l.contains(" ERROR ") || l.contains("panicked at")).cloned().collect()
        })
    }

    /// Lines that tell of a panic.
    #[must_use]
    pub fn panics(&self) -> Vec<String> {
        self.with(|said| said.stderr.iter().filter(|l| l.contains("panicked at")).cloned().collect())
    }

    /// All of stderr.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.with(|said| said.stderr.join("\n"))
    }

    /// Waits for an event from number `from` on.
    ///
    /// # Errors
    /// Everything that was said, when there is none in time.
    pub fn wait(&self, from: usize, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value, String> {
        self.wait_said(limit, |said| said.events.get(from..).unwrap_or_default().iter().find(|e| wanted(e)).cloned())
    }

    /// Waits until there are this many events of a type.
    ///
    /// # Errors
    /// How many there are, when they are fewer in time.
    pub fn wait_count(&self, kind: &str, count: usize, limit: Duration) -> Result<(), String> {
        let (mut seen, mut counted) = (0, 0);
        self.wait_said(limit, |said| {
            counted += said.events[seen..].iter().filter(|e| e["type"] == kind).count();
            seen = said.events.len();
            (counted >= count).then_some(())
        })
        .map_err(|_| format!("{counted} of {count} {kind}"))
    }

    /// Waits for the reply to a command.
    ///
    /// # Errors
    /// Everything that was said, when there is none in time.
    pub fn wait_reply(&self, id: u64, limit: Duration) -> Result<Value, String> {
        // Taken out: a snapshot of ten thousand games, asked for again and again, would fill the memory.
        self.wait_said(limit, |said| said.replies.remove(&id))
    }

    /// The reply to a command, once, if it is there.
    #[must_use]
    pub fn take_reply(&self, id: u64) -> Option<Value> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).replies.remove(&id)
    }

    /// Waits until `streams` output streams have ended.
    pub(crate) fn wait_closed(&self, streams: u32, limit: Duration) {
        // A stream that a grandchild keeps open must not hang the test.
        self.wait_said(limit, |said| (said.closed >= streams).then_some(())).ok();
    }

    fn wait_said<T>(&self, limit: Duration, mut find: impl FnMut(&mut Said) -> Option<T>) -> Result<T, String> {
        let start = Instant::now();
        let mut said = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = find(&mut said) {
                return Ok(found);
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(said.describe());
            }
            said = self.changed.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn with<T>(&self, read: impl FnOnce(&Said) -> T) -> T {
        read(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The whole event log and the end of stderr.
    #[must_use]
    pub fn describe(&self) -> String {
        self.with(Said::describe)
    }
}

impl Said {
    fn describe(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::from("--- events\n");
        for (n, event) in self.events.iter().enumerate() {
            writeln!(text, "{n:4} {event}").unwrap();
        }
        for stray in &self.strays {
            writeln!(text, "stray {stray}").unwrap();
        }
        for (id, reply) in self.replies.iter().rev().take(5) {
            writeln!(text, "reply {id}: {reply}").unwrap();
        }
        text.push_str("--- end of stderr\n");
        for line in self.stderr.iter().skip(self.stderr.len().saturating_sub(60)) {
            writeln!(text, "{line}").unwrap();
        }
        text
    }
}
