//! `bonfire man`: the manual page on stdout, all commands on one page.

use bonfire_engine::{ErrorClass, Report};
use clap::CommandFactory;
use clap_mangen::Man;
use serde_json::json;

use crate::args::Cli;
use crate::exit::{Exit, Failure};
use crate::render::Out;

pub(crate) fn run(out: &Out) -> Result<Exit, Failure> {
    let page = page().map_err(|e| Report::new(ErrorClass::Bug, "man", format!("cannot write the page: {e}")))?;
    if out.is_json() {
        out.json(&json!({ "page": "bonfire.1", "roff": String::from_utf8_lossy(&page) }))?;
    } else {
        Out::raw(&page)?;
    }
    Ok(Exit::Done)
}

fn page() -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let mut cli = Cli::command();
    cli.build();
    Man::new(cli.clone()).render(&mut page)?;
    for command in cli.get_subcommands().filter(|c| c.get_name() != "help") {
        page.extend_from_slice(format!(".SH \"BONFIRE {}\"\n", command.get_name().to_uppercase()).as_bytes());
        let man = Man::new(command.clone());
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        man.render_subcommands_section(&mut page)?;
    }
    Ok(page)
}
