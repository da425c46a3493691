//! Times the cores against the size of what they are given, and prints the curves as a line of JSON.

fn main() -> anyhow::Result<()> {
    println!("{}", benches::growth::measure()?);
    Ok(())
}
