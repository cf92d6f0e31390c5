//! A game's own start command: as the catalog says it, or the script that its package brings.
//!
//! Finds out what to start, where and with what; starts nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bonfire_engine::installs::StartCommand;
use bonfire_engine::{ErrorClass, Report, Snapshot};
use bonfire_proto::{GameId, RelPath};

use crate::cmds::quoted;

/// The script that packages of ETI bring beside their archives, for `cmd.exe`.
const SCRIPT_WINDOWS: &str = "game_start.cmd";
/// The same for everything else.
const SCRIPT_UNIX: &str = "game_start.sh";
/// The language that such a script is told.
const LANGUAGE: &str = "en";
/// Most bytes of a player's name that a script is given.
const NAME_MAX: usize = 32;

/// A game on this machine, as far as a start needs it.
#[derive(Debug)]
pub(super) struct Here {
    pub(super) game: GameId,
    pub(super) root: PathBuf,
    pub(super) is_downloaded: bool,
    pub(super) is_installed: bool,
    /// What the catalog says for this platform.
    pub(super) command: Option<StartCommand>,
    /// Whom a script is told of.
    pub(super) player: String,
}

impl Here {
    /// As the running peer tells.
    pub(super) fn told(game: &GameId, snapshot: &Snapshot) -> Self {
        let view = snapshot.games.iter().find(|g| g.id == *game);
        Self {
            game: game.clone(),
            root: Path::new(&snapshot.me.games_dir).join(game.as_str()),
            is_downloaded: view.is_some_and(|g| g.downloaded),
            is_installed: view.is_some_and(|g| g.installed),
            command: view.and_then(|g| g.start.get(std::env::consts::OS)).cloned(),
            player: snapshot.me.name.clone(),
        }
    }
}

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
    /// When it is not installed, nothing says how it is started, or what is said leads out of its folder.
    pub(super) fn own(here: &Here) -> Result<Self, Report> {
        let game = &here.game;
        if !here.is_installed {
            let hint = match here.is_downloaded {
                true => format!("install it with: bonfire install {game}"),
                false => format!("fetch and install it with: bonfire get {game} --install"),
            };
            return Err(
                Report::new(ErrorClass::NotFound, "not_installed", format!("{game} is not installed here")).hint(hint)
            );
        }
        let found = match &here.command {
            Some(command) => declared(command, here)?,
            None => script(here)?,
        };
        found.ok_or_else(|| {
            let text = format!("nothing says how {game} is started on {}", std::env::consts::OS);
            Report::new(ErrorClass::NotFound, "no_start_command", text).hint(format!(
                "say it: bonfire play {game} -- CMD, or for good: bonfire catalog add {game} --start CMD"
            ))
        })
    }
}

/// As the catalog says.
fn declared(command: &StartCommand, here: &Here) -> Result<Option<Start>, Report> {
    let Some((name, args)) = command.run.split_first() else { return Ok(None) };
    let (game, local) = (&here.game, here.root.join("local"));
    let Ok(beneath) = RelPath::new(name.trim_start_matches("./")) else { return Ok(None) };
    let beneath = local.join(beneath.as_str());
    // A plain name that the install has not is a program of the machine.
    let is_of_machine = !name.contains('/') && !beneath.is_file();
    if is_of_machine && command.imported {
        let words = quoted(&command.run);
        let text = format!("{name} is no program of {game}: a catalog that was imported may start nothing else");
        return Err(Report::new(ErrorClass::Refused, "program_outside", text).hint(format!(
            "if you want it: bonfire play {game} -- {words}, or for good: bonfire catalog add {game} --start {words}"
        )));
    }
    if !is_of_machine {
        is_within(here, &beneath)?;
    }
    let folder = if command.folder.is_empty() { local } else { local.join(&command.folder) };
    if !is_within(here, &folder)? {
        let text = format!("{game} is to be started in {}, which is not there", folder.display());
        return Err(Report::new(ErrorClass::NotFound, "no_such_folder", text).hint(format!("bonfire verify {game}")));
    }
    let program = if is_of_machine { PathBuf::from(name) } else { beneath };
    let args = args.iter().map(OsString::from).collect();
    Ok(Some(Start { program, args, folder: Some(folder), env: command.env.clone(), raw: None }))
}

