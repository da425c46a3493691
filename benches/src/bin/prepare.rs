//! Makes what `cargo xtask bench` needs, and prints a line of JSON about it.
//!
//! * `prepare requests FOLDER [VECTORS]` writes files of requests, one target a line, for
//!   `/blockchain` and `/qrcode`; the published ones from the folder of vectors, if it has them.
//! * `prepare table FOLDER DATABASE_URL...` loads the same table at each address and writes the
//!   requests for `/twitter`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use benches::{corpus, table};
use database_address::Address;
use serde_json::{Value, json};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let made = match arguments.as_slice() {
        ["requests", folder] => requests(Path::new(folder), None)?,
        ["requests", folder, vectors] => requests(Path::new(folder), Some(Path::new(vectors)))?,
        ["table", folder, urls @ ..] if !urls.is_empty() => load(Path::new(folder), urls)?,
        _ => {
            bail!("usage: prepare requests FOLDER [VECTORS] | prepare table FOLDER DATABASE_URL...")
        }
    };
    println!("{made}");
    Ok(())
}

fn requests(folder: &Path, vectors: Option<&Path>) -> Result<Value> {
    let published = corpus::published(vectors)?;
    let hard = corpus::with_target("007")?;
    for (name, chains) in [("mix", &published), ("007", &hard)] {
        let targets = chains
            .packed
            .iter()
            .map(|cc| format!("/blockchain?cc={cc}"));
        let targets: Vec<String> = targets.collect();
        write(folder, &format!("blockchain-{name}"), &targets)?;
    }
    write(folder, "qrcode-encode", &corpus::encode()?)?;
    write(folder, "qrcode-decode", &corpus::decode()?)?;
    Ok(json!({
        "blockchain_mix": { "requests": published.packed.len(), "mean_tries": published.mean_tries },
        "blockchain_007": { "requests": hard.packed.len(), "mean_tries": hard.mean_tries },
    }))
}

fn load(folder: &Path, urls: &[&str]) -> Result<Value> {
    let addresses = urls.iter().map(|url| Address::parse(url, None, None));
    let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
    let users = table::load(&addresses, folder)?;
    write(folder, "twitter-hits", &users.hits())?;
    write(folder, "twitter-misses", &users.misses())?;
    Ok(json!({
        "users": users.all.len(),
        "median_rows": users.median_rows,
        "mean_pack_bytes": users.bytes / users.all.len().max(1) as u64,
    }))
}

fn write(folder: &Path, name: &str, targets: &[String]) -> Result<()> {
    let file = folder.join(format!("{name}.txt"));
    fs::write(&file, targets.join("\n") + "\n")
        .with_context(|| format!("cannot write {}", file.display()))
}
