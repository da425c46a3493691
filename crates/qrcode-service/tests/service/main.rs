//! The QR code service as its clients see it, through a running program.

mod deploys;
mod image;
mod symbol;
mod token;

use service_kit::testing::Running;

fn start(settings: &[(&str, &str)]) -> Running {
    Running::start(env!("CARGO_BIN_EXE_qrcode-service"), settings)
}
