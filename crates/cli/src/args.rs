//! The command line: every command, flag and default, with the help that people read.

pub(crate) mod devices;
pub(crate) mod saves;

use std::net::SocketAddr;
use std::path::PathBuf;

use bonfire_engine::installs::PLATFORMS;
use bonfire_proto::GameId;
use clap::{Args, Parser, Subcommand};

use devices::DevicesCmd;
use saves::{PlayArgs, SavesCmd};

/// Port of the listener unless `--listen` says otherwise. Below the range from which systems take ports of their own
/// accord; on a telephone's keys it spells "bonfi".
pub(crate) const DEFAULT_PORT: u16 = 26634;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 no peer running or unreachable, \
                          5 not found, 130 cancelled.";

/// Share games with the machines of your local network: no server, no account, no internet.
#[derive(Debug, Parser)]
#[command(name = "bonfire", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Print one JSON object per line on stdout and nothing else
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Folder for identity and state of the peer [default: bonfire/ in the user's data folder]
    #[arg(long, global = true, value_name = "FOLDER", env = "BONFIRE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Cmd,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Cmd {
    /// Run the peer: find others, share games, serve the commands below
    #[command(after_help = "Examples:\n  mkdir -p ~/LanGames\n  bonfire run --games-dir ~/LanGames\n  \
        bonfire run --peer 192.168.7.20:26634 --no-mdns\n\n\
        The folder has to be there: a missing one may be a typing error or a disk that is not mounted.\n\n\
        With --json it reads one command a line on stdin and writes one event a line on stdout:\n  \
        {\"id\":1,\"command\":{\"transfers\":{\"get\":{\"game\":\"freedoom\"}}}}\n\n\
        Log lines go to stderr; BONFIRE_LOG sets the level (error, warn, info, debug, trace).")]
    Run(RunArgs),

    /// Show a room of three peers on this machine: discovery, download, cancel, kill and resume
    #[command(after_help = "Needs nothing but this program: it makes up a game in a temporary folder, starts three \
        peers on the loopback address, and removes everything at the end.")]
    Demo(DemoArgs),

    /// Show this peer, what it is doing, and what is wrong
    Status,

    /// List the peers that were found
    Peers,

    /// List the games that are here, or in the whole room
    #[command(after_help = "Examples:\n  bonfire games\n  bonfire games --room")]
    Games(GamesArgs),

    /// Download a game, or its newer version, and wait for it
    #[command(after_help = "Examples:\n  bonfire get freedoom\n  bonfire get freedoom --from den\n\n\
        Ctrl-C cancels the download and removes what it wrote. A download that stands still goes on by itself as soon \
        as a peer has the game.")]
    Get(GetArgs),

    /// Cancel what is under way for a game and remove what it wrote
    Cancel(GameArg),

    /// Unpack a downloaded game so that it can be played, and wait for it
    #[command(after_help = "Examples:\n  bonfire install freedoom\n  bonfire get freedoom --install\n\n\
        Ctrl-C cancels it and leaves nothing behind. The install is the folder local/ in the game's folder; what is \
        downloaded stays and is shared as before.")]
    Install(GameArg),

    /// Put the downloaded version in the place of the installed one, with your own files
    #[command(
        after_help = "Files that you added or changed are carried over. Where the new version has another file of \
        that name, yours is kept beside it as NAME.kept. Until the last moment the install before is as it was."
    )]
    Update(GameArg),

    /// Remove the install of a game; what is downloaded stays
    Uninstall(UninstallArgs),

    /// Remove the downloaded files of a game that is not installed
    Remove(GameArg),

    /// Read every file of a game and of its install again, and put right what is damaged
    #[command(
        after_help = "Damaged parts of what is downloaded are fetched anew. Files of the install that are missing or \
        damaged are unpacked again; those that were written to since, by you or by the game, are named and left alone \
        unless --restore is given."
    )]
    Verify(VerifyArgs),

    /// Decide which games may be shared
    #[command(subcommand)]
    Catalog(CatalogCmd),

    /// Keep saves in step across a player's devices
    #[command(subcommand)]
    Saves(SavesCmd),

    /// Pair the devices of a player, and manage them
    #[command(subcommand)]
    Devices(DevicesCmd),

    /// Play a game with its newest save, and hand the new one on afterwards
    #[command(after_help = "Examples:\n  bonfire play doom\n  bonfire play nethack -- nethack -u ann\n  \
        bonfire play quake --slot hard -- ./quake +map start\n\n\
        Without a command an installed game is started as `bonfire catalog add GAME --start` says, or by the script \
        game_start.cmd (Windows) or game_start.sh of its package, in the folder that it is installed in.\n\n\
        The exit code is the game's own: 128 and the signal's number when a signal ended it. A conflict or a held save is \
        asked about on a terminal and refused (3) in scripts, unless --anyway is given. Without a running peer the game is \
        started all the same, unless --strict is given. With --json, what the game prints goes to stderr.")]
    Play(PlayArgs),

    /// Check folders, network and peers, and say what to do about what fails
    Doctor,

    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  bonfire completions bash > ~/.local/share/bash-completion/completions/bonfire")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },

    /// Print the manual page
    #[command(after_help = "Example:\n  bonfire man | man -l -")]
    Man,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Folder that holds one folder for each game [default: games/ in the data folder]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) games_dir: Option<PathBuf>,

    /// Address to listen on (UDP); by default `[::]:26634`, or any free port when that one is taken
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,

    /// Name of this machine for people [default: the host's name]
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// Address of a peer to reach without discovery; may be given several times
    #[arg(long = "peer", value_name = "ADDR")]
    pub(crate) peers: Vec<SocketAddr>,

    /// Neither announce nor look for peers over multicast
    #[arg(long)]
    pub(crate) no_mdns: bool,

    /// Stop when stdin closes (for programs that start a peer)
    #[arg(long)]
    pub(crate) until_eof: bool,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Size of the made-up game in MiB; the demo needs four times as much space
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(8..=4096))]
    pub(crate) size: u64,
}

