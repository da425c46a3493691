//! Files of results: rows that may have been measured on different occasions, and what they were
//! measured on.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// What a file of results says it is. In version 1 the occasion was that of the whole file.
const FORMAT: &str = "tripod-bench/2";

/// When a row was measured, how often and for how long, and how much else the machine did.
#[derive(Debug, Clone)]
pub(super) struct Occasion {
    pub(super) date: String,
    /// Load average of the minute before anything was built or measured.
    pub(super) load_before: Option<f64>,
    /// Load average of the minute before the row was done, in which the row itself has its part.
    pub(super) load_after: Option<f64>,
    pub(super) rounds: u32,
    pub(super) seconds: u32,
    pub(super) took_s: u64,
}

/// No results of this machine yet.
pub(super) fn new(host: &Value) -> Value {
    json!({ "format": FORMAT, "host": host, "inputs": {}, "rows": {} })
}

/// The results that are there, to replace rows of.
///
/// # Errors
///
/// When they were measured on another system, which one description cannot tell of both.
pub(super) fn to_add_to(file: &Path, host: &Value) -> Result<Value> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(new(host)),
        Err(error) => return Err(error).context(format!("cannot read {}", file.display())),
    };
    let results = parse(&text).with_context(|| format!("{} is garbled", file.display()))?;
    if results["host"] != *host {
        bail!(
            "{} is of another processor, kernel or compiler: give this one another name by --host, or measure \
             all rows anew",
            file.display()
        );
    }
    Ok(results)
}

/// Puts a row in its place.
pub(super) fn add(results: &mut Value, name: &str, mut row: Value, occasion: &Occasion) {
    row["measured"] = json!({
        "date": occasion.date,
        "load_before": occasion.load_before,
        "load_after": occasion.load_after,
        "rounds": occasion.rounds,
        "seconds": occasion.seconds,
        "took_s": occasion.took_s,
    });
    results["rows"][name] = row;
}

/// Adds what the rows were sent; what is not said anew stays.
pub(super) fn add_inputs(results: &mut Value, inputs: Value) {
    if let Value::Object(inputs) = inputs {
        for (name, input) in inputs {
            results["inputs"][&name] = input;
        }
    }
}

/// The newest results of each processor, the newest of all first: names of files begin with the date.
///
/// # Errors
///
/// When there are none, or one of them is garbled.
pub(super) fn read_newest(folder: &Path) -> Result<Vec<Value>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("no results in {}", folder.display()))?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    let mut newest: Vec<Value> = Vec::new();
    for file in files.iter().rev() {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let results = parse(&text).with_context(|| format!("{} is garbled", file.display()))?;
        let processor = |results: &Value| results["host"]["processor"].clone();
        if !newest
            .iter()
            .any(|newer| processor(newer) == processor(&results))
        {
            newest.push(results);
        }
    }
    if newest.is_empty() {
        bail!("no results in {}", folder.display());
    }
    Ok(newest)
}

/// Reads a file of any version.
fn parse(text: &[u8]) -> Result<Value> {
    let mut results: Value = serde_json::from_slice(text)?;
    match results["format"].as_str() {
        Some(FORMAT) => {}
        Some("tripod-bench/1") => upgrade(&mut results),
        other => bail!("its format is {other:?} and not {FORMAT}"),
    }
    Ok(results)
}

