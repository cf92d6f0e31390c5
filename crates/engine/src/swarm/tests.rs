use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use bonfire_proto::game::ManifestFile;
use bonfire_proto::{Digest, RelPath};

const MS: u64 = CHUNK_LEN / 1_000;

fn peer(n: u128) -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(n))
}

fn layout(chunks: &[u32]) -> ChunkLayout {
    let files: Vec<_> = chunks
        .iter()
        .enumerate()
        .map(|(i, n)| ManifestFile {
            path: RelPath::new(format!("f{i:04}")).unwrap(),
            size: u64::from(*n) * CHUNK_LEN,
            blake3: Some(Digest([0; 32])),
        })
        .collect();
    ChunkLayout::new(&files)
}

fn schedule(chunks: &[u32]) -> Schedule {
    let layout = layout(chunks);
    Schedule::new(&layout, &ChunkBitmap::new(layout.total()), SwarmLimits::default())
}

fn take_all(s: &mut Schedule, now: u64, p: PeerId) -> Vec<(SpanId, Span)> {
    std::iter::from_fn(|| s.next(Instant(now), p)).collect()
}

#[test]
fn pool_matches_a_set_whatever_is_put_in_and_taken_out() {
    let mut pool = Pool::default();
    let mut model = BTreeSet::new();
    let mut seed = 1u64;
    for _ in 0..20_000 {
        let n = u32::try_from(random(&mut seed) % 64).unwrap();
        if random(&mut seed).is_multiple_of(2) {
            pool.insert(n);
            model.insert(n);
        } else {
            assert_eq!(pool.remove(n), model.remove(&n));
        }
        assert_eq!(pool.len() as usize, model.len());
        assert_eq!(pool.first().map(|(b, _)| b), model.first().copied());
    }
}

#[test]
fn fetches_only_what_is_missing() {
    let layout = layout(&[3, 2]);
    let mut have = ChunkBitmap::new(5);
    [0, 2, 4].into_iter().for_each(|n| assert!(have.set(n)));
    let mut s = Schedule::new(&layout, &have, SwarmLimits::default());
    assert!(s.add_source(Instant(0), peer(1)));
    assert_eq!(s.remaining_chunks(), 2);
    let spans: Vec<_> = take_all(&mut s, 0, peer(1)).into_iter().map(|(_, span)| span).collect();
    assert_eq!(spans, vec![Span { file: 0, first: 1, count: 1 }, Span { file: 1, first: 0, count: 1 }]);
}

#[test]
fn never_more_than_its_slots_and_never_across_a_file() {
    let mut s = schedule(&[1; 40]);
    s.add_source(Instant(0), peer(1));
    let spans = take_all(&mut s, 0, peer(1));
    assert_eq!(spans.len(), 6);
    assert!(spans.iter().all(|(_, span)| span.count == 1));
}

#[test]
fn a_fast_source_gets_longer_spans_than_a_slow_one() {
    let mut s = schedule(&[4_000]);
    for (p, bytes) in [(1, 400 * MS), (2, MS)] {
        s.add_source(Instant(0), peer(p));
        let (id, span) = s.next(Instant(0), peer(p)).unwrap();
        assert_eq!(span.count, 1, "nothing is known of its speed");
        for t in 1..=10 {
            s.progress(Instant(t * 100), id, bytes * 100);
        }
    }
    assert_eq!(s.next(Instant(1_000), peer(1)).unwrap().1.count, 4);
    assert_eq!(s.next(Instant(1_000), peer(2)).unwrap().1.count, 1);
}

#[test]
fn a_liar_is_out_for_good_and_its_chunks_go_to_others() {
    let mut s = schedule(&[2]);
    s.add_source(Instant(0), peer(1));
    let spans = take_all(&mut s, 0, peer(1));
    assert_eq!(s.failed(Instant(1), spans[0].0, Fault::BadBytes), Verdict::Drop);
    assert!(!s.add_source(Instant(2), peer(1)) && s.is_liar(peer(1)));
    assert_eq!(s.next(Instant(2), peer(1)), None);
    s.add_source(Instant(2), peer(2));
    assert_eq!(take_all(&mut s, 2, peer(2)).len(), 2);
    assert_eq!(s.verified(Instant(3), spans[1].0, 1), Accepted::AlreadyHad, "its other spans are void");
}

