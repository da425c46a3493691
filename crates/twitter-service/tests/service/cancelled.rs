//! Look-ups that are given up half-way, by clients that hang up or by a deadline: what is left of their
//! replies must never reach anybody else. Each reply tells whose it is, as everybody asks about users of
//! their own.
//!
//! A client that has hung up is found out when its reply is sent, as it might only have finished
//! sending; its look-up comes to its end. A caller's own deadline drops it.

use std::time::Duration;

use service_kit::testing::{Connection, Fault, Proxy, Running, wait_until};

use crate::contacts::targets;
use crate::mysql::Database;
use crate::sick::{through, upstream};
use crate::start_ready;
use crate::table::data;

/// Requests that look a user up, with their replies. Those next to each other are about different users,
/// or ask differently.
fn known() -> Vec<(String, String)> {
    let all = targets(&data("tiny_requests.jsonl"), "tiny");
    let is_looked_up = |(_, reply): &(String, String)| !reply.ends_with("INVALID");
    let known: Vec<_> = all.into_iter().filter(is_looked_up).collect();
    assert!(known.len() > 50, "{}", known.len());
    known
}

/// Of a client that waits so long, or for ever.
fn request(target: &str, millis: Option<usize>) -> String {
    let deadline = millis.map_or(String::new(), |millis| {
        format!("X-Request-Timeout-Ms: {millis}\r\n")
    });
    format!("GET {target} HTTP/1.1\r\nHost: test\r\n{deadline}\r\n")
}

/// A database behind a proxy, and a service that keeps nothing.
fn bench(name: &str, settings: &[(&str, &str)]) -> Option<(Running, Proxy, Database)> {
    let database = Database::load("TRIPOD_TEST_MYSQL_URL", name)?;
    let proxy = Proxy::start(upstream(&database));
    let common = [
        ("CACHE_MB", "0"),
        ("WORKERS", "1"),
        ("DATABASE_CONNECTIONS", "2"),
    ];
    let url = through(&database, proxy.addr);
    let service = start_ready(&url, &[&common, settings].concat());
    Some((service, proxy, database))
}

#[test]
fn clients_that_hang_up_never_disturb_others() {
    const ROUNDS: usize = 500;
    const HASTY: usize = 20;
    let Some((service, proxy, _database)) = bench("cancel", &[]) else {
        return;
    };
    // Longer than the hasty ones wait, on any machine.
    proxy.set(Fault::Delay(Duration::from_millis(4)));
    let known = known();
    let mut patient = service.connect();
    // 10,000 clients: some wait for some milliseconds, some crash, some hang up politely.
    let mut given_up = 0;
    for round in 0..ROUNDS {
        let mut hasty: Vec<(Connection, usize)> = (0..HASTY)
            .map(|number| {
                let mut connection = service.connect();
                let place = (HASTY * round + number) % known.len();
                let millis = (number % 4 > 0).then_some(number % 4);
                connection.send(request(&known[place].0, millis).as_bytes());
                (connection, place)
            })
            .collect();
        let (target, reply) = &known[(HASTY * round + HASTY / 2) % known.len()];
        patient.send(request(target, None).as_bytes());
        std::thread::park_timeout(Duration::from_millis(round as u64 % 4));
        let stay = hasty.split_off(HASTY / 2);
        for (number, (connection, _)) in hasty.into_iter().enumerate() {
            if number % 5 > 0 {
                connection.reset();
            }
        }
        for (mut connection, place) in stay {
            let answer = connection.reply().expect("a whole reply");
            let is_right = answer.status == 200 && answer.text() == known[place].1;
            assert!(
                is_right || answer.status == 503,
                "round {round}: {answer:?}"
            );
            given_up += usize::from(answer.status == 503);
        }
        let answer = patient.reply().expect("a whole reply");
        assert_eq!(answer.text(), *reply, "round {round}: {target}");
    }
    let dropped = service.metric("twitter_requests_total{outcome=\"deadline\"}");
    let asked = service.metric("twitter_store_wait_seconds_count");
    eprintln!(
        "given up: {dropped} look-ups dropped, {given_up} of them told so; {asked} asked for"
    );
    // The rest hung up before the service came to read them.
    assert!(dropped > 300.0 && given_up > 100, "{dropped} dropped");
    assert!(asked > 1_000.0, "{asked} asked for");
    wait_until("no request is left behind", || {
        service.metric("twitter_requests_in_flight") < 0.5
            && service.metric("twitter_connections") < 1.5
    });
}

#[test]
fn queries_that_are_cut_by_their_deadline_never_disturb_others() {
    const RIGHT: usize = 60;
    let settings = [("DATABASE_QUERY_MS", "60")];
    let Some((service, proxy, _database)) = bench("cut_late", &settings) else {
        return;
    };
    let known = known();
    // Replies come in pieces of a few bytes, some of them late: the deadline passes anywhere in them.
    proxy.set_and_cut(Fault::Flaky {
        seed: 7,
        late: Duration::from_millis(20),
        resets: 0,
    });
    let late = || service.metric("twitter_store_errors_total{kind=\"timeout\"}");
    let mut connection = service.connect();
    let (mut number, mut right, mut refused) = (0, 0, 0);
    wait_until("queries are cut and answered", || {
        let (target, reply) = &known[number % known.len()];
        number += 1;
        let answer = connection.get(target);
        match answer.status {
            200 => {
                assert_eq!(answer.text(), *reply, "{target}");
                right += 1;
            }
            503 => refused += 1,
            other => panic!("{other}"),
        }
        right >= RIGHT && late() > 10.0
    });
    eprintln!(
        "cut by the deadline: {right} right, {refused} refused, {} late",
        late()
    );
    // And all is well on the connections that are left.
    proxy.set(Fault::None);
    for (target, reply) in &known {
        wait_until("it is answered again", || {
            let answer = connection.get(target);
            assert!(answer.status == 503 || answer.text() == *reply, "{target}");
            answer.status == 200
        });
    }
}