/// Whether something is there, and lies beneath the game's folder once every link is followed.
///
/// # Errors
/// When it lies elsewhere; the disk's.
fn is_within(here: &Here, path: &Path) -> Result<bool, Report> {
    let failed = |e: &std::io::Error| {
        Report::new(ErrorClass::Environment, "game_not_started", format!("cannot look at {}: {e}", path.display()))
    };
    let found = match path.canonicalize() {
        Ok(found) => found,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(false),
        Err(e) => return Err(failed(&e)),
    };
    let root = here.root.canonicalize().map_err(|e| failed(&e))?;
    if found.starts_with(&root) {
        return Ok(true);
    }
    let text = format!("{} leads out of the game's folder, to {}", path.display(), found.display());
    Err(Report::new(ErrorClass::Refused, "program_outside", text)
        .hint(format!("see what is behind it; what you trust can be started with: bonfire play {} -- CMD", here.game)))
}

/// The script of the package, called as its launcher calls it: the game's folder, its id, a language, the player.
fn script(here: &Here) -> Result<Option<Start>, Report> {
    let name = if cfg!(windows) { SCRIPT_WINDOWS } else { SCRIPT_UNIX };
    let script = here.root.join(name);
    if !script.is_file() || !is_within(here, &script)? {
        return Ok(None);
    }
    let (game, player) = (here.game.as_str(), plain(&here.player));
    let root = here.root.display().to_string();
    let common = |program: &str, args: Vec<OsString>, raw| Start {
        program: PathBuf::from(program),
        args,
        folder: Some(here.root.clone()),
        env: BTreeMap::new(),
        raw,
    };
    if cfg!(windows) {
        let raw = cmd_line(&script.display().to_string(), &root, game, &player).map_err(|sign| {
            let text =
                format!("{SCRIPT_WINDOWS} of {game} cannot be started: its path has a {sign}, on which cmd.exe acts");
            Report::new(ErrorClass::Refused, "unsafe_for_cmd", text)
                .hint(format!("start the game's program itself: bonfire play {game} -- CMD"))
        })?;
        return Ok(Some(common("cmd.exe", Vec::new(), Some(raw))));
    }
    let args = [script.into_os_string(), root.into(), game.into(), LANGUAGE.into(), player.into()];
    Ok(Some(common("sh", args.into(), None)))
}

/// What `cmd.exe` is given to call a script: `/S` takes away the outermost quotes and nothing else.
///
/// # Errors
/// The first sign on which it, or a script that takes quotes away, would act.
fn cmd_line(script: &str, root: &str, game: &str, player: &str) -> Result<String, char> {
    // Between quotes a percent sign still names a variable, and a quote ends them. The id is somebody else's choice, and
    // scripts use it without quotes.
    let in_paths = [script, root].into_iter().flat_map(str::chars).find(|c| matches!(c, '"' | '%') || c.is_control());
    let in_id = game.chars().find(|c| "\"%!&|<>^".contains(*c) || c.is_control());
    if let Some(sign) = in_paths.or(in_id) {
        return Err(sign);
    }
    // As the launcher has it, wherever that is one word.
    let is_word = game.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'));
    let game = if is_word { game.to_owned() } else { format!("\"{game}\"") };
    Ok(format!("/D /S /C \"\"{script}\" \"{root}\" {game} {LANGUAGE} \"{player}\"\""))
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
    use super::{cmd_line, plain};

    #[test]
    fn cmd_is_given_an_id_as_one_word_and_nothing_on_which_it_acts() {
        let line = |root: &str, game: &str| cmd_line(&format!(r"{root}\game_start.cmd"), root, game, "Ann");
        let plain = line(r"C:\Games\quake", "quake").unwrap();
        assert_eq!(plain, r#"/D /S /C ""C:\Games\quake\game_start.cmd" "C:\Games\quake" quake en "Ann"""#);
        for id in ["Quake II", "a;b", "a,b", "a=b", "quake (1996)"] {
            let text = line(&format!(r"C:\R&D Games\{id}"), id).unwrap();
            assert!(text.contains(&format!(r#"" "{id}" en ""#).replacen("\" ", "\" ", 1)), "{text}");
        }
        for (id, sign) in [("a&calc", '&'), ("%PATH%", '%'), ("a^b", '^'), ("wow!", '!'), ("a|b", '|'), ("a\nb", '\n')]
        {
            assert_eq!(line(r"C:\Games\x", id), Err(sign));
        }
        assert_eq!(line(r"C:\100%\quake", "quake"), Err('%'));
    }

    #[test]
    fn a_name_in_a_command_line_has_nothing_that_a_shell_acts_on() {
        assert_eq!(plain("Ann \"& del %PATH%\" (1)"), "Ann  del PATH 1");
        assert_eq!(plain("\"&\""), "player");
        assert_eq!(plain("Zoë_2"), "Zoë_2");
    }
}
