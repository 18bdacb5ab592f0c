//! Hub and sites as machines, over lines that break and disks that are lost.

mod chance;
mod check;
mod disk;
mod hub;
mod site;
mod stick;
mod world;

use link::hub::{NotCarried, Suspicion};
use link::site::{Effect, Input, NotTaken, Saying};
use store::Store as _;
use wire::link::{Health, HubFrame, SiteFrame, Stream};
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
/// before it is, take what is there already a second time, or tell no edition where a session
/// begins.
#[test]
fn nothing_is_lost_or_doubled_over_a_line_that_breaks() {
    histories(0..300, Faults { cuts: true, crashes: true, ..Faults::default() });
}

/// Mutation: go on from where the site believes the hub to be, or give an order again only when it is new.
#[test]
fn a_hub_that_was_restored_gets_all_of_it_again() {
    histories(
        1_000..1_200,
        Faults { cuts: true, crashes: true, hub_restores: true, ..Faults::default() },
    );
}

/// Outcomes in the histories of the next test: as many as somebody has time for.
const OUTCOMES: &str = "ISONOMY_OUTCOMES";
const OUTCOMES_USUAL: usize = 20_000;

/// Every history in which an end may fail, one after the other, until so many outcomes have been made. It
/// prints where it has come to, and the seed of what is wrong.
///
/// Mutation: leave an answer of the disk for an earlier one's, or the mark where a hub that was set back does
/// not have it.
#[test]
fn as_many_outcomes_as_wanted_survive_what_may_happen_to_both_ends() {
    let wanted =
        std::env::var(OUTCOMES).map_or(OUTCOMES_USUAL, |text| text.parse().expect("a number"));
    let kinds = [
        BREAKING,
        Faults { hub_restores: true, ..BREAKING },
        Faults { files: true, ..BREAKING },
        Faults { hub_restores: true, files: true, ..BREAKING },
    ];
    let (mut made, mut seeds) = (0, 10_000..);
    while made < wanted {
        let seed = seeds.next().expect("endless");
        let kind = kinds[usize::try_from(seed).expect("small") % kinds.len()];
        let mut world = World::new(seed, 3, kind);
        world.live(3_000);
        world.settle();
        let found = world.judge();
        assert!(found.is_empty(), "seed {seed}, {kind:?}: {found:#?}");
        made += world.sites.iter().map(|site| site.made.outcome.len()).sum::<usize>();
    }
    println!("{made} outcomes in {} histories", seeds.start - 10_000);
}

const BREAKING: Faults =
    Faults { cuts: true, crashes: true, hub_restores: false, files: false, no_line: false };

/// Mutation: say nothing where there is nothing to say, so that the hub keeps what was said before; say it
/// before the site has looked, or again.
#[test]
fn how_a_site_is_is_said_once_in_each_session() {
    let mut world = World::new(9, 1, Faults::default());
    world.settle();
    let mut say = |health: Option<Health>| {
        let said = world.sites[0].give(Input::Say(Saying { health, want: None }));
        said.iter().filter(|it| matches!(it, Effect::Send(SiteFrame::Health(_)))).count()
    };
    assert_eq!(say(None), 0);
    assert_eq!(say(Some(Health::default())), 1);
    assert_eq!(say(Some(Health::default())), 0);
    assert_eq!(say(Some(Health { waiting: 1, ..Health::default() })), 1);
}

/// Mutation: judge a hello without its session or without its positions, forget which session was used, or
/// let either end pass over a digest.
#[test]
fn each_sign_of_a_copy_is_enough() {
    let after = |live: fn(&mut World), again: fn(&mut World)| {
        let mut world = World::new(7, 1, Faults::default());
        (0..3).for_each(|_| world.outcome(0));
        world.settle();
        let copy = disk::copy(&world.sites[0].store);
        live(&mut world);
        world.settle();
        world.replace(0, copy);
        again(&mut world);
        world.settle();
        world.hub.doc(0).quarantine
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
        let yesterday = disk::copy(&world.sites[0].store);
        let (session, last) = (world.sites[0].kept().session, world.sites[0].kept().outboxes);
        world.live(300);
        world.settle();
        let present = world.hub.doc(0).present.expect("it has come");
        let sent = |stream| present.heads.get(stream).map_or(0, |head| head.position);
        let has_gone_on = present.confirmed > session
            || Stream::ALL.iter().any(|it| sent(*it) > last.get(*it).last);
        world.replace(0, yesterday);
        world.settle();
        let quarantine = world.hub.doc(0).quarantine;
        assert_eq!(quarantine.is_some(), has_gone_on, "seed {seed}: {quarantine:?}");
        assert_eq!(world.hub.doc(1).quarantine, None, "seed {seed}: the other is innocent");
    }
}

