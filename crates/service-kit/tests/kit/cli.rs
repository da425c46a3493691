//! The command line and the settings, through the program.

use crate::support::{command, start};

fn run(words: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = command(settings)
        .args(words)
        .output()
        .expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn lists_every_mistake_and_exits_64() {
    let wrong = [("TEAM_ID", ""), ("DRAIN_MS", "soon"), ("WORKERS", "0")];
    for words in [&["--check-config"][..], &[]] {
        let (code, _, mistakes) = run(words, &wrong);
        assert_eq!(code, Some(64));
        for name in ["3 mistakes", "TEAM_ID", "DRAIN_MS", "WORKERS"] {
            assert!(mistakes.contains(name), "{name} not in {mistakes}");
        }
    }
}

#[test]
fn an_unknown_option_is_listed_with_the_other_mistakes() {
    let (code, _, message) = run(&["--listen-adr=x"], &[("TEAM_ID", "")]);
    assert_eq!(code, Some(64));
    assert!(message.contains("2 mistakes"), "{message}");
    assert!(message.contains("--listen-adr") && message.contains("TEAM_ID"));
}

#[test]
fn right_settings_pass_the_check_and_a_flag_wins_over_a_variable() {
    let (code, said, _) = run(&["--check-config"], &[]);
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "null-service: the settings are right\n")
    );
    let (code, printed, _) = run(&["--print-config", "--team-id=blue"], &[("TEAM_ID", "red")]);
    assert_eq!(code, Some(0));
    assert!(printed.contains("TEAM_ID=blue  # flag\n"), "{printed}");
    assert!(printed.contains("DRAIN_MS=15000  # default\n"));
}

#[test]
fn help_names_every_setting() {
    let (code, help, _) = run(&["--help"], &[]);
    assert_eq!(code, Some(0));
    for setting in service_kit::settings::COMMON {
        assert!(help.contains(setting.name) && help.contains(&setting.flag()));
    }
}

#[test]
fn a_healthcheck_tells_a_running_service_from_an_absent_one() {
    let service = start(&[]);
    service.wait_ready();
    let addr = service.admin_addr.to_string();
    assert_eq!(run(&["healthcheck"], &[("ADMIN_ADDR", &addr)]).0, Some(0));
    assert_eq!(
        run(&["healthcheck", "--live"], &[("ADMIN_ADDR", &addr)]).0,
        Some(0)
    );
    drop(service);
    let (code, _, why) = run(&["healthcheck"], &[("ADMIN_ADDR", &addr)]);
    assert_eq!(code, Some(1));
    assert!(why.contains(&addr), "{why}");
    assert_eq!(run(&["healthcheck"], &[("ADMIN_ADDR", "x")]).0, Some(64));
}
