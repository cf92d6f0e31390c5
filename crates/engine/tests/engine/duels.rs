//! Two engines that dial each other at the same time, in every order in which the two networks can deliver.

use std::collections::VecDeque;
use std::time::Duration;

use bonfire_engine::input::{ConnId, ConnInput, DialId, Effect, Input};
use bonfire_proto::CloseCode;
use bonfire_proto::message::{Control, Hello};

use crate::desk::{Batch, Desk, addr, peer};

/// What a connection carries, in one direction, in order.
#[derive(Debug, Clone)]
enum Wire {
    Hello(Hello),
    Ack(Hello),
    Control(Control),
    Closed(CloseCode),
}

/// One connection between the two: who dialled, what each end calls it, what is on its way to each.
#[derive(Debug)]
struct Cable {
    dialler: usize,
    dial: DialId,
    ends: [Option<ConnId>; 2],
    to: [VecDeque<Wire>; 2],
    closed: bool,
}

struct Duel {
    desks: [Desk; 2],
    cables: Vec<Cable>,
}

impl Duel {
    fn new() -> Self {
        let mut desks = [0x10, 0x90].map(|n| Desk::raw(n, std::collections::BTreeMap::new(), Vec::new()));
        desks[0].give(Input::Listening(addr(1)));
        desks[1].give(Input::Listening(addr(2)));
        Self { desks, cables: Vec::new() }
    }

    /// Both have heard of each other, and the larger has waited as long as it waits.
    fn both_dial() -> Self {
        let mut duel = Self::new();
        for (me, other, at) in [(0, 0x90, addr(2)), (1, 0x10, addr(1))] {
            let found = bonfire_engine::input::Discovered::Found {
                peer: peer(other),
                addrs: vec![at],
                proto_ver: bonfire_proto::limits::PROTO_VERSION,
                library: (crate::desk::epoch(1), 0),
            };
            let batch = duel.desks[me].give(Input::Discovery(found));
            duel.carry(me, batch);
        }
        let batch = duel.desks[1].pass(Duration::from_millis(1_500));
        duel.carry(1, batch);
        duel.desks[0].pass(Duration::from_millis(1_500));
        assert_eq!(duel.cables.len(), 2);
        duel
    }

    fn carry(&mut self, from: usize, batch: Batch) {
        let to = 1 - from;
        for effect in batch.0 {
            match effect {
                Effect::Dial { dial, hello, .. } => {
                    let mut cable =
                        Cable { dialler: from, dial, ends: [None, None], to: Default::default(), closed: false };
                    cable.to[to].push_back(Wire::Hello(hello));
                    self.cables.push(cable);
                }
                Effect::Accept(conn, hello) => self.put(from, conn, Wire::Ack(hello)),
                Effect::Send(conn, message) => self.put(from, conn, Wire::Control(message)),
                Effect::Close(conn, code) => {
                    let cable = self.cable(from, conn);
                    cable.closed = true;
                    // What was not sent yet is dropped, and what is on its way here is not read.
                    cable.to[from].clear();
                    cable.to[to].push_back(Wire::Closed(code));
                }
                _ => {}
            }
        }
    }

    fn cable(&mut self, end: usize, conn: ConnId) -> &mut Cable {
        self.cables.iter_mut().find(|c| c.ends[end] == Some(conn)).unwrap()
    }

    fn put(&mut self, from: usize, conn: ConnId, wire: Wire) {
        let cable = self.cable(from, conn);
        if !cable.closed {
            cable.to[1 - from].push_back(wire);
        }
    }

    fn choices(&self) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        for (n, cable) in self.cables.iter().enumerate() {
            for end in 0..2 {
                if !cable.to[end].is_empty() {
                    all.push((n, end));
                }
            }
        }
        all
    }

    fn deliver(&mut self, (n, end): (usize, usize)) {
        let wire = self.cables[n].to[end].pop_front().unwrap();
        let (dialler, dial, known) = (self.cables[n].dialler, self.cables[n].dial, self.cables[n].ends[end]);
        let other = peer([0x90, 0x10][end]);
        let remote = addr([2, 1][end]);
        let input = match (wire, known) {
            (Wire::Hello(hello) | Wire::Ack(hello), _) => {
                let conn = self.desks[end].conn();
                self.cables[n].ends[end] = Some(conn);
                let dial = (dialler == end).then_some(dial);
                Input::Conn(ConnInput::Arrived {
                    conn,
                    proven: other,
                    key_hash: bonfire_proto::Digest([2; 32]),
                    dial,
                    hello,
                    remote,
                })
            }
            (Wire::Control(message), Some(conn)) => Input::Conn(ConnInput::Message(conn, message)),
            (Wire::Closed(code), Some(conn)) => Input::Conn(ConnInput::Closed(conn, code.text().to_owned())),
            // Closed before the answer to hello: to the dialler that is a failed dial.
            (Wire::Closed(_), None) => Input::Conn(ConnInput::DialFailed(dial, crate::desk::report("duplicate"))),
            (Wire::Control(_), None) => panic!("a message before hello_ack"),
        };
        let batch = self.desks[end].give(input);
        self.carry(end, batch);
    }
}

