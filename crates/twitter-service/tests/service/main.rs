//! The twitter service as its clients and operators see it, through a running program.

mod cancelled;
mod contacts;
mod deploys;
mod failover;
mod hostile;
mod mysql;
mod secrets;
mod server;
mod sick;
mod soak;
mod sqlite;
mod storm;
mod table;
mod tracing;

use service_kit::testing::Running;

fn start(database: &str, settings: &[(&str, &str)]) -> Running {
    let all = [&[("DATABASE_URL", database)], settings].concat();
    Running::start(env!("CARGO_BIN_EXE_twitter-service"), &all)
}

/// A running service that has read its table.
fn start_ready(database: &str, settings: &[(&str, &str)]) -> Running {
    let service = start(database, settings);
    service.wait_ready();
    service
}