#[test]
fn a_lie_that_shows_after_its_source_left_still_counts() {
    let mut s = schedule(&[2]);
    s.add_source(Instant(0), peer(1));
    let (id, _) = s.next(Instant(0), peer(1)).unwrap();
    s.remove_source(Instant(1), peer(1));
    s.add_source(Instant(2), peer(1));
    assert_eq!(s.failed(Instant(3), id, Fault::BadBytes), Verdict::Drop);
    assert_eq!(s.sources().count(), 0);
}

#[test]
fn refusals_that_pass_are_waited_for_and_others_end_it() {
    for code in ErrorCode::ALL {
        let mut s = schedule(&[1]);
        s.add_source(Instant(0), peer(1));
        let (id, _) = s.next(Instant(0), peer(1)).unwrap();
        match s.failed(Instant(10), id, Fault::Refused(*code)) {
            Verdict::RetryLater(wait) => {
                assert!(code.is_retryable());
                assert_eq!(s.next(Instant(10), peer(1)), None);
                assert_eq!(s.next_deadline(), Some((Instant(10) + wait, "retry")));
                assert!(s.next(Instant(10) + wait, peer(1)).is_some());
            }
            Verdict::Drop => assert!(!code.is_retryable() && s.sources().count() == 0),
            Verdict::Keep => panic!("{code:?}"),
        }
    }
}

#[test]
fn waits_grow_until_something_comes() {
    let mut s = schedule(&[100]);
    s.add_source(Instant(0), peer(1));
    let (mut now, mut waits) = (Instant(0), Vec::new());
    for _ in 0..9 {
        let (id, _) = s.next(now, peer(1)).unwrap();
        let Verdict::RetryLater(wait) = s.failed(now, id, Fault::Refused(ErrorCode::Busy)) else { panic!("not kept") };
        waits.push(wait.as_millis());
        now = now + wait;
    }
    assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    let (id, span) = s.next(now, peer(1)).unwrap();
    assert_eq!(s.verified(now, id, span.first), Accepted::New);
    let (id, _) = s.next(now, peer(1)).unwrap();
    assert_eq!(s.failed(now, id, Fault::Refused(ErrorCode::Busy)), Verdict::RetryLater(Duration::from_millis(500)));
}

#[test]
fn one_broken_connection_is_one_fault_however_many_spans_it_carried() {
    let mut s = schedule(&[100]);
    s.add_source(Instant(0), peer(1));
    let mut now = Instant(0);
    for incident in 1..=3 {
        let spans: Vec<_> = std::iter::from_fn(|| s.next(now, peer(1))).collect();
        assert_eq!(spans.len(), 6);
        for (nth, (id, _)) in spans.into_iter().enumerate() {
            let verdict = s.failed(now, id, Fault::Disconnected);
            let is_last = incident == 3;
            assert_eq!(verdict == Verdict::Drop, is_last && nth == 0, "incident {incident}, span {nth}");
        }
        now = now + Duration::from_secs(60);
    }
    assert_eq!(s.sources().count(), 0);
}

#[test]
fn an_answer_that_ends_early_is_a_fault_and_nothing_is_lost() {
    let mut s = schedule(&[1]);
    s.add_source(Instant(0), peer(1));
    let (id, _) = s.next(Instant(0), peer(1)).unwrap();
    assert!(matches!(s.finished(Instant(0), id), Verdict::RetryLater(_)));
    assert!(s.next(Instant(60_000), peer(1)).is_some());
}

#[test]
fn silence_is_noticed_when_it_is_due() {
    let mut s = schedule(&[10]);
    s.add_source(Instant(0), peer(1));
    let (quiet, _) = s.next(Instant(0), peer(1)).unwrap();
    let (busy, _) = s.next(Instant(0), peer(1)).unwrap();
    s.progress(Instant(5_000), busy, 1);
    assert_eq!(s.next_deadline(), Some((Instant(8_000), "stall")));
    assert_eq!(s.stalled(Instant(7_999)), vec![]);
    assert_eq!(s.stalled(Instant(8_000)), vec![(peer(1), quiet)]);
}