/// Runs `begin` under every order of deliveries; returns how many there are.
fn in_every_order(begin: impl Fn() -> Duel, check: impl Fn(&Duel, &[usize])) -> usize {
    let mut runs = 0;
    let mut path: Vec<usize> = Vec::new();
    loop {
        let mut duel = begin();
        let mut widths = Vec::new();
        loop {
            let choices = duel.choices();
            if choices.is_empty() {
                break;
            }
            let step = widths.len();
            if step == path.len() {
                path.push(0);
            }
            widths.push(choices.len());
            duel.deliver(choices[path[step]]);
        }
        check(&duel, &path);
        runs += 1;
        // The next path in lexicographic order.
        while let Some(last) = path.pop() {
            if last + 1 < widths[path.len()] {
                path.push(last + 1);
                break;
            }
        }
        if path.is_empty() {
            return runs;
        }
    }
}

fn links(duel: &Duel) -> [Option<usize>; 2] {
    [0, 1].map(|end| {
        let conn = duel.desks[end].engine.link_of(&peer([0x90, 0x10][end]))?;
        duel.cables.iter().position(|c| c.ends[end] == Some(conn))
    })
}

#[test]
fn of_two_simultaneous_dials_both_sides_keep_the_one_of_the_smaller_id_in_every_order() {
    let runs = in_every_order(Duel::both_dial, |duel, path| {
        let [a, b] = links(duel);
        assert!(a.is_some() && a == b, "{a:?} {b:?} by {path:?}");
        assert_eq!(duel.cables[a.unwrap()].dialler, 0, "by {path:?}");
        assert_eq!(duel.cables.iter().filter(|c| !c.closed).count(), 1, "a connection is left open by {path:?}");
    });
    println!("{runs} orders");
    assert!(runs > 20, "{runs}");
}

#[test]
fn a_restart_of_either_side_ends_with_one_connection_in_every_order() {
    for restarted in 0..2 {
        let begin = || {
            let mut duel = Duel::both_dial();
            while let Some(choice) = duel.choices().first().copied() {
                duel.deliver(choice);
            }
            for desk in &mut duel.desks {
                desk.pass(Duration::from_secs(20));
            }
            // Killed: the other side hears nothing of it.
            let mut fresh = Duel::new();
            duel.desks[restarted] =
                std::mem::replace(&mut fresh.desks[restarted], Desk::raw(1, Default::default(), vec![]));
            duel.cables.clear();
            let (other, at) = [(0x90, addr(2)), (0x10, addr(1))][restarted];
            let found = bonfire_engine::input::Discovered::Found {
                peer: peer(other),
                addrs: vec![at],
                proto_ver: bonfire_proto::limits::PROTO_VERSION,
                library: (crate::desk::epoch(1), 0),
            };
            let mut batch = duel.desks[restarted].give(Input::Discovery(found));
            batch.0.extend(duel.desks[restarted].pass(Duration::from_secs(2)).0);
            // The old connection's end has no cable any more: it is only closed.
            duel.carry_new(restarted, batch);
            duel
        };
        in_every_order(begin, |duel, path| {
            let [a, b] = links(duel);
            assert!(a.is_some() && a == b, "{a:?} {b:?} by {path:?}, restarted {restarted}");
        });
    }
}

impl Duel {
    /// As `carry`, for the first batch after a restart.
    fn carry_new(&mut self, from: usize, batch: Batch) {
        self.carry(from, batch);
        // The end of the connection that died with the other side.
        let dead = self.desks[1 - from].engine.link_of(&peer([0x10, 0x90][from])).unwrap();
        let mut ends = [None, None];
        ends[1 - from] = Some(dead);
        self.cables.push(Cable { dialler: 9, dial: DialId(0), ends, to: Default::default(), closed: true });
    }
}
