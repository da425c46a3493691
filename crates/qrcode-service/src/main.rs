//! The QR code service: `GET /qrcode` and, for people, `GET /qrcode/image`.

mod app;
mod config;
mod handlers;
mod invalid;
mod picture;
mod routes;
mod token;

use std::process::ExitCode;

/// Small short-lived allocations dominate; the system allocator is up to a tenth slower on them
/// and, in a static build, contended.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service_kit::main::<app::App>()
}
