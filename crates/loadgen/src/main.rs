//! `loadgen`: load for the three services.

mod args;
mod commands;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use loadgen::failure::FailureKind;

use crate::args::{Arguments, Command};
use crate::commands::Verdict;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed terminal is the only way this fails; there is nobody left to tell.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(FailureKind::Usage.exit_code())
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let done = match arguments.command {
        Command::Run(options) => commands::run(&options),
        Command::Smoke(options) => commands::smoke(&options),
        Command::FindMax(options) => commands::find_max(&options),
        Command::LiveTest(options) => commands::live_test(&options),
        Command::Compare(options) => commands::compare(&options),
        Command::Merge(options) => commands::merge(&options),
        Command::Plan(options) => commands::plan(&options),
    };
    match done {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::from(1),
        Ok(Verdict::TooSlow) => ExitCode::from(3),
        Err(failure) => {
            // `eprintln!` panics where errors go to a full disk; the exit code still tells.
            let _ = writeln!(io::stderr(), "loadgen: {failure}");
            ExitCode::from(failure.kind.exit_code())
        }
    }
}
