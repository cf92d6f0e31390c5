//! The screen of a VT100 as text: what a program in a terminal wrote, where it wrote it. Knows the controls that curses
//! programs use for that terminal; colours and character sets are not kept.

/// Lines of a screen.
pub const ROWS: usize = 24;
/// Characters of a line.
pub const COLUMNS: usize = 80;

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Escape,
    /// A character set follows, one byte.
    Charset,
    Sequence,
}

/// A screen.
#[derive(Debug)]
pub struct Screen {
    cells: Vec<[char; COLUMNS]>,
    row: usize,
    column: usize,
    /// First and last line of what scrolls.
    region: (usize, usize),
    saved: (usize, usize),
    state: State,
    sequence: String,
    /// Bytes of a character that is not whole yet.
    pending: Vec<u8>,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            cells: vec![[' '; COLUMNS]; ROWS],
            row: 0,
            column: 0,
            region: (0, ROWS - 1),
            saved: (0, 0),
            state: State::Text,
            sequence: String::new(),
            pending: Vec::new(),
        }
    }
}

impl Screen {
    /// Takes what the program wrote.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.pending.push(*byte);
            match std::str::from_utf8(&self.pending) {
                Ok(text) => {
                    let characters: Vec<char> = text.chars().collect();
                    self.pending.clear();
                    characters.into_iter().for_each(|c| self.put(c));
                }
                Err(e) if e.error_len().is_none() => {}
                Err(_) => {
                    self.pending.clear();
                    self.put('?');
                }
            }
        }
    }

    /// The lines, without the spaces at their ends.
    #[must_use]
    pub fn text(&self) -> String {
        let lines: Vec<String> =
            self.cells.iter().map(|l| l.iter().collect::<String>().trim_end().to_owned()).collect();
        lines.join("\n")
    }

    fn put(&mut self, c: char) {
        match self.state {
            State::Text => self.plain(c),
            State::Escape => self.escape(c),
            State::Charset => self.state = State::Text,
            State::Sequence if ('@'..='~').contains(&c) => {
                let sequence = std::mem::take(&mut self.sequence);
                self.state = State::Text;
                self.control(c, &sequence);
            }
            State::Sequence => self.sequence.push(c),
        }
    }

    fn plain(&mut self, c: char) {
        match c {
            '\x1b' => self.state = State::Escape,
            '\r' => self.column = 0,
            '\n' => self.down(),
            '\x08' => self.column = self.column.saturating_sub(1),
            '\t' => self.column = ((self.column / 8 + 1) * 8).min(COLUMNS - 1),
            c if c < ' ' => {}
            c => {
                if self.column == COLUMNS {
                    self.column = 0;
                    self.down();
                }
                self.cells[self.row][self.column] = c;
                self.column += 1;
            }
        }
    }

    fn escape(&mut self, c: char) {
        self.state = State::Text;
        match c {
            '[' => {
                self.sequence.clear();
                self.state = State::Sequence;
            }
            '(' | ')' | '#' => self.state = State::Charset,
            '7' => self.saved = (self.row, self.column),
            '8' => (self.row, self.column) = self.saved,
            'D' => self.down(),
            'E' => {
                self.column = 0;
                self.down();
            }
            'M' if self.row == self.region.0 => {
                self.cells.remove(self.region.1);
                self.cells.insert(self.region.0, [' '; COLUMNS]);
            }
            'M' => self.row = self.row.saturating_sub(1),
            _ => {}
        }
    }

    fn control(&mut self, end: char, sequence: &str) {
        if sequence.starts_with('?') {
            return;
        }
        let numbers: Vec<usize> = sequence.split(';').map(|n| n.parse().unwrap_or(0)).collect();
        let first = numbers.first().copied().unwrap_or(0);
        let second = numbers.get(1).copied().unwrap_or(0);
        let column = self.column.min(COLUMNS - 1);
        match end {
            'H' | 'f' => {
                self.row = first.clamp(1, ROWS) - 1;
                self.column = second.clamp(1, COLUMNS) - 1;
            }
            'A' => self.row = self.row.saturating_sub(first.max(1)),
            'B' => self.row = (self.row + first.max(1)).min(ROWS - 1),
            'C' => self.column = (column + first.max(1)).min(COLUMNS - 1),
            'D' => self.column = column.saturating_sub(first.max(1)),
            'J' => {
                self.blank_in_line(first);
                match first {
                    0 => self.cells[self.row + 1..].fill([' '; COLUMNS]),
                    1 => self.cells[..self.row].fill([' '; COLUMNS]),
                    _ => self.cells.fill([' '; COLUMNS]),
                }
            }
            'K' => self.blank_in_line(first),
            'r' => {
                let last = if second == 0 { ROWS } else { second.min(ROWS) };
                self.region = (first.max(1).min(last) - 1, last - 1);
                (self.row, self.column) = (0, 0);
            }
            _ => {}
        }
    }

    fn blank_in_line(&mut self, part: usize) {
        let column = self.column.min(COLUMNS - 1);
        let line = &mut self.cells[self.row];
        match part {
            0 => line[column..].fill(' '),
            1 => line[..=column].fill(' '),
            _ => line.fill(' '),
        }
    }

    fn down(&mut self) {
        if self.row == self.region.1 {
            self.cells.remove(self.region.0);
            self.cells.insert(self.region.1, [' '; COLUMNS]);
        } else {
            self.row = (self.row + 1).min(ROWS - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Screen;

    fn after(text: &str) -> String {
        let mut screen = Screen::default();
        screen.write(text.as_bytes());
        screen.text().trim_end().to_owned()
    }

    #[test]
    fn text_stands_where_it_was_put() {
        assert_eq!(after("one\r\ntwo\x1b[1;3Hx\x1b[2;2H\x1b[Kz"), "onx\ntz");
        assert_eq!(after("abc\x1b[2J"), "");
        assert_eq!(after("\x1b(0\x1b[1;1Ha\x1b[1mb\x1b[m\x08c"), "ac");
    }

    #[test]
    fn a_full_screen_moves_up_within_its_region() {
        assert_eq!(after("top\x1b[2;3r\x1b[2;1Ha\r\nb\r\nc").lines().collect::<Vec<_>>(), ["top", "b", "c"]);
        assert_eq!(after("\x1b[1;3rtop\x1bM\x1b[1;1H\x1bMx").lines().next(), Some("x"));
    }

    #[test]
    fn a_character_in_two_pieces_is_one() {
        let mut screen = Screen::default();
        screen.write(&[0xc3]);
        screen.write(&[0xa9]);
        assert_eq!(screen.text().trim_end(), "é");
    }
}
