//! Bytes of a file, sparse: pages of nothing but zeros are not held.

use std::collections::BTreeMap;
use std::sync::Arc;

const PAGE: u64 = 256;
const PAGE_LEN: usize = 256;

/// A file's bytes. Equal bytes are equal values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    len: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE_LEN]>>,
}

impl Content {
    /// A file of `len` zeros with these bytes at these offsets.
    #[must_use]
    pub fn sparse(len: u64, extents: &[(u64, &[u8])]) -> Self {
        let mut out = Self { len, pages: BTreeMap::new() };
        for (offset, bytes) in extents {
            out.write(*offset, bytes);
        }
        out
    }

    /// A file of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::sparse(bytes.len() as u64, &[(0, bytes)])
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills the buffer from `offset` as far as the file goes.
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let n = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let buf = &mut buf[..n];
        buf.fill(0);
        let end = offset + n as u64;
        for (page, bytes) in self.pages.range(offset / PAGE..end.div_ceil(PAGE)) {
            let start = page * PAGE;
            let (from, to) = (start.max(offset), (start + PAGE).min(end));
            if from < to {
                buf[index(from - offset)..index(to - offset)]
                    .copy_from_slice(&bytes[index(from - start)..index(to - start)]);
            }
        }
        n
    }

    /// All bytes. For small files.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = vec![0; index(self.len)];
        self.read(0, &mut out);
        out
    }

    /// Writes bytes, extending the file when they go beyond its end.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        self.len = self.len.max(end);
        for page in offset / PAGE..end.div_ceil(PAGE) {
            let start = page * PAGE;
            let (from, to) = (start.max(offset), (start + PAGE).min(end));
            let piece = &bytes[index(from - offset)..index(to - offset)];
            let mut data = self.pages.get(&page).map_or([0; PAGE_LEN], |p| **p);
            data[index(from - start)..index(to - start)].copy_from_slice(piece);
            self.put(page, data);
        }
    }

    /// Cuts, or extends with zeros.
    pub fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE));
            let last = len / PAGE;
            if let Some(p) = self.pages.get(&last) {
                let mut data = **p;
                data[index(len - last * PAGE)..].fill(0);
                self.put(last, data);
            }
        }
        self.len = len;
    }

    /// The pieces that are not zeros, within a range of bytes: (offset, bytes).
    #[must_use]
    pub fn pieces(&self, from: u64, to: u64) -> Vec<(u64, Vec<u8>)> {
        let mut out: Vec<(u64, Vec<u8>)> = Vec::new();
        for (page, bytes) in self.pages.range(from / PAGE..to.div_ceil(PAGE)) {
            let start = page * PAGE;
            let (a, b) = (start.max(from), (start + PAGE).min(to).min(self.len));
            if a >= b {
                continue;
            }
            let piece = &bytes[index(a - start)..index(b - start)];
            match out.last_mut() {
                Some((o, v)) if *o + v.len() as u64 == a => v.extend_from_slice(piece),
                _ => out.push((a, piece.to_vec())),
            }
        }
        out
    }

    /// Feeds length and bytes to a hasher.
    pub(super) fn feed(&self, h: &mut blake3::Hasher) {
        h.update(&self.len.to_le_bytes()).update(&(self.pages.len() as u64).to_le_bytes());
        for (page, bytes) in &self.pages {
            h.update(&page.to_le_bytes()).update(&**bytes);
        }
    }

    fn put(&mut self, page: u64, data: [u8; PAGE_LEN]) {
        if data == [0; PAGE_LEN] {
            self.pages.remove(&page);
        } else {
            self.pages.insert(page, Arc::new(data));
        }
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).expect("BUG: a model file's piece fits in memory")
}
