//! The worker alone, over a store and live files in a folder that goes away.

mod fetching;
mod rig;

use std::collections::BTreeSet;

use bonfire_engine::command::Reply;
use bonfire_engine::input::CommandId;
use bonfire_engine::record::{Holding, Stored};
use bonfire_engine::saves::slot::{Done, Look, Make};
use bonfire_engine::saves::work::{Checked, SaveInput, SaveWork};
use bonfire_proto::SnapshotId;

use self::rig::Rig;

#[tokio::test]
async fn a_look_becomes_a_version_and_a_folder_that_is_not_there_is_nothing() {
    let rig = Rig::new();
    assert_eq!(rig.look().await, Look::Nothing);
    rig.write("one.sav", b"one");
    let capture = rig.captured().await;
    let made = rig.make(Make::Version { capture, parents: BTreeSet::new() }).await;
    let Done::Well(node) = made else { panic!("{made:?}") };
    assert!(rig.saves.store().has_snapshot(&node.id).unwrap());
    assert_eq!((node.files, node.size), (1, 3));
    // That capture is used up, as it would be by another look.
    let again = rig.make(Make::Version { capture, parents: BTreeSet::new() }).await;
    assert_eq!(again, Done::Changed);
}

#[tokio::test]
async fn what_cannot_be_read_is_unreadable_and_never_nothing() {
    let rig = Rig::new();
    std::fs::create_dir_all(rig.folder().parent().unwrap()).unwrap();
    std::fs::write(rig.folder(), b"a file where the folder has to be").unwrap();
    let mut place = rig.place();
    place.roots[0].path.push_str("/beneath");
    let input = rig.run(SaveWork::Look { place, pids: Vec::new() }).await;
    let SaveInput::Looked { look, problems, .. } = input else { panic!("{input:?}") };
    assert_eq!(look, Look::Unreadable);
    assert_eq!(problems.len(), 1);
}

#[tokio::test]
async fn files_that_did_not_change_are_not_read_again_also_after_a_restart() {
    let rig = Rig::new();
    rig.write("old.sav", b"old");
    rig.age("old.sav");
    rig.make_version(&[]).await;
    let rig = rig.restart();
    // Nobody could read it now, and nobody has to.
    let set = bonfire_engine::saves::work::SetKey::of(&rig.line());
    let known = rig.saves.0.listings.get(&set);
    let roots = rig.saves.0.live.roots(&rig.place()).unwrap();
    let captured = match rig.saves.store().capture(&roots, &known, rig.saves.0.now_ms()).unwrap() {
        bonfire_disk::saves::Capture::Whole(captured) => captured,
        changing => panic!("{changing:?}"),
    };
    assert_eq!((captured.entries.len(), captured.bytes_read), (1, 0));
}

