use super::*;

fn game(id: &str) -> GameId {
    GameId::new(id).unwrap()
}

fn entry(id: &str) -> CatalogEntry {
    CatalogEntry { id: game(id), name: id.to_uppercase(), saves: Vec::new(), start: std::collections::BTreeMap::new() }
}

fn put(command: Option<u64>, ids: &[&str]) -> CatalogEdit {
    let put = ids.iter().map(|id| entry(id)).collect();
    CatalogEdit { command: command.map(CommandId), put, remove: None, reply: Reply::Done }
}

fn take(command: u64, id: &str) -> CatalogEdit {
    CatalogEdit { command: Some(CommandId(command)), put: Vec::new(), remove: Some(game(id)), reply: Reply::Done }
}

fn read(ids: &[&str]) -> CatalogFile {
    let mut file = CatalogFile::default();
    file.want_read();
    assert_eq!(file.take_turn().turn, Some(FileTurn::Read));
    file.loaded(Ok(Some(ids.iter().map(|id| entry(id)).collect())));
    file
}

fn written(next: Next) -> Vec<CatalogEntry> {
    let Some(FileTurn::Write(entries)) = next.turn else { panic!("{next:?}") };
    entries
}

fn codes(next: &Next) -> Vec<&str> {
    next.refused.iter().map(|(_, e)| e.code.as_str()).collect()
}

#[test]
fn an_edit_before_the_first_read_waits_for_it() {
    let mut file = CatalogFile::default();
    file.edit(put(Some(1), &["new"])).unwrap();
    assert_eq!(file.take_turn().turn, None);
    file.want_read();
    assert_eq!(file.take_turn().turn, Some(FileTurn::Read));
    assert_eq!(file.take_turn().turn, None);
    file.loaded(Ok(Some(vec![entry("old")])));
    assert_eq!(written(file.take_turn()), [entry("new"), entry("old")]);
}

#[test]
fn what_could_not_be_read_is_never_written_over() {
    let mut file = CatalogFile::default();
    file.want_read();
    file.take_turn();
    file.edit(put(Some(1), &["new"])).unwrap();
    file.edit(put(None, &["fetched"])).unwrap();
    file.loaded(Err(()));
    let next = file.take_turn();
    assert_eq!((codes(&next), &next.turn), (vec!["catalog_unreadable"], &None));
    assert!(file.will_hold(&game("fetched")) && !file.will_hold(&game("new")));
    // The next edit has it looked at again.
    file.edit(take(2, "old")).unwrap();
    assert_eq!(file.take_turn().turn, Some(FileTurn::Read));
    file.loaded(Ok(Some(vec![entry("old"), entry("other")])));
    assert_eq!(written(file.take_turn()), [entry("fetched"), entry("old"), entry("other")]);
    file.saved(true);
    assert_eq!(written(file.take_turn()), [entry("fetched"), entry("other")]);
}

#[test]
fn a_catalog_that_breaks_later_keeps_its_entries_here_and_is_not_written_over() {
    let mut file = read(&["a"]);
    file.want_read();
    file.take_turn();
    assert!(file.loaded(Err(())).is_empty());
    assert!(file.entries().contains_key(&game("a")));
    file.edit(put(Some(1), &["b"])).unwrap();
    assert_eq!(file.take_turn().turn, Some(FileTurn::Read));
    file.loaded(Err(()));
    assert_eq!(codes(&file.take_turn()), ["catalog_unreadable"]);
}

#[test]
fn reads_and_writes_take_turns() {
    let mut file = read(&["a"]);
    file.edit(put(Some(1), &["b"])).unwrap();
    written(file.take_turn());
    file.want_read();
    assert_eq!(file.take_turn().turn, None);
    file.edit(take(2, "a")).unwrap();
    file.saved(true);
    assert_eq!(file.take_turn().turn, Some(FileTurn::Read));
    assert_eq!(file.take_turn().turn, None);
    file.loaded(Ok(Some(vec![entry("a"), entry("b"), entry("by hand")])));
    assert_eq!(written(file.take_turn()), [entry("b"), entry("by hand")]);
}

#[test]
fn a_removal_is_judged_when_its_turn_comes() {
    let mut file = read(&[]);
    file.edit(put(Some(1), &["a"])).unwrap();
    written(file.take_turn());
    file.edit(take(2, "a")).unwrap();
    file.edit(take(3, "a")).unwrap();
    file.saved(true);
    assert!(written(file.take_turn()).is_empty());
    file.saved(true);
    let next = file.take_turn();
    assert_eq!((codes(&next), &next.turn), (vec!["not_in_catalog"], &None));
}

