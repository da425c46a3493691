//! Zones of a test, and databases to load them into.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use database_address::Address;
use etl::failure::Failure;
use etl::generate;
use etl::load::{Load, Mode, Origin, Published};
use etl::report::Run;
use etl::steps::clean::Gone;
use etl::steps::run::{Clean, Landing, Run as Steps};
use etl::steps::score::{Engine, read_excluded};
use etl::zones::place::Place;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection, Row as _};

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

/// Folders of their own, emptied when the test begins.
pub(crate) struct Zones {
    root: PathBuf,
}

impl Zones {
    pub(crate) fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{name}"));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("landing")).unwrap();
        fs::write(root.join("popular"), "zipcode\nlove\n").unwrap();
        Self { root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn processed(&self, name: &str) -> PathBuf {
        self.root.join("processed").join(name)
    }

    /// A raw file of so many lines.
    pub(crate) fn put(&self, name: &str, seed: u64, tweets: u64) {
        let options = generate::Options {
            users: 5000,
            tweets,
            seed,
            ..generate::Options::default()
        };
        let mut lines = Vec::new();
        generate::write(&options, &mut lines).unwrap();
        fs::write(self.root.join("landing").join(name), lines).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.root.join("landing").join(name)).unwrap();
    }

    fn steps(&self) -> Steps {
        let place = |name: &str| Place::local(self.root.join(name));
        Steps {
            clean: Clean {
                landing: Landing::Zone(place("landing")),
                working: place("working"),
                memory: None,
                jobs: 2,
                gone: Gone::Drop,
            },
            processed: place("processed"),
            popular: self.root.join("popular"),
            engine: Engine::Memory,
        }
    }

    pub(crate) fn clean(&self) {
        self.steps().clean.run(&()).unwrap();
    }

    /// Cleans and scores.
    pub(crate) fn score(&self) {
        let steps = self.steps();
        let cleaned = steps.clean.run(&()).unwrap();
        steps.score(&cleaned, &()).unwrap();
    }

    /// Loads, with all checks.
    pub(crate) fn load(&self, database: &Database, mode: Mode) -> Result<Published, Failure> {
        self.load_with(
            database,
            mode,
            &std::env::temp_dir(),
            &mut Run::default(),
            &|_| (),
        )
    }

    pub(crate) fn load_with(
        &self,
        database: &Database,
        mode: Mode,
        spill_folder: &Path,
        report: &mut Run,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Published, Failure> {
        let steps = self.steps();
        let excluded = read_excluded(&steps.popular)?;
        let origin = Origin {
            working: &steps.clean.working,
            excluded: &excluded,
        };
        let load = Load {
            processed: &steps.processed,
            origin,
            address: &database.address(),
            jobs: 3,
            mode,
            spill_folder,
        };
        load.run(report, progress)
    }
}

/// Raw tweets by which one user, in the middle of the key, has so many contacts. Gives the number of rows.
pub(crate) fn wide(zones: &Zones, contacts: u64) -> u64 {
    const CELEBRITY: u64 = 1 << 40;
    let mut lines = String::new();
    for fan in 0..contacts {
        let id = if fan < contacts / 2 {
            fan + 1
        } else {
            CELEBRITY + 1 + fan
        };
        let line = json!({
            "id": 1000 + fan, "created_at": "Fri Apr 04 05:30:11 +0000 2014", "lang": "en",
            "text": format!("tweet {fan} of a fan, to somebody whom very many others write to as well"),
            "user": {"id": id, "screen_name": format!("user{id}")},
            "entities": {"hashtags": [{"text": "fan"}]}, "in_reply_to_user_id": CELEBRITY,
        });
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{line}");
    }
    fs::write(zones.path("landing").join("fans.jsonl"), lines).unwrap();
    zones.score();
    2 * contacts
}

/// A database of its own, gone at the end.
pub(crate) enum Database {
    Sqlite(PathBuf),
    MySql { server: String, name: String },
}

impl Database {
    pub(crate) fn sqlite(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{name}.db"));
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", path.display()));
        }
        Self::Sqlite(path)
    }

