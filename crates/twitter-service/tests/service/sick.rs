//! A sick database: whatever is wrong with it, cached users are answered, others get 503 soon, no
//! reply is wrong, and all is well again as soon as the database is.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use service_kit::testing::{Answer, Fault, Proxy, Running, wait_until};

use crate::mysql::{Database, REPLY, TARGET};
use crate::server::Server;
use crate::{start, start_ready};

/// Users that nobody asked for before.
fn unknown(number: usize) -> String {
    let user_id = 900_000 + number;
    format!("/twitter?user_id={user_id}&type=both&phrase=a&hashtag=b")
}

/// The reply for a user without contacts.
const EMPTY: &str = "TEAMID,AWSACCOUNT";

/// A database behind a proxy, and a service that reads it.
struct Bench {
    service: Running,
    proxy: Proxy,
    database: Database,
}

impl Bench {
    /// `None` when there is no server. The cache's entries are past their age at once.
    fn start(name: &str, settings: &[(&str, &str)]) -> Option<Self> {
        let database = Database::load("TRIPOD_TEST_MYSQL_URL", name)?;
        let proxy = Proxy::start(upstream(&database));
        let common = [
            ("WORKERS", "1"),
            ("CACHE_TTL_MS", "0"),
            ("DATABASE_WAIT_MS", "200"),
        ];
        let service = start_ready(
            &through(&database, proxy.addr),
            &[&common, settings].concat(),
        );
        Some(Self {
            service,
            proxy,
            database,
        })
    }
}

/// Where the server listens.
pub(crate) fn upstream(database: &Database) -> SocketAddr {
    let host = database.server.rsplit_once('@').expect("a user").1;
    let host = host.trim_end_matches('/');
    host.parse().expect("the test server's address has a port")
}

/// The address of the database with another host in it.
pub(crate) fn through(database: &Database, addr: SocketAddr) -> String {
    let url = database.url();
    let (credentials, host) = url.rsplit_once('@').expect("a user");
    let (_, name) = host.split_once('/').expect("a name");
    format!("{credentials}@{addr}/{name}")
}

fn is_stale(answer: &Answer) -> bool {
    let status = answer.header("cache-status");
    status.is_some_and(|status| status.starts_with("tripod; hit; ttl=-"))
}

/// What the settings of [`Bench`] and the defaults promise before the database is known to be sick.
const LONGEST: Duration = Duration::from_millis(200 + 2_000 + 1_000);

/// What a probe waits, and the time between two of them.
const PROBE: Duration = Duration::from_millis(500);
const PROBE_PAUSE: Duration = Duration::from_millis(250);

/// By how much a reply may be late because the machine is busy.
const SLACK: Duration = Duration::from_secs(1);

/// How late the return of the database is noticed at most. `cargo xtask torture database` holds the
/// promise to its figure; the suite runs much beside it.
fn recovery() -> Duration {
    let is_torture = std::env::var_os("TRIPOD_TORTURE_DATABASE").is_some();
    Duration::from_secs(if is_torture { 1 } else { 2 })
}

/// The answer, and how long it took.
fn timed(service: &Running, target: &str) -> (Answer, Duration) {
    let started = Instant::now();
    let answer = service.get(target);
    (answer, started.elapsed())
}

