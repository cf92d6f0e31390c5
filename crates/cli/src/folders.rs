//! Where the peer keeps its things when the command line does not say.

use std::path::{Path, PathBuf};

use crate::exit::Failure;
use crate::platform;

/// The data folder: what was given, or `bonfire` in the user's data folder. Absolute, so that every process that means
/// the same folder names it alike.
///
/// # Errors
/// Usage, when nothing was given and the user has no home.
pub(crate) fn data_dir(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let dir = match given {
        Some(dir) => dir.to_path_buf(),
        None => platform::local_data_dir().map(|d| d.join("bonfire")).ok_or_else(|| Failure::Usage {
            message: "this user has no home folder to keep data in".to_owned(),
            hint: "name a folder with --data-dir or BONFIRE_DATA_DIR".to_owned(),
        })?,
    };
    absolute(&dir)
}

/// A path made absolute without asking the disk.
///
/// # Errors
/// Usage, when it is empty or the current folder is gone.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|e| Failure::Usage {
        message: format!("cannot tell which folder {:?} is: {e}", path.display().to_string()),
        hint: "name it by its full path".to_owned(),
    })
}
