//! The sample data: generated tweets and the hand-made ones, in one SQLite file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::process::Command;

use crate::workspace::Workspace;
use crate::{child, console};

/// The hand-made tweets, relative to the workspace.
const TINY: &str = "crates/twitter-core/tests/data/tiny.jsonl";
/// The excluded hashtags that belong to them.
const TINY_POPULAR: &str = "crates/twitter-core/tests/data/tiny_popular_hashtags.txt";
/// What is generated; the seed is fixed, so that every clone answers alike.
const GENERATE: [&str; 7] = [
    "generate", "--users", "5000", "--tweets", "50000", "--seed", "15619",
];
/// Generated lines that are looked through for users to ask for.
const LINES_LOOKED_AT: usize = 400;

/// The finished sample.
pub(crate) struct Sample {
    database: PathBuf,
    tweets: PathBuf,
}

impl Sample {
    /// Makes the sample with the `etl` program, or keeps the one that is there
    /// if neither the program nor its inputs have changed.
    pub(crate) async fn make(workspace: &Workspace, etl: &Path) -> Result<Self> {
        let folder = workspace.scratch("sample");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let sample = Self {
            database: folder.join("sample.sqlite"),
            tweets: folder.join("generated.jsonl"),
        };
        let tiny = workspace.root.join(TINY);
        let popular = workspace.root.join(TINY_POPULAR);
        let stamp = folder.join("stamp");
        let wanted = fingerprint(&[etl, &tiny, &popular])?;
        if sample.database.is_file()
            && sample.tweets.is_file()
            && fs::read_to_string(&stamp).is_ok_and(|found| found == wanted)
        {
            console::header(&format!(
                "sample data unchanged, using {}",
                workspace.display(&sample.database)
            ));
            return Ok(sample);
        }
        console::header(&format!(
            "making the sample data in {}",
            workspace.display(&sample.database)
        ));
        // The stamp goes first and comes last: a sample cut short is made again.
        remove_if_present(&stamp)?;
        for suffix in ["", "-wal", "-shm"] {
            let mut file = OsString::from(&sample.database);
            file.push(suffix);
            remove_if_present(Path::new(&file))?;
        }
        let mut generate = Command::new(etl);
        generate.args(GENERATE).arg("--out").arg(&sample.tweets);
        child::run(&mut generate, "etl generate").await?;
        let mut build = Command::new(etl);
        build
            .arg("build")
            .arg("--input")
            .arg(&sample.tweets)
            .arg(tiny);
        build.arg("--popular").arg(popular);
        build.args(["--database", &sample.url()]);
        child::run(&mut build, "etl build").await?;
        fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(sample)
    }

    /// The setting for the service.
    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.database.display())
    }

    /// Some users of the generated part that others replied to or retweeted,
    /// by the first lines of it, each once.
    pub(crate) fn contacted_users(&self) -> Result<Vec<u64>> {
        let file = File::open(&self.tweets)
            .with_context(|| format!("cannot read {}", self.tweets.display()))?;
        let mut users = Vec::new();
        for line in BufReader::new(file).split(b'\n').take(LINES_LOOKED_AT) {
            if let Some(user) = contacted_user(&line?)
                && !users.contains(&user)
            {
                users.push(user);
            }
        }
        Ok(users)
    }
}

/// The user whom a raw tweet answers or retweets; many lines are broken on purpose.
fn contacted_user(line: &[u8]) -> Option<u64> {
    let tweet: Value = serde_json::from_slice(line).ok()?;
    let id = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    id(&tweet["in_reply_to_user_id"]).or_else(|| id(&tweet["retweeted_status"]["user"]["id"]))
}

/// A text that changes with what is generated and with the content of `files`.
fn fingerprint(files: &[&Path]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    GENERATE.hash(&mut hasher);
    for file in files {
        fs::read(file)
            .with_context(|| format!("the sample data needs {}", file.display()))?
            .hash(&mut hasher);
    }
    Ok(format!("{:016x}\n", hasher.finish()))
}

fn remove_if_present(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_whom_a_tweet_contacts() {
        let cases: [(&str, Option<u64>); 5] = [
            (r#"{"in_reply_to_user_id":7,"user":{"id":1}}"#, Some(7)),
            (r#"{"retweeted_status":{"user":{"id":8}}}"#, Some(8)),
            (r#"{"in_reply_to_user_id":null}"#, None),
            (r#"{"in_reply_to_user_id":7"#, None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(contacted_user(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn the_fingerprint_names_a_missing_file() {
        let error = fingerprint(&[Path::new("/no/such/etl")]).unwrap_err();
        assert!(error.to_string().contains("/no/such/etl"));
    }
}
