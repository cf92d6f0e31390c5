//! `bonfire completions SHELL`: a completion script on stdout.

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::args::Cli;
use crate::exit::{Exit, Failure};
use crate::render::Out;

pub(crate) fn run(out: &Out, shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bonfire", &mut script);
    if out.is_json() {
        out.json(&json!({ "shell": shell.to_string(), "script": String::from_utf8_lossy(&script) }))?;
    } else {
        Out::raw(&script)?;
    }
    Ok(Exit::Done)
}
