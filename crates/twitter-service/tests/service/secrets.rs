//! The password is shown nowhere.

use std::process::Command;

use service_kit::testing::wait_until;

use crate::start;

const PASSWORD: &str = "hunter2-very-secret";

/// Nobody listens there, so each message about the database is made.
fn url() -> String {
    format!("mysql://app:{PASSWORD}@127.0.0.1:1/tripod")
}

#[test]
fn the_password_is_in_no_log_metric_reply_or_listing() {
    let service = start(&url(), &[("LOG_LEVEL", "trace"), ("WORKERS", "1")]);
    wait_until("it has tried to connect", || {
        service.admin("/readyz").text().contains("database: ")
    });
    let mut seen = String::new();
    for target in [
        "/twitter?user_id=1&type=both&phrase=a&hashtag=b",
        "/twitter?user_id=x",
        "/readyz",
        "/nowhere",
    ] {
        seen.push_str(&service.get(target).text());
    }
    for target in [
        "/readyz",
        "/readyz?verbose",
        "/metrics",
        "/version",
        "/livez",
        "/log-level",
    ] {
        seen.push_str(&service.admin(target).text());
    }
    seen.push_str(&service.log().join("\n"));
    assert!(seen.contains("127.0.0.1:1"), "the host is told: {seen}");
    assert!(!seen.contains(PASSWORD), "{seen}");
}

#[test]
fn the_password_is_in_no_listing_of_settings_or_mistakes() {
    for (url, flag) in [
        (url(), "--print-config"),
        (url(), "--check-config"),
        (url().replace("/tripod", ""), "--check-config"),
        (url().replace("mysql:", "postgres:"), "--check-config"),
        (url().replace(":1/", ":port/"), "--print-config"),
        (url().replace("127.0.0.1:1", "a:1,,b:2"), "--check-config"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_twitter-service"))
            .arg(flag)
            .env("TEAM_ID", "TEAMID")
            .env("AWS_ACCOUNT_ID", "AWSACCOUNT")
            .env("DATABASE_URL", &url)
            .output()
            .expect("the program starts");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert!(!told.is_empty() && !told.contains("hunter2"), "{told}");
    }
}
