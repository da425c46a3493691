//! The blockchain service as its clients see it, through a running program.

mod chain;
mod deploys;
mod hostile;
mod storm;

use service_kit::testing::Running;

fn start(settings: &[(&str, &str)]) -> Running {
    Running::start(env!("CARGO_BIN_EXE_blockchain-service"), settings)
}
