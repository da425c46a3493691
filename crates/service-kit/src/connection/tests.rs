use std::pin::pin;
use std::task::{Context, Waker};

use super::*;

#[test]
fn makes_room_at_the_cost_of_those_that_idled_longest() {
    let connections = Connections::default();
    let (_, busy) = connections.enter();
    busy.begin(Instant::now());
    let idlers: Vec<_> = (0..20).map(|_| connections.enter().1).collect();
    assert_eq!(connections.evict(Duration::from_mins(1)), 0);
    assert_eq!(connections.evict(Duration::ZERO), 2, "an eighth of 21");
    busy.replied();
    busy.flushed();
    drop(idlers);
    assert_eq!(connections.count(), 21);
    for number in 0..20 {
        connections.leave(number);
    }
    assert_eq!(connections.evict(Duration::ZERO), 1, "one at least");
}

#[test]
fn others_go_first_now_and_then_when_many_requests_come_at_once() {
    let (_, one) = Connections::default().enter();
    let come = || {
        one.is_reading.set(true);
        one.begin(Instant::now());
        one.is_long_burst()
    };
    let come_with_it = || {
        one.begin(Instant::now());
        one.is_long_burst()
    };
    assert!(!come());
    assert_eq!((0..40).filter(|_| come_with_it()).count(), 4);
    assert!(!come());
    assert!((0..7).all(|_| !come_with_it()), "most send fewer");
    assert!((0..40).all(|_| !come()), "one after the other");
}

#[test]
fn large_heads_make_room_when_there_are_too_many_the_oldest_half_ones_first() {
    let connections = Connections::default();
    let limit = 24 << 20;
    let large = |room: usize| {
        let (_, one) = connections.enter();
        one.grew(room);
        one
    };
    let busy = large(limit / 16);
    busy.begin(Instant::now());
    let idle = large(limit / 16);
    let half: Vec<_> = (0..6).map(|_| large(limit / 16)).collect();
    for one in &half {
        one.is_reading.set(true);
    }
    let (_, small) = connections.enter();
    small.is_reading.set(true);
    assert_eq!(connections.relieve(), 0, "just what may be");
    half[0].last.set(Instant::now());
    half[5].grew(limit / 16 + 1);
    assert_eq!(connections.relieve(), 2);
    assert!(half[1].is_due() && half[2].is_due());
    assert_eq!(connections.relieve(), 0, "they are on their way out");
    for one in &half[1..] {
        one.begin(Instant::now());
    }
    assert_eq!(connections.relieve(), 2);
    assert!(half[0].is_due() && idle.is_due(), "work is not cut");
    assert!(!small.is_due() && !busy.is_due());
}

#[test]
fn replies_that_wait_make_room_when_there_are_too_many_the_oldest_first() {
    let connections = Connections::default();
    let limit = 16 << 20;
    let waiting = |unsent: usize| {
        let (_, one) = connections.enter();
        one.begin(Instant::now());
        one.replied();
        one.left(unsent);
        one
    };
    let all: Vec<_> = (0..8).map(|_| waiting(limit / 8)).collect();
    assert_eq!(connections.relieve(), 0, "just what may be");
    assert!(!connections.has_room_for(1));
    all[0].left(limit / 16);
    assert!(connections.has_room_for(limit / 16));
    // As long as there is no more, only those make room that have waited for long.
    assert_eq!(connections.relieve_replies(Duration::ZERO), 4);
    assert!(all[..4].iter().all(|one| one.is_due()));
    assert_eq!(connections.relieve_replies(Duration::ZERO), 0);
    for one in &all[..4] {
        one.left(0);
        one.flushed();
        assert!(!one.is_due());
    }
    all[5].begin(Instant::now());
    all[7].left(limit * 5 / 8 + 1);
    assert_eq!(connections.relieve(), 2);
    assert!(all[4].is_due() && all[6].is_due());
    assert!(!all[7].is_due(), "no more than needed");
    drop(all);
    assert!(!connections.has_room_for(limit));
    for number in 0..8 {
        connections.leave(number);
    }
    assert!(connections.has_room_for(limit));
}

#[test]
fn replies_that_wait_too_long_are_given_up_unless_all_went_out_in_between() {
    let connections = Connections::default();
    let (_, one) = connections.enter();
    let long = Duration::from_mins(1);
    one.begin(Instant::now());
    assert_eq!(connections.sweep(Duration::ZERO), 0, "work is not cut");
    assert_eq!(connections.sweep(Duration::ZERO), 0);
    one.replied();
    assert_eq!(connections.sweep(Duration::ZERO), 0, "seen first");
    assert_eq!(connections.sweep(long), 0);
    assert_eq!(connections.sweep(Duration::ZERO), 1);
    // Pipelined requests are answered into a socket that is never empty.
    one.begin(Instant::now());
    one.replied();
    assert_eq!(connections.sweep(Duration::ZERO), 1);
    one.flushed();
    one.begin(Instant::now());
    one.replied();
    assert_eq!(connections.sweep(Duration::ZERO), 0, "a new wait");
    one.flushed();
    assert_eq!(connections.sweep(Duration::ZERO), 0, "it idles");
}

#[test]
fn who_was_told_to_make_room_and_has_begun_a_request_since_is_not_cut() {
    let connections = Connections::default();
    let (_, one) = connections.enter();
    let mut evicted = pin!(one.evicted());
    let mut is_cut = || {
        let mut context = Context::from_waker(Waker::noop());
        evicted.as_mut().poll(&mut context).is_ready()
    };
    let work = || {
        one.begin(Instant::now());
        one.replied();
    };
    assert!(!is_cut());
    assert_eq!(connections.evict(Duration::ZERO), 1);
    one.begin(Instant::now());
    assert!(!is_cut(), "a request is in hand");
    assert_eq!(connections.evict(Duration::ZERO), 0);
    one.replied();
    one.flushed();
    assert_eq!(connections.evict(Duration::ZERO), 1);
    work();
    one.flushed();
    assert!(!is_cut(), "it has answered one since");
    // The same of replies that went out after all.
    work();
    connections.sweep(Duration::ZERO);
    assert_eq!(connections.sweep(Duration::ZERO), 1);
    one.flushed();
    work();
    assert!(!is_cut());
    one.flushed();
    assert_eq!(connections.evict(Duration::ZERO), 1);
    assert!(is_cut());
}

#[tokio::test(start_paused = true)]
async fn half_a_head_is_not_waited_for_but_a_reply_is() {
    let activity = Activity::new(Rc::default());
    let started = tokio::time::Instant::now();
    activity.abandoned().await;
    assert_eq!(started.elapsed(), HALF_HEAD);
    for stage in [Activity::replied, |one: &Activity| {
        one.begin(Instant::now());
    }] {
        stage(&activity);
        let minute = Duration::from_mins(1);
        let abandoned = tokio::time::timeout(minute, activity.abandoned());
        assert!(abandoned.await.is_err());
    }
}
