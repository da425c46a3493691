//! MySQL and MariaDB, on a server that the environment names:
//!
//! * `TRIPOD_TEST_MYSQL_URL`: a server without TLS, up to the slash before the database's name;
//! * `TRIPOD_TEST_MYSQL_TLS_URL` with `TRIPOD_TEST_MYSQL_CA`: a user who must use TLS.
//!
//! `cargo xtask test` starts such servers. Without them a test says that it is skipped, and fails
//! with `CI=true`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use database_address::Address;
use etl::load::Mode;
use service_kit::testing::wait_until;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

use crate::contacts::check;
use crate::table::{block_on, data, fewer, load, load_as};
use crate::{start, start_ready};

pub(crate) const TARGET: &str = "/twitter?user_id=25513&type=retweet&phrase=hello%20cc&hashtag=cmu";
pub(crate) const REPLY: &str =
    "TEAMID,AWSACCOUNT\n25213\tn25213\td25213\tcomputing\n25640\tn25640\td25640\thello cc!!";

/// A database of its own, filled with the hand-made tweets and dropped at the end.
pub(crate) struct Database {
    pub(crate) server: String,
    pub(crate) name: String,
    ca: Option<PathBuf>,
}

impl Database {
    /// `None` when no server is named.
    pub(crate) fn load(variable: &str, name: &str) -> Option<Self> {
        if !is_announced(variable) {
            return None;
        }
        let server = std::env::var(variable).expect("it is set");
        let ca = std::env::var_os("TRIPOD_TEST_MYSQL_CA").filter(|_| variable.contains("TLS"));
        Some(Self::create(server, name, ca.map(PathBuf::from)))
    }

    /// On this server.
    pub(crate) fn create(server: String, name: &str, ca: Option<PathBuf>) -> Self {
        let name = format!("tripod_service_{name}_{}", std::process::id());
        let database = Self { server, name, ca };
        database.run(&format!("CREATE DATABASE {}", database.name));
        let popular = data("tiny_popular_hashtags.txt");
        load(&database.address(), &data("tiny.jsonl"), &popular);
        database
    }

    /// A login that may read this database and nothing else, as `docs/operations.md` wants it.
    /// `limits` stand behind `CREATE USER`.
    pub(crate) fn login(&self, name: &str, password: &str, limits: &str) -> Login<'_> {
        let name = format!("{name}_{}", std::process::id());
        self.run(&format!(
            "CREATE USER {name}@'%' IDENTIFIED BY '{password}' {limits}; \
             GRANT SELECT ON {}.* TO {name}@'%'",
            self.name
        ));
        Login {
            database: self,
            name,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}{}", self.server, self.name)
    }

    fn address(&self) -> Address {
        Address::parse(&self.url(), None, self.ca.clone()).expect("an address")
    }

    /// Runs a statement on the server, outside any database of ours.
    pub(crate) fn run(&self, statement: &str) {
        self.try_run(statement).expect("the statement");
    }

    fn try_run(&self, statement: &str) -> Result<(), sqlx::Error> {
        let url = format!("{}information_schema", self.server);
        let address = Address::parse(&url, None, self.ca.clone()).expect("an address");
        let database_address::Options::MySql(options) = address.options().expect("options") else {
            panic!("not MySQL");
        };
        block_on(async {
            let mut connection = options.connect().await?;
            let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
            connection.execute(statement).await.map(drop)
        })
    }
}

/// Whether the tests have a server of this name; says aloud when not.
pub(crate) fn is_announced(variable: &str) -> bool {
    let announced = std::env::var_os(variable).is_some();
    if !announced {
        let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!ci, "{variable} is not set; run `cargo xtask test`");
        eprintln!("SKIPPED: {variable} is not set; run `cargo xtask test`");
    }
    announced
}

/// A user of the server, dropped at the end.
pub(crate) struct Login<'a> {
    database: &'a Database,
    pub(crate) name: String,
}

impl Login<'_> {
    /// The address of the database for this user, by way of `addr`.
    pub(crate) fn url(&self, addr: std::net::SocketAddr, password: Option<&str>) -> String {
        let Self { database, name } = self;
        let password = password.map_or(String::new(), |password| format!(":{password}"));
        format!("mysql://{name}{password}@{addr}/{}", database.name)
    }

    /// Gives the user another password.
    pub(crate) fn rotate(&self, password: &str) {
        self.database.run(&self.rotation(password));
    }

    /// The statement that does it.
    pub(crate) fn rotation(&self, password: &str) -> String {
        format!("ALTER USER {}@'%' IDENTIFIED BY '{password}';", self.name)
    }
}

