//! A snapshot as a zip archive that people and other programs can open, and such an archive as a save again.
//!
//! An archive from outside is believed nothing: its names pass the rules of every path from outside, links and doubtful
//! entries refuse it as a whole, and entries and bytes are counted as they come out.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bonfire_proto::limits::{SAVE_FILES_MAX, SAVE_SIZE_MAX};
use bonfire_proto::rel_path::check_collisions;
use bonfire_proto::{Digest, ObjectRef, RelPath, SaveEntry, Snapshot, SnapshotId};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::archive;
use super::capture::{Captured, Listing, put_list};
use super::chunking::{CONTENT, Cutter};
use super::error::{SaveError, io_error};
use super::roots::{RootLabel, SCRATCH};
use super::snapshots::SaveStore;
use crate::atomic;
use crate::fs::{Fs, FsFile, FsPath, Meta, OpenMode, write_all_at};

/// Bytes of an archive's own records read for its entries at most: a kilobyte for each of as many as a save may have.
const DIRECTORY_MAX: u64 = 200 << 20;
/// Bytes read at once.
const PIECE: usize = 256 << 10;
/// From here on an entry needs the long form of its sizes.
const LARGE: u64 = 0xFFFF_FFFF;

/// Why an archive is no save.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Damaged, or packed in a way that is not known here.
    #[error("not an archive that can be read: {0}")]
    Archive(String),
    /// A name that is not legal everywhere, or leads nowhere.
    #[error("{name:?} cannot be a file of a save: {reason}")]
    Name {
        /// The name, cleaned.
        name: String,
        /// Why not.
        reason: String,
    },
    /// More files or bytes than a save may have.
    #[error("more than {0}")]
    TooMuch(&'static str),
}

impl SaveStore {
    /// The name of a snapshot's archive: game, line and the time in UTC, as `GAME SLOT [YYYY-MM-DD_HH-MM-SS].zip`.
    #[must_use]
    pub fn export_name(snapshot: &Snapshot) -> String {
        let legal = |c: char| if matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|') { '_' } else { c };
        let slot: String = snapshot.slot.as_str().chars().map(legal).collect();
        let [year, month, day, hour, minute, second] = civil(snapshot.created_at);
        let time = format!("{year:04}-{month:02}-{day:02}_{hour:02}-{minute:02}-{second:02}");
        format!("{} {slot} [{time}].zip", snapshot.game_id)
    }

