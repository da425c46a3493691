use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::*;

#[derive(Debug, Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn turnstile() -> (Metrics, Turnstile) {
    let metrics = Metrics::new("test", 1);
    let turnstile = Turnstile::new(&PauseMetrics::new(&metrics), 0);
    (metrics, turnstile)
}

/// Has so many connections wait, one a millisecond.
fn waiting(turnstile: &Turnstile, count: u32, now: Instant) -> Vec<Rc<Seat>> {
    let context = Context::from_waker(Waker::noop());
    let seats = (0..count).map(|number| {
        let seat = Rc::new(Seat::default());
        turnstile.wait(&seat, &context, now + Duration::from_millis(1) * number);
        seat
    });
    seats.collect()
}

fn called(seats: &[Rc<Seat>]) -> Vec<usize> {
    let stages = seats.iter().enumerate();
    let called = stages.filter(|(_, seat)| seat.stage.get() == Stage::Called);
    called.map(|(place, _)| place).collect()
}

#[test]
fn who_waits_longest_is_called_first_but_for_those_who_wait_too_long() {
    let now = Instant::now();
    // One came each millisecond.
    for (later, expected) in [
        (100, vec![0, 1, 2, 3, 4, 5, 6, 7]),
        (520, vec![0, 20, 21, 22, 23, 24, 25, 26]),
        (1000, vec![0, 1, 2, 3, 4, 5, 6, 7]),
    ] {
        let (_, turnstile) = turnstile();
        turnstile.shut();
        turnstile.turn.set(8);
        let seats = waiting(&turnstile, 50, now);
        let later = now + Duration::from_millis(later);
        assert_eq!(turnstile.next_turn(TURN, later), 8);
        assert_eq!(called(&seats), expected);
    }
}

#[test]
fn turns_grow_and_shrink_with_the_time_they_take() {
    let now = Instant::now();
    let (_, turnstile) = turnstile();
    turnstile.shut();
    let _seats = waiting(&turnstile, 200, now);
    assert_eq!(turnstile.next_turn(Duration::ZERO, now), 64);
    assert_eq!(turnstile.next_turn(TURN * 2, now), 32);
    for _ in 0..20 {
        turnstile.next_turn(TURN * 2, now);
    }
    let _more = waiting(&turnstile, 10, now);
    assert_eq!(turnstile.next_turn(TURN * 2, now), 8, "never none");
}

#[test]
fn whoever_left_is_not_waited_for() {
    let now = Instant::now();
    let (metrics, turnstile) = turnstile();
    turnstile.shut();
    let seats = waiting(&turnstile, 3000, now);
    for seat in &seats[1..] {
        turnstile.leave(seat);
    }
    let text = String::from_utf8(metrics.render()).unwrap();
    assert!(text.contains("test_reads_paused 1\n"), "{text}");
    let _more = waiting(&turnstile, 1, now);
    let queues = turnstile.queues.take();
    assert_eq!(queues.usual.len(), 2, "nothing piles up");
    turnstile.queues.replace(queues);
    turnstile.open_for_good();
    assert_eq!(called(&seats), [0]);
    turnstile.shut();
    assert!(!turnstile.is_shut(), "over");
}

#[test]
fn there_is_no_room_while_it_is_shut_but_for_one_for_so_many_calls() {
    let now = Instant::now();
    let (_, turnstile) = turnstile();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let context = Context::from_waker(&waker);
    assert!(turnstile.poll_room(&context).is_ready());
    turnstile.shut();
    assert!(turnstile.poll_room(&context).is_pending());
    let _seats = waiting(&turnstile, 100, now);
    turnstile.turn.set(CALLS_FOR_ACCEPT);
    turnstile.next_turn(TURN, now);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(turnstile.poll_room(&context).is_ready());
    // To find that somebody has gone takes up less.
    turnstile.gone();
    assert!(turnstile.poll_room(&context).is_pending());
    turnstile.next_turn(TURN, now);
    assert!(turnstile.poll_room(&context).is_ready());
    turnstile.admitted();
    assert!(turnstile.poll_room(&context).is_pending());
    turnstile.open(now);
    assert_eq!(woken.0.load(Ordering::Relaxed), 3);
    assert!(turnstile.poll_room(&context).is_ready());
}

#[test]
fn it_is_wary_for_a_while_after_it_was_shut_for_long() {
    let now = Instant::now();
    let (_, turnstile) = turnstile();
    turnstile.shut();
    turnstile.next_turn(TURN, now);
    turnstile.open(now);
    assert!(turnstile.is_open(), "shut for a moment only");
    turnstile.shut();
    turnstile.next_turn(TURN, now);
    let later = now + 2 * TOO_LONG;
    turnstile.next_turn(TURN, later);
    turnstile.open(later);
    assert!(!turnstile.is_open() && !turnstile.is_shut() && turnstile.is_standing());
    // What comes in that time goes on where it was left.
    turnstile.shut();
    turnstile.next_turn(TURN, later);
    assert!(turnstile.is_standing());
    turnstile.open(later);
    turnstile.calm(later + WARY / 2);
    assert!(!turnstile.is_open());
    turnstile.calm(later + WARY);
    assert!(turnstile.is_open() && !turnstile.is_standing());
}

#[tokio::test]
async fn a_socket_without_bytes_is_no_trouble_and_one_with_bytes_waits() {
    let (_, turnstile) = turnstile();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let seat = Rc::new(Seat::default());
    turnstile.shut();
    let mut context = Context::from_waker(Waker::noop());
    // Of one that was just accepted the runtime supposes that there is something.
    assert!(stream.try_read(&mut [0]).is_err());
    assert!(
        turnstile
            .poll_turn(&seat, &stream, &mut context)
            .is_pending()
    );
    assert!(!seat.is_waiting());
    client.write_all(b"GET").await.unwrap();
    stream.readable().await.unwrap();
    assert!(
        turnstile
            .poll_turn(&seat, &stream, &mut context)
            .is_pending()
    );
    assert!(seat.is_waiting());
    client.shutdown().await.unwrap();
    let closed = async {
        loop {
            if stream
                .ready(Interest::READABLE)
                .await
                .unwrap()
                .is_read_closed()
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), closed)
        .await
        .unwrap();
    // In a queue that goes away, who has said all it will say gets its reply.
    turnstile.next_turn(TURN, Instant::now());
    let turn = turnstile.poll_turn(&seat, &stream, &mut context);
    assert!(matches!(turn, Poll::Ready(Ok(Turn::Read))));
    assert!(
        turnstile
            .poll_turn(&seat, &stream, &mut context)
            .is_pending()
    );
    // In one that has stood for long it is taken for gone: where it waits, when it is called, and for a
    // while after that.
    turnstile.is_standing.set(true);
    let turn = turnstile.poll_turn(&seat, &stream, &mut context);
    assert!(matches!(turn, Poll::Ready(Ok(Turn::HungUp))));
    turnstile.next_turn(TURN, Instant::now());
    seat.stage.set(Stage::Called);
    turnstile.is_standing.set(true);
    let turn = turnstile.poll_turn(&seat, &stream, &mut context);
    assert!(matches!(turn, Poll::Ready(Ok(Turn::HungUp))));
    turnstile.open(Instant::now());
    let turn = turnstile.poll_turn(&seat, &stream, &mut context);
    assert!(matches!(turn, Poll::Ready(Ok(Turn::HungUp))));
    turnstile.calm(Instant::now() + WARY);
    let turn = turnstile.poll_turn(&seat, &stream, &mut context);
    assert!(matches!(turn, Poll::Ready(Ok(Turn::Read))));
}
