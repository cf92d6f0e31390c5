//! `bonfire play GAME [-- CMD]`: brings the save up to date, runs the game, and hands the new save on. The game's stdio and
//! exit code are its own; what is said goes to stderr. Decides nothing about saves: a conflict is shown, never settled.

mod alone;
mod session;
mod start;

use std::path::Path;
use std::process::Stdio;

use bonfire_engine::{ErrorClass, Report};
use tokio::process::{Child, Command};

use crate::args::saves::PlayArgs;
use crate::control::Client;
use crate::exit::{Exit, Failure};
use crate::platform::{GameSignals, add_raw, ended_with};
use crate::progress::signals_failed;
use crate::render::{Out, Tone};
use session::Session;
use start::{Here, Start};

pub(crate) use alone::remember_games_dir;

pub(crate) async fn run(out: &Out, data_dir: &Path, args: PlayArgs) -> Result<Exit, Failure> {
    let start = match args.command.is_empty() {
        true => Start::own(&here(data_dir, &args).await?)?,
        false => Start::given(&args.command),
    };
    let session = Session::begin(out, data_dir, &args).await?;
    // From here on no signal ends this process: what the game leaves has to be handed on.
    let mut signals = GameSignals::new().map_err(signals_failed)?;
    let mut game = match spawn(out, start) {
        Ok(game) => game,
        Err(report) => {
            session.end(args.wait, false, None).await;
            return Err(report.into());
        }
    };
    let started = game.id();
    session.tell_started(started);
    let company = session.keep_company(started);
    tokio::pin!(company);
    let status = loop {
        let pid = game.id();
        tokio::select! {
            biased;
            status = game.wait() => break status,
            () = &mut company => unreachable!("BUG: the game is kept company for as long as it runs"),
            signal = signals.recv() => {
                if let (Some(signal), Some(pid)) = (signal, pid) {
                    signal.pass_on(pid);
                }
            }
        }
    };
    session.end(args.wait, true, started).await;
    match status {
        Ok(status) => Ok(Exit::Game(ended_with(status))),
        Err(error) => {
            Err(Report::new(ErrorClass::Environment, "game_lost", format!("cannot wait for the game: {error}")).into())
        }
    }
}

/// The game as the running peer knows it; without one, as it lies on the disk.
async fn here(data_dir: &Path, args: &PlayArgs) -> Result<Here, Report> {
    let game = &args.which.game;
    match Client::connect(data_dir).await {
        Ok(mut client) => Ok(Here::told(game, &client.snapshot().await?)),
        Err(report) if report.class == ErrorClass::Unreachable && !args.strict => alone::here(game, data_dir),
        Err(report) => Err(report),
    }
}

fn spawn(out: &Out, start: Start) -> Result<Child, Report> {
    let Start { program, args, folder, env, raw } = start;
    let mut command = Command::new(&program);
    command.args(args).envs(env);
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    if let Some(raw) = raw {
        add_raw(&mut command, &raw);
    }
    if out.is_json() {
        // stdout carries JSON and nothing else.
        command.stdout(Stdio::from(std::io::stderr()));
    }
    command.spawn().map_err(|e| {
        let name = program.display();
        match e.kind() {
            std::io::ErrorKind::NotFound => {
                Report::new(ErrorClass::NotFound, "no_such_program", format!("cannot start {name}: it is not there"))
                    .hint("give the program's path, or see that its folder is in PATH")
            }
            _ => Report::new(ErrorClass::Environment, "game_not_started", format!("cannot start {name}: {e}")),
        }
    })
}

/// A line about the save, for people.
fn tell(out: &Out, tone: Tone, text: &str) {
    if !out.is_json() {
        out.say(tone, "bonfire:", text);
    }
}