#[test]
fn replacements_do_not_count_towards_the_bound_and_newcomers_do() {
    let names: Vec<String> = (0..LIBRARY_GAMES_MAX).map(|n| format!("g{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut file = read(&[]);
    file.edit(put(Some(1), &all)).unwrap();
    written(file.take_turn());
    file.edit(put(Some(2), &all)).unwrap();
    assert_eq!(file.edit(put(None, &["one more"])).unwrap_err().code, "catalog_full");
    assert!(!file.will_hold(&game("one more")));
}

#[test]
fn a_write_that_would_outgrow_what_the_file_has_become_is_refused() {
    let names: Vec<String> = (0..LIBRARY_GAMES_MAX).map(|n| format!("g{n}")).collect();
    let mut file = CatalogFile::default();
    file.want_read();
    file.take_turn();
    file.edit(put(Some(1), &["one more"])).unwrap();
    file.loaded(Ok(Some(names.iter().map(|n| entry(n)).collect())));
    assert_eq!(codes(&file.take_turn()), ["catalog_full"]);
}

/// The file itself: its ids, or bytes that nobody can read.
type OnDisk = Result<BTreeSet<GameId>, ()>;

#[test]
fn whatever_comes_nothing_leaves_the_file_but_what_somebody_took_out() {
    // xorshift; the seed is the number of the run.
    for seed in 1..400u64 {
        let mut state = seed;
        let mut dice = |n: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % n
        };
        let mut disk: OnDisk = Ok(["a", "b", "c"].map(game).into());
        let mut file = CatalogFile::default();
        let mut asked: BTreeMap<u64, Option<GameId>> = BTreeMap::new();
        let (mut reading, mut writing): (Option<OnDisk>, Option<Vec<CatalogEntry>>) = (None, None);
        let mut commands = 0;
        for step in 0..600 {
            let closing = step > 150;
            match if closing { step % 2 } else { dice(6) } {
                0 => {
                    if let Some(seen) = reading.take() {
                        let of = |ids: BTreeSet<GameId>| Some(ids.iter().map(|g| entry(g.as_str())).collect());
                        file.loaded(seen.map(of));
                    }
                }
                1 => {
                    if let Some(entries) = writing.take() {
                        let held = dice(5) > 0;
                        let (edit, _) = file.saved(held).unwrap();
                        let before = disk.clone().expect("what cannot be read was written over");
                        let after: BTreeSet<_> = entries.into_iter().map(|e| e.id).collect();
                        for lost in before.difference(&after) {
                            assert_eq!(Some(lost), edit.remove.as_ref(), "seed {seed}: nobody took {lost} out");
                        }
                        if held {
                            disk = Ok(after);
                        }
                        if let Some(CommandId(id)) = edit.command {
                            assert!(asked.remove(&id).is_some(), "seed {seed}: answered twice");
                        }
                    }
                }
                // Somebody edits the file by hand, and the watcher sees it. While it is being replaced nobody could.
                2 if writing.is_none() => {
                    disk = match (disk, dice(3)) {
                        (_, 0) => Err(()),
                        (Ok(mut ids), _) => {
                            ids.insert(game(&format!("hand{}", dice(9))));
                            Ok(ids)
                        }
                        (Err(()), _) => Ok(["a", "mended"].map(game).into()),
                    };
                    file.want_read();
                }
                3 => {
                    commands += 1;
                    let id = game(["a", "b", "x"][usize::try_from(dice(3)).unwrap()]);
                    asked.insert(commands, Some(id.clone()));
                    file.edit(take(commands, id.as_str())).unwrap();
                }
                4 => {
                    commands += 1;
                    asked.insert(commands, None);
                    file.edit(put(Some(commands), &["new"])).unwrap();
                }
                5 if !file.will_hold(&game("fetched")) => file.edit(put(None, &["fetched"])).unwrap(),
                _ => {}
            }
            if step == 0 {
                file.want_read();
            }
            let next = file.take_turn();
            for (edit, _) in next.refused {
                assert!(asked.remove(&edit.command.expect("a download's entry was refused").0).is_some());
            }
            match next.turn {
                Some(FileTurn::Read) => reading = Some(disk.clone()),
                Some(FileTurn::Write(entries)) => writing = Some(entries),
                None => {}
            }
            assert!(reading.is_none() || writing.is_none(), "seed {seed}: two at the file");
        }
        assert!(asked.is_empty(), "seed {seed}: never answered: {asked:?}");
    }
}
