//! How a property is run: over how many cases of which inputs, and how often what it is about has to come about in them.
//!
//! Owns the inputs that several properties share. What has to hold is each property's own.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::world::{Reach, Rules, Step, World};

pub fn cases() -> u32 {
    std::env::var("BONFIRE_CASES").ok().map_or(10_000, |n| n.parse().expect("BONFIRE_CASES is a number"))
}

/// In how many cases what a property is about came about.
#[derive(Debug, Default)]
pub struct Met(RefCell<BTreeMap<&'static str, u64>>);

impl Met {
    /// Counts it in this case, if it is so.
    pub fn note(&self, what: &'static str, is: bool) {
        *self.0.borrow_mut().entry(what).or_default() += u64::from(is);
    }
}

/// Runs a property over all cases; the failure names the shortest input. Each of `premises` has to come about in that many
/// of a hundred cases, else the property says nothing.
pub fn holds<S: Strategy>(
    of: S,
    premises: &[(&'static str, u64)],
    property: impl Fn(S::Value, &Met) -> Result<(), String>,
) {
    let mut config =
        Config { cases: cases(), failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    // As many to a case as there may be in an ordinary run.
    config.max_local_rejects = config.max_local_rejects.max(cases().saturating_mul(8));
    let met = Met::default();
    let run = TestRunner::new(config).run(&of, |value| property(value, &met).map_err(TestCaseError::fail));
    if let Err(e) = run {
        panic!("{e}");
    }
    let met = met.0.into_inner();
    println!("{} cases, of which {met:?}", cases());
    for (what, percent) in premises {
        let times = met.get(what).copied().unwrap_or(0);
        // Few cases may miss by chance what many cannot.
        let is_often = times * 100 >= percent * u64::from(cases()) || cases() < 1_000;
        assert!(is_often, "{what:?} came about in {times} of {} cases, and not in {percent} of a hundred", cases());
    }
}

pub fn device() -> impl Strategy<Value = usize> {
    0usize..5
}

/// Two to five, more often fewer: what two cannot do to each other three rarely can.
pub fn devices() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(2usize), 3 => Just(3), 2 => Just(4), 1 => Just(5)]
}

/// What is taken out of one number: making steps from parts takes longer than living them.
struct Drawn(u32);

impl Drawn {
    fn below(&mut self, n: u32) -> usize {
        let drawn = self.0 % n;
        self.0 /= n;
        drawn as usize
    }
}

/// Steps of every kind. What is not sent is a partition.
fn step() -> impl Strategy<Value = Step> {
    any::<u32>().prop_map(|number| {
        let mut rest = Drawn(number);
        let (kind, d, other, n) = (rest.below(46), rest.below(5), rest.below(5), rest.below(8));
        match kind {
            0..8 => Step::Edit(d, [None, None, Some(1), Some(2), Some(3)][n % 5]),
            8 => Step::Race(d),
            9..11 => Step::Delete(d),
            11 => Step::Vanish(d),
            12 => Step::Answer(d, n % 2 == 0),
            13..15 => Step::Rollback(d, n),
            15..18 => Step::Resolve(d, n % 4),
            18..27 => Step::Send(d, other, Reach::Whole),
            27 => Step::Send(d, other, Reach::Name),
            28 => Step::Send(d, other, Reach::Snapshots),
            29 => Step::Send(d, other, Reach::Newest),
            30..42 => Step::Work(d),
            42 => Step::Play(d, n % 2 == 0),
            43 => Step::Track(d, n % 2 == 0),
            44 => Step::Settle(d, n % 2 == 0),
            _ => Step::LoseDatabase(d),
        }
    })
}

/// What a bad network does with words that were said already: late, twice, in another order, in part, or not at all; and
/// devices that work meanwhile, play, or cannot read their disk.
pub fn deliveries() -> impl Strategy<Value = Vec<Step>> {
    let one = any::<u32>().prop_map(|number| {
        let mut rest = Drawn(number);
        let (kind, d, other, n) = (rest.below(16), rest.below(5), rest.below(5), rest.below(2));
        match kind {
            0..3 => Step::Send(d, other, Reach::Whole),
            3..5 => Step::Send(d, other, Reach::Name),
            5..7 => Step::Send(d, other, Reach::Snapshots),
            7..10 => Step::Send(d, other, Reach::Newest),
            10..14 => Step::Work(d),
            14 => Step::Play(d, n == 0),
            _ => Step::Settle(d, n == 0),
        }
    });
    prop::collection::vec(one, 0..16)
}

/// How many devices, whether all of them start with the same save, and what happens then.
pub type Life = (usize, bool, Vec<Step>);

pub fn life() -> impl Strategy<Value = Life> {
    (devices(), prop::bool::weighted(0.8), prop::collection::vec(step(), 0..24))
}

pub fn started((n, has_save, steps): &Life, rules: Rules, skews: &[i64]) -> Result<World, String> {
    let mut world = World::new(*n, rules).with_skews(skews);
    if *has_save {
        world.edit(0, None);
        world.spread(0)?;
    }
    world.run(steps)?;
    Ok(world)
}

pub fn lived(life: &Life, rules: Rules) -> Result<World, String> {
    let mut world = started(life, rules, &[0])?;
    world.heal()?;
    Ok(world)
}

/// Some of the devices, at least two.
pub fn editors() -> impl Strategy<Value = (usize, BTreeSet<usize>)> {
    devices().prop_flat_map(|n| (Just(n), prop::collection::btree_set(0..n, 2..=n)))
}

/// Everybody from the same start, then each an edit of its own that nobody else knows of.
pub fn split(n: usize, editors: &BTreeSet<usize>, rules: Rules) -> Result<World, String> {
    let mut world = World::new(n, rules);
    world.edit(0, None);
    world.spread(0)?;
    for d in editors {
        world.edit(*d, None);
        world.work(*d)?;
    }
    world.heal()?;
    Ok(world)
}