    /// Writes a snapshot as an archive into a folder, under a name that must not be there yet. It is there whole or not
    /// at all.
    ///
    /// # Errors
    /// `AlreadyExists` as the disk's; the store's.
    pub fn export(&self, id: &SnapshotId, fs: &dyn Fs, folder: &Path, name: &str) -> Result<(), SaveError> {
        let entries = self.entries(&self.snapshot(id)?)?;
        let (to, scratch) = (FsPath::root().child(name), FsPath::root().child(&format!("{SCRATCH}export")));
        let io = |doing: &'static str| {
            let to = to.clone();
            move |e| io_error(folder, doing, &to, e)
        };
        if fs.stat(&to).map_err(io("looking for"))?.is_some() {
            return Err(io("writing")(io::ErrorKind::AlreadyExists.into()));
        }
        let written = (|| {
            let file = fs.open_write(&scratch, OpenMode::Either).map_err(io("making"))?;
            file.set_len(0).map_err(io("writing"))?;
            let sink = Sink { file: &*file, at: Cell::new(0), end: Cell::new(0), failed: RefCell::new(None) };
            let packed = self.pack(&entries, &sink, &io);
            if let Some(e) = sink.failed.take() {
                return Err(io("writing")(e));
            }
            packed?;
            file.sync().map_err(io("syncing"))?;
            fs.rename(&scratch, &to).map_err(io("naming"))?;
            fs.sync_dir(&FsPath::root()).map_err(io("syncing"))
        })();
        if written.is_err() {
            let _ = atomic::remove_if_there(fs, &scratch);
        }
        written
    }

    fn pack<E: FnOnce(io::Error) -> SaveError>(
        &self,
        entries: &[SaveEntry],
        sink: &Sink<'_>,
        io: &impl Fn(&'static str) -> E,
    ) -> Result<(), SaveError> {
        let failed = |e: ZipError| io("writing")(io::Error::from(e));
        let mut zip = ZipWriter::new(sink);
        for entry in entries {
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Deflated)
                .last_modified_time(zip_time(entry.mtime))
                .large_file(entry.size >= LARGE);
            zip.start_file(entry.path.as_str(), options).map_err(failed)?;
            for object in entry.objects() {
                zip.write_all(&self.read_object(&object)?).map_err(io("writing"))?;
            }
            if sink.failed.borrow().is_some() {
                break;
            }
        }
        zip.finish().map_err(failed)?;
        Ok(())
    }

    /// Reads an archive into the store as the content of a save. Without a label the first part of each name is taken as
    /// the label of a root, as `export` writes it; with one, all files belong to that root. `now_ms` is the time that
    /// files without one get.
    ///
    /// # Errors
    /// `Import` when it is no save; the disk's. Nothing was kept then.
    pub fn import(&self, file: &dyn FsFile, label: Option<&RootLabel>, now_ms: i64) -> Result<Captured, SaveError> {
        let disk = |e| self.inner.io("reading an archive for", &FsPath::root(), e);
        let len = file.stat().map_err(disk)?.len;
        let source = archive::Source::new(file, len, DIRECTORY_MAX);
        let unpacked = self.unpack(&source, label, now_ms);
        // What the disk said counts before what was made of it.
        match source.into_failure() {
            Some(e) => Err(disk(e)),
            None => unpacked,
        }
    }

    fn unpack(
        &self,
        source: &archive::Source<'_>,
        label: Option<&RootLabel>,
        now_ms: i64,
    ) -> Result<Captured, SaveError> {
        let broken = |e: ZipError| ImportError::Archive(e.to_string());
        let mut zip = ZipArchive::new(source).map_err(broken)?;
        if zip.len() > SAVE_FILES_MAX {
            return Err(ImportError::TooMuch("200,000 files").into());
        }
        if zip.has_duplicate_names() {
            return Err(ImportError::Archive("a name twice".to_owned()).into());
        }
        let lease = self.lease();
        let mut batch = self.batch(&lease);
        let (mut entries, mut archives, mut size) = (Vec::new(), Vec::new(), 0u64);
        for number in 0..zip.len() {
            source.lift_bound();
            let mut entry = zip.by_index(number).map_err(broken)?;
            if entry.is_dir() {
                continue;
            }
            let path = path_of(entry.name_raw(), entry.is_symlink(), label)?;
            let mtime = entry.last_modified().and_then(ms_of).unwrap_or(now_ms);
            let (mut whole, mut cutter, mut pieces) = (blake3::Hasher::new(), Cutter::new(CONTENT), Vec::new());
            let mut put = |piece: &[u8]| {
                pieces.push(batch.put(piece)?);
                Ok::<(), SaveError>(())
            };
            let (mut buf, mut len) = (vec![0; PIECE], 0u64);
            loop {
                let n = entry.read(&mut buf).map_err(|e| ImportError::Archive(e.to_string()))?;
                if n == 0 {
                    break;
                }
                if len == 0 && archive::may_be(&buf[..n]) {
                    archives.push(path.clone());
                }
                len += n as u64;
                size += n as u64;
                if size > SAVE_SIZE_MAX {
                    return Err(ImportError::TooMuch("64 GiB").into());
                }
                whole.update(&buf[..n]);
                cutter.push(&buf[..n], &mut put)?;
            }
            cutter.finish(&mut put)?;
            if pieces.len() == 1 {
                pieces.clear();
            }
            let blake3 = Digest(*whole.finalize().as_bytes());
            entries.push(SaveEntry { path, size: len, mtime, blake3, archive: None, pieces });
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(pair) = entries.windows(2).find(|p| p[0].path == p[1].path) {
            return Err(ImportError::Archive(format!("{} twice", pair[0].path)).into());
        }
        check_collisions(entries.iter().map(|e| &e.path)).map_err(|e| ImportError::Archive(e.to_string()))?;
        let new_objects = batch.new_objects();
        batch.commit()?;
        // An archive among the files is looked into where it lies now, in pieces.
        for entry in entries.iter_mut().filter(|e| archives.contains(&e.path)) {
            let pieces = Pieces { store: self, objects: entry.objects(), held: Held::default() };
            entry.archive =
                archive::hash(&pieces, entry.size).map_err(|e| self.inner.io("reading again", &FsPath::root(), e))?;
        }
        let mut batch = self.batch(&lease);
        let list = put_list(&mut batch, &entries)?;
        batch.commit()?;
        let (listing, left_out) = (Listing::new(), Vec::new());
        Ok(Captured { entries, list, size, listing, left_out, bytes_read: size, new_objects, lease })
    }
}

