//! Plan files say what they mean, and what is wrong in them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::path::Path;
use std::time::Duration;

use loadgen::plan::settings::Pace;
use loadgen::plan::{Load, Share, file};

fn error(text: &str) -> String {
    match file::parse(text, Path::new("")) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn a_plan_holds_everything_about_a_run() {
    let text = r#"
        target = "http://127.0.0.1:8080"
        headers = ["X-A: b"]
        team_line = "T,1"
        invalid = "5%"
        size = 20
        seed = 7
        connections = 3
        threads = 2
        timeout = "2s"
        check = "sample:4"
        late_after = "1ms"
        max_late = "2%"
        spin = true
        fail_if = ["p99>20ms", "steady.errors>0.1%"]

        [[scenario]]
        kind = "qrcode"
        name = "steady"
        weight = 3

        [[scenario]]
        kind = "blockchain"
        target = "http://127.0.0.1:8081"
        invalid = "0%"
        size = 5

        [[stage]]
        name = "warm up"
        from = 0
        to = 100
        duration = "10s"

        [[stage]]
        rate = 2.5
        duration = "1m"
    "#;
    let settings = file::parse(text, Path::new("")).unwrap();
    let plan = settings.plan().unwrap();
    let Load::Open(schedule) = &plan.load else {
        panic!("stages are an open loop")
    };
    assert_eq!(schedule.len(), 500 + 150);
    assert_eq!(schedule.stages().next().unwrap().label(), "warm up");
    let labels: Vec<&str> = plan.scenarios.iter().map(|s| s.label.as_str()).collect();
    assert_eq!(labels, ["steady", "blockchain"]);
    assert_eq!(
        (plan.scenarios[0].weight, plan.scenarios[1].items.len()),
        (3, 5)
    );
    assert_eq!((plan.addresses.len(), plan.scenarios[1].address), (2, 1));
    assert_eq!((plan.connections, plan.threads, plan.seed), (3, 2, 7));
    assert_eq!(
        (plan.check, plan.timeout),
        (Share::Sample(4), Duration::from_secs(2))
    );
    assert_eq!(settings.fail_if.len(), 2);
    assert!(plan.spin);
    let request = String::from_utf8_lossy(&plan.scenarios[0].items[0].request).into_owned();
    assert!(request.contains("\r\nX-A: b\r\n"), "{request}");
}

#[test]
fn files_are_beside_the_plan() {
    let text = "[[scenario]]\nkind = \"corpus\"\ncorpus = \"a.tsv\"\n";
    let settings = file::parse(text, Path::new("some/where")).unwrap();
    let corpus = settings.scenarios[0].corpus.as_deref();
    assert_eq!(corpus, Some(Path::new("some/where/a.tsv")));
    assert_eq!(settings.pace, Pace::Unsaid);
}

#[test]
fn errors_say_where_and_what() {
    for (text, parts) in [
        ("colour = 1", &["line 1", "colour", "expected one of"][..]),
        ("seed = \"x\"", &["line 1", "seed"]),
        (
            "[[scenario]]\nkind = \"walk\"",
            &["scenario number 1", "walk", "qrcode"],
        ),
        (
            "[[scenario]]\nkind = \"twitter\"",
            &["scenario number 1", "users=FILE"],
        ),
        ("[[scenario]]\nweight = 1", &["line 1", "kind"]),
        (
            "[[scenario]]\nkind = \"qrcode\"\nweight = 0",
            &["a weight is"],
        ),
        (
            "[[stage]]\nduration = \"1s\"",
            &["stage number 1", "either rate, or from and to"],
        ),
        (
            "[[stage]]\nrate = 1\nto = 2\nduration = \"1s\"",
            &["stage number 1", "either rate"],
        ),
        (
            "[[stage]]\nrate = 1\nduration = \"1\"",
            &["stage number 1", "a time is a number"],
        ),
        (
            "[[stage]]\nrate = 0\nduration = \"1s\"",
            &["every rate is 0"],
        ),
        ("rate = 0", &["rate", "0"]),
        (
            "rate = 1\nclosed = true",
            &["one of closed, rate and [[stage]]"],
        ),
        ("connections = 0", &["connections", "1 to 20000"]),
        ("invalid = \"5\"", &["invalid = \"5\"", "with %"]),
        ("check = \"some\"", &["check", "sample:N"]),
        ("fail_if = [\"p99\"]", &["fail_if", "p99", "a limit is"]),
        ("headers = [\"x\"]", &["headers", "NAME: VALUE"]),
        ("target = \"localhost\"", &["target", "http://"]),
        ("[[", &["line 1"]),
    ] {
        let error = error(text);
        for part in parts {
            assert!(
                error.contains(part),
                "{part:?} of {text:?} is not in: {error}"
            );
        }
    }
}

#[test]
fn limits_and_lengths_must_fit_the_plan() {
    let plan = |text: &str| {
        let text =
            format!("target = \"http://127.0.0.1:1\"\n{text}\n[[scenario]]\nkind = \"qrcode\"\n");
        file::parse(&text, Path::new("")).unwrap().plan().map(drop)
    };
    assert!(plan("").is_ok());
    assert!(plan("fail_if = [\"other.p99>1s\"]").is_err());
    let stage = "[[stage]]\nrate = 1\nduration = \"1s\"";
    assert!(plan(stage).is_ok());
    assert!(plan(&format!("duration = \"1s\"\n{stage}")).is_err());
}

#[test]
fn the_plans_that_come_with_the_program_are_plans() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let settings = file::read(&path).unwrap();
        let plan = settings.plan().unwrap();
        assert!(matches!(plan.load, Load::Open(_)), "{}", path.display());
        names.push(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(names, ["ladder", "mixed", "soak", "spike"]);
}