#[test]
fn an_idle_fast_source_doubles_the_tail_of_the_slowest_span_once() {
    let mut s = schedule(&[2]);
    s.add_source(Instant(0), peer(1));
    s.add_source(Instant(0), peer(2));
    let slow = take_all(&mut s, 0, peer(1));
    assert_eq!(slow.len(), 2);
    assert_eq!(s.next(Instant(0), peer(2)), None, "nothing is known of anyone's speed");
    assert_eq!(s.next_deadline(), Some((Instant(1_000), "end game")));
    let doubled = take_all(&mut s, 1_000, peer(2));
    assert_eq!(doubled.len(), 2);
    s.add_source(Instant(1_000), peer(3));
    assert_eq!(s.next(Instant(5_000), peer(3)), None, "never three times");
    for (id, span) in &doubled {
        assert_eq!(s.verified(Instant(1_500), *id, span.first), Accepted::New);
        s.finished(Instant(1_500), *id);
    }
    assert!(s.is_done());
    assert_eq!(s.superseded().len(), 2);
    for (id, span) in slow {
        assert_eq!(s.verified(Instant(2_000), id, span.first), Accepted::AlreadyHad);
        assert_eq!(s.finished(Instant(2_000), id), Verdict::Keep);
    }
    assert_eq!(s.next_deadline(), None);
}

fn random(seed: &mut u64) -> u64 {
    // SplitMix64: small, and the same everywhere.
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Honest,
    /// Sends bad bytes now and then.
    Liar,
    /// Takes requests and never answers.
    Dead,
    /// Says busy now and then.
    Busy,
    /// Breaks off now and then.
    Flaky,
    /// A byte every few seconds, so that it never stalls.
    Trickle,
    /// Has something else.
    Conflicting,
}

#[derive(Debug, Clone, Copy)]
struct Model {
    nature: Nature,
    /// Bytes a millisecond over all its spans.
    rate: u64,
    /// Leaves at this time and comes back a second later.
    leaves: Option<u64>,
}

struct Room {
    schedule: Schedule,
    layout: ChunkLayout,
    models: BTreeMap<PeerId, Model>,
    flying: BTreeMap<SpanId, (PeerId, Span, u64)>,
    written: BTreeMap<u32, u32>,
    lied: BTreeSet<PeerId>,
    fired: BTreeSet<&'static str>,
    now: u64,
    seed: u64,
}

impl Room {
    fn new(chunks: &[u32], models: &[Model], seed: u64) -> Self {
        let layout = layout(chunks);
        let have = ChunkBitmap::new(layout.total());
        let mut schedule = Schedule::new(&layout, &have, SwarmLimits::default());
        let models: BTreeMap<_, _> = (1..).zip(models).map(|(n, m)| (peer(n), *m)).collect();
        for p in models.keys() {
            schedule.add_source(Instant(0), *p);
        }
        Self {
            schedule,
            layout,
            models,
            flying: BTreeMap::new(),
            written: BTreeMap::new(),
            lied: BTreeSet::new(),
            fired: BTreeSet::new(),
            now: 0,
            seed,
        }
    }

    fn chance(&mut self, one_in: u64) -> bool {
        random(&mut self.seed).is_multiple_of(one_in)
    }

    /// Runs until done. Returns the milliseconds that it took, or `None` when it did not end.
    fn run(&mut self) -> Option<u64> {
        const STEP: u64 = 50;
        while self.now < 20 * 60_000 {
            if self.schedule.is_done() {
                return Some(self.now);
            }
            self.come_and_go(STEP);
            self.ask();
            self.now += STEP;
            for p in self.models.keys().copied().collect::<Vec<_>>() {
                self.deliver(p, STEP);
            }
            for (_, id) in self.schedule.stalled(Instant(self.now)) {
                self.fired.insert("stall");
                self.fail(id, Fault::Stalled);
            }
            for (_, id) in self.schedule.superseded() {
                self.fired.insert("superseded");
                self.flying.remove(&id);
                assert_eq!(self.schedule.finished(Instant(self.now), id), Verdict::Keep);
            }
            if let Some((at, what)) = self.schedule.next_deadline() {
                assert!(at.0 + 10_000 > self.now, "{what} is long overdue");
            }
        }
        None
    }

