//! The two kinds of database behind one face, for threads that wait.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use database_address::{Address, Options};
use sqlx::mysql::MySqlConnectOptions;
use tokio::runtime::Runtime;
use twitter_core::table::TableMeta;

use super::changes::{Change, Changes, Comparer, HeldPart};
use super::serve::Parts;
use super::walk::Sink;
use super::{PartRow, Tally, mysql, options, sqlite};
use crate::failure::{Failure, FailureKind};
use crate::zones::rows::KeyRange;

/// The database that is loaded.
pub(super) enum Target {
    MySql(Box<MySqlTarget>),
    Sqlite(Box<SqliteTarget>),
}

pub(super) struct MySqlTarget {
    runtime: Runtime,
    shadow: mysql::Shadow,
    options: MySqlConnectOptions,
    place: String,
    reads_shadow: bool,
}

pub(super) struct SqliteTarget {
    runtime: Runtime,
    shadow: sqlite::Shadow,
    reads_shadow: bool,
}

/// How much may change, and how much has.
pub(super) struct Limit {
    pub(super) changes: u64,
    pub(super) bytes: u64,
    pub(super) found: AtomicU64,
    pub(super) found_bytes: AtomicU64,
}

/// Runs a step on whichever database it is.
macro_rules! on {
    ($target:expr, $it:ident => $call:expr) => {
        match $target {
            Target::MySql($it) => $it.runtime.block_on($call),
            Target::Sqlite($it) => $it.runtime.block_on($call),
        }
    };
}

impl Target {
    /// Connects and locks others out. Changes nothing.
    pub(super) fn begin(address: &Address) -> Result<Self, Failure> {
        let (runtime, place) = (runtime()?, address.to_string());
        Ok(match options(address)? {
            Options::MySql(options) => Self::MySql(Box::new(MySqlTarget {
                shadow: runtime.block_on(mysql::Shadow::begin(&options, &place))?,
                runtime,
                options: *options,
                place,
                reads_shadow: false,
            })),
            Options::Sqlite(options) => Self::Sqlite(Box::new(SqliteTarget {
                shadow: runtime.block_on(sqlite::Shadow::begin(*options, place))?,
                runtime,
                reads_shadow: false,
            })),
        })
    }

    pub(super) fn in_force(&mut self) -> Result<Option<TableMeta>, Failure> {
        on!(self, it => it.shadow.in_force())
    }

    pub(super) fn create(&mut self) -> Result<(), Failure> {
        on!(self, it => it.shadow.create())
    }

    /// From now on users are read from the table that was filled.
    pub(super) fn read_shadow(&mut self) {
        match self {
            Self::MySql(it) => it.reads_shadow = true,
            Self::Sqlite(it) => it.reads_shadow = true,
        }
    }

    pub(super) fn check_count(&mut self, parts: u64) -> Result<(), Failure> {
        match self {
            Self::MySql(it) => it.runtime.block_on(it.shadow.check_count(parts)),
            // It was read back as a whole.
            Self::Sqlite(_) => Ok(()),
        }
    }

    pub(super) fn swap(&mut self, meta: &TableMeta) -> Result<(), Failure> {
        on!(self, it => it.shadow.swap(meta))
    }

    /// Gives the bytes that one call of [`Self::change`] may bring.
    pub(super) fn begin_changes(&mut self) -> Result<usize, Failure> {
        match self {
            Self::MySql(it) => it.runtime.block_on(it.shadow.begin_changes()),
            // The transaction has begun, and there are no packets.
            Self::Sqlite(_) => Ok(1 << 20),
        }
    }

    pub(super) fn change(&mut self, changes: Vec<Change>) -> Result<(), Failure> {
        on!(self, it => it.shadow.change(changes))
    }

    pub(super) fn commit_changes(&mut self, meta: &TableMeta, parts: u64) -> Result<(), Failure> {
        on!(self, it => it.shadow.commit_changes(meta, parts))
    }

