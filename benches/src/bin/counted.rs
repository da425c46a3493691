//! `counted CASE PASSES` runs a case of [`benches::cases`] so many times, for a tool that counts
//! instructions: two runs of different lengths tell what one pass costs. Without arguments it
//! lists the cases and the requests in a pass of each.

use anyhow::{Context as _, Result};
use benches::cases::{NAMES, case};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        for name in NAMES {
            println!("{name} {}", case(name)?.requests);
        }
        return Ok(());
    };
    let passes = arguments.next().context("usage: counted [CASE PASSES]")?;
    let passes: u32 = passes.parse().context("PASSES is a number")?;
    let mut case = case(&name)?;
    let mut bytes = 0;
    for _ in 0..passes {
        bytes += std::hint::black_box(case.pass());
    }
    println!("{bytes}");
    Ok(())
}