/// Arguments of `games`.
#[derive(Debug, Args)]
pub(crate) struct GamesArgs {
    /// What everyone has, not only this peer
    #[arg(long)]
    pub(crate) room: bool,
}

/// Arguments of `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The game, as `bonfire games --room` lists it
    pub(crate) game: GameId,

    /// Take only what this peer offers: its id, the beginning of its id, or its name
    #[arg(long, value_name = "PEER")]
    pub(crate) from: Option<String>,

    /// When nobody can give the game at present, leave the download to go on in the background and exit with 1; without
    /// this, `get` waits for as long as it takes, says so every minute, and Ctrl-C cancels
    #[arg(long)]
    pub(crate) no_wait: bool,

    /// Then install it, or update the install
    #[arg(long, conflicts_with = "no_wait")]
    pub(crate) install: bool,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The game, as `bonfire games` lists it
    pub(crate) game: GameId,

    /// Put installed files back that were written to since; what is there is kept beside as NAME.kept
    #[arg(long)]
    pub(crate) restore: bool,
}

/// Arguments of `uninstall`.
#[derive(Debug, Args)]
pub(crate) struct UninstallArgs {
    /// The game, as `bonfire games` lists it
    pub(crate) game: GameId,

    /// Delete files that you added or changed, too
    #[arg(long)]
    pub(crate) force: bool,
}

/// A game.
#[derive(Debug, Args)]
pub(crate) struct GameArg {
    /// The game, as `bonfire games` lists it
    pub(crate) game: GameId,
}

/// The catalog: which games of the games folder may be shared.
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCmd {
    /// List the games that may be shared
    List,

    /// Share a folder of the games folder
    #[command(after_help = "Examples:\n  bonfire catalog add freedoom\n  \
        bonfire catalog add ~/LanGames/freedoom --name 'Freedoom: Phase 2' --version 0.13\n  \
        bonfire catalog add freedoom --start chocolate-doom -iwad freedoom2.wad\n\n\
        Writes version.ini when the folder has none and touches no other file.")]
    Add(CatalogAddArgs),

    /// No longer share a game; its files stay
    Remove(GameArg),

    /// Add the games of an exported catalog to this one
    Import {
        /// The file; - for stdin
        file: PathBuf,
    },

    /// Write the catalog to a file
    Export {
        /// The file; - for stdout
        file: PathBuf,
    },
}

