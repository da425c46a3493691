//! Tells the program what processor it is compiled for, which `/version` shows.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    // `-C target-cpu=X`, in one word or two; the last one counts.
    let words = flags.split('\u{1f}');
    let words = words.map(|word| word.trim_start_matches("-C").trim_start());
    let mut cpus = words.filter_map(|word| word.strip_prefix("target-cpu="));
    println!(
        "cargo::rustc-env=TRIPOD_TARGET_CPU={}",
        cpus.next_back().unwrap_or("baseline")
    );
}
