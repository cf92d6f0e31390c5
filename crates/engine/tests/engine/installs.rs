//! Installs from command to outcome: when one may begin, when it can be cancelled, what is told.

use bonfire_engine::PeerEvent;
use bonfire_engine::command::{Command, InstallCommand, PlayCommand, Reply, TransferCommand};
use bonfire_engine::input::{Effect, GameFacts, InstallReport, OpId, OpInput, OpOutcome, OpPlan};
use bonfire_engine::installs::{Carried, Keep};
use bonfire_engine::snapshot::{OperationKind, Phase};
use bonfire_proto::{Availability, RelPath};

use crate::desk::{Desk, facts, game, report};

fn installed() -> GameFacts {
    GameFacts { installed: true, ..facts(1) }
}

fn install(id: &str) -> InstallCommand {
    InstallCommand::Install { game: game(id) }
}

fn update(id: &str) -> InstallCommand {
    InstallCommand::Update { game: game(id) }
}

fn uninstall(id: &str) -> InstallCommand {
    InstallCommand::Uninstall { game: game(id), force: false }
}

fn code<T: std::fmt::Debug>(result: Result<T, bonfire_engine::Report>) -> String {
    result.unwrap_err().code
}

fn done(carried: Vec<Carried>) -> OpOutcome {
    OpOutcome::Installed(InstallReport { version: "1".to_owned(), files: 3, bytes: 300, carried })
}

#[test]
fn each_is_refused_where_it_makes_no_sense_and_says_what_does() {
    let not_downloaded = GameFacts { downloaded: false, ..installed() };
    let disk = [("a", facts(1)), ("b", installed()), ("c", not_downloaded)];
    let mut desk = Desk::started(&["a", "b", "c"], &disk);
    assert_eq!(code(desk.installs(update("a")).0), "not_installed");
    assert_eq!(code(desk.installs(uninstall("a")).0), "not_installed");
    assert_eq!(code(desk.installs(install("b")).0), "installed");
    assert_eq!(code(desk.installs(install("c")).0), "not_downloaded");
    assert_eq!(code(desk.installs(update("c")).0), "not_downloaded");
    assert_eq!(code(desk.installs(install("nothing")).0), "not_downloaded");
    assert!(desk.installs(uninstall("c")).0.is_ok(), "what is downloaded has no say in it");
}

#[test]
fn an_install_is_told_once_the_folder_was_read_again_and_the_game_is_not_served_until_then() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    let (op, batch) = desk.installs(install("doom"));
    assert!(matches!(batch.started()[..], [(_, OpPlan::Install { version, .. })] if version == "1"));
    assert_eq!(desk.view().games[0].availability, Availability::LocalOnly);
    assert_eq!(desk.view().operations[0].kind, OperationKind::Install);
    assert_eq!(desk.installs(install("doom")).0, op, "asking twice joins it");
    assert_eq!(code(desk.installs(uninstall("doom")).0), "busy");
    let op = op.unwrap();
    desk.op(op, OpInput::Phase(Phase::Unpacking));
    desk.disk.insert(game("doom"), installed());
    assert!(!desk.finish(op, done(Vec::new())).has_event(|e| matches!(e, PeerEvent::InstallFinished { .. })));
    let batch = desk.scan(Some("doom"));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::InstallFinished { is_update: false, files: 3, .. })));
    let shown = &desk.view().games[0];
    assert!(shown.installed && shown.availability == Availability::Ready, "{shown:?}");
}

#[test]
fn what_became_of_the_players_files_is_told_with_an_update() {
    let mut desk = Desk::started(&["doom"], &[("doom", installed())]);
    let (op, _) = desk.installs(update("doom"));
    let carried =
        |from: &str, to: &str, kept| Carried { from: RelPath::new(from).unwrap(), to: RelPath::new(to).unwrap(), kept };
    let files = vec![carried("1.sav", "1.sav", None), carried("doom.cfg", "doom.cfg.kept", Some(Keep::BothChanged))];
    desk.finish(op.unwrap(), done(files));
    let batch = desk.scan(Some("doom"));
    let is_told = |e: &PeerEvent| {
        matches!(e, PeerEvent::InstallFinished { is_update: true, carried_files: 1, kept_files, .. }
            if kept_files[..] == ["doom.cfg.kept"])
    };
    assert!(batch.has_event(is_told), "{batch:?}");
}

#[test]
fn an_install_is_cancelled_until_it_is_put_in_place() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    let op = desk.installs(install("doom")).0.unwrap();
    assert_eq!(desk.cancel("doom").1.cancels(), [op]);
    // It was ready in the same moment: the cancel came first.
    assert!(!desk.op(op, OpInput::Ready).0.iter().any(|e| matches!(e, Effect::Commit(_))));
    desk.finish(op, OpOutcome::Undone);
    let is_told = |e: &PeerEvent| matches!(e, PeerEvent::InstallCancelled { is_update: false, .. });
    assert!(desk.scan(Some("doom")).has_event(is_told));
    let op = desk.installs(install("doom")).0.unwrap();
    assert!(desk.op(op, OpInput::Ready).0.iter().any(|e| matches!(e, Effect::Commit(of) if *of == op)));
    let too_late = desk.cancel("doom").0.unwrap_err();
    assert_eq!(too_late.code, "too_late");
    assert!(too_late.hint.contains("bonfire uninstall doom"), "the download is not in question");
}

