//! `cargo xtask readme-check`: are the README's commands and replies true?
//!
//! The convention, so that a reader sees plain shell and a pipeline can check it:
//!
//! ````text
//! ```sh ci
//! curl -s 'http://127.0.0.1:8080/qrcode?type=encode&data=CC%20Team'
//! # => Tripod,000000000000
//! # => 0x66d92b80...
//! ```
//! ````
//!
//! Each line of a `sh ci` block is one command (a `\` at the end of a line
//! continues it), run by bash in the root of the clone; it must succeed. The
//! `# => ` lines after it are the first lines of its output, each exactly or,
//! ending in `...`, as a beginning. Further output is not looked at, other
//! comments are ignored. With `--address` another address takes the place of
//! `127.0.0.1:8080`. All of the paths below must be asked somewhere.

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use tokio::process::Command;
use tokio::time::timeout;

use crate::console;
use crate::workspace::Workspace;

/// The address that the README speaks of.
const WRITTEN_ADDRESS: &str = "127.0.0.1:8080";
/// What the README must show at least once.
const PATHS: [&str; 4] = ["/blockchain?", "/qrcode?", "/qrcode/image?", "/twitter?"];
/// How long one command may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(30);
/// Before a line of expected output.
const REPLY_MARK: &str = "# =>";

/// What the user typed after `readme-check`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where `cargo xtask up` listens
    #[arg(long, value_name = "HOST:PORT", default_value = WRITTEN_ADDRESS)]
    address: String,
    /// The file to check [default: README.md of the workspace]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// One command and the beginning of what it must print.
#[derive(Debug, PartialEq, Eq)]
struct Example {
    /// Where the command begins, from 1.
    line: usize,
    command: String,
    replies: Vec<String>,
}

/// Runs all commands; says which differ.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let workspace = Workspace::locate().await?;
    let file = options
        .file
        .unwrap_or_else(|| workspace.root.join("README.md"));
    let shown = workspace.display(&file);
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {shown}"))?;
    let examples = parse(&text).with_context(|| shown.to_string())?;
    if let Some(path) = unasked_path(&examples) {
        bail!("{shown}: no `sh ci` block asks {path}..., see `crates/xtask/src/readme.rs`");
    }
    let mut failed = 0;
    for example in &examples {
        let command = example.command.replace(WRITTEN_ADDRESS, &options.address);
        let outcome = match output_of(&command, &workspace).await {
            Ok(output) => compare(&example.replies, &output),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => console::say(&format!("ok      {shown}:{}", example.line)),
            Err(error) => {
                failed += 1;
                console::say(&format!(
                    "FAILED  {shown}:{}: {command}\n{error:#}",
                    example.line
                ));
            }
        }
    }
    if failed > 0 {
        bail!(
            "{failed} of {} commands in {shown} do not do what it says",
            examples.len()
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn output_of(command: &str, workspace: &Workspace) -> Result<Vec<u8>> {
    let process = Command::new("bash")
        .args(["-euo", "pipefail", "-c", command])
        .current_dir(&workspace.root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = timeout(COMMAND_DEADLINE, process)
        .await
        .map_err(|_| anyhow!("did not end within {} s", COMMAND_DEADLINE.as_secs()))?
        .context("cannot start bash")?;
    if !output.status.success() {
        bail!("{}", output.status);
    }
    Ok(output.stdout)
}

/// Compares the first lines of an output with what was promised.
fn compare(replies: &[String], output: &[u8]) -> Result<()> {
    let output = String::from_utf8_lossy(output);
    let mut lines = output.lines();
    for (number, reply) in replies.iter().enumerate() {
        let Some(line) = lines.next() else {
            bail!(
                "line {} of the output should be `{reply}`, but it ended",
                number + 1
            );
        };
        let same = match reply.strip_suffix("...") {
            Some(beginning) => line.starts_with(beginning),
            None => line == reply,
        };
        if !same {
            bail!(
                "line {} of the output should be `{reply}`, but is `{line}`",
                number + 1
            );
        }
    }
    Ok(())
}

/// Finds the commands of all `sh ci` blocks.
fn parse(text: &str) -> Result<Vec<Example>> {
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    let mut continued = false;
    for (number, line) in text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
    {
        if !inside {
            inside = line.trim_end() == "```sh ci";
            continue;
        }
        if line.trim_end() == "```" {
            if continued {
                bail!("line {number}: the block ends within a command");
            }
            inside = false;
            continue;
        }
        let (part, more) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        if continued {
            let example = examples.last_mut().context("nothing to continue")?;
            example.command.push_str(part);
        } else if let Some(reply) = line.strip_prefix(REPLY_MARK) {
            let example = examples
                .last_mut()
                .with_context(|| format!("line {number}: a reply without a command"))?;
            let reply = reply.strip_prefix(' ').unwrap_or(reply);
            example.replies.push(reply.to_owned());
            continue;
        } else if line.trim().is_empty() || line.starts_with('#') {
            continue;
        } else {
            examples.push(Example {
                line: number,
                command: part.to_owned(),
                replies: Vec::new(),
            });
        }
        continued = more;
    }
    if inside {
        bail!("a `sh ci` block has no end");
    }
    Ok(examples)
}

/// A path that no command asks.
fn unasked_path(examples: &[Example]) -> Option<&'static str> {
    PATHS.into_iter().find(|path| {
        let full = format!("{WRITTEN_ADDRESS}{path}");
        !examples
            .iter()
            .any(|example| example.command.contains(&full))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Title
```sh
cargo xtask up
```
```sh ci
# ask it
curl -s 'http://127.0.0.1:8080/qrcode?type=encode&data=A' \\
  --max-time 5
# => Tripod,000000000000
# => 0x12...

echo done
```
";

    #[test]
    fn finds_commands_and_replies_of_marked_blocks_only() {
        let examples = parse(TEXT).unwrap();
        assert_eq!(examples.len(), 2);
        assert_eq!(examples[0].line, 7);
        assert!(examples[0].command.ends_with("data=A'   --max-time 5"));
        assert_eq!(examples[0].replies, ["Tripod,000000000000", "0x12..."]);
        assert_eq!(examples[1].command, "echo done");
        assert!(examples[1].replies.is_empty());
    }

    #[test]
    fn refuses_blocks_that_cannot_be_meant() {
        for text in [
            "```sh ci\n# => reply\n```\n",
            "```sh ci\necho \\\n```\n",
            "```sh ci\necho\n",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn compares_whole_lines_and_beginnings() {
        let output = b"Tripod,0\n0x123\nmore";
        let check = |replies: &[&str]| {
            let replies: Vec<String> = replies.iter().map(|&reply| reply.to_owned()).collect();
            compare(&replies, output).is_ok()
        };
        assert!(check(&[]));
        assert!(check(&["Tripod,0", "0x1..."]));
        assert!(check(&["Tripod,0", "0x123", "more"]));
        assert!(!check(&["Tripod"]));
        assert!(!check(&["Tripod,0", "0x2..."]));
        assert!(!check(&["Tripod,0", "0x123", "more", "yet more"]));
    }

    #[test]
    fn names_a_path_that_nobody_asks() {
        let examples = parse(TEXT).unwrap();
        assert_eq!(unasked_path(&examples), Some("/blockchain?"));
    }
}