/// The piece that was read last.
type Held = Mutex<Option<(usize, Vec<u8>)>>;

/// The path of an entry in the save.
fn path_of(raw: &[u8], is_link: bool, label: Option<&RootLabel>) -> Result<RelPath, ImportError> {
    let refused = |reason: &dyn std::fmt::Display| ImportError::Name {
        name: bonfire_proto::text::clean(&String::from_utf8_lossy(raw)),
        reason: reason.to_string(),
    };
    if is_link {
        return Err(refused(&"a link"));
    }
    let name = std::str::from_utf8(raw).map_err(|e| refused(&e))?;
    // The name itself is checked, not only what is made of it.
    let mut path = RelPath::new(name).map_err(|e| refused(&e))?;
    if let Some(label) = label {
        path = RelPath::new(format!("{}/{name}", label.as_str())).map_err(|e| refused(&e))?;
    }
    if path.parent().is_none() {
        return Err(refused(&"no folder that names a root"));
    }
    RootLabel::new(path.first()).map_err(|e| refused(&e))?;
    Ok(path)
}

/// Year, month, day, hour, minute and second in UTC of a time in milliseconds since 1970.
fn civil(ms: u64) -> [u64; 6] {
    let (days, second) = (ms / 86_400_000, ms / 1000 % 86_400);
    // Years that begin in March have their odd day at the end; eras of 400 of them are all alike.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    [era * 400 + year + next, month, day, second / 3600, second / 60 % 60, second % 60]
}

/// A time as archives keep it: in steps of two seconds, from 1980 to 2107.
fn zip_time(ms: i64) -> DateTime {
    let [year, month, day, hour, minute, second] = civil(u64::try_from(ms).unwrap_or(0));
    let small = |n: u64| u8::try_from(n).unwrap_or(0);
    u16::try_from(year)
        .ok()
        .and_then(|year| {
            DateTime::from_date_and_time(year, small(month), small(day), small(hour), small(minute), small(second)).ok()
        })
        .unwrap_or_default()
}

/// Milliseconds since 1970 of such a time, taken as UTC.
fn ms_of(time: DateTime) -> Option<i64> {
    let (year, month, day) = (i64::from(time.year()), i64::from(time.month()), i64::from(time.day()));
    if !(1980..=2107).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    Some((days * 86_400 + seconds) * 1000)
}

/// A file to write as the zip crate writes it. That crate panics when it is told of a write that failed and then ends the
/// archive, so the first failure is kept here and nothing is written from then on.
struct Sink<'a> {
    file: &'a dyn FsFile,
    at: Cell<u64>,
    end: Cell<u64>,
    failed: RefCell<Option<io::Error>>,
}

impl Write for &Sink<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut failed = self.failed.borrow_mut();
        if failed.is_none() {
            *failed = write_all_at(self.file, buf, self.at.get()).err();
        }
        self.at.set(self.at.get() + buf.len() as u64);
        self.end.set(self.end.get().max(self.at.get()));
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &Sink<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.end.get().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.get().checked_add_signed(by),
        };
        self.at.set(at.ok_or(io::ErrorKind::InvalidInput)?);
        Ok(self.at.get())
    }
}

/// A file that lies in the store, to be read.
struct Pieces<'a> {
    store: &'a SaveStore,
    objects: Vec<ObjectRef>,
    held: Held,
}

impl std::fmt::Debug for Pieces<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pieces({})", self.objects.len())
    }
}

impl FsFile for Pieces<'_> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut start = 0u64;
        for (number, object) in self.objects.iter().enumerate() {
            let end = start + u64::from(object.len);
            if offset < end {
                let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                if held.as_ref().is_none_or(|(n, _)| *n != number) {
                    let bytes = self.store.read_object(object).map_err(io::Error::other)?;
                    *held = Some((number, bytes));
                }
                let bytes = held.as_ref().map_or(&[][..], |(_, bytes)| bytes);
                let from = usize::try_from(offset - start).unwrap_or(bytes.len()).min(bytes.len());
                let n = buf.len().min(bytes.len() - from);
                buf[..n].copy_from_slice(&bytes[from..from + n]);
                return Ok(n);
            }
            start = end;
        }
        Ok(0)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn allocate(&self, _: u64) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn links(&self) -> io::Result<u64> {
        Ok(1)
    }

    fn stat(&self) -> io::Result<Meta> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_mtime(&self, _: i64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
