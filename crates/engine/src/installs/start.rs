//! How a game is started, as an entry of the catalog says: for each platform a program, its folder and its environment.
//!
//! Owns what of such an entry is believed. Finding the program on a disk, and running it, is the front end's.

use std::collections::BTreeMap;

use bonfire_proto::RelPath;
use serde::{Deserialize, Serialize};

/// Platforms that an entry may name, as `std::env::consts::OS` has them.
pub const PLATFORMS: [&str; 3] = ["linux", "macos", "windows"];
/// Most arguments of a start command, the program among them.
const ARGS_MAX: usize = 64;
/// Most variables.
const ENV_MAX: usize = 64;
/// Longest argument, name or value in bytes.
const TEXT_MAX: usize = 1_024;

/// How a game is started on one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartCommand {
    /// The program and its arguments. The program is a path beneath the install, or the name of one that the machine has.
    pub run: Vec<String>,
    /// The folder to start it in, beneath the install; the install itself when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub folder: String,
    /// Variables to set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

impl StartCommand {
    /// Whether it can be a start command: it names a program, leads nowhere out of the install, and is of bounded size.
    #[must_use]
    pub fn is_legal(&self) -> bool {
        let is_text = |text: &String| text.len() <= TEXT_MAX && !text.contains('\0');
        let is_name = |name: &String| is_text(name) && !name.is_empty() && !name.contains('=');
        self.run.first().is_some_and(|program| RelPath::new(program.trim_start_matches("./")).is_ok())
            && self.run.len() <= ARGS_MAX
            && self.run.iter().all(is_text)
            && (self.folder.is_empty() || RelPath::new(self.folder.as_str()).is_ok())
            && self.env.len() <= ENV_MAX
            && self.env.iter().all(|(name, value)| is_name(name) && is_text(value))
    }
}

/// Those of an entry's start commands that are believed.
#[must_use]
pub fn legal(mut start: BTreeMap<String, StartCommand>) -> BTreeMap<String, StartCommand> {
    start.retain(|platform, command| PLATFORMS.contains(&&platform[..]) && command.is_legal());
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> StartCommand {
        StartCommand { run: words.iter().map(|w| (*w).to_owned()).collect(), ..StartCommand::default() }
    }

    #[test]
    fn a_start_command_stays_in_the_install_and_names_a_program() {
        for legal in [&["./doom", "-skill", "4"][..], &["bin/doom"], &["chocolate-doom", "-iwad", "freedoom2.wad"]] {
            assert!(run(legal).is_legal(), "{legal:?}");
        }
        for wrong in [&[][..], &[""], &["../doom"], &["/bin/sh"], &["a\\b"], &["doom", "a\0b"]] {
            assert!(!run(wrong).is_legal(), "{wrong:?}");
        }
        assert!(!StartCommand { folder: "../..".to_owned(), ..run(&["doom"]) }.is_legal());
        let env = BTreeMap::from([("A=B".to_owned(), "c".to_owned())]);
        assert!(!StartCommand { env, ..run(&["doom"]) }.is_legal());
        assert!(!run(&vec!["doom"; 65]).is_legal());
    }

    #[test]
    fn platforms_that_nobody_knows_are_passed_over() {
        let of = |platform: &str| (platform.to_owned(), run(&["doom"]));
        let kept = legal(BTreeMap::from([of("linux"), of("amiga")]));
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["linux"]);
    }
}
