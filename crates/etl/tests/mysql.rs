//! Loading MySQL and MariaDB, on a server that the environment names:
//!
//! * `TRIPOD_TEST_MYSQL_URL`: a server without TLS, up to the slash before the database's name;
//! * `TRIPOD_TEST_MYSQL_TLS_URL` with `TRIPOD_TEST_MYSQL_CA`: a user who must use TLS.
//!
//! `cargo xtask test` starts such servers. Without them a test says that it is skipped, and fails
//! with `CI=true`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection, Row as _};

/// A database of its own, dropped at the end.
struct Database {
    server: String,
    name: String,
}

impl Database {
    /// `None` when no server is named.
    fn create(variable: &str, name: &str) -> Option<Self> {
        let Ok(server) = std::env::var(variable) else {
            let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!ci, "{variable} is not set; run `cargo xtask test`");
            eprintln!("SKIPPED: {variable} is not set; run `cargo xtask test`");
            return None;
        };
        let name = format!("tripod_etl_{name}_{}", std::process::id());
        let database = Self { server, name };
        database.run(&format!("CREATE DATABASE {}", database.name));
        Some(database)
    }

    fn url(&self) -> String {
        format!("{}{}", self.server, self.name)
    }

    /// Runs a statement on the server, outside any database.
    fn run(&self, statement: &str) {
        self.query(statement);
    }

    /// The first column of the rows of a query.
    fn query(&self, statement: &str) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut url = self.server.clone();
            if let Ok(ca) = std::env::var("TRIPOD_TEST_MYSQL_CA")
                && std::env::var("TRIPOD_TEST_MYSQL_TLS_URL").as_ref() == Ok(&self.server)
            {
                url = format!("{url}?ssl-mode=VERIFY_CA&ssl-ca={ca}");
            }
            let mut connection = MySqlConnection::connect(&url).await.expect("the server");
            let rows = connection
                .fetch_all(sqlx::raw_sql(AssertSqlSafe(statement.to_owned())))
                .await
                .expect("the statement");
            rows.iter()
                .map(|row| row.try_get(0).expect("text"))
                .collect()
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.run(&format!("DROP DATABASE IF EXISTS {}", self.name));
    }
}

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../twitter-core/tests/data")
        .join(file)
}

fn etl(words: &[&str], settings: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_etl"))
        .args(words)
        .envs(settings.iter().copied())
        .output()
        .expect("the program runs")
}

fn build(input: &Path, url: &str, settings: &[(&str, &str)]) -> Output {
    let popular = data("tiny_popular_hashtags.txt");
    let (input, popular) = (input.to_str(), popular.to_str());
    let words = [
        "build",
        "--input",
        input.expect("a path"),
        "--popular",
        popular.expect("a path"),
        "--database",
        url,
    ];
    etl(&words, settings)
}

fn assert_built(output: &Output) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{message}");
}

fn assert_tiny_rows(url: &str, settings: &[(&str, &str)]) {
    let output = etl(&["rows", "--database", url, "--out", "-"], settings);
    assert_built(&output);
    let known = fs::read(data("tiny_rows.tsv")).expect("vectors");
    assert_eq!(output.stdout, known);
}

#[test]
fn a_load_is_read_back_and_replaced_by_the_next() {
    let Some(database) = Database::create("TRIPOD_TEST_MYSQL_URL", "load") else {
        return;
    };
    let url = database.url();
    let generated = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mysql-generated.jsonl");
    let out = generated.to_str().expect("a path");
    // Enough users for full and broken batches, and one user with several parts.
    assert_built(&etl(
        &[
            "generate", "--users", "3000", "--tweets", "20000", "--out", out,
        ],
        &[],
    ));
    assert_built(&build(&generated, &url, &[]));
    let mysql = etl(&["rows", "--database", &url, "--out", "-"], &[]).stdout;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mysql-compare.db");
    let sqlite = format!("sqlite://{}", file.display());
    assert_built(&build(&generated, &sqlite, &[]));
    let embedded = etl(&["rows", "--database", &sqlite, "--out", "-"], &[]).stdout;
    assert!(mysql == embedded, "both databases hold the same rows");
    assert!(mysql.len() > 1_000_000);

    assert_built(&build(&data("tiny.jsonl"), &url, &[]));
    assert_tiny_rows(&url, &[]);
    let tables = database.query(&format!("SHOW TABLES FROM {}", database.name));
    let wanted = ["user_pack", "user_pack_old"];
    assert_eq!(tables, wanted, "the table, and the one before it");
}

#[test]
fn leftovers_of_a_load_that_died_do_not_matter() {
    let Some(database) = Database::create("TRIPOD_TEST_MYSQL_URL", "leftovers") else {
        return;
    };
    for table in ["user_pack_load", "user_pack_old"] {
        database.run(&format!("CREATE TABLE {}.{table} (a INT)", database.name));
    }
    assert_built(&build(&data("tiny.jsonl"), &database.url(), &[]));
    assert_tiny_rows(&database.url(), &[]);
}

#[test]
fn a_wrong_password_is_said_without_showing_it() {
    let Some(database) = Database::create("TRIPOD_TEST_MYSQL_URL", "password") else {
        return;
    };
    let rest = database.server.rsplit('@').next().expect("a host");
    let url = format!("mysql://nobody:s3cret@{rest}{}", database.name);
    let output = build(&data("tiny.jsonl"), &url, &[]);
    assert_eq!(output.status.code(), Some(69));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.contains("nobody") && !message.contains("s3cret"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1);
}

#[test]
fn loads_over_tls_with_a_verified_certificate() {
    let Some(database) = Database::create("TRIPOD_TEST_MYSQL_TLS_URL", "tls") else {
        return;
    };
    let ca = std::env::var("TRIPOD_TEST_MYSQL_CA").expect("goes with the address");
    let settings = [("DATABASE_CA_FILE", ca.as_str())];
    assert_built(&build(&data("tiny.jsonl"), &database.url(), &settings));
    assert_tiny_rows(&database.url(), &settings);
    let stranger = Path::new(env!("CARGO_TARGET_TMPDIR")).join("not-a-ca.pem");
    fs::write(&stranger, "").expect("a file");
    let settings = [("DATABASE_CA_FILE", stranger.to_str().expect("a path"))];
    let output = build(&data("tiny.jsonl"), &database.url(), &settings);
    assert_eq!(
        output.status.code(),
        Some(69),
        "an unknown authority is refused"
    );
}
