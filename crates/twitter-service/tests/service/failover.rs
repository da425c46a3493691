//! A failover that moves the database's name to another address, as those of RDS do: what is open goes on,
//! the next connection follows.
//!
//! The service runs in a mount namespace of its own, with a table of host names that the test writes.
//! Where the test may not make one, it says that it is skipped, and fails with `CI=true`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use service_kit::testing::{Fault, Proxy, Running};

use crate::mysql::{Database, REPLY, TARGET};
use crate::sick::{through, upstream};

const NAME: &str = "database.test";

/// Arguments of `unshare` with which files can be put in the place of others: as root, or as anybody
/// where the kernel lets everybody have a user namespace.
fn namespace() -> Option<&'static [&'static str]> {
    const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let works = |way: &&&[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(**way)
            .args(["mount", "--bind", "/etc/hosts", "/etc/hosts"]);
        let tried = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let way = WAYS.iter().find(works).copied();
    if way.is_none() {
        let why = "a mount namespace needs root or unprivileged user namespaces, and util-linux";
        let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!ci, "{why}");
        eprintln!("SKIPPED: {why}");
    }
    way
}

/// Writes the table in its place: it is seen through a mount of this very file.
fn move_to(hosts: &Path, addr: SocketAddr) {
    fs::write(
        hosts,
        format!("127.0.0.1 localhost\n{} {NAME}\n", addr.ip()),
    )
    .expect("a file");
}

#[test]
fn a_name_that_moves_is_followed_by_the_next_connection() {
    let Some(database) = Database::load("TRIPOD_TEST_MYSQL_URL", "failover") else {
        return;
    };
    let Some(namespace) = namespace() else {
        return;
    };
    let first = Proxy::start(upstream(&database));
    // The port does not move with the name.
    let other = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), first.addr.port()));
    let second = Proxy::start_at(other, upstream(&database));
    let hosts = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failover-hosts");
    move_to(&hosts, first.addr);

    let mut command = Command::new("unshare");
    command
        .args(namespace)
        .args(["sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$1\""])
        .arg(&hosts)
        .arg(env!("CARGO_BIN_EXE_twitter-service"));
    let name = format!("{NAME}:{}", first.addr.port());
    let url = through(&database, first.addr).replace(&first.addr.to_string(), &name);
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("CACHE_MB", "0"),
        ("WORKERS", "1"),
    ];
    let service = Running::start_by(command, &settings);
    service.wait_ready();
    assert_eq!(service.get(TARGET).text(), REPLY);

    move_to(&hosts, second.addr);
    assert_eq!(service.get(TARGET).text(), REPLY);
    assert_eq!(second.accepted(), 0, "what is open goes on");
    let before = first.accepted();
    // The old address would still answer, as a writer does that has become a reader.
    first.set_and_cut(Fault::None);
    assert_eq!(service.get(TARGET).text(), REPLY);
    assert!(second.accepted() > 0);
    assert_eq!(first.accepted(), before);
}
