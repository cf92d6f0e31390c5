//! Text that came from elsewhere and is about to be seen by a person: in a log, a terminal, a screen.

use crate::limits::TEXT_LEN_MAX;

/// Whether a character can hide or reorder text: bidi controls, zero-width characters, tags, line separators.
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text without control and deceptive characters, cut to `TEXT_LEN_MAX` bytes at a character boundary.
#[must_use]
pub fn clean(text: &str) -> String {
    clean_to(text, TEXT_LEN_MAX)
}

/// As `clean`, with a bound of its own in bytes.
#[must_use]
pub fn clean_to(text: &str, len_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(len_max));
    for c in text.chars().filter(|c| !c.is_control() && !is_deceptive(*c)) {
        if out.len() + c.len_utf8() > len_max {
            break;
        }
        out.push(c);
    }
    out
}