impl Drop for Login<'_> {
    fn drop(&mut self) {
        // A server that has gone, as after a failed test of its restart, has nothing to drop.
        let dropped = format!("DROP USER IF EXISTS {}@'%'", self.name);
        let _ = self.database.try_run(&dropped);
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.try_run(&format!("DROP DATABASE IF EXISTS {}", self.name));
    }
}

#[test]
fn answers_every_known_request() {
    let Some(database) = Database::load("TRIPOD_TEST_MYSQL_URL", "known") else {
        return;
    };
    let service = start_ready(&database.url(), &[("CACHE_MB", "0")]);
    assert_eq!(check(&service, &data("tiny_requests.jsonl"), "tiny"), 111);
}

#[test]
fn no_reply_is_wrong_while_loads_go_on() {
    let Some(database) = Database::load("TRIPOD_TEST_MYSQL_URL", "swaps") else {
        return;
    };
    let settings = [("CACHE_MB", "0"), ("WORKERS", "1")];
    let service = start_ready(&database.url(), &settings);
    let other = "TEAMID,AWSACCOUNT\n25213\tn25213\td25213\tcomputing";
    let (all, fewer) = (data("tiny.jsonl"), fewer("swaps"));
    let popular = data("tiny_popular_hashtags.txt");
    let address = database.address();
    let (mut asked, mut changed) = (0u32, 0u32);
    std::thread::scope(|scope| {
        let loads = scope.spawn(|| {
            for round in 0..6 {
                let raw = if round % 2 == 0 { &fewer } else { &all };
                let mode = if round % 3 == 0 {
                    Mode::Full
                } else {
                    Mode::Changes
                };
                load_as(&address, raw, &popular, mode);
            }
        });
        let mut connection = service.connect();
        let mut last = REPLY.to_owned();
        while !loads.is_finished() {
            let reply = connection.get(TARGET);
            assert_eq!(reply.status, 200);
            let text = reply.text();
            assert!(text == REPLY || text == other, "{text}");
            asked += 1;
            changed += u32::from(text != last);
            last = text;
        }
        loads.join().expect("every load is published");
    });
    assert_eq!(
        service.get(TARGET).text(),
        REPLY,
        "the last load was of all"
    );
    assert!(
        asked > 100 && changed >= 2,
        "{changed} changes in {asked} replies"
    );
}

#[test]
fn answers_over_tls_with_a_verified_certificate() {
    let Some(database) = Database::load("TRIPOD_TEST_MYSQL_TLS_URL", "tls") else {
        return;
    };
    let ca = database
        .ca
        .as_deref()
        .and_then(Path::to_str)
        .expect("goes with the address");
    let service = start_ready(&database.url(), &[("DATABASE_CA_FILE", ca)]);
    assert_eq!(service.get(TARGET).text(), REPLY);
}

#[test]
fn a_password_may_come_from_a_file_and_a_wrong_one_is_told() {
    let Some(database) = Database::load("TRIPOD_TEST_MYSQL_URL", "password") else {
        return;
    };
    // The server's own user, its password taken out of the address.
    let (credentials, host) = database.server.rsplit_once('@').expect("a user");
    let credentials = credentials.trim_start_matches("mysql://");
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("password");
    std::fs::write(&file, "wrong one\n").expect("a file");
    let url = format!("mysql://{user}@{host}{}", database.name);
    let settings = [("DATABASE_PASSWORD_FILE", file.to_str().expect("a path"))];
    let service = start(&url, &settings);
    wait_until("the refusal is told", || {
        service.admin("/readyz").text().contains("Access denied")
    });
    assert_eq!(service.get(TARGET).status, 503);
    std::fs::write(&file, format!("{password}\n")).expect("a file");
    service.wait_ready();
    assert_eq!(service.get(TARGET).text(), REPLY);
    let log = service.log().join("\n");
    assert!(!log.contains("wrong one"), "{log}");
    assert!(password.is_empty() || !log.contains(password), "{log}");
}

#[test]
fn no_query_waits_for_a_delayed_acknowledgement() {
    let Some(database) = Database::load("TRIPOD_TEST_MYSQL_URL", "delay") else {
        return;
    };
    let settings = [("CACHE_MB", "0"), ("WORKERS", "1")];
    let service = start_ready(&database.url(), &settings);
    let mut connection = service.connect();
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let started = Instant::now();
            assert_eq!(connection.get(TARGET).text(), REPLY);
            started.elapsed()
        })
        .collect();
    times.sort();
    // A stall is 40 ms for each query; a busy machine does not slow every second one by that much.
    assert!(times[100] < Duration::from_millis(35), "{times:?}");
}
