//! One function for each route.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use service_kit::compute::PoolFull;
use service_kit::metrics::Label as _;
use service_kit::request::{BrokenEscape, Request, Value};
use service_kit::respond::{ContentType, Reply};
use service_kit::trace::{Child, Span};
use twitter_core::error::QueryError;
use twitter_core::query::{Query, RawQuery};
use twitter_core::rank::Scratch;
use twitter_core::record::OwnedPack;
use twitter_core::render;
use twitter_core::table::TABLE;

use crate::app::{App, Lookup, Outcome, Table};
use crate::cache::{Entry, Found};
use crate::store::{StoreError, StoreErrorKind};

/// Packs over this many bytes take 100 µs or more to rank, at about 1 µs a KB, and leave the
/// worker for the compute pool.
const HEAVY_PACK_BYTES: usize = 128 * 1024;

/// What spans of look-ups are called.
const LOOK_UP: &str = "SELECT user_pack";

/// Room for replies that each worker keeps. Nearly all are some KB; what a longer one took is given
/// back.
const REPLY_BYTES: usize = 64 * 1024;

/// `GET /twitter`: 200 with the contacts or `INVALID`, 503 when the table does not answer.
pub(crate) async fn contacts(app: &App, request: Request<'_>) -> Reply {
    let values = request
        .query()
        .first(["user_id", "type", "phrase", "hashtag"]);
    let decoded = match decode(values) {
        Ok(decoded) => decoded,
        Err(BrokenEscape) => return invalid(app, QueryError::BrokenEscape),
    };
    let [user_id, contact_type, phrase, hashtag] = decoded.each_ref().map(Option::as_deref);
    let raw = RawQuery {
        user_id,
        contact_type,
        phrase,
        hashtag,
    };
    let query = match Query::parse(raw) {
        Ok(query) => query,
        Err(reason) => return invalid(app, reason),
    };
    match find(app, query.user_id(), request.span()).await {
        Ok((entry, found)) => {
            let reply = answer(app, query, entry).await;
            match found {
                Found::Stale(past) => reply.stale(past),
                Found::Hit | Found::Loaded => reply,
            }
        }
        Err(error) => {
            app.count_store_error(error.kind());
            tracing::debug!(%error, "no pack");
            Reply::unavailable(Outcome::NoTable, "the database does not answer now\n")
        }
    }
}

fn decode<const N: usize>(
    values: [Option<Value<'_>>; N],
) -> Result<[Option<Cow<'_, [u8]>>; N], BrokenEscape> {
    let mut decoded = [const { None }; N];
    for (slot, value) in decoded.iter_mut().zip(values) {
        *slot = value.map(Value::decode).transpose()?;
    }
    Ok(decoded)
}

fn invalid(app: &App, reason: QueryError) -> Reply {
    app.count_invalid(reason);
    let mut body = Vec::with_capacity(app.head.len() + 8);
    render::respond_invalid(&app.head, &mut body);
    Reply::ok(Outcome::Invalid, ContentType::TextUtf8, body)
}

async fn find(
    app: &App,
    user_id: u64,
    span: Option<&Span>,
) -> Result<(Arc<Entry>, Found), StoreError> {
    let load = || {
        let asked = span.map(|span| look_up(&app.table, span));
        load(Rc::clone(&app.table), user_id, asked)
    };
    let (entry, found) = app.cache.get(user_id, app.generation(), load).await?;
    app.count_lookup(match found {
        Found::Hit => Lookup::Hit,
        Found::Loaded => Lookup::Miss,
        Found::Stale(_) => Lookup::Stale,
    });
    Ok((entry, found))
}

/// One look-up in the table. Borrows nothing of the request: the cache may let it go on without.
async fn load(
    table: Rc<Table>,
    user_id: u64,
    asked: Option<Child>,
) -> Result<Option<OwnedPack>, StoreError> {
    let started = Instant::now();
    let pack = table.packs.pack(user_id).await;
    if let Some(asked) = asked {
        ended(asked, &pack);
    }
    if !matches!(pack, Err(StoreError::Sick)) {
        table.durations.observe(started.elapsed());
    }
    if let Err(StoreError::Damaged(error)) = &pack {
        tracing::error!(user_id, %error, "a damaged pack; load the table again");
    }
    pack
}

/// The span of one look-up in the table, within that of the request that caused it. Should the look-up
/// be dropped with the request, it ends then. The key is left out: it says who was asked about.
fn look_up(table: &Table, span: &Span) -> Child {
    let mut child = span.child(LOOK_UP);
    child.fact("db.system.name", table.packs.system());
    child.fact("db.operation.name", "SELECT");
    child.fact("db.collection.name", TABLE);
    child
}

fn ended(mut asked: Child, pack: &Result<Option<OwnedPack>, StoreError>) {
    match pack {
        Ok(_) => {}
        // The database was not asked.
        Err(StoreError::Sick) => asked.withdraw(),
        Err(error) => asked.failed(StoreErrorKind::ALL[error.kind().index()]),
    }
}

async fn answer(app: &App, query: Query<'_>, entry: Arc<Entry>) -> Reply {
    let Some(pack) = &entry.pack else {
        let mut body = Vec::with_capacity(app.head.len());
        render::respond_unknown(&app.head, &mut body);
        return Reply::ok(Outcome::Empty, ContentType::TextUtf8, body);
    };
    let body = if pack.as_bytes().len() > HEAVY_PACK_BYTES {
        let query = query.into_owned();
        let head = Arc::clone(&app.head);
        let job = move || {
            let pack = entry.pack.as_ref();
            pack.map(|pack| {
                let mut body = Vec::new();
                let scratch = &mut Scratch::default();
                render::respond(&query, &pack.as_pack(), &head, &mut body, scratch);
                body
            })
        };
        match app.compute.run(job).await {
            Ok(body) => body.unwrap_or_default(),
            Err(PoolFull) => {
                return Reply::unavailable(Outcome::Busy, "too many heavy users are asked for\n");
            }
        }
    } else {
        respond(app, &query, pack)
    };
    let outcome = if body.len() == app.head.len() {
        Outcome::Empty
    } else {
        Outcome::Contacts
    };
    Reply::ok(outcome, ContentType::TextUtf8, body)
}

/// The reply, made in the worker's room for it and copied to its length: memory in as many sizes as
/// there are replies would cost the allocator more than the copy.
fn respond(app: &App, query: &Query<'_>, pack: &OwnedPack) -> Vec<u8> {
    let mut room = app.reply.borrow_mut();
    room.clear();
    let scratch = &mut app.scratch.borrow_mut();
    render::respond(query, &pack.as_pack(), &app.head, &mut room, scratch);
    let body = room.as_slice().to_vec();
    room.shrink_to(REPLY_BYTES);
    body
}
