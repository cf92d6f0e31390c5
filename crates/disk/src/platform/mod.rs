//! The real file systems, one file a platform. Nothing else in this crate asks which platform it runs on.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{HOLDER_NOTE, RealFs, identity};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{HOLDER_NOTE, RealFs, identity};

/// Whether watching a tree costs a scarce watch for each folder in it (inotify) instead of one for all.
pub(crate) const WATCHES_ARE_PER_FOLDER: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Whether the usual file systems of the platform take names that differ in case for one.
pub(crate) const NAMES_ARE_FOLDED: bool = cfg!(any(windows, target_os = "macos", target_os = "ios"));
