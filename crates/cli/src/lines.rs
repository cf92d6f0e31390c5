//! Splits a byte stream into lines of bounded length. Pure, so that a reader can be cancelled between two reads without
//! losing what it has.

use std::collections::VecDeque;

/// One line, or the fact that one was too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The bytes without the line end.
    Whole(Vec<u8>),
    /// A line over the limit; its bytes are gone.
    TooLong,
}

/// Collects bytes until a line is whole.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    len_max: usize,
    partial: Vec<u8>,
    skipping: bool,
    ready: VecDeque<Line>,
}

impl LineSplitter {
    /// For lines of at most `len_max` bytes, line end not counted.
    pub(crate) fn new(len_max: usize) -> Self {
        Self { len_max, partial: Vec::new(), skipping: false, ready: VecDeque::new() }
    }

    /// Takes in what was read. Empty lines vanish.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.take(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.take(bytes);
    }

    /// The stream has ended: a last line without a line end counts too.
    pub(crate) fn finish(&mut self) {
        self.end_line();
    }

    /// The next line, oldest first.
    pub(crate) fn pop(&mut self) -> Option<Line> {
        self.ready.pop_front()
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        if self.partial.len() + bytes.len() > self.len_max {
            self.skipping = true;
            self.partial = Vec::new();
            self.ready.push_back(Line::TooLong);
            return;
        }
        self.partial.extend_from_slice(bytes);
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.skipping) {
            return;
        }
        let mut line = std::mem::take(&mut self.partial);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if !line.is_empty() {
            self.ready.push_back(Line::Whole(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, LineSplitter};

    fn split(len_max: usize, parts: &[&str]) -> Vec<Line> {
        let mut lines = LineSplitter::new(len_max);
        for part in parts {
            lines.feed(part.as_bytes());
        }
        lines.finish();
        std::iter::from_fn(|| lines.pop()).collect()
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    #[test]
    fn joins_parts_and_drops_empty_lines_and_carriage_returns() {
        assert_eq!(split(9, &["a", "b\r\n\n\r\nc", "\nd"]), [whole("ab"), whole("c"), whole("d")]);
    }

    #[test]
    fn reports_a_long_line_once_and_goes_on_after_it() {
        assert_eq!(split(3, &["abc\nab", "cd", "efgh\nx\n"]), [whole("abc"), Line::TooLong, whole("x")]);
    }
}