/// What is promised while `fault` lasts and after it.
fn check(bench: &Bench, fault: &Fault, what: &str) {
    let Bench { service, proxy, .. } = bench;
    let sick = || service.metric("twitter_store_errors_total{kind=\"sick\"}");
    let sick_before = sick();
    let fresh = service.get(TARGET);
    assert_eq!(fresh.text(), REPLY, "{what}: before");
    assert!(!is_stale(&fresh), "{what}: before");
    proxy.set_and_cut(fault.clone());

    // The first ones find out. None takes longer than its deadlines, none is wrong.
    wait_until("the database is known to be sick", || {
        let (refused, took) = timed(service, &unknown(1));
        assert_eq!(refused.status, 503, "{what}");
        assert_eq!(refused.header("retry-after"), Some("1"), "{what}");
        assert!(took < LONGEST + SLACK, "{what}: {took:?}");
        // One who asks again after each time-out is always a probe; somebody else is in between.
        let cached = service.get(TARGET);
        assert_eq!(cached.text(), REPLY, "{what}");
        sick() > sick_before + 0.5
    });
    // From then on nobody waits but who is a probe; all others are refused or shown what is there.
    let started = Instant::now();
    let mut waited = Vec::new();
    for number in 0..100 {
        let (refused, took) = timed(service, &unknown(number));
        assert_eq!(refused.status, 503, "{what}");
        let (cached, shown) = timed(service, TARGET);
        assert_eq!((cached.status, cached.text().as_str()), (200, REPLY));
        assert!(is_stale(&cached), "{what}: {cached:?}");
        waited.extend(
            [took, shown]
                .into_iter()
                .filter(|took| *took > PROBE_PAUSE / 2),
        );
    }
    let took = started.elapsed();
    let probes = took.as_millis() / PROBE_PAUSE.as_millis() + 1;
    assert!(
        waited.len() as u128 <= probes,
        "{what}: {waited:?} of {took:?}"
    );
    let longest = waited.iter().max().copied().unwrap_or_default();
    assert!(longest < PROBE + SLACK, "{what}: {longest:?}");

    proxy.set(Fault::None);
    let healed = Instant::now();
    let mut number = 1000;
    wait_until("others are answered again", || {
        number += 1;
        let answer = service.get(&unknown(number));
        assert!(answer.status == 503 || answer.text() == EMPTY, "{what}");
        answer.status == 200
    });
    let recovered = healed.elapsed();
    eprintln!(
        "{what}: 200 replies in {took:?}, {} over 125 ms, at most {longest:?}; recovered after {recovered:?}",
        waited.len()
    );
    assert!(recovered < recovery(), "{what}: {recovered:?}");
    wait_until("cached users are fresh again", || {
        let answer = service.get(TARGET);
        assert_eq!(answer.text(), REPLY, "{what}: after");
        !is_stale(&answer)
    });
}

#[test]
fn a_database_that_refuses_resets_hangs_or_crawls_costs_no_cached_user() {
    let Some(bench) = Bench::start("sick", &[]) else {
        return;
    };
    let full = b"\x17\0\0\0\xff\x10\x04Too many connections".to_vec();
    for (fault, what) in [
        (Fault::Refuse, "refused"),
        (Fault::Reset, "reset"),
        (Fault::BlackHole, "black hole"),
        (Fault::Lose, "lost"),
        (Fault::Delay(Duration::from_secs(5)), "5 s late"),
        (Fault::CutAfter(0), "closed without a word"),
        (Fault::CutAfter(30), "cut in the greeting"),
        (Fault::Say(full), "too many connections"),
        (Fault::Say(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), "nonsense"),
    ] {
        check(&bench, &fault, what);
    }
    assert_eq!(bench.service.admin("/readyz").status, 200);
}

#[test]
fn connections_that_hang_do_not_hide_that_the_database_is_back_however_few_there_are() {
    for connections in ["1", "2"] {
        let settings = [("DATABASE_CONNECTIONS", connections)];
        let Some(bench) = Bench::start(&format!("few_{connections}"), &settings) else {
            return;
        };
        for round in 0..3 {
            check(
                &bench,
                &Fault::Lose,
                &format!("lost, {connections} connections, {round}"),
            );
        }
    }
}

#[test]
fn a_reply_that_is_cut_anywhere_is_whole_or_503() {
    let Some(bench) = Bench::start("cut", &[("CACHE_MB", "0")]) else {
        return;
    };
    let Bench { service, proxy, .. } = &bench;
    let (mut whole, mut refused) = (0, 0);
    for limit in (0..3_000).step_by(19) {
        proxy.set_and_cut(Fault::CutAfter(limit));
        let answer = service.get(TARGET);
        match answer.status {
            200 => {
                assert_eq!(answer.text(), REPLY, "cut after {limit}");
                whole += 1;
            }
            503 => refused += 1,
            other => panic!("{other} when cut after {limit}"),
        }
        proxy.set_and_cut(Fault::None);
        wait_until("it is answered again", || {
            let answer = service.get(TARGET);
            assert!(answer.status == 503 || answer.text() == REPLY);
            answer.status == 200
        });
    }
    assert!(whole > 10 && refused > 10, "{whole} whole, {refused} cut");
}