/// Gives each row of version 1 what stood beside all of them.
fn upgrade(results: &mut Value) {
    let measured = json!({
        "date": results["date"],
        "load_before": results["host"]["load_before"],
        "load_after": results["host"]["load_after"],
        "rounds": results["rounds"],
        "seconds": results["seconds"],
    });
    for (_, row) in results["rows"].as_object_mut().into_iter().flatten() {
        row["measured"] = measured.clone();
    }
    let remove = |object: &mut Value, names: &[&str]| {
        for name in names {
            object
                .as_object_mut()
                .and_then(|object| object.remove(*name));
        }
    };
    remove(&mut results["host"], &["load_before", "load_after"]);
    remove(results, &["date", "rounds", "seconds", "took_s"]);
    results["format"] = json!(FORMAT);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Value {
        json!({ "processor": "a", "kernel": "1" })
    }

    fn occasion(date: &str, load_before: f64, rounds: u32) -> Occasion {
        Occasion {
            date: date.to_owned(),
            load_before: Some(load_before),
            load_after: Some(1.0),
            rounds,
            seconds: 2,
            took_s: 9,
        }
    }

    /// A file of its own for each test.
    fn file(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("bench-results-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder.join(name)
    }

    #[test]
    fn a_part_that_is_measured_anew_leaves_the_other_rows_as_they_were() {
        let file = file("part.json");
        let mut results = to_add_to(&file, &host()).unwrap();
        let row = json!({ "series": [], "figures": {} });
        for name in ["kit", "tool"] {
            add(
                &mut results,
                name,
                row.clone(),
                &occasion("2026-01-01", 0.1, 5),
            );
        }
        add_inputs(&mut results, json!({ "table": 1, "mix": 1 }));
        fs::write(&file, results.to_string()).unwrap();
        let before = results["rows"]["kit"].clone();

        let mut results = to_add_to(&file, &host()).unwrap();
        add(&mut results, "tool", row, &occasion("2026-01-02", 9.0, 1));
        add_inputs(&mut results, json!({ "mix": 2 }));
        assert_eq!(results["rows"]["kit"], before);
        let measured = &results["rows"]["tool"]["measured"];
        assert_eq!(
            (
                &measured["date"],
                &measured["load_before"],
                &measured["rounds"]
            ),
            (&json!("2026-01-02"), &json!(9.0), &json!(1))
        );
        assert_eq!(results["inputs"], json!({ "table": 1, "mix": 2 }));
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn rows_of_another_system_are_not_mixed_in_and_garbled_files_not_replaced() {
        let file = file("other.json");
        fs::write(&file, new(&host()).to_string()).unwrap();
        let error = to_add_to(&file, &json!({ "processor": "b" })).unwrap_err();
        assert!(error.to_string().contains("--host"), "{error}");
        fs::write(&file, "{").unwrap();
        assert!(to_add_to(&file, &host()).is_err());
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn of_each_processor_the_newest_are_read() {
        let folder = file("hosts");
        fs::create_dir_all(&folder).unwrap();
        assert!(read_newest(&folder).is_err());
        for (name, processor) in [
            ("2026-01-01-a", "a"),
            ("2026-01-02-b", "b"),
            ("2026-01-03-a", "a"),
        ] {
            let mut results = new(&json!({ "processor": processor }));
            results["inputs"]["name"] = json!(name);
            fs::write(folder.join(format!("{name}.json")), results.to_string()).unwrap();
        }
        let found = read_newest(&folder).unwrap();
        let names: Vec<_> = found.iter().map(|found| &found["inputs"]["name"]).collect();
        assert_eq!(names, ["2026-01-03-a", "2026-01-02-b"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn rows_of_version_1_get_what_stood_beside_all_of_them() {
        let old = json!({
            "format": "tripod-bench/1", "date": "2026-01-01", "rounds": 5, "seconds": 2, "took_s": 1,
            "host": { "processor": "a", "load_before": 0.5, "load_after": 1.5 },
            "inputs": {}, "rows": { "kit": { "figures": {} } },
        });
        let results = parse(old.to_string().as_bytes()).unwrap();
        let measured = json!({
            "date": "2026-01-01", "load_before": 0.5, "load_after": 1.5, "rounds": 5, "seconds": 2,
        });
        assert_eq!(results["rows"]["kit"]["measured"], measured);
        assert_eq!(results["host"], json!({ "processor": "a" }));
        assert_eq!(results["date"], Value::Null);
        assert!(parse(b"{\"format\":\"other\"}").is_err());
    }
}