    pub(super) fn rollback_changes(&mut self) -> Result<(), Failure> {
        match self {
            Self::MySql(it) => it.runtime.block_on(it.shadow.rollback_changes()),
            // Closing does.
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// Ends the connection, and what was half done.
    pub(super) fn close(self, has_failed: bool) {
        match self {
            Self::MySql(it) => {
                let MySqlTarget {
                    runtime,
                    mut shadow,
                    ..
                } = *it;
                runtime.block_on(async {
                    if has_failed {
                        shadow.abandon().await;
                    }
                    shadow.close().await;
                });
            }
            Self::Sqlite(it) => {
                let SqliteTarget {
                    runtime, shadow, ..
                } = *it;
                runtime.block_on(shadow.close());
            }
        }
    }
}

impl Parts for Target {
    fn parts_of(&mut self, user_id: u64) -> Result<Vec<(u16, Vec<u8>)>, Failure> {
        let reads_shadow = match self {
            Self::MySql(it) => it.reads_shadow,
            Self::Sqlite(it) => it.reads_shadow,
        };
        if reads_shadow {
            on!(self, it => it.shadow.parts_of(user_id))
        } else {
            on!(self, it => it.shadow.changed_parts_of(user_id))
        }
    }
}

impl MySqlTarget {
    /// Another connection, which fills a range.
    pub(super) fn writer(&self) -> Result<WriteSink<'static>, Failure> {
        let runtime = runtime()?;
        let writer = runtime.block_on(mysql::Writer::connect(&self.options, &self.place))?;
        Ok(WriteSink::MySql(runtime, Box::new(writer)))
    }

    /// Another connection, which compares a range.
    pub(super) fn comparer<'l>(
        &self,
        range: KeyRange,
        folder: &Path,
        limit: &'l Limit,
    ) -> Result<CompareSink<'l>, Failure> {
        let runtime = runtime()?;
        let held = mysql::Held::open(&self.options, &self.place, range.ids());
        let held = runtime.block_on(held)?;
        CompareSink::new(Pages::MySql(runtime, Box::new(held)), folder, limit)
    }
}

/// Writes everything.
pub(super) enum WriteSink<'t> {
    MySql(Runtime, Box<mysql::Writer>),
    Sqlite(&'t mut SqliteTarget),
}

impl Sink for WriteSink<'_> {
    type Done = ();

    fn push(&mut self, row: PartRow) -> Result<bool, Failure> {
        match self {
            Self::MySql(runtime, writer) => runtime.block_on(writer.push(row))?,
            Self::Sqlite(target) => target.runtime.block_on(target.shadow.push(row))?,
        }
        Ok(true)
    }

    fn finish(self, tally: &Tally) -> Result<(), Failure> {
        match self {
            Self::MySql(runtime, mut writer) => runtime.block_on(writer.finish(tally)),
            Self::Sqlite(target) => target.runtime.block_on(target.shadow.finish(tally)),
        }
    }
}

/// Compares everything with the table in force.
pub(super) struct CompareSink<'t> {
    comparer: Comparer,
    pages: Pages<'t>,
    limit: &'t Limit,
}

enum Pages<'t> {
    MySql(Runtime, Box<mysql::Held>),
    /// And the key behind which the next page begins; `None` after the last.
    Sqlite(&'t mut SqliteTarget, Option<(i64, i32)>),
}

impl<'t> CompareSink<'t> {
    fn new(pages: Pages<'t>, folder: &Path, limit: &'t Limit) -> Result<Self, Failure> {
        Ok(Self {
            comparer: Comparer::new(folder)?,
            pages,
            limit,
        })
    }

    /// Over the connection that will write.
    pub(super) fn sqlite(
        target: &'t mut SqliteTarget,
        folder: &Path,
        limit: &'t Limit,
    ) -> Result<Self, Failure> {
        Self::new(Pages::Sqlite(target, Some((0, -1))), folder, limit)
    }
}

impl Pages<'_> {
    fn next(&mut self) -> Result<Vec<HeldPart>, Failure> {
        let (target, behind) = match self {
            Self::MySql(runtime, held) => return runtime.block_on(held.page()),
            Self::Sqlite(target, behind) => (target, behind),
        };
        while let Some(key) = *behind {
            let is_negative = key.0 < 0;
            let last = if is_negative { -1 } else { i64::MAX };
            let page = target.runtime.block_on(target.shadow.page(key, last))?;
            if let Some(part) = page.last() {
                *behind = Some((part.user_id.cast_signed(), i32::from(part.part)));
                return Ok(page);
            }
            // Ids of 2^63 and more are negative there and come last.
            *behind = (!is_negative).then_some((i64::MIN, -1));
        }
        Ok(Vec::new())
    }
}

impl Sink for CompareSink<'_> {
    type Done = Changes;

    fn push(&mut self, row: PartRow) -> Result<bool, Failure> {
        let changes = self.comparer.changes();
        let before = (changes.count(), changes.bytes);
        let pages = &mut self.pages;
        self.comparer.push(&row, &mut || pages.next())?;
        Ok(self.limit.note(before, self.comparer.changes()))
    }

    fn finish(mut self, _tally: &Tally) -> Result<Changes, Failure> {
        let changes = self.comparer.changes();
        let before = (changes.count(), changes.bytes);
        let pages = &mut self.pages;
        let changes = self.comparer.finish(&mut || pages.next())?;
        self.limit.note(before, &changes);
        Ok(changes)
    }
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| Failure::new(FailureKind::Software, format!("no runtime: {error}")))
}
