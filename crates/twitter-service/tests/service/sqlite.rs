//! The embedded database: absent, loaded, loaded again, of another version, damaged.

use database_address::Address;
use service_kit::testing::{Running, wait_until};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

use crate::table::{block_on, data, fewer, load, load_tiny, sqlite};
use crate::{start, start_ready};

const TARGET: &str = "/twitter?user_id=25513&type=retweet&phrase=hello%20cc&hashtag=cmu";
const REPLY: &str =
    "TEAMID,AWSACCOUNT\n25213\tn25213\td25213\tcomputing\n25640\tn25640\td25640\thello cc!!";

fn run(database: &str, statement: &str) {
    let address = Address::parse(database, None, None).expect("an address");
    let database_address::Options::Sqlite(options) = address.options().expect("options") else {
        panic!("not SQLite");
    };
    block_on(async {
        let mut connection = options.connect().await.expect("a file");
        let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
        connection.execute(statement).await.expect("the statement");
    });
}

fn assert_unready(service: &Running, why: &str) {
    wait_until("the reason is told", || {
        let answer = service.admin("/readyz");
        answer.status == 503 && answer.text().contains(why)
    });
    assert_eq!(service.get("/readyz").status, 503);
}

#[test]
fn an_absent_table_is_waited_for() {
    let database = sqlite("absent");
    let service = start(&database, &[]);
    assert_unready(&service, "database: ");
    let refused = service.get(TARGET);
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(
        service.get("/twitter?user_id=x").text(),
        "TEAMID,AWSACCOUNT\nINVALID"
    );
    run_empty(&database);
    assert_unready(&service, "there is no table user_pack");
    load_tiny(&database);
    service.wait_ready();
    assert_eq!(service.get(TARGET).text(), REPLY);
    assert_eq!(service.get("/readyz").status, 200);
}

/// Makes the file without a table in it.
fn run_empty(database: &str) {
    let path = database.strip_prefix("sqlite://").expect("a path");
    std::fs::write(path, "").expect("a file");
}

#[test]
fn trouble_is_logged_once_and_not_once_a_try() {
    let database = sqlite("trouble");
    run_empty(&database);
    let service = start(&database, &[]);
    assert_unready(&service, "there is no table");
    // Two further tries at least.
    let started = std::time::Instant::now();
    wait_until("it has tried again", || {
        started.elapsed().as_millis() > 1500
    });
    let log = service.log();
    let lines = log
        .iter()
        .filter(|line| line.contains("cannot read the table"));
    assert_eq!(lines.count(), 1, "{log:#?}");
}

#[test]
fn a_new_load_is_noticed_while_requests_go_on() {
    let database = sqlite("swap");
    load_tiny(&database);
    let service = start_ready(&database, &[("CACHE_TTL_MS", "3600000")]);
    assert_eq!(service.get(TARGET).text(), REPLY);
    let file = fewer("swap");
    let address = Address::parse(&database, None, None).expect("an address");
    load(&address, &file, &data("tiny_popular_hashtags.txt"));
    let other = "TEAMID,AWSACCOUNT\n25213\tn25213\td25213\tcomputing";
    wait_until("the new load is served", || {
        let reply = service.get(TARGET);
        assert_eq!(reply.status, 200);
        assert!(
            reply.text() == REPLY || reply.text() == other,
            "{}",
            reply.text()
        );
        reply.text() == other
    });
}

#[test]
fn says_which_table_is_served() {
    let database = sqlite("facts");
    load_tiny(&database);
    let service = start_ready(&database, &[]);
    let version = || -> serde_json::Value {
        serde_json::from_str(&service.admin("/version").text()).expect("JSON")
    };
    let table = version()["table"].clone();
    assert_eq!(table["rows"], 116, "{table}");
    assert!(table["users"].as_u64() > Some(10), "{table}");
    assert!((service.metric("twitter_table_rows") - 116.0).abs() < 0.5);
    let loaded = service.metric("twitter_table_loaded_timestamp_seconds");
    assert!(loaded > 1.7e9, "{loaded}");
    let address = Address::parse(&database, None, None).expect("an address");
    load(
        &address,
        &fewer("facts"),
        &data("tiny_popular_hashtags.txt"),
    );
    wait_until("the new load is shown", || {
        version()["table"]["generation"] != table["generation"]
    });
    assert!(service.metric("twitter_table_rows") < 115.5);
}

#[test]
fn a_table_of_another_version_is_named() {
    let database = sqlite("version");
    load_tiny(&database);
    run(
        &database,
        "UPDATE user_pack SET pack = CAST(replace(CAST(pack AS TEXT), 'schema_version=1', 'schema_version=9') AS BLOB) WHERE user_id = 0 AND part = 65535",
    );
    let service = start(&database, &[]);
    assert_unready(&service, "has schema 9");
}

#[test]
fn a_damaged_pack_is_503_and_other_users_are_served() {
    let database = sqlite("damaged");
    load_tiny(&database);
    run(
        &database,
        "UPDATE user_pack SET pack = substr(pack, 1, length(pack) - 1) WHERE user_id = 301",
    );
    let service = start_ready(&database, &[]);
    let damaged = "/twitter?user_id=301&type=both&phrase=a&hashtag=b";
    assert_eq!(service.get(damaged).status, 503);
    assert_eq!(service.get(TARGET).text(), REPLY);
    assert!(service.metric("twitter_store_errors_total{kind=\"damaged\"}") > 0.5);
}
