//! How fast packs are loaded, next to `mariadb-import` of the same packs into the same server, which
//! is `LOAD DATA LOCAL INFILE` from C; and how fast changes are, by their share.
//!
//! `cargo run --release -p etl --example load_speed -- mysql://USER@HOST:PORT/DATABASE USERS [IMPORT]`
//!
//! The database is emptied. IMPORT is the path of `mariadb-import`; the server must have
//! `local_infile` on. Rounds alternate, so that a busy machine is busy for both.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use database_address::Address;
use etl::generate;
use etl::load::{Load, Mode, Origin};
use etl::read::for_each_pack;
use etl::report::Run;
use etl::steps::score::read_excluded;
use etl::steps::temporary::Temporary;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection};
use twitter_core::record::parts;

const ROUNDS: usize = 3;
/// Connections.
const JOBS: usize = 2;

fn main() -> Result<()> {
    let mut words = env::args().skip(1);
    let url = words.next().context("no address")?;
    let users: u64 = words.next().context("no number of users")?.parse()?;
    let import = words.next().unwrap_or_else(|| "mariadb-import".to_owned());
    let address = Address::parse(&url, None, None)?;
    let folder = env::temp_dir().join(format!("load-speed-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&url, &address, users, &import, &folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(url: &str, address: &Address, users: u64, import: &str, folder: &Path) -> Result<()> {
    let popular = folder.join("popular");
    fs::write(&popular, "zipcode\n")?;
    let zones = Temporary::create()?;
    let raw = folder.join("raw.jsonl");
    generate(&raw, users, users * 3, 1)?;
    let run = zones.run(std::slice::from_ref(&raw), &popular, JOBS);
    let cleaned = run.clean.run(&())?;
    run.score(&cleaned, &())?;
    let excluded = read_excluded(&popular)?;
    let load = Load {
        processed: &run.processed,
        origin: Origin {
            working: &run.clean.working,
            excluded: &excluded,
        },
        address,
        jobs: JOBS,
        mode: Mode::Full,
        spill_folder: folder,
    };
    let first = load.run(&mut Run::default(), &|_| ())?;
    let dump = folder.join("packs_import.txt");
    write_dump(address, &dump)?;
    println!(
        "{} users, {} rows, {:.1} MB of packs",
        first.meta.users,
        first.meta.rows,
        mega(first.bytes)
    );
    let (mut ours, mut step, mut theirs) = (f64::MAX, f64::MAX, f64::MAX);
    for round in 0..ROUNDS {
        let mut report = Run::default();
        let started = Instant::now();
        load.run(&mut report, &|_| ())?;
        let whole = started.elapsed().as_secs_f64();
        let steps = report.to_json();
        let steps = steps["steps"].as_array().context("steps")?.clone();
        let loaded = steps[0]["seconds"].as_f64().context("a time")?;
        let imported = imported(url, import, &dump)?;
        println!(
            "round {round}: etl load {whole:.2} s, of it pack, load and read back {loaded:.2} s; mariadb-import {imported:.2} s"
        );
        (ours, step, theirs) = (ours.min(whole), step.min(loaded), theirs.min(imported));
    }
    let line = |name: &str, seconds: f64| {
        println!(
            "{name:<44} {seconds:7.2} s {:9.0} packs/s {:7.1} MB/s {:6.2} of mariadb-import",
            f64::from(u32::try_from(first.meta.users).unwrap_or(u32::MAX)) / seconds,
            mega(first.bytes) / seconds,
            theirs / seconds
        );
    };
    line("etl load: checks, packs, read back, swap", ours);
    line("etl load: packs, load, read back only", step);
    line("mariadb-import: LOAD DATA LOCAL INFILE only", theirs);
    changes(&load, users, folder, &run)
}

/// Loads with some of the users changed, as changes and as a whole.
fn changes(load: &Load<'_>, users: u64, folder: &Path, run: &etl::steps::run::Run) -> Result<()> {
    for tweets in [0, users / 100, users / 20, users / 8] {
        let raw: Vec<PathBuf> = [(0, 1, users * 3), (1, 2, tweets)]
            .into_iter()
            .map(|(number, seed, tweets)| {
                let path = folder.join(format!("more-{number}.jsonl"));
                generate(&path, users, tweets, seed).map(|()| path)
            })
            .collect::<Result<_>>()?;
        let zones = Temporary::create()?;
        let more_steps = zones.run(&raw, &run.popular, JOBS);
        let cleaned = more_steps.clean.run(&())?;
        more_steps.score(&cleaned, &())?;
        load.run(&mut Run::default(), &|_| ())?;
        let mut line = format!("{tweets} more tweets:");
        for mode in [Mode::Changes, Mode::Full] {
            let more = Load {
                processed: &more_steps.processed,
                origin: Origin {
                    working: &more_steps.clean.working,
                    excluded: load.origin.excluded,
                },
                mode,
                ..*load
            };
            let started = Instant::now();
            let published = more.run(&mut Run::default(), &|_| ())?;
            let seconds = started.elapsed().as_secs_f64();
            let written = published.written;
            let _ = write!(line, " {mode:?} {seconds:.2} s ({written:?});");
        }
        println!("{line}");
    }
    Ok(())
}

fn generate(path: &Path, users: u64, tweets: u64, seed: u64) -> Result<()> {
    let options = generate::Options {
        users,
        tweets,
        seed,
        malformed_share: 0.0,
        filtered_share: 0.0,
        duplicate_share: 0.0,
        ..generate::Options::default()
    };
    let mut out = BufWriter::new(File::create(path)?);
    generate::write(&options, &mut out)?;
    Ok(out.flush()?)
}

/// The packs as `mariadb-import` reads them.
fn write_dump(address: &Address, path: &Path) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut failed = Ok(());
    wait(for_each_pack(address, None, |pack| {
        let user_id = pack.as_pack().user_id();
        let mut write = || -> Result<()> {
            for (part, bytes) in parts(pack.as_bytes())? {
                write!(out, "{user_id}\t{part}\t")?;
                for byte in bytes {
                    match byte {
                        0 => out.write_all(b"\\0")?,
                        b'\t' => out.write_all(b"\\t")?,
                        b'\n' => out.write_all(b"\\n")?,
                        b'\\' => out.write_all(b"\\\\")?,
                        other => out.write_all(&[*other])?,
                    }
                }
                out.write_all(b"\n")?;
            }
            Ok(())
        };
        if failed.is_ok() {
            failed = write();
        }
        Ok(())
    }))??;
    failed?;
    Ok(out.flush()?)
}

/// Seconds that `mariadb-import` takes into an empty table.
fn imported(url: &str, import: &str, dump: &Path) -> Result<f64> {
    let create = "DROP TABLE IF EXISTS packs_import; CREATE TABLE packs_import (
        user_id BIGINT UNSIGNED NOT NULL, part SMALLINT UNSIGNED NOT NULL,
        pack MEDIUMBLOB NOT NULL, PRIMARY KEY (user_id, part)) ENGINE = InnoDB";
    wait(async {
        let mut connection = MySqlConnection::connect(url).await?;
        let statement = sqlx::raw_sql(AssertSqlSafe(create.to_owned()));
        connection.execute(statement).await?;
        Ok::<_, anyhow::Error>(())
    })??;
    let rest = url.strip_prefix("mysql://").context("mysql://")?;
    let (login, rest) = rest.split_once('@').context("a user")?;
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (host, database) = rest.split_once('/').context("a database")?;
    let (host, port) = host.split_once(':').context("a port")?;
    let started = Instant::now();
    let status = Command::new(import)
        .args([
            "--no-defaults",
            "--protocol=tcp",
            "--local",
            "--default-character-set=binary",
        ])
        .args(["--skip-ssl", "--host", host, "--port", port, "--user", user])
        .arg(format!("--password={password}"))
        .args([
            database.as_ref(),
            dump.with_file_name("packs_import.txt").as_os_str(),
        ])
        .stdout(std::process::Stdio::null())
        .status()
        .with_context(|| format!("cannot start {import}"))?;
    ensure!(status.success(), "{import}: {status}");
    Ok(started.elapsed().as_secs_f64())
}

fn mega(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

fn wait<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future))
}
