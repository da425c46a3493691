//! Input that must end a run without a table.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

#[path = "support/files.rs"]
mod files;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::files::run;

fn folder(name: &str) -> PathBuf {
    let path = env::temp_dir().join(format!("etl-refusals-{}-{name}", process::id()));
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("excluded"), "zip\n").unwrap();
    path
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_cut_file_among_many_is_named_with_its_line() {
    let path = folder("cut");
    let text = vec!["{}\n"; 200_000].concat();
    let whole = gzip(&text);
    let files: Vec<PathBuf> = (0..8)
        .map(|number| {
            let file = path.join(format!("part-r-{number:05}.gz"));
            let cut = if number == 5 {
                whole.len() - 4
            } else {
                whole.len()
            };
            fs::write(&file, &whole[..cut]).unwrap();
            file
        })
        .collect();
    for jobs in [1, 3, 20] {
        let error = run(&files, &path.join("excluded"), jobs).unwrap_err();
        assert_eq!(error.kind.exit_code(), 65);
        let place = format!("{}, line 200001, byte ", files[5].display());
        assert!(error.line.starts_with(&place), "{error}");
    }
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn missing_input_is_refused() {
    let path = folder("missing");
    let excluded = path.join("excluded");
    let missing = [path.join("absent.gz")];
    assert_eq!(
        run(&missing, &excluded, 1).unwrap_err().kind.exit_code(),
        65
    );
    assert_eq!(run(&[], &excluded, 1).unwrap_err().kind.exit_code(), 64);
    let twice = [excluded.clone(), excluded.clone()];
    assert_eq!(run(&twice, &excluded, 1).unwrap_err().kind.exit_code(), 64);
    let error = run(&[excluded], Path::new("no/list"), 1).unwrap_err();
    assert_eq!(error.kind.exit_code(), 65);
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_tweet_from_before_the_first_one_fails_the_checks() {
    let path = folder("early");
    let line = r#"{"id":1,"created_at":"Mon Apr 14 10:00:00 +0000 2003","text":"t","lang":"en","user":{"id":2},"in_reply_to_user_id":3,"entities":{"hashtags":[{"text":"a"}]}}"#;
    let file = path.join("part.jsonl");
    fs::write(&file, line).unwrap();
    let error = run(&[file], &path.join("excluded"), 1).unwrap_err();
    assert_eq!(error.kind.exit_code(), 1);
    assert!(error.line.contains("times: row (2, 3, 1)"), "{error}");
    fs::remove_dir_all(path).unwrap();
}
