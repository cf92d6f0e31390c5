//! The chunks that nobody has been asked for, as ranges of their numbers.

use std::collections::BTreeMap;

/// Ranges of chunk numbers: begin to end (exclusive), disjoint, never adjacent.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    ranges: BTreeMap<u32, u32>,
    len: u32,
}

impl Pool {
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The lowest number.
    pub(super) fn first(&self) -> Option<(u32, u32)> {
        self.ranges.first_key_value().map(|(b, e)| (*b, *e))
    }

    pub(super) fn insert(&mut self, number: u32) {
        let left = self.ranges.range(..=number).next_back().map(|(b, e)| (*b, *e));
        if left.is_some_and(|(_, end)| number < end) {
            return;
        }
        let begin = left.filter(|(_, end)| *end == number).map_or(number, |(b, _)| b);
        let end = self.ranges.remove(&(number + 1)).unwrap_or(number + 1);
        self.ranges.insert(begin, end);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, number: u32) -> bool {
        let Some((begin, end)) = self.ranges.range(..=number).next_back().map(|(b, e)| (*b, *e)) else {
            return false;
        };
        if number >= end {
            return false;
        }
        self.ranges.remove(&begin);
        if begin < number {
            self.ranges.insert(begin, number);
        }
        if number + 1 < end {
            self.ranges.insert(number + 1, end);
        }
        self.len -= 1;
        true
    }
}
