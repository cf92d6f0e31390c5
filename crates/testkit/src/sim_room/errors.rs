//! Hears what peers log on this thread: an ERROR line is a failure of the run, whatever else held.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::fence::POWER_CUT;

/// Lines of level ERROR, without those of peers whose machine has lost power. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct ErrorLines {
    lines: Arc<Mutex<Vec<String>>>,
    /// Print every line from this level up, for looking into one seed.
    loud: Option<Level>,
}

impl ErrorLines {
    /// No lines yet. `loud` prints what is logged from that level up to stderr, with the virtual time.
    #[must_use]
    pub fn new(loud: Option<Level>) -> Self {
        Self { lines: Arc::default(), loud }
    }

    /// Takes the lines out.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a text cannot fail.
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for ErrorLines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with("bonfire") || self.loud == Some(Level::TRACE);
        *metadata.level() == Level::ERROR || (ours && self.loud.is_some_and(|l| *metadata.level() <= l))
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    #[allow(clippy::print_stderr, reason = "asked for by whoever looks into a seed")]
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let metadata = event.metadata();
        if self.loud.is_some_and(|l| *metadata.level() <= l) {
            eprintln!("{:>5} {}{}", metadata.level(), metadata.target(), text.0);
        }
        if *metadata.level() == Level::ERROR && !text.0.contains(POWER_CUT) {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(format!("{}{}", metadata.target(), text.0));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
