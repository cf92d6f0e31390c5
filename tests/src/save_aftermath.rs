//! What must hold after a crash in the middle of a change to a save, wherever it struck.
//!
//! Asks the peers; reads of what Bonfire stores only names, to see that nothing is left over.

use serde_json::{Value, json};

use crate::peer::{LONG, Peer, SOON};
use crate::save_stage::{
    Change, SAVE, SaveStage, Versions, files, history, home, is_conflict, own_entries, push, unneeded, write_content,
};
use crate::saves::in_step;
use crate::tree;

impl SaveStage {
    /// Checks everything that must hold after a crash in this change. The seat must not run.
    ///
    /// # Panics
    /// When a rule is broken; names it.
    pub(crate) fn hold(&mut self, change: Change, what: &str) {
        let errors = self.seat.log().errors().len();
        for event in self.seat.events() {
            if event["type"] == "save_version_added" || event["type"] == "save_applied" {
                self.said.insert(event["snapshot"].as_str().unwrap().to_owned(), true);
            }
        }
        self.nothing_is_torn(change, what);
        self.recovers_alone(change, what);
        let once = files(&self.seat.saves());
        let is_conflict = self.meets_again(change, what);
        if change == Change::Capture {
            assert_eq!(
                once,
                files(&self.seat.saves()),
                "{what}: what the game wrote is another after the second start"
            );
        }
        if is_conflict {
            let command = self.command(change).unwrap();
            self.seat.tell(&command);
            self.is_done = true;
        }
        self.goes_on(change, what);
        let errors = self.seat.log().errors().split_off(errors);
        assert!(errors.is_empty(), "{what}: errors in the log after it: {errors:#?}");
    }

    /// Before anything is recovered: every file is one of an old or a new version, and without a journal all are of one.
    fn nothing_is_torn(&self, change: Change, what: &str) {
        let mut live = files(&self.seat.saves());
        live.retain(|path, _| !path.starts_with(".bonfire.save-"));
        for (path, content) in &live {
            let is_known = change.contents().iter().any(|n| self.contents[n].get(path) == Some(content));
            assert!(is_known, "{what}, before recovery: {path} is of no version");
        }
        if names(&self.seat, "applying").is_empty() {
            let is_whole = change.contents().iter().any(|n| self.contents[n] == live);
            assert!(is_whole, "{what}, before recovery: a mix that no journal tells of: {:?}", live.keys());
        }
    }

    /// Starts with nobody to ask: the live files are one version, everything that was said is there and whole.
    fn recovers_alone(&mut self, change: Change, what: &str) {
        self.seat.link.cut();
        self.seat.start();
        let had = self.said.clone();
        self.seat.slot_until(SAVE, "settled alone", |slot| {
            let base = slot["base"].as_str().unwrap_or_default();
            // What the game wrote is a version by then.
            let is_captured = change != Change::Capture || !self.others(change).contains_key(base);
            // Or it waits for the other device, whose version was heard of and did not come yet.
            let waits = slot["heads"].as_array().is_some_and(|heads| heads.iter().any(|h| h["is_stored"] == false));
            is_captured && (waits || ["current", "ahead", "conflict"].iter().any(|s| slot["standing"] == *s))
        });
        self.is_whole(change, &had, &format!("{what}, alone"));
        assert_eq!(self.seat.terminate(), Some(0), "{what}: {}", self.seat.log().describe());
        let live = files(&self.seat.saves());
        let is_version = change.contents().iter().any(|n| self.contents[n] == live);
        assert!(is_version, "{what}, after recovery: no version: {:?}\n{}", live.keys(), self.seat.log().describe());
        nothing_is_left(&self.seat, change.is_resolve(), &format!("{what}, after recovery"));
    }

    /// Has the two devices meet again; whether they show a conflict.
    fn meets_again(&mut self, change: Change, what: &str) -> bool {
        self.seat.link.heal();
        self.seat.start();
        let both = [&self.seat, &self.other];
        let is_conflict = self.seat.until(&format!("{what}: both stand alike"), LONG, || {
            let slots = both.map(|p| p.slot(SAVE, "main").unwrap_or_default());
            if change.is_resolve() && slots.iter().all(is_conflict) {
                return Some(true);
            }
            are_in_step(&slots).then_some(false)
        });
        assert!(!(is_conflict && self.is_done), "{what}: the conflict is back");
        for peer in [&mut self.seat, &mut self.other] {
            assert!(damaged(peer).is_empty(), "{what}: {} has damaged versions", peer.name);
        }
        is_conflict
    }

