//! Cutting content into pieces where the content says so, so that versions that differ little share most pieces.
//!
//! The cuts are those of FastCDC (2020) with the crate's gear table and normalisation level 1. They are no part of any
//! hash that is compared: a device that cut otherwise would only share less.

use fastcdc::v2020::FastCDC;

/// Lengths of pieces in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Shortest, but for the last piece.
    pub min: usize,
    /// What most are near to.
    pub average: usize,
    /// Longest.
    pub max: usize,
}

/// For the content of files: a longest piece is the longest object.
pub const CONTENT: Sizes = Sizes { min: 64 << 10, average: 256 << 10, max: 1 << 20 };

/// For lists of files: a line is a few hundred bytes, and a change touches few of them.
pub const LISTS: Sizes = Sizes { min: 4 << 10, average: 16 << 10, max: 64 << 10 };

/// Cuts a stream. Holds at most two longest pieces and what is pushed at once.
#[derive(Debug)]
pub struct Cutter {
    sizes: Sizes,
    held: Vec<u8>,
}

impl Cutter {
    /// A cutter at the start of a stream.
    #[must_use]
    pub fn new(sizes: Sizes) -> Self {
        Self { sizes, held: Vec::new() }
    }

    /// Takes the next bytes and hands on every piece that is certain. How the stream is split over calls changes no cut.
    ///
    /// # Errors
    /// Those of `piece`, and then the cutter is of no more use.
    pub fn push<E>(&mut self, bytes: &[u8], piece: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.held.extend_from_slice(bytes);
        // A cut looks no further than the longest piece, so with that much at hand it is the one of the whole stream.
        self.cut_while(self.sizes.max, piece)
    }

    /// Hands on what is left. An empty stream has no piece.
    ///
    /// # Errors
    /// Those of `piece`.
    pub fn finish<E>(mut self, piece: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.cut_while(1, piece)
    }

    fn cut_while<E>(&mut self, at_least: usize, mut piece: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.held.len() < at_least {
            return Ok(());
        }
        let cutter = FastCDC::new(&self.held, self.sizes.min, self.sizes.average, self.sizes.max);
        let mut start = 0;
        while self.held.len() - start >= at_least {
            let (_, end) = cutter.cut(start, self.held.len() - start);
            piece(&self.held[start..end])?;
            start = end;
        }
        self.held.drain(..start);
        Ok(())
    }
}
