//! Why an archive was not unpacked: which archive, which entry, and what is wrong with it.
//!
//! The same value crosses from the child to its parent. Names in it come from strangers and are cleaned before they are
//! kept. Decides nothing.

use std::fmt;
use std::io;

use bonfire_engine::ErrorClass;
use bonfire_proto::text::clean_to;
use serde::{Deserialize, Serialize};

/// Longest name of an entry that an error keeps, in bytes.
const ENTRY_SHOWN: usize = 300;
/// Longest explanation of a crate or the system that an error keeps, in bytes.
const TEXT_SHOWN: usize = 300;

/// An archive that was not unpacked. What was written of it before lies in staging, to be swept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct UnpackError {
    /// Name of the archive, its first part.
    pub archive: String,
    /// The entry, when it is about one, as it can be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// What is wrong.
    pub why: Why,
}

/// In an `io::Error`: a decoder was asked for a dictionary of more bytes than these.
#[derive(Debug, thiserror::Error)]
#[error("needs a dictionary of more than {0} bytes")]
pub(crate) struct DictionaryTooLarge(pub(crate) u64);

/// What is wrong with an archive or an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// A name that no path may have; which rule it breaks.
    Name(String),
    /// A link: `symbolic link`, `hard link`.
    Link(String),
    /// Something that is neither file nor folder: `device`, `pipe` ..
    Special(String),
    /// A second entry of the same name.
    Duplicate,
    /// A name that some file systems cannot tell from another one, or a file where that one needs a folder.
    Collision(String),
    /// More of something than is accepted.
    Limit {
        /// Of what.
        what: String,
        /// How much is accepted.
        limit: u64,
    },
    /// Bytes that do not have the checksum that the archive says.
    Checksum,
    /// The archive ends too early.
    Truncated,
    /// An entry of another size than its header says. `came` counts up to where that was seen.
    Size {
        /// What the header says.
        said: u64,
        /// What came.
        came: u64,
    },
    /// Two places of the archive that say different things of one entry.
    Contradiction(String),
    /// A password is needed.
    Encrypted,
    /// A method of compression, or a feature, that is not read here.
    Unsupported(String),
    /// A split zip archive, whose offsets are those of disks.
    SplitZip,
    /// A part of the archive that is not there.
    PartMissing(String),
    /// It is not what its first bytes say, or is damaged.
    Format(String),
    /// The system refused.
    Io {
        /// What was being done, as a present participle.
        doing: String,
        /// What the system said.
        message: String,
        /// Whether there is no room.
        full: bool,
        /// Whether the same may succeed later by itself.
        retryable: bool,
    },
    /// Somebody cancelled it.
    Cancelled,
    /// The process that unpacks ended without a result: how.
    Child(String),
}

impl UnpackError {
    /// About an archive as a whole.
    #[must_use]
    pub fn new(archive: &str, why: Why) -> Self {
        Self { archive: clean_to(archive, ENTRY_SHOWN), entry: None, why }
    }

    /// About an entry of it.
    #[must_use]
    pub fn entry(archive: &str, entry: &str, why: Why) -> Self {
        Self { entry: Some(clean_to(entry, ENTRY_SHOWN)), ..Self::new(archive, why) }
    }

