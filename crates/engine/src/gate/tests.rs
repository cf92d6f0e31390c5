use super::*;

fn id(n: u8) -> GameId {
    GameId::new(format!("g{n}")).unwrap()
}

fn game(n: u8) -> Option<StartScan> {
    Some(StartScan::Game(id(n)))
}

#[test]
fn an_active_operation_drops_events() {
    let mut g = ScanGate::new();
    assert_eq!(g.changed(&id(1), true), None);
    assert!(!g.is_waiting_for(&id(1)));
    assert_eq!(g.changed(&id(1), false), game(1));
}

#[test]
fn many_changes_during_a_scan_loop_once_more() {
    let mut g = ScanGate::new();
    assert_eq!(g.changed(&id(1), false), game(1));
    for _ in 0..100 {
        assert_eq!(g.changed(&id(1), false), None);
    }
    assert_eq!(g.finished(&id(1)), game(1));
    assert_eq!(g.finished(&id(1)), None);
    assert!(!g.is_waiting_for(&id(1)));
}

#[test]
fn games_are_read_beside_each_other() {
    let mut g = ScanGate::new();
    assert_eq!(g.changed(&id(1), false), game(1));
    assert_eq!(g.changed(&id(2), false), game(2));
}

#[test]
fn a_change_during_the_full_scan_is_looked_at_after_it() {
    let mut g = ScanGate::new();
    assert_eq!(g.full_changed(), Some(StartScan::Full));
    assert_eq!(g.changed(&id(1), false), None);
    assert!(g.is_waiting_for(&id(1)));
    assert_eq!(g.full_finished(), vec![StartScan::Game(id(1))]);
    assert_eq!(g.finished(&id(1)), None);
}

#[test]
fn a_full_scan_waits_for_scans_of_games_and_takes_over_what_is_pending() {
    let mut g = ScanGate::new();
    g.changed(&id(1), false);
    g.changed(&id(2), false);
    g.changed(&id(1), false);
    assert_eq!(g.full_changed(), None);
    assert_eq!(g.finished(&id(1)), None);
    assert_eq!(g.changed(&id(3), false), None);
    assert_eq!(g.finished(&id(2)), Some(StartScan::Full));
    assert_eq!(g.full_finished(), vec![]);
    assert!(!g.is_full_waiting());
}

/// Every sequence of seven events: scans never overlap where they may not, every change that is not dropped is read by a
/// scan that starts after it, and the gate comes to rest.
#[test]
fn no_change_is_missed_and_no_scan_overlaps_in_any_order_of_events() {
    const EVENTS: u32 = 6;
    for code in 0..EVENTS.pow(7) {
        let mut code = code;
        let mut model = Model::default();
        for _ in 0..7 {
            model.event(code % EVENTS);
            code /= EVENTS;
        }
        model.drain();
    }
}

#[derive(Default)]
struct Model {
    gate: ScanGate,
    running: BTreeSet<StartScan>,
    /// Games that changed and were not read since.
    stale: BTreeSet<GameId>,
}

impl Model {
    fn event(&mut self, event: u32) {
        match event {
            0 | 1 => {
                let id = id(u8::try_from(event).unwrap());
                self.stale.insert(id.clone());
                let start = self.gate.changed(&id, false);
                self.start(start);
            }
            2 => {
                self.stale.extend([id(0), id(1)]);
                let start = self.gate.full_changed();
                self.start(start);
            }
            3 | 4 => self.end(&StartScan::Game(id(u8::try_from(event - 3).unwrap()))),
            _ => self.end(&StartScan::Full),
        }
    }

    fn end(&mut self, scan: &StartScan) {
        if !self.running.remove(scan) {
            return;
        }
        match scan {
            StartScan::Game(id) => {
                let start = self.gate.finished(id);
                self.start(start);
            }
            StartScan::Full => {
                for scan in self.gate.full_finished() {
                    self.start(Some(scan));
                }
            }
        }
    }

    fn start(&mut self, scan: Option<StartScan>) {
        let Some(scan) = scan else { return };
        match &scan {
            StartScan::Full => {
                assert!(self.running.is_empty());
                self.stale.clear();
            }
            StartScan::Game(id) => {
                assert!(!self.running.contains(&StartScan::Full));
                self.stale.remove(id);
            }
        }
        assert!(self.running.insert(scan));
    }

    fn drain(&mut self) {
        for _ in 0..10 {
            for scan in self.running.clone() {
                self.end(&scan);
            }
        }
        assert!(self.running.is_empty() && self.stale.is_empty());
        assert!(!self.gate.is_full_waiting() && !self.gate.is_waiting_for(&id(0)));
    }
}