    fn come_and_go(&mut self, step: u64) {
        for (p, m) in self.models.clone() {
            let Some(leaves) = m.leaves else { continue };
            let at = |t: u64| (self.now..self.now + step).contains(&t);
            if at(leaves) {
                self.fired.insert("leave");
                self.schedule.remove_source(Instant(self.now), p);
                self.flying.retain(|_, (owner, _, _)| *owner != p);
            } else if at(leaves + 1_000) {
                assert_eq!(self.schedule.add_source(Instant(self.now), p), !self.lied.contains(&p));
            }
        }
        // The engine offers honest peers again when they were given up.
        for (p, m) in &self.models {
            if m.nature == Nature::Honest && m.leaves.is_none() {
                assert!(self.schedule.add_source(Instant(self.now), *p));
            }
        }
    }

    fn ask(&mut self) {
        for p in self.models.keys().copied().collect::<Vec<_>>() {
            while let Some((id, span)) = self.schedule.next(Instant(self.now), p) {
                assert!(!self.lied.contains(&p), "a liar is asked");
                assert!(span.count >= 1 && span.count <= 4);
                let file = self.layout.range(span.file).unwrap();
                assert!(span.first + span.count <= file.end - file.start, "beyond the file");
                assert!(self.flying.insert(id, (p, span, 0)).is_none());
            }
            assert!(self.flying.values().filter(|(owner, _, _)| *owner == p).count() <= 6, "more than its slots");
        }
        let mut copies: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        for (_, span, got) in self.flying.values() {
            let came = u32::try_from(got / CHUNK_LEN).unwrap();
            for chunk in span.first + came..span.first + span.count {
                *copies.entry((span.file, chunk)).or_default() += 1;
            }
        }
        if copies.values().any(|n| *n == 2) {
            self.fired.insert("end game");
        }
        assert!(copies.values().all(|n| *n <= 2), "a chunk more than twice in flight");
    }

    fn deliver(&mut self, p: PeerId, step: u64) {
        let mine: Vec<_> = self.flying.iter().filter(|(_, f)| f.0 == p).map(|(id, _)| *id).collect();
        let model = self.models[&p];
        let each = model.rate * step / u64::try_from(mine.len().max(1)).unwrap();
        for id in mine {
            if !self.flying.contains_key(&id) {
                continue;
            }
            match model.nature {
                Nature::Dead => {}
                Nature::Trickle => {
                    if self.now.is_multiple_of(4_000) {
                        self.fired.insert("trickle");
                        self.schedule.progress(Instant(self.now), id, 1);
                    }
                }
                Nature::Conflicting => self.fail(id, Fault::Refused(ErrorCode::Conflict)),
                Nature::Busy if self.chance(10) => {
                    self.fired.insert("busy");
                    self.fail(id, Fault::Refused(ErrorCode::Busy));
                }
                Nature::Flaky if self.chance(20) => {
                    self.fired.insert("break");
                    self.fail(id, Fault::Disconnected);
                }
                Nature::Liar if self.chance(20) => {
                    self.fired.insert("lie");
                    self.lied.insert(p);
                    self.fail(id, Fault::BadBytes);
                }
                _ => self.bytes(id, each),
            }
        }
    }

    fn bytes(&mut self, id: SpanId, bytes: u64) {
        let Some((_, span, got)) = self.flying.get_mut(&id) else { return };
        let span = *span;
        let before = *got;
        *got = (before + bytes).min(u64::from(span.count) * CHUNK_LEN);
        let after = *got;
        self.schedule.progress(Instant(self.now), id, after - before);
        for nth in before / CHUNK_LEN..after / CHUNK_LEN {
            let chunk = span.first + u32::try_from(nth).unwrap();
            let number = self.layout.number(bonfire_proto::ChunkRef { file: span.file, chunk }).unwrap();
            if self.schedule.verified(Instant(self.now), id, chunk) == Accepted::New {
                *self.written.entry(number).or_default() += 1;
            }
        }
        if after == u64::from(span.count) * CHUNK_LEN {
            self.flying.remove(&id);
            assert_eq!(self.schedule.finished(Instant(self.now), id), Verdict::Keep);
        }
    }

    fn fail(&mut self, id: SpanId, fault: Fault) {
        // Void already, when another span of the same source has just ended it.
        let Some((owner, _, _)) = self.flying.remove(&id) else { return };
        if self.schedule.failed(Instant(self.now), id, fault) == Verdict::Drop {
            self.flying.retain(|_, (p, _, _)| *p != owner);
        }
    }