/// Arguments of `catalog add`.
#[derive(Debug, Args)]
pub(crate) struct CatalogAddArgs {
    /// The folder: its name, or its path within the games folder
    pub(crate) folder: PathBuf,

    /// The game's id, which must be the folder's name
    #[arg(long)]
    pub(crate) id: Option<String>,

    /// Name for people [default: the id]
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// Version to write when the folder has no version.ini
    #[arg(long)]
    pub(crate) version: Option<String>,

    /// Where the game keeps its saves: paths with placeholders, such as `<base>/saves` or `<winAppData>/Moth/*.sav`
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) saves: Option<Vec<String>>,

    /// How the installed game is started: a program beneath the install, or one that the machine has, and its arguments
    #[arg(long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) start: Option<Vec<String>>,

    /// The platform that --start is for: linux, macos or windows [default: this one]
    #[arg(long, value_name = "PLATFORM", requires = "start", value_parser = PLATFORMS)]
    pub(crate) start_on: Option<String>,
}

/// Keeps clap's own checks of the definitions where a test runs them.
#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::devices::DevicesCmd;
    use super::saves::SavesCmd;
    use super::{Cli, Cmd};

    fn parsed(line: &[&str]) -> Result<Cmd, clap::error::ErrorKind> {
        Cli::try_parse_from([&["bonfire"], line].concat()).map(|cli| cli.command).map_err(|e| e.kind())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_conflict_is_resolved_in_exactly_one_way() {
        let Ok(Cmd::Saves(SavesCmd::Resolve(args))) = parsed(&["saves", "resolve", "quake", "--use", "3f9a"]) else {
            panic!("not parsed")
        };
        assert_eq!((args.use_id.as_deref(), args.mine), (Some("3f9a"), false));
        for wrong in [&["saves", "resolve", "quake"][..], &["saves", "resolve", "quake", "--mine", "--both"]] {
            parsed(wrong).unwrap_err();
        }
        parsed(&["saves", "release", "quake"]).unwrap_err();
        parsed(&["saves", "release", "quake", "--restore"]).unwrap();
    }

    #[test]
    fn the_game_of_play_keeps_its_own_flags() {
        let Ok(Cmd::Play(args)) = parsed(&["play", "quake", "--slot", "hard", "--", "./quake", "--json", "-x"]) else {
            panic!("not parsed")
        };
        assert_eq!(args.command, ["./quake", "--json", "-x"]);
        assert_eq!(args.which.slot.unwrap().as_str(), "hard");
        let Ok(Cmd::Play(args)) = parsed(&["play", "quake"]) else { panic!("not parsed") };
        assert!(args.command.is_empty(), "its own start command");
    }

    #[test]
    fn a_code_may_be_given_asked_for_or_shown() {
        let code = |line: &[&str]| match parsed(&[&["devices", "pair"], line].concat()) {
            Ok(Cmd::Devices(DevicesCmd::Pair(args))) => args.code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(&[]), None);
        assert_eq!(code(&["--code"]).as_deref(), Some("-"));
        assert_eq!(code(&["--code", "C7H-4PX"]).as_deref(), Some("C7H-4PX"));
        assert_eq!(code(&["--code", "--join"]).as_deref(), Some("-"));
    }

    #[test]
    fn a_device_is_renamed_with_one_name_or_two() {
        for (line, names) in [(&["deck"][..], 1), (&["tower", "deck"], 2)] {
            let Ok(Cmd::Devices(DevicesCmd::Rename { names: given, .. })) =
                parsed(&[&["devices", "rename"], line].concat())
            else {
                panic!("not parsed")
            };
            assert_eq!(given.len(), names);
        }
        parsed(&["devices", "rename"]).unwrap_err();
        parsed(&["devices", "rename", "a", "b", "c"]).unwrap_err();
    }

    #[test]
    fn an_overwrite_names_the_versions_that_were_shown() {
        let Ok(Cmd::Saves(SavesCmd::Push { overwrite, .. })) =
            parsed(&["saves", "push", "quake", "--overwrite", "3f9a,77c0", "12ab"])
        else {
            panic!("not parsed")
        };
        assert_eq!(overwrite.unwrap(), ["3f9a", "77c0", "12ab"]);
        parsed(&["saves", "push", "quake", "--overwrite"]).unwrap_err();
    }
}
