//! Starts the example service that the kit is tested with.

use std::path::PathBuf;
use std::process::Command;

use service_kit::testing::Running;

/// The example is built beside the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its path");
    let profile = test.ancestors().nth(2).expect("tests lie in deps");
    profile.join("examples/null_service")
}

/// Starts it on free ports.
pub(crate) fn start(settings: &[(&str, &str)]) -> Running {
    Running::start(program(), settings)
}

/// A command with right settings, to be changed and run to its end.
pub(crate) fn command(settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program());
    command
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("ADMIN_ADDR", "127.0.0.1:0")
        .env("TEAM_ID", "TEAMID")
        .env("AWS_ACCOUNT_ID", "AWSACCOUNT")
        .envs(settings.iter().copied());
    command
}