#[test]
fn no_reply_is_wrong_over_a_bad_network() {
    let Some(bench) = Bench::start("flaky", &[("CACHE_MB", "0")]) else {
        return;
    };
    let Bench { service, proxy, .. } = &bench;
    let mut refused = 0;
    for seed in 0..10 {
        proxy.set_and_cut(Fault::Flaky {
            seed,
            late: Duration::from_millis(3),
            resets: 2,
        });
        let mut right = 0;
        wait_until("some are answered over a bad network", || {
            let answer = service.get(TARGET);
            match answer.status {
                200 => {
                    assert_eq!(answer.text(), REPLY, "seed {seed}");
                    right += 1;
                }
                503 => refused += 1,
                other => panic!("{other} with seed {seed}"),
            }
            right == 5
        });
    }
    eprintln!("a bad network: 50 right, {refused} refused");
    proxy.set_and_cut(Fault::None);
    wait_until("it is answered again", || {
        let answer = service.get(TARGET);
        assert!(answer.status == 503 || answer.text() == REPLY);
        answer.status == 200
    });
}

#[test]
fn a_restart_costs_nobody_who_asks_after_it() {
    let Some(bench) = Bench::start("restart", &[("CACHE_MB", "0")]) else {
        return;
    };
    for round in 0..20 {
        // Connections idle in the pool, broken by the restart.
        assert_eq!(bench.service.get(TARGET).text(), REPLY, "round {round}");
        bench.proxy.set_and_cut(Fault::None);
    }
}

#[test]
fn a_query_that_waits_for_a_lock_is_given_up_and_the_pool_recovers() {
    let settings = [
        ("DATABASE_QUERY_MS", "200"),
        ("DATABASE_CONNECTIONS", "2"),
        ("CACHE_MB", "0"),
    ];
    let Some(bench) = Bench::start("lock", &settings) else {
        return;
    };
    let Bench {
        service, database, ..
    } = &bench;
    assert_eq!(service.get(TARGET).text(), REPLY);
    let name = &database.name;
    // Connections are opened at once, queries wait.
    let slow = format!("LOCK TABLES {name}.user_pack WRITE; DO SLEEP(3); UNLOCK TABLES");
    std::thread::scope(|scope| {
        let locked = scope.spawn(|| database.run(&slow));
        let (mut refused, mut longest) = (0, Duration::ZERO);
        while !locked.is_finished() {
            let asked = Instant::now();
            let answer = service.get(TARGET);
            longest = longest.max(asked.elapsed());
            match answer.status {
                200 => assert_eq!(answer.text(), REPLY),
                503 => refused += 1,
                other => panic!("{other}"),
            }
        }
        assert!(refused > 1, "{refused} refused in 3 s");
        eprintln!("a lock: {refused} refused in 3 s, the slowest after {longest:?}");
        assert!(longest < Duration::from_millis(200) + SLACK, "{longest:?}");
    });
    let unlocked = Instant::now();
    wait_until("it is answered again", || {
        service.get(TARGET).text() == REPLY
    });
    let took = unlocked.elapsed();
    eprintln!("a lock: answered {took:?} after its end");
    assert!(took < recovery(), "{took:?}");
}

#[test]
fn a_sick_database_is_not_stampeded() {
    let settings = [("DATABASE_CONNECTIONS", "4"), ("WORKERS", "2")];
    let Some(bench) = Bench::start("stampede", &settings) else {
        return;
    };
    let Bench { service, proxy, .. } = &bench;
    proxy.set_and_cut(Fault::Reset);
    let (before, started) = (proxy.accepted(), Instant::now());
    let mut opened = 0;
    let answered = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|client| {
                scope.spawn(move || {
                    let mut connection = service.connect();
                    let mut number = client * 100_000;
                    // Until the database is back.
                    loop {
                        number += 1;
                        if connection.get(&unknown(number)).status == 200 {
                            return number - client * 100_000;
                        }
                    }
                })
            })
            .collect();
        wait_until("it goes on for some time", || {
            started.elapsed() > Duration::from_secs(2)
        });
        let (tried, took) = (proxy.accepted() - before, started.elapsed());
        // Both workers and the one that watches the table probe some times a second, and found out
        // with two failures each, some of them on both tries.
        let allowed = 12.0 * took.as_secs_f64() + 20.0;
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let tried_as_float = tried as f64;
        assert!(tried_as_float < allowed, "{tried} tries in {took:?}");
        let before = proxy.accepted();
        proxy.set(Fault::None);
        let answered = clients
            .into_iter()
            .map(|client| client.join().expect("a client that is answered"))
            .sum::<usize>();
        opened = proxy.accepted() - before;
        answered
    });
    // The pool's four and the watcher's, and probes that were on their way in this moment.
    assert!(opened <= 12, "{opened} connections");
    assert!(answered > 100, "{answered} replies");
}