    /// Both are in step, and stay so over one more version; nothing that was in history is gone.
    fn goes_on(&mut self, change: Change, what: &str) {
        in_step(&[&self.seat, &self.other], SAVE);
        let live = files(&self.seat.saves());
        let contents = change.contents();
        let may_be = if self.is_done { &contents[contents.len() - 1..] } else { contents };
        let found = may_be.iter().find(|n| self.contents[n] == live);
        assert!(found.is_some(), "{what}: in the end none of {may_be:?}: {:?}", live.keys());
        assert_eq!(live, files(&self.other.saves()), "{what}: the devices differ");
        if change == Change::ResolveBoth {
            for peer in [&self.seat, &self.other] {
                peer.until(&format!("{what}: the other side's slot"), LONG, || {
                    peer.slot(SAVE, "main-other").filter(|s| s["held_by"] == 2)
                });
            }
        }
        if change == Change::Export {
            self.exports_again(what);
        }
        if change == Change::Prune {
            let command = self.command(change).unwrap();
            self.seat.tell(&command);
        }
        write_content(&self.seat.saves(), 8);
        push(&mut self.seat);
        in_step(&[&self.seat, &self.other], SAVE);
        for peer in [&self.seat, &self.other] {
            assert_eq!(files(&peer.saves()), self.contents[&8], "{what}: {} after one more version", peer.name);
            peer.until(&format!("{what}: nothing is left over"), SOON, || {
                (change != Change::Prune || unneeded(peer).is_empty()).then_some(())
            });
        }
        let mut had = self.said.clone();
        // What only the other device had is known here by now.
        had.extend(self.others(change).keys().filter(|id| !self.said.contains_key(*id)).map(|id| (id.clone(), false)));
        self.is_whole(change, &had, &format!("{what}, in the end"));
        let theirs = history(&mut self.other);
        for (id, was_stored) in self.others(change) {
            let is_stored = theirs.get(id).copied();
            let may_go = change == Change::Prune && *id != self.first;
            assert!(is_stored.is_some_and(|now| now || !was_stored || may_go), "{what}: the other device lost {id}");
        }
        for peer in [&mut self.seat, &mut self.other] {
            assert_eq!(peer.terminate(), Some(0), "{what}: {}", peer.log().describe());
            nothing_is_left(peer, false, &format!("{what}, in the end"));
        }
    }

    /// Everything that was in history is, and whole where it was; adds what is new.
    fn is_whole(&mut self, change: Change, had: &Versions, what: &str) {
        let damaged = damaged(&mut self.seat);
        assert!(damaged.is_empty(), "{what}: damaged {damaged:?}\n{}", self.seat.log().describe());
        let now = history(&mut self.seat);
        for (id, was_stored) in had {
            let Some(is_stored) = now.get(id) else {
                panic!("{what}: version {id} is gone from history {now:?}\n{}", self.seat.log().describe());
            };
            let may_go = change == Change::Prune && *id != self.first;
            assert!(
                *is_stored || !was_stored || may_go,
                "{what}: {id} is no longer stored\n{}",
                self.seat.log().describe()
            );
        }
        self.said.extend(now);
    }

    /// Asked again, there is the whole archive and nothing else.
    fn exports_again(&mut self, what: &str) {
        let command = self.command(Change::Export).unwrap();
        if let Err(error) = self.seat.ask(&command) {
            assert_eq!(error["code"], "already_here", "{what}: {error}");
        }
        let out: Vec<_> = std::fs::read_dir(self.out()).unwrap().map(|e| e.unwrap().path()).collect();
        let [archive] = out.as_slice() else { panic!("{what}: in the folder of the archive: {out:?}") };
        let whole = std::fs::read(&self.archives[0]).unwrap();
        assert!(std::fs::read(archive).unwrap() == whole, "{what}: the archive is another");
    }
}

fn damaged(peer: &mut Peer) -> Vec<Value> {
    peer.tell(&json!({"saves": {"verify": {}}}))["damaged"].as_array().unwrap().clone()
}

/// Both have one version on their disks and know that both do.
fn are_in_step(slots: &[Value; 2]) -> bool {
    let base = &slots[0]["base"];
    base.is_string()
        && slots.iter().all(|s| {
            s["base"] == *base
                && s["standing"] == "current"
                && s["held_by"] == 2
                && s["heads"].as_array().is_some_and(|h| h.len() == 1 && h[0]["id"] == *base)
        })
}

/// Names in a folder of a peer's data.
fn names(peer: &Peer, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(peer.data.join(folder)).into_iter().flatten();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// No scratch and no journal, and of a conflict something only while it may stand. The peer must not run.
fn nothing_is_left(peer: &Peer, may_conflict: bool, what: &str) {
    let mut left: Vec<String> = Vec::new();
    for path in tree::read(&peer.saves()).into_keys() {
        if path.contains(".bonfire.") || path.contains(".conflict-") {
            left.push(path);
        }
    }
    for name in own_entries(peer) {
        let may_be_copy = may_conflict && name.contains(".conflict-");
        if !may_be_copy && !["games", "data", "saves", "out"].contains(&name.as_str()) {
            left.push(home(peer).join(name).display().to_string());
        }
    }
    for folder in ["applying", "objects/.new", "copies"] {
        if folder != "copies" || !may_conflict {
            left.extend(names(peer, folder).into_iter().map(|name| format!("{folder}/{name}")));
        }
    }
    left.extend(names(peer, "snapshots").into_iter().filter(|n| n.starts_with('.')));
    left.extend(names(peer, "").into_iter().filter(|n| n.contains(".tmp")));
    assert!(left.is_empty(), "{what}: left over at {}: {left:?}\n{}", peer.name, peer.log().describe());
}