    /// With an entry, when none is named yet.
    #[must_use]
    pub fn or_entry(mut self, entry: &str) -> Self {
        self.entry.get_or_insert_with(|| clean_to(entry, ENTRY_SHOWN));
        self
    }

    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self.why {
            Why::Checksum | Why::Truncated | Why::Size { .. } | Why::Format(_) | Why::Contradiction(_) => {
                ErrorClass::Corruption
            }
            Why::PartMissing(_) => ErrorClass::NotFound,
            Why::Io { .. } | Why::Child(_) => ErrorClass::Environment,
            Why::Cancelled => ErrorClass::Cancelled,
            _ => ErrorClass::Refused,
        }
    }

    /// Stable word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &self.why {
            Why::Name(_) => "archive_name",
            Why::Link(_) | Why::Special(_) => "archive_entry",
            Why::Duplicate | Why::Collision(_) => "archive_names_collide",
            Why::Limit { .. } => "archive_limit",
            Why::Encrypted => "archive_encrypted",
            Why::Unsupported(_) | Why::SplitZip => "archive_unsupported",
            Why::PartMissing(_) => "archive_part_missing",
            Why::Checksum | Why::Truncated | Why::Size { .. } | Why::Contradiction(_) | Why::Format(_) => {
                "archive_damaged"
            }
            Why::Io { full: true, .. } => "no_space",
            Why::Io { .. } => "unpack_io",
            Why::Cancelled => "cancelled",
            Why::Child(_) => "unpack_child",
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.why, Why::Io { retryable: true, .. })
    }

    /// Whether another reader may read what this one could not: the format is at fault, not what the archive wants.
    #[must_use]
    pub fn is_of_format(&self) -> bool {
        matches!(self.why, Why::Format(_) | Why::Unsupported(_) | Why::Child(_))
    }
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.archive)?;
        if let Some(entry) = &self.entry {
            write!(f, "{entry}: ")?;
        }
        write!(f, "{}", self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(rule) => write!(f, "not a name for a file here: {rule}"),
            Self::Link(kind) => write!(f, "a {kind}; only files and folders are unpacked"),
            Self::Special(kind) => write!(f, "a {kind}; only files and folders are unpacked"),
            Self::Duplicate => write!(f, "is in the archive twice"),
            Self::Collision(other) => write!(f, "cannot lie beside {other} on every file system"),
            Self::Limit { what, limit } => write!(f, "{what} beyond the limit of {limit}"),
            Self::Checksum => write!(f, "damaged: its checksum is another"),
            Self::Truncated => write!(f, "ends too early"),
            Self::Size { said, came } if came > said => write!(f, "is said to have {said} bytes and has more"),
            Self::Size { said, came } => write!(f, "is said to have {said} bytes and has {came}"),
            Self::Contradiction(what) => write!(f, "the archive contradicts itself: {what}"),
            Self::Encrypted => write!(f, "needs a password, and none can be given"),
            Self::Unsupported(what) => write!(f, "not read here: {what}"),
            Self::SplitZip => write!(f, "a zip archive split over disks; only whole ones are read"),
            Self::PartMissing(part) => write!(f, "{part} is missing"),
            Self::Format(what) => write!(f, "damaged, or not what it begins as: {what}"),
            Self::Io { doing, message, .. } => write!(f, "{doing}: {message}"),
            Self::Cancelled => write!(f, "cancelled"),
            Self::Child(how) => write!(f, "the process that unpacks {how}"),
        }
    }
}

impl Why {
    /// Damage, in the words of a crate.
    #[must_use]
    pub fn format(text: impl fmt::Display) -> Self {
        Self::Format(clean_to(&text.to_string(), TEXT_SHOWN))
    }

    /// More of something than is accepted.
    #[must_use]
    pub fn limit(what: &str, limit: u64) -> Self {
        Self::Limit { what: what.to_owned(), limit }
    }

    /// What the system said while a file was written or an archive read.
    #[must_use]
    pub fn io(doing: &str, e: &io::Error) -> Self {
        use io::ErrorKind as K;
        Self::Io {
            doing: doing.to_owned(),
            message: clean_to(&e.to_string(), TEXT_SHOWN),
            full: matches!(e.kind(), K::StorageFull | K::QuotaExceeded),
            retryable: matches!(e.kind(), K::Interrupted | K::WouldBlock | K::TimedOut),
        }
    }

    /// An error of a decoder: either the disk's, or what the archive did.
    #[must_use]
    pub fn of_decoder(e: &io::Error) -> Self {
        if e.raw_os_error().is_some() {
            return Self::io("reading the archive", e);
        }
        if let Some(DictionaryTooLarge(most)) = e.get_ref().and_then(|e| e.downcast_ref()) {
            return Self::limit("bytes of dictionary", *most);
        }
        match e.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            io::ErrorKind::OutOfMemory => Self::limit("memory of the decoder", crate::limits::ADDRESS_SPACE),
            _ => Self::format(e),
        }
    }
}
