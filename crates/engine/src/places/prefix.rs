//! Where the placeholders lead in a prefix of Wine or Proton, by what lies in it.
//!
//! Decides whose folder beneath `users` is meant and which spelling of the well-known folders a prefix has. Says so when
//! it cannot tell.

use bonfire_proto::rel_path::fold;

use super::facts::{Environment, Existing, FactError, Listing, Places};
use super::placeholders::Placeholder;

/// Why a folder is not used as a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// It has no `drive_c`.
    #[error("{0} is no prefix of Wine or Proton: it has no drive_c")]
    NoDrive(String),
    /// Nobody has a folder beneath `drive_c/users`.
    #[error("{0} has no folder of a person")]
    Nobody(String),
    /// More than one person has one, and none has the name that is looked for.
    #[error("{folder} has folders of several people ({}), and none is known to be the player's", .names.join(", "))]
    Several {
        /// The folder of people.
        folder: String,
        /// Whose folders there are.
        names: Vec<String>,
    },
    /// A folder cannot be listed.
    #[error("listing {folder}: {message}")]
    Unreadable {
        /// Which.
        folder: String,
        /// What the system says.
        message: String,
    },
    /// The prefix is not named by an absolute path.
    #[error(transparent)]
    Fact(#[from] FactError),
}

/// The person that Proton has in every prefix.
const PROTON_USER: &str = "steamuser";

/// Folders of a prefix that are no person's.
const NOBODYS: &[&str] = &["public", "default", "default user", "all users"];

/// Well-known folders beneath a person's, as they are spelled now and as old prefixes have them.
const FOLDERS: &[(Placeholder, &[&[&str]])] = &[
    (Placeholder::WinAppData, &[&["AppData", "Roaming"], &["Application Data"]]),
    (Placeholder::WinLocalAppData, &[&["AppData", "Local"], &["Local Settings", "Application Data"]]),
    (Placeholder::WinLocalAppDataLow, &[&["AppData", "LocalLow"]]),
    (Placeholder::WinDocuments, &[&["Documents"], &["My Documents"]]),
];

/// The places in the prefix at this absolute path: the folder with `drive_c`, or Proton's folder with `pfx` in it.
/// `os_user` is the person's name on the machine, which Wine uses.
///
/// # Errors
/// `PrefixError` when it is no prefix, cannot be listed, or one cannot tell whose folder is meant.
pub fn places(folder: &str, os_user: Option<&str>, existing: &dyn Existing) -> Result<Places, PrefixError> {
    let mut places = Places::new(Environment::Prefix);
    // Checked as a folder of its own before anything is looked for beneath it.
    places.set(Placeholder::Home, folder)?;
    let folder = folder.trim_end_matches('/');
    let in_proton = find(existing, folder, "pfx")?.map(|pfx| format!("{folder}/{pfx}"));
    let prefix = in_proton.as_deref().unwrap_or(folder);
    let no_drive = || PrefixError::NoDrive(prefix.to_owned());
    let drive = format!("{prefix}/{}", find(existing, prefix, "drive_c")?.ok_or_else(no_drive)?);
    let users = match find(existing, &drive, "users")? {
        Some(name) => format!("{drive}/{name}"),
        None => return Err(PrefixError::Nobody(drive)),
    };
    let user = person(&users, os_user, existing)?;
    let home = format!("{users}/{user}");
    places.set(Placeholder::Home, &home)?;
    places.set_user_name(&user);
    for (placeholder, spellings) in FOLDERS {
        places.set(*placeholder, &spelled(&home, spellings, existing)?)?;
    }
    places.set(Placeholder::WinPublic, &spelled(&users, &[&["Public"]], existing)?)?;
    places.set(Placeholder::WinProgramData, &spelled(&drive, &[&["ProgramData"]], existing)?)?;
    places.set(Placeholder::WinDir, &spelled(&drive, &[&["windows"]], existing)?)?;
    Ok(places)
}

fn person(users: &str, os_user: Option<&str>, existing: &dyn Existing) -> Result<String, PrefixError> {
    let mut names = names(existing, users)?;
    names.retain(|n| !NOBODYS.contains(&fold(n).as_str()));
    names.sort();
    let named = |wanted: &str| names.iter().find(|n| fold(n) == fold(wanted)).cloned();
    match (named(PROTON_USER), os_user.and_then(named), names.as_slice()) {
        (Some(user), _, _) | (None, Some(user), _) => Ok(user),
        (None, None, [only]) => Ok(only.clone()),
        (None, None, []) => Err(PrefixError::Nobody(users.to_owned())),
        (None, None, _) => Err(PrefixError::Several { folder: users.to_owned(), names }),
    }
}

/// The first spelling that is there, or else the one that is made now.
fn spelled(beneath: &str, spellings: &[&[&str]], existing: &dyn Existing) -> Result<String, PrefixError> {
    for names in spellings {
        let mut at = beneath.to_owned();
        let mut is_there = true;
        for name in *names {
            match find(existing, &at, name)? {
                Some(found) => at = format!("{at}/{found}"),
                None => is_there = false,
            }
            if !is_there {
                break;
            }
        }
        if is_there {
            return Ok(at);
        }
    }
    let usual = spellings.first().copied().unwrap_or_default();
    Ok(usual.iter().fold(beneath.to_owned(), |at, name| format!("{at}/{name}")))
}

/// The name as it is spelled there: exactly so, or else in another case.
fn find(existing: &dyn Existing, folder: &str, name: &str) -> Result<Option<String>, PrefixError> {
    let mut names = names(existing, folder)?;
    names.sort();
    let exact = names.iter().position(|n| n == name);
    let other = || names.iter().position(|n| fold(n) == fold(name));
    Ok(exact.or_else(other).map(|at| names.swap_remove(at)))
}

fn names(existing: &dyn Existing, folder: &str) -> Result<Vec<String>, PrefixError> {
    match existing.list(folder) {
        Listing::Names(names) => Ok(names),
        Listing::Absent => Ok(Vec::new()),
        Listing::Unreadable(message) => Err(PrefixError::Unreadable { folder: folder.to_owned(), message }),
    }
}