#[tokio::test]
async fn nothing_is_applied_while_the_game_runs_or_over_what_nobody_knows() {
    let rig = Rig::new();
    rig.write("one.sav", b"one");
    let first = rig.make_version(&[]).await;
    rig.write("one.sav", b"two");
    let second = rig.make_version(&[first]).await;
    rig.play(true);
    let input = rig.apply(Some(second), first).await;
    assert!(matches!(input, SaveInput::Applied(_, Done::Changed, true)), "{input:?}");
    rig.play(false);
    rig.write("one.sav", b"three");
    let input = rig.apply(Some(second), first).await;
    assert!(matches!(input, SaveInput::Applied(_, Done::Changed, false)), "{input:?}");
    assert_eq!(rig.read("one.sav"), b"three");
    rig.write("one.sav", b"two");
    let input = rig.apply(Some(second), first).await;
    assert!(matches!(input, SaveInput::Applied(_, Done::Well(()), false)), "{input:?}");
    assert_eq!(rig.read("one.sav"), b"one");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_made_when_files_are_to_be_put_there() {
    let rig = Rig::new();
    rig.write("one.sav", b"one");
    let first = rig.make_version(&[]).await;
    std::fs::remove_dir_all(rig.folder().parent().unwrap()).unwrap();
    let input = rig.apply(None, first).await;
    assert!(matches!(input, SaveInput::Applied(_, Done::Well(()), false)), "{input:?}");
    assert_eq!(rig.read("one.sav"), b"one");
}

#[tokio::test]
async fn whoever_cannot_tell_whether_the_game_runs_changes_nothing() {
    let rig = Rig::new();
    rig.write("one.sav", b"one");
    let first = rig.make_version(&[]).await;
    std::fs::remove_file(rig.folder().join("one.sav")).unwrap();
    rig.hide_processes();
    let input = rig.apply(None, first).await;
    assert!(matches!(input, SaveInput::Applied(_, Done::Failed(_), false)), "{input:?}");
    let input = rig.run(SaveWork::Look { place: rig.place(), pids: Vec::new() }).await;
    assert!(matches!(&input, SaveInput::Looked { is_running: true, problems, .. } if problems.len() == 1), "{input:?}");
}

#[tokio::test]
async fn the_other_side_lies_beside_the_live_files_until_it_goes() {
    let rig = Rig::new();
    rig.write("one.sav", b"theirs");
    let theirs = rig.make_version(&[]).await;
    rig.write("one.sav", b"mine");
    let write = vec![(theirs, "Anna's / laptop".to_owned())];
    let copies = |write, remove| SaveWork::Copies { place: rig.place(), write, remove };
    let input = rig.run(copies(write, BTreeSet::new())).await;
    assert!(matches!(input, SaveInput::Copied(_, Done::Well(()))), "{input:?}");
    let beside = || {
        let names = std::fs::read_dir(rig.folder().parent().unwrap()).unwrap().map(|e| e.unwrap().file_name());
        names.filter_map(|n| n.into_string().ok()).filter(|n| n.contains(".conflict-")).collect::<Vec<_>>()
    };
    assert_eq!(beside().len(), 1, "{:?}", beside());
    assert_eq!(std::fs::read(rig.folder().parent().unwrap().join(&beside()[0]).join("one.sav")).unwrap(), b"theirs");
    let input = rig.run(copies(Vec::new(), BTreeSet::from([theirs]))).await;
    assert!(matches!(input, SaveInput::Copied(_, Done::Well(()))), "{input:?}");
    assert_eq!(beside(), Vec::<String>::new());
    assert_eq!(rig.read("one.sav"), b"mine");
}

#[tokio::test]
async fn what_is_pruned_leaves_its_text_and_takes_only_objects_that_nothing_needs() {
    let rig = Rig::new();
    rig.write("one.sav", b"one");
    let first = rig.make_version(&[]).await;
    rig.write("one.sav", b"two");
    let second = rig.make_version(&[first]).await;
    // What a look found and nobody made a version of yet is needed too.
    rig.write("one.sav", b"three");
    let capture = rig.captured().await;
    let input = rig.run(SaveWork::Prune { ids: vec![first] }).await;
    assert!(matches!(&input, SaveInput::Pruned(_, gone, None) if *gone == [first]), "{input:?}");
    rig.saves.sweep().await;
    assert!(!rig.saves.store().has_snapshot(&first).unwrap());
    assert!(!rig.has_object(b"one"), "nothing needs it");
    assert!(rig.has_object(b"two") && rig.has_object(b"three"));
    let made = rig.make(Make::Version { capture, parents: BTreeSet::from([second]) }).await;
    assert!(matches!(made, Done::Well(_)), "{made:?}");
    // A version that nobody has any more can still be a parent, but not be gone back to.
    let rollback = rig.make(Make::Rollback { parents: BTreeSet::from([second]), to: first }).await;
    assert!(matches!(rollback, Done::Failed(_)), "{rollback:?}");
}

#[tokio::test]
async fn a_version_known_by_name_is_whole_again_of_what_a_look_found_without_anybody_to_ask() {
    let rig = Rig::new();
    rig.write("one.sav", b"one");
    let first = rig.make_version(&[]).await;
    rig.write("one.sav", b"two");
    rig.make_version(&[first]).await;
    rig.run(SaveWork::Prune { ids: vec![first] }).await;
    rig.saves.sweep().await;
    let fetch = || SaveWork::Fetch { ids: BTreeSet::from([first]), sources: Vec::new() };
    let is_whole = |input: &SaveInput| matches!(input, SaveInput::Fetched { brought, .. } if brought[0].1);
    assert!(!is_whole(&rig.run(fetch()).await), "its content is nowhere");
    rig.write("one.sav", b"one");
    rig.captured().await;
    assert!(is_whole(&rig.run(fetch()).await), "its content lies on the disk");
    assert!(rig.saves.store().has_snapshot(&first).unwrap());
}

#[tokio::test]
async fn making_what_is_there_already_is_the_same_answer() {
    let rig = Rig::new();
    rig.write("one.sav", b"one");
    let (left, right) = (rig.make_version(&[]).await, rig.make_version_noted(&[], "another").await);
    assert_ne!(left, right);
    let join = Make::Join { parents: BTreeSet::from([left, right]) };
    let (once, twice) = (rig.make(join.clone()).await, rig.make(join).await);
    assert!(matches!(once, Done::Well(_)), "{once:?}");
    assert_eq!(once, twice);
}

#[tokio::test]
async fn damaged_versions_are_found_and_taken_out_with_their_text_kept() {
    let rig = Rig::new();
    rig.write("one.sav", b"one");
    let whole = rig.make_version(&[]).await;
    rig.write("one.sav", b"two");
    let damaged = rig.make_version(&[whole]).await;
    rig.damage_object(b"two");
    let input = rig.run(SaveWork::Verify { ids: vec![whole, damaged] }).await;
    let SaveInput::Verified(_, Checked { versions, damaged: found, unread, .. }) = input else { panic!("{input:?}") };
    assert_eq!((versions, unread), (2, Vec::<String>::new()));
    assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [damaged]);
    assert!(!rig.saves.store().has_snapshot(&damaged).unwrap());
    assert!(!rig.has_object(b"two"), "it can be put again");
    assert!(rig.saves.0.snapshot(rig.line().player, &damaged).is_ok(), "its text is known");
}

