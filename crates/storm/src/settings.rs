//! Environments: right, wrong and odd values for every setting of a service. Any of them gives
//! settings, or a message that names each wrong one.

use std::collections::BTreeMap;

use crate::{Choices, Storm, damage, run};

/// The variables of one execution.
pub type Environment = BTreeMap<&'static str, String>;

/// A password; no message may show it.
pub const PASSWORD: &str = "hunter2";

/// What a value must be, as the documentation says it.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// A whole number within these limits.
    Number(u64, u64),
    /// At most 64 bytes without control characters and commas.
    Word,
    /// Right ones and wrong ones; others are not judged.
    Of(&'static [&'static str], &'static [&'static str]),
    /// Any text.
    Anything,
}

/// A setting and its rule.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The variable.
    pub name: &'static str,
    /// Whether it must be set.
    pub required: bool,
    /// What its value must be.
    pub rule: Rule,
}

/// A setting that may be left out.
pub const fn optional(name: &'static str, rule: Rule) -> Known {
    let required = false;
    Known {
        name,
        required,
        rule,
    }
}

/// A setting that must be set.
pub const fn required(name: &'static str, rule: Rule) -> Known {
    let required = true;
    Known {
        name,
        required,
        rule,
    }
}

/// Milliseconds, up to a day.
pub const MILLIS: Rule = Rule::Number(0, 86_400_000);
/// The same without 0.
pub const POSITIVE_MILLIS: Rule = Rule::Number(1, 86_400_000);

const ADDR: Rule = Rule::Of(
    &["127.0.0.1:0", "0.0.0.0:8080", "[::1]:9090", "[::]:65535"],
    &[
        "8080",
        ":8080",
        "localhost:8080",
        "1.2.3.4",
        "1.2.3.4:65536",
        "::1:80",
        " 1.2.3.4:5",
    ],
);

/// The settings that every service has.
pub const COMMON: &[Known] = &[
    optional("LISTEN_ADDR", ADDR),
    optional("ADMIN_ADDR", ADDR),
    required("TEAM_ID", Rule::Word),
    required("AWS_ACCOUNT_ID", Rule::Word),
    optional("SETTLE_MS", MILLIS),
    optional("DRAIN_MS", MILLIS),
    optional("WORKERS", Rule::Number(1, 1024)),
    optional("KEEP_ALIVE_MS", POSITIVE_MILLIS),
    optional("CROWDED_IDLE_MS", POSITIVE_MILLIS),
    optional("REQUEST_DEADLINE_MS", POSITIVE_MILLIS),
    optional("SEND_DEADLINE_MS", POSITIVE_MILLIS),
    optional("MAX_CONNECTIONS", Rule::Number(1, 1_000_000)),
    optional("MAX_IN_FLIGHT", Rule::Number(1, 1_000_000)),
    optional("MIN_IN_FLIGHT", Rule::Number(1, 1_000_000)),
    optional("PAUSE_READS_MS", MILLIS),
    optional(
        "LOG_LEVEL",
        Rule::Of(
            &[
                "error",
                "warn",
                "info",
                "debug",
                "trace",
                "off",
                "info,service_kit=debug",
            ],
            &["loud", ",", "info,", "service_kit", "a=loud"],
        ),
    ),
    optional(
        "LOG_FORMAT",
        Rule::Of(&["auto", "text", "json"], &["xml", "JSON", " json"]),
    ),
    optional("ACCESS_LOG_SLOW_MS", POSITIVE_MILLIS),
    optional("ACCESS_LOG_ONE_IN", Rule::Number(0, 1_000_000_000)),
    optional(
        "OTLP_ENDPOINT",
        Rule::Of(
            &["http://collector:4318", "http://127.0.0.1:1/path"],
            &["collector:4318", "https://collector", "http://", "ftp://a"],
        ),
    ),
    optional(
        "TRACE_SAMPLE",
        Rule::Of(
            &["0", "1", "0.5", "1.0", "0.000000001"],
            &["2", "-1", ".5", "1.", "x", "1.1", "1e-3"],
        ),
    ),
];

impl Rule {
    /// Whether a value that is not empty is right, if the rule says so.
    fn judge(self, value: &str) -> Option<bool> {
        match self {
            Self::Number(least, most) => {
                let digits = value.strip_prefix('+').unwrap_or(value);
                let is_number =
                    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                // What does not fit 128 bits is above any limit.
                let number = digits.trim_start_matches('0');
                let number = if number.is_empty() { "0" } else { number };
                let number = number.parse::<u128>().unwrap_or(u128::MAX);
                Some(is_number && (u128::from(least)..=u128::from(most)).contains(&number))
            }
            Self::Word => {
                let is_allowed = |letter: char| !letter.is_control() && letter != ',';
                Some(value.len() <= 64 && value.chars().all(is_allowed))
            }
            Self::Of(right, _) if right.contains(&value) => Some(true),
            Self::Of(_, wrong) if wrong.contains(&value) => Some(false),
            Self::Of(..) => None,
            Self::Anything => Some(true),
        }
    }

