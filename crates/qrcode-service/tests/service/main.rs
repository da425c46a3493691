//! The QR code service as its clients see it, through a running program.

mod deploys;
mod hostile;
mod image;
mod storm;
mod symbol;
mod token;

use service_kit::testing::Running;

fn start(settings: &[(&str, &str)]) -> Running {
    Running::start(env!("CARGO_BIN_EXE_qrcode-service"), settings)
}
