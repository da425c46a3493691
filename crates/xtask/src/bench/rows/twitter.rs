//! `/twitter`: all hits, all misses, and what the database can do.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Bench, stop};
use crate::bench::measure::{CONNECTIONS, Row, Series, Subject, median};
use crate::bench::server::Server;
use crate::bench::{DATABASE, SYSBENCH_DATABASE, sqlite_url};
use crate::child;
use crate::database::BenchDatabase;

impl Bench {
    /// The twitter service on the embedded table, with a cache that holds what the load asks for.
    pub(super) async fn cached_twitter(&self) -> Result<Server> {
        let url = sqlite_url(&self.folder);
        let settings = [("DATABASE_URL", url.as_str()), ("CACHE_TTL_MS", "3600000")];
        self.service("twitter-service", &settings).await
    }

    pub(super) async fn twitter_hits(&self) -> Result<Value> {
        let hello = self.yardstick("hello").await?;
        let service = self.cached_twitter().await?;
        let targets = self.targets("twitter-hits");
        let subjects = [
            Subject::new("twitter", &service, &targets),
            Subject::new("hello", &hello, &targets),
        ];
        let mut row = Row::new(self.alternate(&subjects).await?);
        row.ratio("twitter", "hello");
        stop([hello, service]).await;
        Ok(row.to_json())
    }

    pub(super) async fn twitter_misses(&self) -> Result<Value> {
        let database = self.database.as_ref().context("this row has a database")?;
        let url = database.url(DATABASE);
        let raw = self.yardstick("raw").await?;
        let settings = [("DATABASE_URL", url.as_str()), ("CACHE_MB", "0")];
        let service = self.service("twitter-service", &settings).await?;
        let each = [&settings[..], &[("DATABASE_KEYS_PER_QUERY", "1")]].concat();
        let each = self.service("twitter-service", &each).await?;
        let pool = Server::yardstick(&self.programs.join("sqlx_pool"), &[&url]).await?;
        let targets = self.targets("twitter-misses");
        let with_database = |name: &str, server| Subject {
            database: database.pid(),
            ..Subject::new(name, server, &targets)
        };
        let subjects = [
            with_database("twitter", &service),
            Subject::new("raw", &raw, &targets),
            with_database("twitter, a query each", &each),
            with_database("sqlx's pool", &pool),
        ];
        let mut row = Row::new(self.alternate(&subjects).await?);
        row.ratio("twitter", "raw");
        let processor = |series: &Series| match series.name.as_str() {
            "raw" => series.micros.clone(),
            _ => series.database_micros.clone(),
        };
        let pairs = row.series("twitter").zip(row.series("raw"));
        let ratios = pairs.map(|(twitter, raw)| {
            let pairs = processor(twitter).into_iter().zip(processor(raw));
            pairs
                .map(|(database, raw)| database / raw)
                .collect::<Vec<f64>>()
        });
        row.figure("database / raw", median(&ratios.unwrap_or_default()));
        row.ratio_of(
            "rate / rate of sqlx's pool",
            "twitter",
            "sqlx's pool",
            |s| &s.rates,
        );
        row.ratio("sqlx's pool", "twitter");
        row.ratio("twitter, a query each", "twitter");
        row.ratio_of(
            "rate / rate with a query each",
            "twitter",
            "twitter, a query each",
            |s| &s.rates,
        );
        for task in [Sysbench::PointSelect, Sysbench::Packs] {
            let (ratios, rates) = self
                .against_sysbench(task, database, &service, &targets)
                .await?;
            row.figure(task.figure(), median(&ratios));
            row.note(task.note(), json!(median(&rates).round()));
        }
        stop([raw, service, each, pool]).await;
        Ok(row.to_json())
    }

    /// The service's rate against sysbench's, in turn, as both share the machine with others; and
    /// sysbench's, the better one of few and many threads.
    async fn against_sysbench(
        &self,
        task: Sysbench,
        database: &BenchDatabase,
        service: &Server,
        targets: &Path,
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        let program = child::find_program("sysbench").context("sysbench is not installed")?;
        let seconds = self.pace.seconds;
        let script = self.folder.join("packs.lua");
        std::fs::write(&script, PACKS)
            .with_context(|| format!("cannot write {}", script.display()))?;
        let sysbench = |threads: u32, step: &str| {
            let mut command = child::tied_to_us(&program, "KILL");
            match task {
                Sysbench::PointSelect => command
                    .arg("oltp_point_select")
                    .args(["--tables=1", "--table-size=100000"])
                    .arg(format!("--mysql-db={SYSBENCH_DATABASE}")),
                Sysbench::Packs => command
                    .arg(&script)
                    .env("TARGETS", targets)
                    .arg(format!("--mysql-db={DATABASE}")),
            };
            command
                .args(["--mysql-host=127.0.0.1", "--mysql-user=root"])
                .arg(format!("--mysql-port={}", database.port()))
                .arg(format!("--threads={threads}"))
                .args([&format!("--time={seconds}"), step]);
            command
        };
        if task == Sysbench::PointSelect {
            child::run(&mut sysbench(1, "prepare"), "sysbench prepare").await?;
        }
        let (mut ratios, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..self.pace.rounds {
            let mut best = 0.0_f64;
            for threads in [8, 32] {
                let output = sysbench(threads, "run").output().await?;
                let said = String::from_utf8_lossy(&output.stdout);
                let rate = queries_per_second(&said);
                best = best.max(rate.with_context(|| format!("sysbench told no rate:\n{said}"))?);
            }
            let burst = self.wrk.run(service.address, targets, CONNECTIONS, seconds);
            ratios.push(burst.await?.rate / best);
            rates.push(best);
        }
        Ok((ratios, rates))
    }
}

/// What sysbench does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sysbench {
    /// Its own point select, on rows of some 190 bytes.
    PointSelect,
    /// One user's pack at a time, from the table of the service.
    Packs,
}

impl Sysbench {
    fn figure(self) -> &'static str {
        match self {
            Self::PointSelect => "rate / rate of sysbench",
            Self::Packs => "rate / rate of sysbench on the same table",
        }
    }

    fn note(self) -> &'static str {
        match self {
            Self::PointSelect => "sysbench_queries_per_s",
            Self::Packs => "sysbench_packs_per_s",
        }
    }
}

/// For sysbench: asks for the packs of the users in a file of targets, prepared, at random.
const PACKS: &str = r#"local users = {}

function thread_init()
  for target in io.lines(os.getenv("TARGETS")) do
    users[#users + 1] = tonumber(target:match("user_id=(%d+)"))
  end
  connection = sysbench.sql.driver():connect()
  statement = connection:prepare("SELECT part, pack FROM user_pack WHERE user_id = ?")
  user = statement:bind_create(sysbench.sql.type.BIGINT)
  statement:bind_param(user)
end

function event()
  user:set(users[sysbench.rand.uniform(1, #users)])
  statement:execute():free()
end
"#;

/// What sysbench calls `queries: N (R per sec.)`.
fn queries_per_second(said: &str) -> Option<f64> {
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("queries:"))?;
    let (_, rate) = line.split_once('(')?;
    rate.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_rate_of_sysbench() {
        let said = "SQL statistics:\n    queries:                             98437  (32810.34 per sec.)\n";
        assert_eq!(queries_per_second(said), Some(32_810.34));
        assert_eq!(queries_per_second("nothing"), None);
    }
}
