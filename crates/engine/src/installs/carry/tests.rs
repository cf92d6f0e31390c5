use proptest::prelude::*;

use super::*;

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn tree(files: &[(&str, u8)]) -> BTreeMap<RelPath, Known> {
    files.iter().map(|(name, n)| (path(name), known(*n))).collect()
}

fn known(n: u8) -> Known {
    Known { size: u64::from(n), blake3: Digest([n; 32]) }
}

/// What is carried where, and whether it was kept under another name.
fn carried(record: &[(&str, u8)], live: &[(&str, u8)], new: &[(&str, u8)]) -> Vec<(String, String, Option<Keep>)> {
    let carry = carry(Some(&tree(record)), &tree(live), &tree(new));
    carry.files.into_iter().map(|c| (c.from.to_string(), c.to.to_string(), c.kept)).collect()
}

fn stays(name: &str) -> (String, String, Option<Keep>) {
    (name.to_owned(), name.to_owned(), None)
}

#[test]
fn what_is_as_it_was_installed_is_not_carried() {
    assert_eq!(carried(&[("a", 1), ("b", 1)], &[("a", 1), ("b", 1)], &[("a", 2)]), []);
}

#[test]
fn what_the_player_made_stays_in_its_place() {
    assert_eq!(carried(&[("a", 1)], &[("a", 1), ("saves/1.sav", 7)], &[("a", 2)]), [stays("saves/1.sav")]);
}

#[test]
fn what_only_the_player_changed_stays_in_its_place() {
    assert_eq!(carried(&[("game.cfg", 1)], &[("game.cfg", 7)], &[("game.cfg", 1)]), [stays("game.cfg")]);
}

#[test]
fn what_the_player_changed_and_the_new_version_has_no_more_stays() {
    assert_eq!(carried(&[("game.cfg", 1)], &[("game.cfg", 7)], &[]), [stays("game.cfg")]);
}

#[test]
fn what_both_changed_is_kept_beside_the_new_one() {
    let kept = ("game.cfg".to_owned(), "game.cfg.kept".to_owned(), Some(Keep::BothChanged));
    assert_eq!(carried(&[("game.cfg", 1)], &[("game.cfg", 7)], &[("game.cfg", 2)]), [kept]);
}

#[test]
fn what_the_player_made_where_the_new_version_installs_is_kept_beside_it() {
    let kept = ("map.wad".to_owned(), "map.wad.kept".to_owned(), Some(Keep::NowInstalled));
    assert_eq!(carried(&[], &[("map.wad", 7)], &[("map.wad", 2)]), [kept]);
}

#[test]
fn what_both_made_the_same_is_not_carried() {
    assert_eq!(carried(&[("a", 1)], &[("a", 2)], &[("a", 2)]), []);
}

#[test]
fn without_a_record_nothing_is_dropped_and_nothing_is_overruled() {
    let live = tree(&[("a", 1), ("b", 1), ("c", 1)]);
    let carry = carry(None, &live, &tree(&[("a", 1), ("b", 2)]));
    let shown: Vec<_> = carry.files.iter().map(|c| (c.from.as_str(), c.to.as_str(), c.kept)).collect();
    assert_eq!(shown, [("b", "b.kept", Some(Keep::Unrecorded)), ("c", "c", None)]);
}

#[test]
fn a_name_that_is_taken_is_never_given_away() {
    let live = [("a", 7), ("a.kept", 8), ("a.kept-2", 9)];
    let moved = carried(&[("a", 1)], &live, &[("a", 2), ("A.KEPT-3", 3)]);
    assert_eq!(moved[0], ("a".to_owned(), "a.kept-4".to_owned(), Some(Keep::BothChanged)));
    assert_eq!(&moved[1..], [stays("a.kept"), stays("a.kept-2")]);
}

#[test]
fn a_file_in_the_place_of_a_folder_and_the_other_way_round_keep_both() {
    let kept = |from: &str, to: &str| (from.to_owned(), to.to_owned(), Some(Keep::InTheWay));
    assert_eq!(carried(&[], &[("mods/m.pk3", 7)], &[("mods", 2)]), [kept("mods/m.pk3", "mods.kept/m.pk3.kept")]);
    assert_eq!(carried(&[], &[("mods", 7)], &[("mods/m.pk3", 2)]), [kept("mods", "mods.kept")]);
    assert_eq!(carried(&[], &[("Mods", 7)], &[("mods", 2)]), [kept("Mods", "Mods.kept")]);
}

#[test]
fn a_name_as_long_as_a_name_may_be_is_cut() {
    let name = "ä".repeat(127);
    let moved = carried(&[], &[(&name, 7)], &[(&name, 2)]);
    assert!(moved[0].1.ends_with("ä.kept") && moved[0].1.len() <= NAME_LEN_MAX, "{}", moved[0].1);
}

fn trees() -> impl Strategy<Value = BTreeMap<RelPath, Known>> {
    let names = ["a", "A", "b", "a.kept", "A.kept", "d/a", "d/b", "D/a", "d/e/a", "a/x", "a.kept/x"];
    let file = (prop::sample::select(names.to_vec()), 1u8..4).prop_map(|(name, n)| (path(name), known(n)));
    prop::collection::vec(file, 0..7).prop_map(|files| {
        // A tree as a disk can hold it: no file is a folder, too.
        let mut taken = Taken::of([].iter());
        files.into_iter().filter(|(path, _)| taken.take(path)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_file_of_the_player_is_in_the_new_install_and_every_new_one_beside_it(
        record in prop::option::of(trees()),
        live in trees(),
        new in trees(),
    ) {
        let carry = carry(record.as_ref(), &live, &new);
        let mut tree = new.clone();
        let mut taken: BTreeSet<String> = BTreeSet::new();
        for carried in &carry.files {
            prop_assert!(taken.insert(carried.to.folded()), "two in one place: {carried:?}");
            let is_in_place = carried.kept.is_none();
            prop_assert_eq!(is_in_place, carried.from == carried.to);
            if let Some(brought) = tree.insert(carried.to.clone(), live[&carried.from]) {
                // Only what the update does not change gives way.
                prop_assert_eq!(record.as_ref().and_then(|r| r.get(&carried.to)), Some(&brought));
            }
        }
        // What a person made or changed is there by content, and the tree is one that any disk can hold.
        for (path, now) in &live {
            if origin(record.as_ref(), path, now) != Origin::Installed {
                let held = carry.files.iter().any(|c| c.from == *path) || new.get(path) == Some(now);
                prop_assert!(held, "{path} is lost");
            }
        }
        for (path, brought) in &new {
            let is_there = tree[path] == *brought || record.as_ref().and_then(|r| r.get(path)) == Some(brought);
            prop_assert!(is_there, "{path} is not the new one");
        }
        let mut all = Taken::of([].iter());
        for path in tree.keys() {
            prop_assert!(all.take(path), "{path} is in the way of another");
        }
    }
}