    fn value(self, choices: &mut Choices) -> String {
        let mut value = match self {
            Self::Number(least, most) => match choices.below(8) {
                0 => least.saturating_sub(1).to_string(),
                1 => (most + 1).to_string(),
                2 => choices.word().to_string(),
                3 => "9".repeat(choices.index(60)),
                4 => format!("-{least}"),
                _ => (least + choices.below(most - least + 1)).to_string(),
            },
            Self::Word => match choices.below(6) {
                0 => "a,b".to_owned(),
                1 => "x".repeat(60 + choices.index(9)),
                _ => "Team é 1".to_owned(),
            },
            Self::Of(right, wrong) => {
                let list = if choices.once_in(4) { wrong } else { right };
                (*choices.pick(list)).to_owned()
            }
            Self::Anything => "/a/path".to_owned(),
        };
        if choices.once_in(20) {
            let mut bytes = value.into_bytes();
            damage(&mut bytes, choices);
            // As the programs read what is not UTF-8.
            value = String::from_utf8_lossy(&bytes).into_owned();
        }
        if choices.once_in(100) {
            value = value.repeat(1 + choices.index(2_000));
        }
        value
    }
}

/// An environment for these settings.
pub fn environment(choices: &mut Choices, known: &[&Known]) -> Environment {
    let mut environment = Environment::new();
    // Some environments have few mistakes.
    let set = [2, 12][choices.index(2)];
    for Known {
        name,
        required,
        rule,
    } in known
    {
        if choices.once_in(40) {
            environment.insert(name, String::new());
        } else if choices.once_in(set) || *required && !choices.once_in(30) {
            environment.insert(name, rule.value(choices));
        }
    }
    environment
}

/// Checks what a service made of an environment: what `--print-config` shows, or a line for each
/// mistake. Gives the setting that was wrong.
///
/// # Panics
///
/// When the outcome is not the one that the rules give, or is not clear, or shows a password.
pub fn check(
    environment: &Environment,
    known: &[&Known],
    outcome: &Result<String, Vec<String>>,
) -> Option<&'static str> {
    let empty = Vec::new();
    let lines = outcome.as_ref().err().unwrap_or(&empty);
    let of = |name: &str| {
        let start = format!("{name} (--{})", name.to_ascii_lowercase().replace('_', "-"));
        lines.iter().find(move |line| line.starts_with(&start))
    };
    let mut wrong = None;
    for Known {
        name,
        required,
        rule,
    } in known
    {
        let value = environment.get(name).filter(|value| !value.is_empty());
        let verdict = match value {
            Some(value) => rule.judge(value),
            None => Some(!required),
        };
        let told = of(name);
        if let Some(is_right) = verdict {
            assert_eq!(
                told.is_none(),
                is_right,
                "{name}: {environment:?} {outcome:?}"
            );
        }
        if value.is_none() && *required {
            let told = told.map_or("", String::as_str);
            assert!(told.contains("is required and not set"), "{told}");
        }
        if told.is_some() {
            wrong = wrong.or(Some(*name));
        }
    }
    assert_eq!(outcome.is_err(), !lines.is_empty(), "{outcome:?}");
    for line in lines {
        let is_clear = line.chars().count() < 1_000 && !line.chars().any(char::is_control);
        assert!(is_clear, "not clear: {line:?}");
    }
    if outcome.is_ok() {
        assert_eq!(wrong, None);
    }
    let told = match outcome {
        Ok(printed) => printed.clone(),
        Err(lines) => lines.join("\n"),
    };
    if environment.values().all(|value| is_told_apart(value)) {
        assert!(!told.contains(PASSWORD), "{environment:?} is told: {told}");
    }
    wrong.or_else(|| {
        outcome
            .is_err()
            .then_some("settings that do not go together")
    })
}

/// Whether a password in this value stands between a colon and an `@`. Where damage took one of them,
/// nobody could say that it is a password.
fn is_told_apart(value: &str) -> bool {
    let Some((_, behind)) = value.rsplit_once(PASSWORD) else {
        return true;
    };
    let rest = value.split_once("://").map_or(":", |(_, rest)| rest);
    let before = rest.split_once(PASSWORD).map_or(rest, |(before, _)| before);
    behind.contains('@') && before.contains(':')
}

/// The storm of one service: the common settings and its own.
///
/// # Panics
///
/// As [`check`] and [`run`]; and when a setting that can be wrong never was.
pub fn storm(
    name: &'static str,
    own: &'static [Known],
    read: impl Fn(&Environment) -> Result<String, Vec<String>> + Sync,
) -> Storm {
    let known: Vec<&Known> = COMMON.iter().chain(own).collect();
    let storm = run(name, 20_000, |seed| {
        let environment = environment(&mut Choices::new(seed), &known);
        let outcome = read(&environment);
        check(&environment, &known, &outcome)
    });
    let can_be_wrong = known
        .iter()
        .filter(|known| known.required || !matches!(known.rule, Rule::Anything));
    storm.reached(can_be_wrong.map(|known| known.name));
    storm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_judged_as_people_would() {
        let rule = Rule::Number(1, 1024);
        for right in ["1", "1024", "+7", "0007"] {
            assert_eq!(rule.judge(right), Some(true), "{right}");
        }
        let many = "9".repeat(50);
        for wrong in ["0", "1025", "-1", "1.0", " 1", "x", "+", &many] {
            assert_eq!(rule.judge(wrong), Some(false), "{wrong}");
        }
    }

    #[test]
    #[should_panic(expected = "TEAM_ID")]
    fn a_mistake_that_is_not_told_is_found() {
        let known: Vec<&Known> = COMMON.iter().collect();
        let _ = check(&Environment::new(), &known, &Ok(String::new()));
    }
}
