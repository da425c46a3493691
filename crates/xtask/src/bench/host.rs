//! What the figures were measured on.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::process::Command;

/// Describes this machine.
pub(super) async fn describe() -> Value {
    let processor = processor(&read("/proc/cpuinfo"));
    let memory = read("/proc/meminfo");
    let memory_mb = memory
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .map(|kb: u64| kb / 1024);
    json!({
        "arch": std::env::consts::ARCH,
        "processor": processor.model,
        "processors": processor.count,
        "sha_instructions": processor.has_sha,
        "memory_mb": memory_mb,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "system": system(&read("/etc/os-release")),
        "rustc": version("rustc", "--version").await,
    })
}

/// The load average of the last minute: how much else this machine did.
pub(crate) fn load_average() -> Option<f64> {
    read("/proc/loadavg").split(' ').next()?.parse().ok()
}

/// Today, UTC, as 2026-01-31.
pub(super) fn today() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    date(now.map_or(0, |now| now.as_secs()) / 86_400)
}

/// A short name for a file, from the processor's.
pub(super) fn label(host: &Value) -> String {
    let model = host["processor"].as_str().unwrap_or("unknown");
    let mut label = String::new();
    for word in model.split(|letter: char| !letter.is_ascii_alphanumeric()) {
        let is_noise = ["", "R", "TM", "CPU", "Processor", "Core"].contains(&word);
        if is_noise || label.len() > 24 {
            continue;
        }
        if !label.is_empty() {
            label.push('-');
        }
        label.push_str(&word.to_ascii_lowercase());
    }
    let count = host["processors"].as_u64().unwrap_or(0);
    format!("{label}-x{count}")
}

/// First line of what a program says of itself.
pub(super) async fn version(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().await.ok()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Some(said.lines().next()?.trim().to_owned())
}

struct Processor {
    model: Option<String>,
    count: usize,
    has_sha: bool,
}

fn processor(text: &str) -> Processor {
    let value = |line: &str| Some(line.split_once(':')?.1.trim().to_owned());
    let model = text.lines().find(|line| line.starts_with("model name"));
    let words = |line: &&str| line.starts_with("flags") || line.starts_with("Features");
    let flags = text.lines().find(words).unwrap_or_default();
    Processor {
        model: model.and_then(value),
        count: text
            .lines()
            .filter(|line| line.starts_with("processor"))
            .count(),
        has_sha: flags
            .split_whitespace()
            .any(|flag| flag == "sha_ni" || flag == "sha2"),
    }
}

fn system(text: &str) -> Option<String> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    Some(line?.trim_matches('"').to_owned())
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// Days since 1970 as a date; Hinnant's `civil_from_days`, for days from 1970 on.
fn date(days: u64) -> String {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_calendar() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_453, "2025-12-31"),
            (20_454, "2026-01-01"),
        ] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn reads_a_processor_and_names_a_file_after_it() {
        let text = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Processor @ 2.70GHz\n\
            flags\t\t: fpu sha_ni avx2\nprocessor\t: 1\n";
        let found = processor(text);
        assert_eq!(found.count, 2);
        assert!(found.has_sha);
        let host = json!({ "processor": found.model, "processors": found.count });
        assert_eq!(label(&host), "intel-xeon-2-70ghz-x2");
    }
}
