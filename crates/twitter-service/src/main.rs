//! The twitter service: `GET /twitter`, from one denormalised table.

mod app;
mod batch;
mod breaker;
mod cache;
mod config;
mod handlers;
mod pool;
mod routes;
mod store;
mod watch;

use std::process::ExitCode;

/// Small short-lived allocations dominate; the system allocator is up to a tenth slower on them
/// and, in a static build, contended.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service_kit::main::<app::App>()
}