#[tokio::test]
async fn a_version_that_cannot_be_read_is_neither_whole_nor_damaged() {
    let rig = Rig::new();
    rig.write("one.sav", b"one");
    let whole = rig.make_version(&[]).await;
    rig.write("one.sav", b"two");
    let unread = rig.make_version(&[whole]).await;
    rig.hide_object(b"two");
    let input = rig.run(SaveWork::Verify { ids: vec![whole, unread] }).await;
    let SaveInput::Verified(_, checked) = input else { panic!("{input:?}") };
    assert_eq!((checked.versions, checked.damaged), (1, Vec::new()));
    assert!(matches!(&checked.unread[..], [one] if one.starts_with(&unread.to_string())), "{:?}", checked.unread);
    assert!(rig.saves.store().has_snapshot(&unread).unwrap(), "it stays");
}

#[tokio::test]
async fn an_archive_is_written_once_and_read_back_as_the_same_content() {
    let rig = Rig::new();
    rig.write("one.sav", b"one");
    let first = rig.make_version(&[]).await;
    let folder = rig.folder().parent().unwrap().display().to_string();
    let export = SaveWork::Export { command: CommandId(1), id: first, folder };
    let input = rig.run(export.clone()).await;
    let SaveInput::Answered(_, Ok(Reply::Exported { path })) = input else { panic!("{input:?}") };
    let input = rig.run(export).await;
    let SaveInput::Answered(_, Err(error)) = input else { panic!("{input:?}") };
    assert_eq!(error.code, "already_here");
    let parents = BTreeSet::from([first]);
    let import = SaveWork::Import { command: CommandId(2), file: path, label: None, parents, stamp: rig.stamp(None) };
    let input = rig.run(import).await;
    let SaveInput::Begun(_, Ok(node), Some(CommandId(2))) = input else { panic!("{input:?}") };
    let before = rig.saves.store().snapshot(&first).unwrap();
    assert_eq!((node.content, node.parents), (before.content_hash, vec![first]));
}

#[tokio::test]
async fn a_start_learns_of_versions_that_the_database_does_not_have_and_of_those_that_are_gone() {
    let rig = Rig::new();
    rig.write("one.sav", b"one");
    let first = rig.make_version(&[]).await;
    let holding = |stored: &Stored, id: SnapshotId| {
        stored.nodes.iter().flat_map(|(_, nodes)| nodes).find(|n| n.node.id == id).map(|n| n.holding)
    };
    let mut stored = Stored::default();
    rig.saves.recover(&mut stored, &mut Vec::new()).unwrap();
    assert_eq!(holding(&stored, first), Some(Holding::Whole));
    assert_eq!(stored.nodes[0].0, rig.line());
    rig.saves.store().remove_snapshots(&[first]).unwrap();
    let mut later = stored.clone();
    rig.saves.recover(&mut later, &mut Vec::new()).unwrap();
    assert_eq!(holding(&later, first), Some(Holding::Named));
}

#[tokio::test]
async fn a_start_learns_of_conflict_copies_that_the_database_did_not_hear_of_and_of_those_that_are_gone() {
    let rig = Rig::new();
    rig.write("one.sav", b"one");
    let id = rig.make_version(&[]).await;
    let write = vec![(id, "deck".to_owned())];
    let copied = rig.run(SaveWork::Copies { place: rig.place(), write, remove: BTreeSet::new() }).await;
    assert!(matches!(copied, SaveInput::Copied(_, Done::Well(()))), "{copied:?}");
    // Killed before that was noted.
    let rig = rig.restart();
    let known = |stored: &Stored| stored.slots.iter().map(|s| (s.line.clone(), s.record.copies.clone())).next();
    let mut stored = Stored::default();
    rig.saves.recover(&mut stored, &mut Vec::new()).unwrap();
    assert_eq!(known(&stored), Some((rig.line(), BTreeSet::from([id]))));
    let remove = BTreeSet::from([id]);
    rig.run(SaveWork::Copies { place: rig.place(), write: Vec::new(), remove }).await;
    let rig = rig.restart();
    rig.saves.recover(&mut stored, &mut Vec::new()).unwrap();
    assert_eq!(known(&stored), Some((rig.line(), BTreeSet::new())));
}
