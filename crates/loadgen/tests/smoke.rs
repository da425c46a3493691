//! `loadgen smoke` against right, wrong and missing targets.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "support/server.rs"]
mod support;

use support::{Answer, Server, loadgen, right};

/// `/twitter` as with the hand-made tweets, all else right.
fn all_right(target: &str) -> Answer {
    let target = target.replace('+', "%20");
    if target.starts_with("/twitter?user_id=25513&type=retweet") {
        let rows = "25213\tn25213\td25213\tcomputing\n25640\tn25640\td25640\thello cc!!";
        return Answer::Ok(format!("TEAM,1\n{rows}").into_bytes());
    }
    if target.starts_with("/twitter?user_id=1&type=both") {
        return Answer::Ok(b"TEAM,1".to_vec());
    }
    right(&target)
}

#[test]
fn a_right_target_passes_with_a_line_for_each_check() {
    let server = Server::start(all_right);
    let url = server.url();
    for more in [
        &[][..],
        &["--twitter-tiny"],
        &["--team", "TEAM", "--account", "1"],
    ] {
        let (code, out, err) = loadgen(&[&["smoke", "--target", &url], more].concat());
        assert_eq!(code, 0, "{out}{err}");
        assert_eq!(
            out.lines().filter(|line| line.starts_with("ok ")).count(),
            11
        );
        for path in ["/qrcode", "/blockchain", "/twitter"] {
            assert!(out.contains(path), "{out}");
        }
    }
    let (code, out, _) = loadgen(&["smoke", "--target", &url, "--service", "qrcode"]);
    assert_eq!((code, out.lines().count()), (0, 5), "{out}");
}

#[test]
fn any_wrong_byte_fails() {
    let is_golden = |target: &str| target.ends_with("CC%20Team");
    let server = Server::start(move |target| match all_right(target) {
        Answer::Ok(mut body) if is_golden(target) => {
            *body.last_mut().unwrap() ^= 1;
            Answer::Ok(body)
        }
        answer => answer,
    });
    let url = server.url();
    let (code, out, _) = loadgen(&["smoke", "--target", &url]);
    assert_eq!(code, 1);
    assert_eq!(out.matches("WRONG").count(), 1, "{out}");
    assert!(
        out.contains("WRONG /qrcode encode: other bytes: TEAM,1\\n0x66d9"),
        "{out}"
    );
    let team = ["--team", "OTHER", "--account", "1"];
    let (code, out, _) = loadgen(&[&["smoke", "--target", &url][..], &team].concat());
    assert_eq!(
        (code, out.matches("another team line").count()),
        (1, 11),
        "{out}"
    );
}

#[test]
fn refusing_closing_and_silent_targets_fail() {
    for (answer, word) in [
        (Answer::Status as fn(u16) -> Answer, "status 503"),
        (|_| Answer::Close, "no reply: closed"),
        (|_| Answer::Never, "no reply: timeout"),
    ] {
        let server = Server::start(move |_| answer(503));
        let (code, out, _) = loadgen(&["smoke", "--target", &server.url()]);
        assert_eq!((code, out.matches("WRONG").count()), (1, 11), "{out}");
        assert!(out.contains(word), "{out}");
    }
}

#[test]
fn a_missing_target_and_nonsense_have_exit_codes_of_their_own() {
    let url = format!("http://127.0.0.1:{}", support::free_port());
    assert_eq!(loadgen(&["smoke", "--target", &url]).0, 69);
    for arguments in [
        &["smoke"][..],
        &["smoke", "--target", "http://192.0.2.1"],
        &["smoke", "--target", &url, "--team", "T"],
        &["smoke", "--target", &url, "--service", "other"],
    ] {
        assert_eq!(loadgen(arguments).0, 64, "{arguments:?}");
    }
}