#[test]
fn a_user_with_fewer_connections_than_the_pool_loses_no_request() {
    let Some(database) = Database::load("TRIPOD_TEST_MYSQL_URL", "few") else {
        return;
    };
    // The watcher takes one of the two.
    let login = database.login("few", "few", "WITH MAX_USER_CONNECTIONS 2");
    let url = login.url(upstream(&database), Some("few"));
    let settings = [
        ("CACHE_MB", "0"),
        ("WORKERS", "1"),
        ("DATABASE_CONNECTIONS", "8"),
    ];
    let service = start_ready(&url, &settings);
    assert_eq!(service.get(TARGET).text(), REPLY);
    let refused: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = service.connect();
                    let replies = (0..100).map(|_| connection.get(TARGET));
                    replies
                        .filter(|reply| {
                            assert!(reply.status == 503 || reply.text() == REPLY);
                            reply.status == 503
                        })
                        .count()
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("right replies"))
            .sum()
    });
    eprintln!("few connections: {refused} of 1600 refused");
    // While the one connection serves, those that are refused give their look-ups to it.
    assert!(refused < 160, "{refused} of 1600 refused");
}

#[test]
fn a_password_that_was_rotated_is_taken_up() {
    let Some(database) = Database::load("TRIPOD_TEST_MYSQL_URL", "rotate") else {
        return;
    };
    let login = database.login("rotate", "first", "");
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("rotated");
    std::fs::write(&file, "first\n").expect("a file");
    let proxy = Proxy::start(upstream(&database));
    let url = login.url(proxy.addr, None);
    let settings = [
        ("DATABASE_PASSWORD_FILE", file.to_str().expect("a path")),
        ("WORKERS", "1"),
        ("CACHE_TTL_MS", "0"),
    ];
    let service = start_ready(&url, &settings);
    assert_eq!(service.get(TARGET).text(), REPLY);
    login.rotate("second");
    assert_eq!(service.get(TARGET).text(), REPLY, "open connections go on");
    proxy.set_and_cut(Fault::None);
    wait_until("new ones are refused", || {
        let cached = service.get(TARGET);
        assert_eq!(cached.text(), REPLY);
        is_stale(&cached) && service.get(&unknown(1)).status == 503
    });
    std::fs::write(&file, "second\n").expect("a file");
    let well = wait_well(&service, 2000);
    eprintln!("a rotated password: others are answered {well:?} after the file");
    let log = service.log().join("\n");
    assert!(!log.contains("first") && !log.contains("second"), "{log}");
}

/// Asks until all is as before the server went: a user whom nobody asked for, and the cached one. How
/// long the first took, within [`recovery`].
fn wait_well(service: &Running, number: usize) -> Duration {
    let back = Instant::now();
    let mut number = number;
    let mut well = Duration::ZERO;
    wait_until("all is well again", || {
        number += 1;
        let other = service.get(&unknown(number));
        assert!(other.status == 503 || other.text() == EMPTY, "{other:?}");
        if other.status == 200 && well == Duration::ZERO {
            well = back.elapsed();
        }
        let cached = service.get(TARGET);
        assert_eq!(cached.text(), REPLY);
        other.status == 200 && !is_stale(&cached)
    });
    assert!(well < recovery(), "{well:?}");
    well
}