    fn check_complete(&self) {
        assert_eq!(self.written.len(), self.layout.total() as usize);
        assert!(self.written.values().all(|n| *n == 1), "a chunk written twice");
    }
}

fn model(nature: Nature, rate: u64) -> Model {
    Model { nature, rate, leaves: None }
}

fn any_model() -> impl Strategy<Value = Model> {
    let natures = vec![
        Nature::Honest,
        Nature::Liar,
        Nature::Dead,
        Nature::Busy,
        Nature::Flaky,
        Nature::Trickle,
        Nature::Conflicting,
    ];
    (prop::sample::select(natures), prop::sample::select(vec![100, 3_000, 120_000]), prop::option::of(0u64..20_000))
        .prop_map(|(nature, rate, leaves)| Model { nature, rate, leaves })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_chunk_comes_exactly_once_while_one_honest_source_remains(
        chunks in prop::collection::vec(1u32..9, 1..12),
        others in prop::collection::vec(any_model(), 0..5),
        seed in any::<u64>(),
    ) {
        let mut models = vec![model(Nature::Honest, 12_000)];
        models.extend(others);
        let mut room = Room::new(&chunks, &models, seed);
        prop_assert!(room.run().is_some(), "it never ended");
        room.check_complete();
    }
}

#[test]
fn every_kind_of_fault_fires_and_the_download_ends() {
    let natures =
        [Nature::Honest, Nature::Liar, Nature::Dead, Nature::Busy, Nature::Flaky, Nature::Trickle, Nature::Conflicting];
    let mut models: Vec<_> = natures.into_iter().map(|n| model(n, 3_000)).collect();
    models.push(Model { leaves: Some(5_000), ..model(Nature::Honest, 3_000) });
    let mut room = Room::new(&[40, 1, 1, 1, 60], &models, 42);
    assert!(room.run().is_some());
    room.check_complete();
    let expected = ["break", "busy", "end game", "leave", "lie", "stall", "superseded", "trickle"];
    assert_eq!(room.fired.iter().copied().collect::<Vec<_>>(), expected);
}

#[test]
fn two_sources_that_trickle_cannot_hold_up_the_end_together() {
    let models = [model(Nature::Honest, 12_000), model(Nature::Trickle, 1), model(Nature::Trickle, 1)];
    let mut room = Room::new(&[7], &models, 0);
    let took = room.run().unwrap();
    assert!(took < 60_000, "{took} ms");
    room.check_complete();
}

#[test]
fn the_same_seed_asks_the_same_things() {
    let run = || {
        let models = [model(Nature::Honest, 12_000), model(Nature::Flaky, 12_000), model(Nature::Busy, 3_000)];
        let mut room = Room::new(&[9, 9, 9], &models, 7);
        (room.run(), room.schedule.next_span)
    };
    assert_eq!(run(), run());
}

#[test]
fn two_sources_take_about_half_the_time_of_one() {
    let time = |sources: usize| Room::new(&[200], &vec![model(Nature::Honest, 12_000); sources], 1).run().unwrap();
    let (one, two) = (time(1), time(2));
    assert!(two * 100 < one * 60, "{one} ms alone, {two} ms together");
}

#[test]
fn a_slow_source_does_not_hold_up_the_end() {
    let fast = model(Nature::Honest, 120_000);
    let alone = Room::new(&[200], &[fast], 1).run().unwrap();
    let helped = Room::new(&[200], &[fast, model(Nature::Honest, 100)], 1).run().unwrap();
    assert!(helped <= alone + 2_500, "{alone} ms alone, {helped} ms with a slow helper");
}

#[test]
fn a_hundred_thousand_small_files_are_scheduled_in_no_time() {
    let mut s = schedule(&vec![1; 100_000]);
    s.add_source(Instant(0), peer(1));
    s.add_source(Instant(0), peer(2));
    let mut asked = 0u32;
    while !s.is_done() {
        for p in [peer(1), peer(2)] {
            while let Some((id, span)) = s.next(Instant(0), p) {
                asked += 1;
                assert_eq!(s.verified(Instant(0), id, span.first), Accepted::New);
                s.finished(Instant(0), id);
            }
        }
    }
    assert_eq!(asked, 100_000);
}