    /// `None` when no server is named.
    pub(crate) fn mysql(name: &str) -> Option<Self> {
        let variable = "TRIPOD_TEST_MYSQL_URL";
        let Ok(server) = std::env::var(variable) else {
            let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!ci, "{variable} is not set; run `cargo xtask test`");
            eprintln!("SKIPPED: {variable} is not set; run `cargo xtask test`");
            return None;
        };
        let name = format!("tripod_load_{name}_{}", std::process::id());
        let database = Self::MySql {
            server,
            name: name.clone(),
        };
        database.query(&format!("CREATE DATABASE {name}"));
        Some(database)
    }

    /// Both kinds, as far as they are there.
    pub(crate) fn each(name: &str) -> Vec<Self> {
        let mysql = Self::mysql(name);
        std::iter::once(Self::sqlite(name)).chain(mysql).collect()
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::MySql { .. } => "mysql",
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            Self::MySql { server, name } => format!("{server}{name}"),
        }
    }

    pub(crate) fn address(&self) -> Address {
        Address::parse(&self.url(), None, None).unwrap()
    }

    /// Names of the tables.
    pub(crate) fn tables(&self) -> Vec<String> {
        match self {
            Self::Sqlite(path) => block_on(async {
                let url = format!("sqlite://{}", path.display());
                let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
                let query = "SELECT name FROM sqlite_master ORDER BY name";
                let rows = connection.fetch_all(query).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }),
            Self::MySql { name, .. } => self.query(&format!("SHOW TABLES FROM {name}")),
        }
    }

    /// The first column of what a statement on the server gives.
    fn query(&self, statement: &str) -> Vec<String> {
        let Self::MySql { server, .. } = self else {
            return Vec::new();
        };
        block_on(async {
            let mut connection = MySqlConnection::connect(server).await.expect("the server");
            let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
            let rows = connection
                .fetch_all(statement)
                .await
                .expect("the statement");
            rows.iter().map(|row| row.get(0)).collect()
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Self::MySql { name, .. } = self {
            let statement = format!("DROP DATABASE IF EXISTS {name}");
            self.query(&statement);
        }
    }
}

const SCHEMA: &str = include_str!("../../report.schema.json");

/// Whether a report is what the schema says.
pub(crate) fn check_schema(report: &Value) {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    check_at(&schema, report, "report");
}

/// The part of JSON Schema that ours uses; anything else in it is an error.
fn check_at(schema: &Value, value: &Value, at: &str) {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    for (keyword, argument) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$schema" | "title" | "description" => {}
            "type" => {
                let is = |kind: &Value| kind == name || (kind == "number" && name == "integer");
                let fits = match argument {
                    Value::Array(kinds) => kinds.iter().any(is),
                    kind => is(kind),
                };
                assert!(fits, "{at} is {name}, not {argument}");
            }
            "const" => assert_eq!(value, argument, "{at}"),
            "enum" => assert!(
                argument.as_array().unwrap().contains(value),
                "{at}: {value}"
            ),
            "required" => {
                for key in argument.as_array().unwrap() {
                    let there = value.is_null() || value.get(key.as_str().unwrap()).is_some();
                    assert!(there, "{at} has no {key}");
                }
            }
            "properties" => {
                for (key, schema) in argument.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        check_at(schema, value, &format!("{at}.{key}"));
                    }
                }
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (key, value) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(key)) {
                        continue;
                    }
                    assert_ne!(argument, false, "{at} has an unknown {key}");
                    check_at(argument, value, &format!("{at}.{key}"));
                }
            }
            "items" => {
                for value in value.as_array().into_iter().flatten() {
                    check_at(argument, value, &format!("{at}[]"));
                }
            }
            other => panic!("the schema says {other}"),
        }
    }
}
