//! How far a path of this machine exists, and what it is called once no link is left in that part of it.
//!
//! Only looks. What follows from something not being there is decided by who asks; what cannot be looked at is an error and
//! never "not there".

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Most links without an end that are followed, as many as the systems do.
const LINKS_MAX: usize = 40;

/// A path, as far as it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The longest part that exists, without links.
    pub(super) there: PathBuf,
    /// Whether that part is a folder.
    pub(super) is_folder: bool,
    /// The names beneath it that do not exist, first one first.
    pub(super) missing: Vec<OsString>,
    /// A link that leads nowhere and was followed, the last one.
    pub(super) dangling: Option<PathBuf>,
}

impl Resolved {
    /// The whole path.
    pub(super) fn whole(&self) -> PathBuf {
        self.missing.iter().fold(self.there.clone(), |path, name| path.join(name))
    }
}

/// Looks how far a path exists. A link that leads nowhere stands for the place that it names.
///
/// # Errors
/// What the system says of a part that it does not let us look at; `InvalidInput` for a path with no part that exists.
pub(super) fn resolve(path: &Path) -> io::Result<Resolved> {
    let (mut here, mut missing, mut dangling, mut links) = (path.to_owned(), Vec::new(), None, 0);
    loop {
        match std::fs::canonicalize(&here) {
            Ok(there) => match std::fs::metadata(&there) {
                Ok(meta) => {
                    missing.reverse();
                    return Ok(Resolved { there, is_folder: meta.is_dir(), missing, dangling });
                }
                // Gone since; the next look goes further up.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            },
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(e) => return Err(e),
        }
        let no_end = || io::Error::new(io::ErrorKind::InvalidInput, "no part of the path exists");
        let parent = here.parent().ok_or_else(no_end)?.to_owned();
        if links < LINKS_MAX
            && let Ok(target) = std::fs::read_link(&here)
        {
            links += 1;
            let followed = parent.join(target);
            dangling = Some(std::mem::replace(&mut here, followed));
            continue;
        }
        missing.push(here.file_name().ok_or_else(no_end)?.to_owned());
        here = parent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exists_and_what_does_not_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        std::fs::write(top.join("file"), "x").unwrap();
        let of = |path: &str| {
            let resolved = resolve(&top.join(path)).unwrap();
            (resolved.there, resolved.is_folder, resolved.missing)
        };
        assert_eq!(of(""), (top.clone(), true, vec![]));
        assert_eq!(of("a/b"), (top.clone(), true, vec!["a".into(), "b".into()]));
        assert_eq!(of("file"), (top.join("file"), false, vec![]));
        assert_eq!(of("file/a"), (top.join("file"), false, vec!["a".into()]));
    }

    #[test]
    #[cfg(unix)]
    fn links_are_resolved_and_one_that_leads_nowhere_stands_for_the_place_it_names() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        std::fs::create_dir(top.join("real")).unwrap();
        symlink(top.join("real"), top.join("link")).unwrap();
        symlink("later/on", top.join("nowhere")).unwrap();
        symlink("round", top.join("round")).unwrap();
        let resolved = resolve(&top.join("link/save")).unwrap();
        assert_eq!(
            (resolved.there, resolved.missing, resolved.dangling),
            (top.join("real"), vec!["save".into()], None)
        );
        let resolved = resolve(&top.join("nowhere/save")).unwrap();
        assert_eq!(resolved.missing, ["later", "on", "save"]);
        assert_eq!(resolved.dangling, Some(top.join("nowhere")));
        assert!(resolve(&top.join("round/save")).is_err(), "links in a circle name no place");
    }
}
