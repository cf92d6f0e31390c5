//! The `bonfire` program: reads the command line, runs one command, turns its outcome into an exit code.

mod args;
mod cmds;
mod control;
mod exit;
mod folders;
mod instance;
mod lines;
mod platform;
mod progress;
mod prompt;
mod render;
mod when;

use std::io::IsTerminal;
use std::process::ExitCode;

use args::{Cli, Cmd};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use exit::{Exit, Failure, explain};
use render::Out;
use serde_json::json;
use tracing_subscriber::EnvFilter;

/// First argument of the process that reads archives. Nobody types it: the running peer starts itself with it.
pub(crate) const UNPACK: &str = "unpack-child";

fn main() -> ExitCode {
    // Before anything else is set up: that process gives up all rights that it does not need.
    if std::env::args_os().nth(1).is_some_and(|first| first == UNPACK) {
        return bonfire_unpack::child::main();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => std::process::exit(not_parsed(&error).code()),
    };
    let out = Out::new(cli.json);
    start_log(&out);
    let exit = match run(&out, cli) {
        Ok(exit) => exit,
        Err(failure) => explain(&out, &failure),
    };
    // Not a return: a thread may still sit in a read of stdin.
    std::process::exit(exit.code())
}

fn run(out: &Out, cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Cmd::Completions { shell } => return cmds::completions::run(out, shell),
        Cmd::Man => return cmds::man::run(out),
        _ => {}
    }
    let data_dir = folders::data_dir(cli.data_dir.as_deref())?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| {
        bonfire_engine::Report::new(
            bonfire_engine::ErrorClass::Environment,
            "runtime",
            format!("cannot start the runtime: {e}"),
        )
    })?;
    let exit = runtime.block_on(async {
        match cli.command {
            Cmd::Run(args) => cmds::run::run(out, &data_dir, args).await,
            Cmd::Demo(args) => cmds::demo::run(out, &args).await,
            Cmd::Status => cmds::status::run(out, &data_dir).await,
            Cmd::Peers => cmds::peers::run(out, &data_dir).await,
            Cmd::Games(args) => cmds::games::run(out, &data_dir, &args).await,
            Cmd::Get(args) => cmds::get::run(out, &data_dir, args).await,
            Cmd::Cancel(args) => cmds::cancel::run(out, &data_dir, args.game).await,
            Cmd::Install(args) => cmds::install::install(out, &data_dir, args.game).await,
            Cmd::Update(args) => cmds::install::update(out, &data_dir, args.game).await,
            Cmd::Uninstall(args) => cmds::install::uninstall(out, &data_dir, args.game, args.force).await,
            Cmd::Remove(args) => cmds::remove::run(out, &data_dir, args.game).await,
            Cmd::Verify(args) => cmds::verify::run(out, &data_dir, args.game, args.restore).await,
            Cmd::Catalog(command) => cmds::catalog::run(out, &data_dir, command).await,
            Cmd::Saves(command) => cmds::saves::run(out, &data_dir, command).await,
            Cmd::Devices(command) => cmds::devices::run(out, &data_dir, command).await,
            Cmd::Play(args) => cmds::play::run(out, &data_dir, args).await,
            Cmd::Doctor => cmds::doctor::run(out, &data_dir).await,
            Cmd::Completions { .. } | Cmd::Man => unreachable!("BUG: handled before the runtime starts"),
        }
    });
    runtime.shutdown_background();
    exit
}

/// Log lines go to stderr; `BONFIRE_LOG` sets what is logged, warnings and worse by default.
fn start_log(out: &Out) {
    let filter = EnvFilter::try_from_env("BONFIRE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(out.colours_stderr())
        .with_target(false)
        // A full disk behind stderr must not end the peer in a panic about its log.
        .log_internal_errors(false)
        .init();
}

/// Help, the version, or a usage error.
fn not_parsed(error: &clap::Error) -> Exit {
    let json = std::env::args_os().skip(1).take_while(|a| a != "--").any(|a| a == "--json");
    let out = Out::new(json);
    let text = error.render().to_string();
    let written = match error.kind() {
        ErrorKind::DisplayVersion if json => out.json(&json!({ "version": env!("CARGO_PKG_VERSION") })),
        ErrorKind::DisplayHelp if json => out.json(&json!({ "help": text })),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let coloured = out.colours_stderr() && std::io::stdout().is_terminal();
            let text = if coloured { error.render().ansi().to_string() } else { text };
            Out::raw(text.as_bytes())
        }
        _ => return usage(&out, &text),
    };
    match written {
        Ok(()) => Exit::Done,
        Err(failure) => explain(&out, &failure),
    }
}

/// Turns clap's text into `error:` and `hint:`.
fn usage(out: &Out, text: &str) -> Exit {
    let body = text.split("\n\nUsage:").next().unwrap_or(text);
    let body = body.split("\n\nFor more information").next().unwrap_or(body);
    let message = body.strip_prefix("error: ").unwrap_or(body);
    let mut parts = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_help = !text.starts_with("error:");
    let message = if is_help { "no command given".to_owned() } else { parts.by_ref().collect::<Vec<_>>().join(" ") };
    let command = named_command().map_or_else(|| "bonfire".to_owned(), |name| format!("bonfire {name}"));
    explain(out, &Failure::Usage { message, hint: format!("see: {command} --help") })
}

/// The command that was named on the command line, if it is one.
fn named_command() -> Option<String> {
    let cli = Cli::command();
    std::env::args().skip(1).find(|arg| cli.find_subcommand(arg).is_some())
}
