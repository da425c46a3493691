//! `loadgen smoke`.

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use loadgen::check::TeamLine;
use loadgen::client::Client;
use loadgen::failure::Failure;
use loadgen::smoke;

use super::{Verdict, runtime};
use crate::args::Smoke;

/// How long `smoke` waits for its first connection.
const CONNECT_LIMIT: Duration = Duration::from_millis(900);

/// `loadgen smoke`.
pub(crate) fn smoke(options: &Smoke) -> Result<Verdict, Failure> {
    let target = options.place.target.as_ref().context("no --target");
    let target = target.map_err(Failure::usage)?;
    let address = target.resolve(options.place.allow_remote);
    let address = address.map_err(Failure::usage)?;
    let line = match (&options.team, &options.account) {
        (Some(team), Some(account)) => Some(format!("{team},{account}")),
        _ => None,
    };
    let team = TeamLine::new(line.as_deref());
    let mut all = smoke::golden(options.twitter_tiny);
    if !options.services.is_empty() {
        all.retain(|golden| options.services.contains(&golden.service));
    }
    let mut written = Ok(());
    let is_good = runtime()?.block_on(async {
        let mut client = Client::new(address, CONNECT_LIMIT);
        if client.connect().await.is_err() {
            let error = anyhow!("{target} does not accept connections");
            return Err(Failure::unreachable(error));
        }
        let asked = smoke::ask(address, &target.authority, &team, all, |golden, result| {
            let line = match result {
                Ok(time) => format!("ok    {golden} ({:.1} ms)\n", time.as_secs_f64() * 1e3),
                Err(fault) => format!("WRONG {golden}: {fault}\n"),
            };
            if written.is_ok() {
                written = io::stdout().write_all(line.as_bytes());
            }
        });
        Ok(asked.await)
    })?;
    written.context("cannot write").map_err(Failure::io)?;
    Ok(if is_good {
        Verdict::Good
    } else {
        Verdict::Failed
    })
}