/// Mutation: accuse whoever comes with an old session without asking whether he is there.
#[test]
fn a_hello_that_waited_while_its_site_came_again_accuses_nobody() {
    for seed in 3_000..3_300 {
        let mut world = World::new(seed, 1, Faults { cuts: true, ..Faults::default() });
        world.live(600);
        world.settle();
        assert_eq!(world.hub.doc(0).quarantine, None, "seed {seed}");
    }
}

/// Mutation: refuse an incarnation that is not the present one, take its ancestor's entries for new, or
/// doubt the one that was restored first when a second one comes.
#[test]
fn a_restored_site_goes_on_and_its_copy_is_told_so() {
    for seed in 4_000..4_100 {
        let mut world = World::new(seed, 1, BREAKING);
        world.live(300);
        world.settle();
        let old = disk::copy(&world.sites[0].store);
        let restored = world.renewed(&old);
        world.replace(0, restored);
        world.live(300);
        world.settle();
        let found = world.judge();
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        assert!(world.hub.doc(0).retired.contains(&old.incarnation()), "seed {seed}");
        // From the same backup a second time: the first is the site, and stays it.
        let second = world.renewed(&old);
        world.replace(0, second);
        world.greet(0);
        assert!(world.sites[0].session.is_none(), "seed {seed}: it is sent away");
        assert_eq!(world.hub.doc(0).quarantine, None, "seed {seed}");
    }
}

/// Mutation: let the one that it was restored from speak on while it is welcomed.
#[test]
fn what_the_old_one_still_sends_is_not_the_new_ones() {
    for seed in 5_000..5_200 {
        let mut world = World::new(seed, 1, BREAKING);
        for _ in 0..5 {
            world.live(120);
            // At this moment, with all that is on its way.
            let now = disk::copy(&world.sites[0].store);
            let restored = world.renewed(&now);
            world.replace(0, restored);
        }
        world.live(120);
        world.settle();
        let found = world.judge();
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
    }
}

/// Mutation: take an edition that is older than the one that is there, or one of two hubs.
#[test]
fn an_edition_takes_the_place_of_an_older_one_alone() {
    let mut world = World::new(9, 1, Faults::default());
    world.hub.published = 5;
    world.settle();
    assert_eq!(world.judge(), [""; 0]);
    let mut told = |number, root: &[u8]| {
        let edition = Box::new(hub::edition(number, root));
        format!("{:?}", world.sites[0].hear(HubFrame::Edition(edition)))
    };
    assert_eq!(told(4, b"root"), "[]");
    assert_eq!(told(5, b"root"), "[]");
    assert!(told(6, b"other").starts_with("[Write(Edition("));
    assert!(told(5, b"other").ends_with("Close(Refuse(EditionForked))]"));
}

/// Mutation: take entries of a file twice, judge a file's session as a line's, or have what a session is
/// writing overtaken by a file.
#[test]
fn nothing_is_lost_or_doubled_by_files_beside_a_line() {
    let faults = Faults { cuts: true, crashes: true, files: true, ..Faults::default() };
    let mut carried = 0;
    for seed in 6_000..6_100 {
        let mut world = World::new(seed, 3, faults);
        world.live(1_500);
        world.settle();
        let found = world.judge();
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        carried += world.carried;
    }
    assert!(carried > 500, "too little is carried: {carried}");
}

/// Mutation: take entries of a file over a gap.
#[test]
fn a_hub_that_was_restored_gets_all_of_it_again_by_files_and_lines() {
    let faults =
        Faults { cuts: true, crashes: true, hub_restores: true, files: true, no_line: false };
    for seed in 7_000..7_060 {
        let mut world = World::new(seed, 3, faults);
        world.live(1_500);
        world.settle();
        let found = world.judge();
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
    }
}

