//! What a person keeps in a game's folder, among the files of the game.

use bonfire_tests::games::{MIB, Recipe};
use bonfire_tests::peer::{LONG, Peer, SOON};
use bonfire_tests::{Room, tree};

const MINE: [&str; 2] = ["notes.txt", "saves/slot1.dsg"];

fn keep(peer: &Peer) {
    for path in MINE {
        let file = peer.root("doom").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "hours of play").unwrap();
    }
}

fn is_kept(peer: &Peer, when: &str) {
    for path in MINE {
        let content = std::fs::read_to_string(peer.root("doom").join(path));
        assert_eq!(content.ok().as_deref(), Some("hours of play"), "{path} after {when}");
    }
}

/// The files of the game, without what is the person's own.
fn game_files(peer: &Peer) -> tree::Tree {
    let files = tree::payload(&peer.root("doom")).into_iter();
    files.filter(|(path, content)| content.is_some() && !MINE.contains(&path.as_str())).collect()
}

#[test]
fn a_file_of_mine_in_a_game_s_folder_survives_get_update_verify_and_cancel() {
    let Some(room) = Room::new("mine") else { return };
    let mut a = room.seat("a");
    let doom = Recipe::new("doom", 0).files(&[("doom.eti", 24 * MIB), ("gone.eti", 1000)]);
    a.add_game(&doom);
    a.start();
    // There before the game is.
    let mut b = room.seat("b");
    keep(&b);
    b.start();
    b.sees_hashed(&a, "doom");
    a.link.shape(100);
    b.get("doom");
    b.downloaded_at_least("doom", 8 * MIB);
    assert!(b.cancel("doom").is_ok());
    b.expect_game("download_cancelled", "doom", SOON);
    b.idle();
    is_kept(&b, "a cancelled get");
    assert!(game_files(&b).is_empty(), "nothing but mine: {:?}", game_files(&b));
    a.link.unshape();
    b.get("doom");
    b.finished("doom");
    b.idle();
    is_kept(&b, "a get");
    assert_eq!(game_files(&b), game_files(&a));

    let file = b.root("doom").join("doom.eti");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[5_000_000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    b.mark();
    let verified = b.done(&["verify", "doom"]);
    assert_eq!(verified.lines.last().unwrap()["result"]["bad_files"], serde_json::json!(["doom.eti"]), "{verified:?}");
    is_kept(&b, "a repair");
    assert_eq!(game_files(&b), game_files(&a));

    // A version that lacks one file of the old one.
    a.terminate();
    std::fs::remove_dir_all(a.root("doom")).unwrap();
    Recipe::new("doom", 0).version("20260202").seed(2).files(&[("doom.eti", 24 * MIB)]).write(&a.games);
    a.link.shape(100);
    a.start();
    b.until("the newer version", LONG, || {
        b.remote_game(a.id(), "doom").filter(|g| g["version"] == "20260202" && g["content_hash"].is_string())
    });
    b.get("doom");
    b.downloaded_at_least("doom", 8 * MIB);
    assert!(b.cancel("doom").is_ok());
    b.expect_game("download_cancelled", "doom", SOON);
    b.idle();
    is_kept(&b, "a cancelled update");
    a.link.unshape();
    b.get("doom");
    b.finished("doom");
    b.idle();
    is_kept(&b, "an update");
    assert_eq!(game_files(&b), game_files(&a), "the file that only the old version had is gone");
}

#[test]
fn a_file_of_mine_in_a_downloaded_game_survives_its_removal_though_the_database_was_lost() {
    let Some(room) = Room::new("mine-forgotten") else { return };
    let a = room.host("a", &Recipe::new("doom", 2));
    let mut b = room.seat("b");
    b.start();
    b.sees_hashed(&a, "doom");
    b.get("doom");
    b.finished("doom");
    b.idle();
    keep(&b);
    b.terminate();
    for file in std::fs::read_dir(&b.data).unwrap().flatten() {
        if file.file_name().to_string_lossy().starts_with("state.db") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    b.start();
    let hash = a.game("doom").unwrap()["content_hash"].clone();
    b.until("the same content as the source's", SOON, || b.game("doom").filter(|g| g["content_hash"] == hash));
    b.done(&["remove", "doom"]);
    b.idle();
    is_kept(&b, "a removal");
    assert!(game_files(&b).is_empty(), "nothing but mine: {:?}", game_files(&b));
    assert!(!b.root("doom").join(".bonfire.download").exists());
}
