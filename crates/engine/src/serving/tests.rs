use super::*;
use bonfire_proto::game::RESERVED_ROOT_NAMES;
use bonfire_proto::message::{GetChunkHashes, GetChunks, GetGame, GetLibrarySnapshot, ProbeBack};
use bonfire_proto::{ContentHash, Digest};

fn hash(n: u8) -> ManifestHash {
    ManifestHash(Digest([n; 32]))
}

fn view() -> ServingView {
    let open =
        Servable { manifest_hash: hash(1), content_hash: Some(ContentHash(Digest([2; 32]))), version: "1".into() };
    let games = [
        ("open", Serving::Open(open)),
        ("hidden", Serving::Hidden),
        ("busy", Serving::Busy),
        ("absent", Serving::NotDownloaded),
    ];
    ServingView { games: games.into_iter().map(|(id, s)| (GameId::new(id).unwrap(), s)).collect() }
}

fn requests(game: &str, manifest: u8, path: &str) -> [Request; 2] {
    let (game_id, manifest_hash, path) = (GameId::new(game).unwrap(), hash(manifest), RelPath::new(path).unwrap());
    [
        Request::GetChunkHashes(GetChunkHashes { game_id: game_id.clone(), manifest_hash, path: path.clone() }),
        Request::GetChunks(GetChunks { game_id, manifest_hash, path, first: 0, count: 1 }),
    ]
}

fn code(request: &Request) -> Option<ErrorCode> {
    may_serve(&view(), request).err().map(|e| e.code)
}

#[test]
fn every_state_of_a_game_has_its_answer() {
    let table = [
        ("open", 1, None),
        ("open", 9, Some(ErrorCode::Conflict)),
        ("hidden", 1, Some(ErrorCode::NotFound)),
        ("nowhere", 1, Some(ErrorCode::NotFound)),
        ("busy", 1, Some(ErrorCode::Busy)),
        ("absent", 1, Some(ErrorCode::NotReady)),
    ];
    for (game, manifest, answer) in table {
        for request in requests(game, manifest, "data/a.eti") {
            assert_eq!(code(&request), answer, "{request:?}");
        }
        let list = Request::GetGame(GetGame { game_id: GameId::new(game).unwrap(), known_manifest_hash: None });
        assert_eq!(code(&list), answer.filter(|c| *c != ErrorCode::Conflict));
    }
    assert_eq!(code(&Request::GetLibrarySnapshot(GetLibrarySnapshot {})), None);
    assert_eq!(code(&Request::ProbeBack(ProbeBack { port: 1 })), None);
}

#[test]
fn a_hidden_game_is_answered_like_one_that_is_not_here() {
    let answer = |game: &str| {
        let request = Request::GetGame(GetGame { game_id: GameId::new(game).unwrap(), known_manifest_hash: None });
        may_serve(&view(), &request).unwrap_err().message.replace(game, "GAME")
    };
    assert_eq!(answer("hidden"), answer("nowhere"));
}

#[test]
fn reserved_paths_are_refused_in_every_spelling_whatever_is_here() {
    let mut paths =
        vec!["LOCAL~1".to_owned(), "LOCAL~1.INS/a".to_owned(), "Version.INI".to_owned(), "version.ini/a".to_owned()];
    for name in RESERVED_ROOT_NAMES {
        for spelled in [(*name).to_owned(), name.to_uppercase(), capital(name)] {
            paths.push(spelled.clone());
            paths.push(format!("{spelled}/save.dat"));
        }
    }
    for path in paths {
        for game in ["open", "hidden", "nowhere", "busy", "absent"] {
            for request in requests(game, 1, &path) {
                assert_eq!(code(&request), Some(ErrorCode::Forbidden), "{path} of {game}");
            }
        }
    }
    for path in ["version.ini", "data/local/x", "locale/x", "local.eti"] {
        for request in requests("open", 1, path) {
            assert_eq!(code(&request), None, "{path}");
        }
    }
}

fn capital(name: &str) -> String {
    let mut chars = name.chars();
    let dot = name.starts_with('.').then(|| chars.next()).flatten();
    dot.into_iter().chain(chars.next().map(|c| c.to_ascii_uppercase())).chain(chars).collect()
}