#[test]
fn a_real_server_that_restarts_turns_read_only_and_rotates_its_password_costs_no_cached_user() {
    let Some(mut server) = Server::start("restarts") else {
        return;
    };
    let database = Database::create(server.url(), "real", None);
    let login = database.login("real", "first", "");
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("restarts-password");
    std::fs::write(&file, "first\n").expect("a file");
    let settings = [
        ("DATABASE_PASSWORD_FILE", file.to_str().expect("a path")),
        ("WORKERS", "1"),
        ("CACHE_TTL_MS", "0"),
        ("DATABASE_WAIT_MS", "200"),
    ];
    let service = start_ready(&login.url(server.addr(), None), &settings);
    assert_eq!(service.get(TARGET).text(), REPLY);

    // Read-only, as a replica or a server whose disk is full: nothing that the service does writes.
    database.run("SET GLOBAL read_only = 1");
    for number in 0..20 {
        assert_eq!(service.get(&unknown(number)).text(), EMPTY, "read-only");
        let fresh = service.get(TARGET);
        assert!(fresh.text() == REPLY && !is_stale(&fresh), "read-only");
    }
    database.run("SET GLOBAL read_only = 0");

    for round in 0..2 {
        server.stop();
        wait_until("the server is known to be away", || {
            let cached = service.get(TARGET);
            assert_eq!((cached.status, cached.text().as_str()), (200, REPLY));
            let other = service.get(&unknown(1000));
            assert_eq!(other.status, 503, "{other:?}");
            assert_eq!(other.header("retry-after"), Some("1"));
            is_stale(&cached)
        });
        server.run("");
        let well = wait_well(&service, 2000 + 1000 * round);
        eprintln!("restart {round}: others are answered {well:?} after the greeting");
    }

    // While it is away its password is rotated, and the service's file comes late.
    server.stop();
    server.run(&login.rotation("second"));
    for number in 5000..5020 {
        assert_eq!(
            service.get(&unknown(number)).status,
            503,
            "a wrong password"
        );
        assert_eq!(service.get(TARGET).text(), REPLY, "a wrong password");
    }
    wait_until("the refusal is told", || {
        let errors = service.metric("twitter_store_errors_total{kind=\"sick\"}");
        errors > 0.5 && is_stale(&service.get(TARGET))
    });
    std::fs::write(&file, "second\n").expect("a file");
    let well = wait_well(&service, 6000);
    eprintln!("rotation: others are answered {well:?} after the file");
    let log = service.log().join("\n");
    assert!(!log.contains("first") && !log.contains("second"), "{log}");
}

#[test]
fn a_table_that_goes_and_comes_back_is_followed() {
    let Some(bench) = Bench::start("gone", &[]) else {
        return;
    };
    let Bench {
        service, database, ..
    } = &bench;
    assert_eq!(service.get(TARGET).text(), REPLY);
    let name = &database.name;
    database.run(&format!("RENAME TABLE {name}.user_pack TO {name}.away"));
    let refused = service.get(&unknown(1));
    assert_eq!(refused.status, 503);
    let cached = service.get(TARGET);
    assert_eq!(cached.text(), REPLY);
    assert!(is_stale(&cached));
    database.run(&format!("RENAME TABLE {name}.away TO {name}.user_pack"));
    let well = wait_well(service, 2000);
    eprintln!("a table that was away: others are answered {well:?} after its return");
}

#[test]
fn without_stale_entries_a_sick_database_is_503_for_all() {
    let Some(bench) = Bench::start("strict", &[("CACHE_STALE_MS", "0")]) else {
        return;
    };
    assert_eq!(bench.service.get(TARGET).text(), REPLY);
    bench.proxy.set_and_cut(Fault::Reset);
    assert_eq!(bench.service.get(TARGET).status, 503);
}

#[test]
fn the_second_host_of_a_list_is_asked_while_the_first_is_away() {
    let Some(database) = Database::load("TRIPOD_TEST_MYSQL_URL", "hosts") else {
        return;
    };
    let (reader, writer) = (
        Proxy::start(upstream(&database)),
        Proxy::start(upstream(&database)),
    );
    let list = format!("{},{}", reader.addr, writer.addr);
    let url = through(&database, reader.addr).replace(&reader.addr.to_string(), &list);
    let settings = [("CACHE_MB", "0"), ("WORKERS", "1")];
    let service = start(&url, &settings);
    service.wait_ready();
    assert_eq!(service.get(TARGET).text(), REPLY);
    assert_eq!(writer.accepted(), 0, "the first is preferred");
    reader.set_and_cut(Fault::Refuse);
    // Idle connections broke and the first host refuses: the same request is answered by the second.
    assert_eq!(service.get(TARGET).text(), REPLY);
    assert!(writer.accepted() > 0);
    reader.set(Fault::None);
    writer.set_and_cut(Fault::Refuse);
    assert_eq!(service.get(TARGET).text(), REPLY, "the last host is tried");
}