/// Mutation: need a session for anything, or leave the mark where it was when the hub has nothing.
#[test]
fn files_alone_are_enough() {
    for hub_restores in [false, true] {
        for seed in 8_000..8_040 {
            let faults =
                Faults { cuts: false, crashes: true, hub_restores, files: true, no_line: true };
            let mut world = World::new(seed, 2, faults);
            world.live(1_500);
            world.settle_by_files();
            let found = world.judge();
            assert!(found.is_empty(), "seed {seed}: {found:#?}");
            let made: usize = world.sites.iter().map(|site| site.made.outcome.len()).sum();
            assert!(made > 100 && world.hub.count() > 100, "seed {seed}: too little happens");
        }
    }
}

/// Mutation: leave a mark where a hub was that was set back, or take a file of an earlier life of the hub.
#[test]
fn a_file_of_a_restored_hub_moves_the_mark_back_and_one_of_before_does_nothing() {
    let faults = Faults { hub_restores: true, files: true, no_line: true, ..Faults::default() };
    let mut world = World::new(11, 1, faults);
    world.outcome(0);
    world.settle_by_files();
    world.back_up_hub();
    world.outcome(0);
    world.settle_by_files();
    let before = world.hub.export(0);
    let mark = |world: &World| world.sites[0].kept().outboxes.outcome.mark.position;
    assert_eq!(mark(&world), 2);
    world.hub_restore();
    // It begins behind what the hub has now, and the site has what is between.
    let stick::Stick::Up(up, entries) = world.sites[0].export() else { unreachable!("of a site") };
    let gap = world.import_at_hub(0, &up, &entries, usize::MAX);
    assert_eq!(gap, Some(Err(NotCarried::Gap(Stream::Outcome))));
    let stick::Stick::Down(down, ..) = world.hub.export(0) else { unreachable!("of a hub") };
    assert!(world.sites[0].import(&down, None, &[]).expect("its hub"));
    assert_eq!(mark(&world), 1);
    let stick::Stick::Down(before, ..) = before else { unreachable!("of a hub") };
    let refused = world.sites[0].import(&before, None, &[]);
    assert!(matches!(refused, Err(NotTaken::Hub)), "{refused:?}");
    assert_eq!(mark(&world), 1);
    world.settle_by_files();
    assert_eq!(world.judge(), [""; 0]);
}

/// Mutation: have a file quarantine its site, take what is behind a fork, or be silent about it.
#[test]
fn a_file_of_a_copy_is_refused_and_shown_and_locks_nobody_out() {
    let mut world = World::new(10, 1, Faults::default());
    (0..3).for_each(|_| world.outcome(0));
    world.settle();
    let mut copy = Copied::of(&world);
    world.outcome(0);
    world.settle();
    copy.outcome();
    copy.outcome();
    let taken = world.hub.count();
    assert_eq!(copy.import(&mut world), Some(Err(NotCarried::Doubt(Suspicion::ChainDiffers))));
    assert_eq!(world.hub.count(), taken, "what is behind a fork is not taken");
    let doc = world.hub.doc(0);
    assert_eq!(doc.quarantine, None, "a file proves nothing");
    assert_eq!(doc.doubt.map(|doubt| doubt.suspicion), Some(Suspicion::ChainDiffers));
    // Who is there goes on, and that he does ends the doubt.
    world.outcome(0);
    world.reconnect(0);
    assert_eq!(world.judge(), [""; 0]);
}

/// A copy of the first site's disk, in another machine.
struct Copied(site::Site);

impl Copied {
    fn of(world: &World) -> Self {
        let site = &world.sites[0];
        let mut copy = site::Site::new(1, site.name.clone(), site.joined);
        copy.start(disk::copy(&site.store));
        // Not the runs of the one that it was copied from.
        copy.skip(1_000);
        Self(copy)
    }

    fn outcome(&mut self) {
        self.0.outcome();
    }

    fn import(&mut self, world: &mut World) -> Option<Result<u64, NotCarried>> {
        let stick::Stick::Up(up, entries) = self.0.export() else { unreachable!("from a site") };
        world.import_at_hub(0, &up, &entries, usize::MAX)
    }
}
