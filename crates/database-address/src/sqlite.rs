//! Reading the embedded database whatever became of the program that last wrote it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

/// Connects for reading; waits so long for whoever holds the file locked.
///
/// A program that is killed while it writes may leave a rollback journal that the next connection
/// must play back (<https://www.sqlite.org/atomiccommit.html>, "hot rollback journals"). One that
/// may only read cannot, and each of its queries fails with `SQLITE_READONLY_ROLLBACK`. So where
/// there is a journal, a connection that may write comes first.
///
/// # Errors
///
/// Those of sqlx. A journal that cannot be played back, for instance in a folder that is
/// read-only, is told by the first query.
pub async fn read_only(
    options: SqliteConnectOptions,
    busy_wait: Duration,
) -> Result<SqliteConnection, sqlx::Error> {
    let options = options.create_if_missing(false).busy_timeout(busy_wait);
    if has_journal(&options) {
        play_back(options.clone()).await;
    }
    options.read_only(true).connect().await
}

/// Whether there is a journal, be it of a program that still runs.
fn has_journal(options: &SqliteConnectOptions) -> bool {
    let mut journal = options.get_filename().as_os_str().to_owned();
    journal.push("-journal");
    fs::metadata(PathBuf::from(journal)).is_ok_and(|journal| journal.len() > 0)
}

/// Any query does it. SQLite leaves the journal of a program that still runs alone. What fails
/// here fails again, and is told, when the file is read.
async fn play_back(options: SqliteConnectOptions) {
    if let Ok(mut connection) = options.read_only(false).connect().await {
        let _ = sqlx::query("SELECT COUNT(*) FROM sqlite_master")
            .execute(&mut connection)
            .await;
        let _ = connection.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::Path;

    const WAIT: Duration = Duration::from_secs(30);

    async fn sum(path: &Path, busy_wait: Duration) -> Result<i64, sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(path);
        let mut connection = read_only(options, busy_wait).await?;
        sqlx::query_scalar("SELECT SUM(number) FROM numbers")
            .fetch_one(&mut connection)
            .await
    }

    #[tokio::test]
    async fn a_writer_killed_half_way_does_not_keep_readers_out() {
        let folder = std::env::temp_dir().join(format!("hot-journal-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (live, left) = (folder.join("live.db"), folder.join("left.db"));
        let options = SqliteConnectOptions::new()
            .filename(&live)
            .create_if_missing(true)
            // So that changed pages go to the file before the transaction ends.
            .pragma("cache_size", "1");
        let mut writer = options.connect().await.unwrap();
        let run = async |writer: &mut SqliteConnection, statement: &'static str| {
            sqlx::raw_sql(statement).execute(writer).await.unwrap();
        };
        run(
            &mut writer,
            "CREATE TABLE numbers (number INTEGER, filler BLOB)",
        )
        .await;
        run(
            &mut writer,
            "INSERT INTO numbers \
             WITH RECURSIVE each(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM each LIMIT 200) \
             SELECT 1, zeroblob(2000) FROM each",
        )
        .await;
        let before = fs::read(&live).unwrap();
        run(&mut writer, "BEGIN; UPDATE numbers SET number = 2").await;
        assert!(
            fs::read(&live).unwrap() != before,
            "nothing was written yet"
        );
        // What a kill leaves: the file and its journal as they are now.
        fs::copy(&live, &left).unwrap();
        let journal = |path: &Path| path.with_extension("db-journal");
        fs::copy(journal(&live), journal(&left)).unwrap();

        assert_eq!(sum(&left, WAIT).await.unwrap(), 200);
        assert!(!journal(&left).exists(), "it was played back");
        // A journal in use is nobody else's: the writer goes on.
        let _ = sum(&live, Duration::from_millis(10)).await;
        run(&mut writer, "COMMIT").await;
        assert_eq!(sum(&live, WAIT).await.unwrap(), 400);
        writer.close().await.unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }
}
