//! A game's own start command: as the catalog says it, or the script that its package brings.
//!
//! Finds out what to start, where and with what; starts nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bonfire_engine::snapshot::GameView;
use bonfire_engine::{ErrorClass, Report, Snapshot};
use bonfire_proto::{GameId, RelPath};

/// The script that packages of ETI bring beside their archives, for `cmd.exe`.
const SCRIPT_WINDOWS: &str = "game_start.cmd";
/// The same for everything else.
const SCRIPT_UNIX: &str = "game_start.sh";
/// Most bytes of a player's name that a script is given.
const NAME_MAX: usize = 32;

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    /// Where; the caller's own folder when none is said.
    pub(super) folder: Option<PathBuf>,
    pub(super) env: BTreeMap<String, String>,
    /// On Windows the rest of the command line as it is, for a program with quoting rules of its own.
    pub(super) raw: Option<String>,
}

impl Start {
    /// What a person gave.
    pub(super) fn given(command: &[OsString]) -> Self {
        let (program, args) = command.split_first().expect("BUG: a command without a program");
        let (program, args) = (PathBuf::from(program), args.to_vec());
        Self { program, args, folder: None, env: BTreeMap::new(), raw: None }
    }

    /// The game's own.
    ///
    /// # Errors
    /// When it is not installed, or nothing says how it is started.
    pub(super) fn own(game: &GameId, snapshot: &Snapshot) -> Result<Self, Report> {
        let view = snapshot.games.iter().find(|g| g.id == *game);
        let Some(view) = view.filter(|g| g.installed) else {
            let hint = match view.is_some_and(|g| g.downloaded) {
                true => format!("install it with: bonfire install {game}"),
                false => format!("fetch and install it with: bonfire get {game} --install"),
            };
            return Err(
                Report::new(ErrorClass::NotFound, "not_installed", format!("{game} is not installed here")).hint(hint)
            );
        };
        let root = Path::new(&snapshot.me.games_dir).join(game.as_str());
        let found = declared(view, &root).or_else(|| script(game, &root, &snapshot.me.name));
        found.ok_or_else(|| {
            let text = format!("nothing says how {game} is started on {}", std::env::consts::OS);
            Report::new(ErrorClass::NotFound, "no_start_command", text).hint(format!(
                "say it: bonfire play {game} -- CMD, or for good: bonfire catalog add {game} --start CMD"
            ))
        })
    }
}

/// As the catalog says.
fn declared(view: &GameView, root: &Path) -> Option<Start> {
    let command = view.start.get(std::env::consts::OS)?;
    let (program, args) = command.run.split_first()?;
    let local = root.join("local");
    let beneath = RelPath::new(program.trim_start_matches("./")).ok().map(|path| local.join(path.as_str()));
    let is_there = |path: &PathBuf| path.is_file();
    // A plain name that the install has not is a program of the machine.
    let is_path = program.contains('/');
    let program = beneath.filter(|path| is_path || is_there(path)).unwrap_or_else(|| PathBuf::from(program));
    let folder = if command.folder.is_empty() { local } else { local.join(&command.folder) };
    let args = args.iter().map(OsString::from).collect();
    Some(Start { program, args, folder: Some(folder), env: command.env.clone(), raw: None })
}

/// The script of the package, called as its launcher calls it: the game's folder, its id, a language, the player.
fn script(game: &GameId, root: &Path, player: &str) -> Option<Start> {
    let name = if cfg!(windows) { SCRIPT_WINDOWS } else { SCRIPT_UNIX };
    let script = root.join(name);
    if !script.is_file() {
        return None;
    }
    let player = plain(player);
    let (root_text, language) = (root.display().to_string(), "en");
    let common = |program: &str, args: Vec<OsString>, raw| Start {
        program: PathBuf::from(program),
        args,
        folder: Some(root.to_owned()),
        env: BTreeMap::new(),
        raw,
    };
    if cfg!(windows) {
        // `/S` takes away the outermost quotes and nothing else.
        let raw = format!("/D /S /C \"\"{}\" \"{root_text}\" {game} {language} \"{player}\"\"", script.display());
        return Some(common("cmd.exe", Vec::new(), Some(raw)));
    }
    let args = [script.into_os_string(), root_text.into(), game.as_str().into(), language.into(), player.into()];
    Some(common("sh", args.into(), None))
}

/// A name in which no shell finds anything to do.
fn plain(name: &str) -> String {
    let kept = name.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.'));
    let mut name: String = kept.take(NAME_MAX).collect();
    if name.trim().is_empty() {
        "player".clone_into(&mut name);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_name_in_a_command_line_has_nothing_that_a_shell_acts_on() {
        assert_eq!(plain("Ann \"& del %PATH%\" (1)"), "Ann  del PATH 1");
        assert_eq!(plain("\"&\""), "player");
        assert_eq!(plain("Zoë_2"), "Zoë_2");
    }
}
