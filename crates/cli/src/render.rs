//! Everything that reaches a terminal or a pipe goes through here: data to stdout, talk to stderr, one JSON object a
//! line with `--json`. Strips control characters; colours only terminals, and none when `NO_COLOR` is set.

use std::ffi::OsStr;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use bonfire_proto::SnapshotId;
use bonfire_proto::text::clean_to;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

use crate::exit::Failure;

/// Longest text of others that is shown in one piece, in bytes.
const SHOWN_LEN_MAX: usize = 4096;

/// How a word on stderr is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Red.
    Error,
    /// Cyan.
    Hint,
    /// Green.
    Good,
    /// As it is.
    Plain,
}

impl Tone {
    const fn start(self) -> &'static str {
        match self {
            Self::Error => "\u{1b}[1;31m",
            Self::Hint => "\u{1b}[36m",
            Self::Good => "\u{1b}[32m",
            Self::Plain => "",
        }
    }
}

/// Where a command writes, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    json: bool,
    colour_out: bool,
    colour_err: bool,
    bars: bool,
}

impl Out {
    /// Looks at the terminal and at `NO_COLOR` once.
    pub(crate) fn new(json: bool) -> Self {
        let term = std::env::var_os("TERM");
        let colour = wants_colour(std::env::var_os("NO_COLOR").as_deref(), term.as_deref());
        let dumb = term.is_some_and(|t| t == "dumb");
        Self {
            json,
            colour_out: colour && std::io::stdout().is_terminal(),
            colour_err: colour && std::io::stderr().is_terminal(),
            bars: !json && !dumb && std::io::stderr().is_terminal(),
        }
    }

    /// Whether stdout carries JSON and nothing else.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether progress bars can be drawn on stderr.
    pub(crate) const fn has_bars(&self) -> bool {
        self.bars
    }

    /// Whether stderr takes colours.
    pub(crate) const fn colours_stderr(&self) -> bool {
        self.colour_err
    }

    /// One JSON object on stdout.
    ///
    /// # Errors
    /// `Failure::OutputClosed` when nobody reads stdout.
    pub(crate) fn json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(value).expect("BUG: a view cannot be written as JSON");
        line.push(b'\n');
        Self::raw(&line)
    }

    /// Data for people on stdout; nothing with `--json`.
    ///
    /// # Errors
    /// `Failure::OutputClosed` when nobody reads stdout.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        Self::raw(format!("{text}\n").as_bytes())
    }

    /// Data for people on stdout with a coloured first word; nothing with `--json`.
    ///
    /// # Errors
    /// `Failure::OutputClosed` when nobody reads stdout.
    pub(crate) fn marked(&self, tone: Tone, word: &str, text: &str) -> Result<(), Failure> {
        self.text(&format!("{} {}", paint(self.colour_out, tone, word), shown(text)))
    }

    /// Bytes on stdout as they are: scripts and pages.
    ///
    /// # Errors
    /// `Failure::OutputClosed` when nobody reads stdout.
    pub(crate) fn raw(bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|_| Failure::OutputClosed)
    }

    /// Talk on stderr.
    pub(crate) fn talk(&self, text: &str) {
        self.say(Tone::Plain, "", text);
    }

    /// Talk on stderr with a coloured first word.
    pub(crate) fn say(&self, tone: Tone, word: &str, text: &str) {
        let text = shown(text);
        let line = if word.is_empty() { text } else { format!("{} {text}", paint(self.colour_err, tone, word)) };
        // Nobody is left to tell that stderr is gone.
        if writeln!(std::io::stderr().lock(), "{line}").is_err() {}
    }
}

/// Whether colour is welcome on a terminal: `NO_COLOR` with any text forbids it, a dumb terminal has none.
fn wants_colour(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|t| t != "dumb")
}

fn paint(colour: bool, tone: Tone, word: &str) -> String {
    if colour && tone != Tone::Plain { format!("{}{word}\u{1b}[0m", tone.start()) } else { word.to_owned() }
}

/// Text as it may be shown: without control and deceptive characters, cut to a sane length.
pub(crate) fn shown(text: &str) -> String {
    clean_to(text, SHOWN_LEN_MAX)
}

/// A table without borders: short to read, easy to cut with a pipe. `right` names the columns with numbers.
pub(crate) fn table(header: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|text| Cell::new(shown(text))));
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A size for people: `0 B`, `12.3 MiB`, `1.50 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut whole = bytes;
    let mut rest = 0;
    while whole >= 1024 && unit < UNITS.len() {
        rest = whole % 1024;
        whole /= 1024;
        unit += 1;
    }
    let tenths = rest * 10 / 1024;
    format!("{whole}.{tenths} {}", UNITS[unit - 1])
}

/// A span for people: `4 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// As much of a snapshot's id as people read and type.
pub(crate) fn brief(id: &SnapshotId) -> String {
    id.to_string()[..12].to_owned()
}

/// Percent done, 0 while the total is unknown.
pub(crate) fn percent(done: u64, total: u64) -> u64 {
    if total == 0 { 0 } else { u64::try_from(u128::from(done) * 100 / u128::from(total)).unwrap_or(100).min(100) }
}

/// `1 file`, `2 files`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use std::ffi::OsStr;

    use super::{Tone, count, paint, percent, shown, size, span, table, wants_colour};

    #[test]
    fn no_color_is_honoured() {
        let some = |text| Some(OsStr::new(text));
        assert!(wants_colour(None, some("xterm")) && wants_colour(some(""), None));
        assert!(!wants_colour(some("1"), some("xterm")) && !wants_colour(None, some("dumb")));
        assert_eq!((paint(false, Tone::Error, "x"), paint(true, Tone::Error, "x").len()), ("x".to_owned(), 12));
    }

    #[test]
    fn sizes_and_spans_read_well() {
        assert_eq!([size(0), size(1023), size(1024), size(1_610_612_736)], ["0 B", "1023 B", "1.0 KiB", "1.5 GiB"]);
        assert_eq!(size(u64::MAX), "16383.9 PiB");
        assert_eq!(span(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(count(1, "file"), "1 file");
    }

    #[test]
    fn percent_never_overflows_and_never_divides_by_zero() {
        assert_eq!((percent(1, 0), percent(u64::MAX, u64::MAX), percent(5, 3)), (0, 100, 100));
    }

    #[test]
    fn text_of_others_cannot_drive_the_terminal() {
        assert_eq!(shown("a\u{1b}[31mb\u{202e}c\nd"), "a[31mbcd");
        assert!(!table(&["n"], &[], vec![vec!["x\u{7}y".to_owned()]]).contains('\u{7}'));
    }
}
