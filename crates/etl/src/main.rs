//! `etl`: from raw tweets to the one table that the twitter service reads.

mod args;
mod commands;
mod progress;

use std::process::ExitCode;

use clap::Parser as _;
use etl::failure::{FailureKind, complain};

use crate::args::{Arguments, Command};

/// Cleaning makes many small strings on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        Command::Clean(options) => commands::clean(&options),
        Command::Score(options) => commands::score(&options),
        Command::Build(options) => commands::build(&options),
        Command::Load(options) => commands::load(&options),
        Command::Rows(options) => commands::rows(&options),
        Command::Show(options) => commands::show(&options),
        Command::Generate(options) => commands::generate(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.line.is_empty() {
                complain(&failure.line);
            }
            ExitCode::from(failure.kind.exit_code())
        }
    }
}
