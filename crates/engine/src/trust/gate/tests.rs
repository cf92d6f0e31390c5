use super::*;

/// Who may what, written down apart from the code: the request; whether a stranger, a guest and a removed device may; what
/// a device of the player needs; whether the player has to be said.
const ORACLE: &str = "
    HearLibrary                 -  G  -   games:read                  any
    GetLibraryDelta             -  G  -   games:read                  any
    GetLibrarySnapshot          -  G  -   games:read                  any
    GetGame                     -  G  -   games:read                  any
    GetChunkHashes              -  G  -   games:read                  any
    GetChunks                   -  G  -   games:read                  any
    Have                        -  G  -   games:read                  any
    ProbeBack                   -  G  -   nothing                     any
    StateChange                 -  -  -   saves:write                 player
    StateBatch                  -  -  -   saves:write                 player
    StateRequest                -  -  -   saves:read                  player
    SharedChange(Saves)         -  -  -   saves:write                 player
    SharedChange(Devices)       -  -  -   devices:write               player
    SharedChangeBatch(Saves)    -  -  -   saves:write                 player
    SharedChangeBatch(Devices)  -  -  -   devices:write               player
    SharedChangeRequest         -  -  -   saves:read+devices:read     player
    AckSharedChanges            -  -  -   saves:read+devices:read     player
    GetSnapshots                -  -  -   saves:read                  player
    GetObjects                  -  -  -   saves:read                  player
    AvailabilityDigest(Game)    -  G  -   games:read                  any
    AvailabilityDigest(Save)    -  -  -   saves:read                  player
    SidecarQuery(Game)          -  G  -   games:read                  any
    SidecarQuery(Save)          -  -  -   saves:read                  player
    GetSidecar(Game)            -  G  -   games:read                  any
    GetSidecar(Save)            -  -  -   saves:read                  player
    PairStart                   S  G  R   nothing                     any
";

fn every_set() -> Vec<Scopes> {
    (0..32u8)
        .map(|bits| {
            let chosen = Scope::ALL.into_iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0);
            Scopes::of(&chosen.map(|(_, s)| s).collect::<Vec<_>>())
        })
        .collect()
}

fn every_standing() -> Vec<Standing> {
    let devices = every_set().into_iter().map(Standing::Device);
    [Standing::Stranger, Standing::Guest, Standing::Removed].into_iter().chain(devices).collect()
}

fn player() -> PlayerId {
    "0f0e0d0c-0b0a-4908-8706-050403020100".parse().unwrap()
}

#[test]
fn every_request_of_everybody_is_answered_as_the_table_says() {
    let rows: Vec<Vec<&str>> =
        ORACLE.lines().map(|l| l.split_whitespace().collect()).filter(|r: &Vec<&str>| !r.is_empty()).collect();
    let mut checked = 0;
    for kind in RequestKind::ALL {
        let name = format!("{kind:?}");
        let row = rows.iter().filter(|r| r[0] == name).collect::<Vec<_>>();
        let [row] = row[..] else { panic!("{} rows for {name}", row.len()) };
        for standing in every_standing() {
            for said in [None, Some(player())] {
                let may = match standing {
                    Standing::Stranger => row[1] == "S",
                    Standing::Guest => row[2] == "G",
                    Standing::Removed => row[3] == "R",
                    Standing::Device(scopes) => {
                        row[4] == "nothing" || row[4].split('+').all(|n| scopes.iter().any(|s| s.name() == n))
                    }
                };
                let expected = match (row[5], said, may) {
                    ("player", None, _) => Some(ErrorCode::BadRequest),
                    (_, _, true) => None,
                    (_, _, false) => Some(ErrorCode::Forbidden),
                };
                let answer = gate(kind, said, standing).err().map(|e| e.code);
                assert_eq!(answer, expected, "{kind:?} of {standing:?}, player {said:?}");
                checked += 1;
            }
        }
    }
    assert_eq!((checked, rows.len()), (26 * 35 * 2, 26));
}

#[test]
fn every_kind_is_listed_once() {
    let kinds: std::collections::BTreeSet<_> = RequestKind::ALL.into_iter().collect();
    assert_eq!(kinds.len(), RequestKind::ALL.len());
}

#[test]
fn a_refusal_tells_nothing_about_what_is_here() {
    let refused: Vec<ErrorMsg> = RequestKind::ALL
        .into_iter()
        .flat_map(|kind| every_standing().into_iter().filter_map(move |s| gate(kind, Some(player()), s).err()))
        .collect();
    assert!(refused.len() > 100 && refused.iter().all(|e| *e == refused[0]), "one answer for all");
}

#[test]
fn more_scopes_never_allow_less() {
    for kind in RequestKind::ALL {
        for fewer in every_set() {
            for more in every_set().into_iter().filter(|m| m.has_all(fewer)) {
                let may = |s| gate(kind, Some(player()), Standing::Device(s)).is_ok();
                assert!(!may(fewer) || may(more), "{kind:?}: {fewer:?} may and {more:?} may not");
            }
        }
    }
}