#[test]
fn an_uninstall_is_not_stopped_half_way_and_leaves_what_is_downloaded() {
    let mut desk = Desk::started(&["doom"], &[("doom", installed())]);
    let (op, batch) = desk.installs(uninstall("doom"));
    assert!(matches!(batch.started()[..], [(_, OpPlan::Uninstall { force: false, .. })]));
    assert_eq!(code(desk.cancel("doom").0), "not_cancellable");
    desk.disk.insert(game("doom"), facts(1));
    desk.finish(op.unwrap(), OpOutcome::Uninstalled { files: 3 });
    let batch = desk.scan(Some("doom"));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::GameUninstalled { files: 3, .. })));
    assert!(desk.view().games[0].downloaded && !desk.view().games[0].installed);
}

#[test]
fn what_failed_is_told_as_what_it_was_and_can_be_asked_again() {
    let mut desk = Desk::started(&["doom"], &[("doom", installed())]);
    for (command, is_update) in [(update("doom"), true), (uninstall("doom"), false)] {
        let op = desk.installs(command.clone()).0.unwrap();
        desk.finish(op, OpOutcome::Failed { error: report("disk"), resumable: false });
        let batch = desk.scan(Some("doom"));
        let is_told = |e: &PeerEvent| match e {
            PeerEvent::InstallFailed { is_update: told, .. } => is_update && *told,
            PeerEvent::UninstallFailed { .. } => !is_update,
            _ => false,
        };
        assert!(batch.has_event(is_told), "{batch:?}");
        let again = desk.installs(command).0.unwrap();
        desk.finish(again, OpOutcome::Failed { error: report("disk"), resumable: false });
        desk.scan(Some("doom"));
    }
}

fn begins(id: &str, pid: u32) -> Command {
    Command::Plays(PlayCommand::Begins { game: game(id), pid })
}

#[test]
fn whatever_is_done_to_an_install_spares_the_processes_that_were_named_of_its_game() {
    let mut desk = Desk::started(&["doom", "quake"], &[("doom", installed()), ("quake", installed())]);
    assert_eq!(desk.ask(begins("doom", 7)).0, Ok(Reply::Done));
    assert_eq!(desk.ask(Command::Plays(PlayCommand::Is { game: game("doom"), pid: 8 })).0, Ok(Reply::Done));
    assert_eq!(desk.ask(begins("doom", 9)).0, Ok(Reply::Done), "twice at once");
    assert_eq!(desk.ask(begins("quake", 10)).0, Ok(Reply::Done));
    let plans = [
        Command::Installs(update("doom")),
        Command::Installs(uninstall("doom")),
        Command::Transfers(TransferCommand::Verify { game: game("doom"), restore: false }),
    ];
    for (ended, left) in [(vec![], vec![7, 8, 9]), (vec![7, 8], vec![9]), (vec![9], vec![])] {
        assert_eq!(desk.ask(Command::Plays(PlayCommand::Ends { game: game("doom"), pids: ended })).0, Ok(Reply::Done));
        for command in plans.clone() {
            let (reply, batch) = desk.ask(command);
            let Ok(Reply::Started { op }) = reply else { panic!("{reply:?}") };
            let spared = batch.started().into_iter().map(|(_, plan)| match plan {
                OpPlan::Install { players, .. }
                | OpPlan::Uninstall { players, .. }
                | OpPlan::Verify { players, .. } => players.clone(),
                other => panic!("{other:?}"),
            });
            assert_eq!(spared.collect::<Vec<_>>(), std::slice::from_ref(&left));
            desk.finish(OpId(op), OpOutcome::Failed { error: report("disk"), resumable: false });
            desk.scan(Some("doom"));
        }
    }
}

#[test]
fn no_game_begins_to_be_played_while_something_is_done_to_its_install() {
    let mut desk = Desk::started(&["doom", "quake"], &[("doom", installed()), ("quake", installed())]);
    let verify = TransferCommand::Verify { game: game("doom"), restore: false };
    for command in [Command::Installs(update("doom")), Command::Installs(uninstall("doom")), Command::Transfers(verify)]
    {
        let Ok(Reply::Started { op }) = desk.ask(command).0 else { panic!("it does not begin") };
        let busy = desk.ask(begins("doom", 7)).0.unwrap_err();
        assert!(busy.code == "busy" && busy.retryable, "{busy:?}");
        assert_eq!(desk.ask(begins("quake", 7)).0, Ok(Reply::Done), "another one may");
        desk.finish(OpId(op), OpOutcome::Failed { error: report("disk"), resumable: false });
        assert_eq!(code(desk.ask(begins("doom", 7)).0), "busy", "not before the folder was read again");
        desk.scan(Some("doom"));
        assert_eq!(desk.ask(begins("doom", 7)).0, Ok(Reply::Done));
    }
}
