//! Hub and sites as machines, over lines that break and disks that are lost.

mod chance;
mod check;
mod hub;
mod site;
mod world;

use link::hub::Suspicion;
use wire::link::Stream;
use world::{Faults, World};

/// Histories of one kind, each from its seed. A seed that once failed becomes a test of its own.
fn histories(seeds: std::ops::Range<u64>, faults: Faults) {
    for seed in seeds {
        let mut world = World::new(seed, 3, faults);
        world.live(1_500);
        world.settle();
        let found = world.judge();
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        let made: usize = world.sites.iter().map(|site| site.made.outcome.len()).sum();
        let begun: usize = world.sites.iter().map(|site| site.begun.len()).sum();
        assert!(made > 100 && begun > 10, "seed {seed}: too little happens: {made}, {begun}");
    }
}

/// Mutation: drop one acknowledgement, use one position twice, acknowledge before it is durable, say ready
/// before it is, or take what is there already a second time.
#[test]
fn nothing_is_lost_or_doubled_over_a_line_that_breaks() {
    histories(0..300, Faults { cuts: true, crashes: true, ..Faults::default() });
}

/// Mutation: go on from where the site believes the hub to be, or give an order again only when it is new.
#[test]
fn a_hub_that_was_restored_gets_all_of_it_again() {
    histories(1_000..1_200, Faults { cuts: true, crashes: true, hub_restores: true });
}

const BREAKING: Faults = Faults { cuts: true, crashes: true, hub_restores: false };

/// Mutation: judge a hello without its session or without its positions, forget which session was used, or
/// let either end pass over a digest.
#[test]
fn each_sign_of_a_copy_is_enough() {
    let after = |live: fn(&mut World), again: fn(&mut World)| {
        let mut world = World::new(7, 1, Faults::default());
        (0..3).for_each(|_| world.outcome(0));
        world.settle();
        let copy = world.sites[0].disk.clone();
        live(&mut world);
        world.settle();
        world.replace(0, copy);
        again(&mut world);
        world.settle();
        world.hub.desks[0].disk.quarantine
    };
    assert_eq!(after(|_| {}, |_| {}), None);
    assert_eq!(after(|world| world.reconnect(0), |_| {}), Some(Suspicion::OldSession));
    assert_eq!(after(|world| world.outcome(0), |_| {}), Some(Suspicion::SetBack));
    let more = |world: &mut World| (0..3).for_each(|_| world.outcome(0));
    assert_eq!(after(|world| world.outcome(0), more), Some(Suspicion::ChainDiffers));
}

/// Mutation: leave the mark where it was when the hub has less.
#[test]
fn what_a_restored_hub_lacks_is_not_deleted_before_it_is_sent() {
    let mut world = World::new(8, 1, Faults { hub_restores: true, ..Faults::default() });
    world.settle();
    world.back_up_hub();
    (0..3).for_each(|_| world.outcome(0));
    world.settle();
    world.hub_restore();
    world.greet(0);
    world.sites[0].prune(Stream::Outcome);
    world.reconnect(0);
    assert_eq!(world.judge(), [""; 0]);
}

/// Mutation: let one that is set back in.
#[test]
fn a_site_that_was_set_back_is_held_off() {
    for seed in 2_000..2_100 {
        let mut world = World::new(seed, 2, BREAKING);
        world.live(300);
        world.settle();
        let yesterday = world.sites[0].disk.clone();
        world.live(300);
        world.settle();
        let present = world.hub.desks[0].disk.present.expect("it has come");
        let sent = |stream| present.heads.get(stream).map_or(0, |head| head.position);
        let has_gone_on = present.confirmed > yesterday.session
            || Stream::ALL.iter().any(|it| sent(*it) > yesterday.streams.get(*it).last());
        world.replace(0, yesterday);
        world.settle();
        let quarantine = world.hub.desks[0].disk.quarantine;
        assert_eq!(quarantine.is_some(), has_gone_on, "seed {seed}: {quarantine:?}");
        assert_eq!(world.hub.desks[1].disk.quarantine, None, "seed {seed}: the other is innocent");
    }
}

/// Mutation: accuse whoever comes with an old session without asking whether he is there.
#[test]
fn a_hello_that_waited_while_its_site_came_again_accuses_nobody() {
    for seed in 3_000..3_300 {
        let mut world = World::new(seed, 1, Faults { cuts: true, ..Faults::default() });
        world.live(600);
        world.settle();
        assert_eq!(world.hub.desks[0].disk.quarantine, None, "seed {seed}");
    }
}

/// Mutation: refuse an incarnation that is not the present one, or take its ancestor's entries for new.
#[test]
fn a_restored_site_goes_on_and_its_copy_is_told_so() {
    for seed in 4_000..4_100 {
        let mut world = World::new(seed, 1, BREAKING);
        world.live(300);
        world.settle();
        let old = world.sites[0].disk.clone();
        let restored = world.renewed(&old);
        world.replace(0, restored);
        world.live(300);
        world.settle();
        let found = world.judge();
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        let desk = &world.hub.desks[0].disk;
        assert!(desk.retired.contains(&old.incarnation), "seed {seed}");
        // From the same backup a second time: two have come from one.
        let second = world.renewed(&old);
        world.replace(0, second);
        world.settle();
        let why = world.hub.desks[0].disk.quarantine;
        assert_eq!(why, Some(Suspicion::Unrelated), "seed {seed}");
    }
}
