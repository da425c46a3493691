//! The embedded database: absent, loaded, loaded again, of another version, damaged.

use database_address::Address;
use service_kit::testing::{Running, wait_until};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

use crate::table::{block_on, data, load, load_tiny, sqlite};
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
    // The same tweets without one of them.
    let raw = std::fs::read(data("tiny.jsonl")).expect("vectors");
    let has_text = |line: &&[u8]| !line.windows(10).any(|text| text == b"hello cc!!");
    let fewer: Vec<&[u8]> = raw.split(|byte| *byte == b'\n').filter(has_text).collect();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("swap.jsonl");
    std::fs::write(&file, fewer.join(&b'\n')).expect("a file");
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
