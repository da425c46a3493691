//! One function for each route.

use blockchain_core::{Reason, Scratch};
use service_kit::compute::PoolFull;
use service_kit::request::Query;
use service_kit::respond::{ContentType, Reply};

use crate::app::{App, Outcome};

/// Replies that take more tries than this on average, at some 50 ns each, leave the worker.
const HEAVY_TRIES: u64 = 4_000;
/// Packed requests of more characters than this inflate to more than [`HEAVY_JSON_BYTES`], but for
/// texts that hardly shrink.
const HEAVY_PACKED_BYTES: usize = 32 * 1024;
/// Requests of more inflated bytes than this leave the worker: parsing and checking them takes
/// hundreds of microseconds.
const HEAVY_JSON_BYTES: usize = 64 * 1024;
/// Usual replies have 500 to 1,500 bytes.
const REPLY_BYTES: usize = 2048;

/// What the worker itself made of a request.
enum Light {
    /// The whole body.
    Done(Vec<u8>),
    /// It costs too much for a worker.
    Heavy,
}

/// `GET /blockchain`: 200, and `INVALID` for what breaks a rule; 503 only for what is right and takes
/// more than there is.
pub(crate) async fn chain(app: &App, query: Query<'_>) -> Reply {
    let [packed] = query.first(["cc"]);
    let packed = match packed.ok_or(Reason::Missing).and_then(|value| {
        // A broken escape is nothing that base64 allows.
        value.decode().map_err(|_| Reason::Base64)
    }) {
        Ok(packed) => packed,
        Err(reason) => return invalid(app, reason),
    };
    match answer_light(app, &packed) {
        Ok(Light::Done(body)) => Reply::ok(Outcome::Mined, ContentType::Text, body),
        Ok(Light::Heavy) => answer_heavy(app, packed.into_owned()).await,
        Err(reason) => invalid(app, reason),
    }
}

fn answer_light(app: &App, packed: &[u8]) -> Result<Light, Reason> {
    if packed.len() > HEAVY_PACKED_BYTES {
        return Ok(Light::Heavy);
    }
    let mut scratch = app.scratch.borrow_mut();
    let Scratch { unpacker, packer } = &mut *scratch;
    let text = unpacker.unpack(packed)?;
    if text.len() > HEAVY_JSON_BYTES {
        return Ok(Light::Heavy);
    }
    let plan = blockchain_core::Request::parse(text)?.validate()?;
    if plan.expected_tries() > HEAVY_TRIES {
        return Ok(Light::Heavy);
    }
    let mut body = Vec::with_capacity(REPLY_BYTES);
    body.extend_from_slice(&app.reply_head);
    plan.reply(packer, &mut body)?;
    Ok(Light::Done(body))
}

async fn answer_heavy(app: &App, packed: Vec<u8>) -> Reply {
    let compression = app.compression;
    let mut body = app.reply_head.to_vec();
    let job = move || {
        let mut scratch = Scratch::new(compression);
        blockchain_core::respond(&packed, &mut scratch, &mut body).map(|()| body)
    };
    match app.compute.run(job).await {
        Ok(Ok(body)) => Reply::ok(Outcome::MinedHeavy, ContentType::Text, body),
        Ok(Err(reason)) => invalid(app, reason),
        Err(PoolFull) => Reply::unavailable(Outcome::Busy, "too many heavy requests are waiting\n"),
    }
}

fn invalid(app: &App, reason: Reason) -> Reply {
    if reason == Reason::Exhausted {
        return Reply::unavailable(Outcome::Busy, "mining took too many tries\n");
    }
    app.count(reason);
    let body = [&app.reply_head, b"INVALID".as_slice()].concat();
    Reply::ok(Outcome::Invalid, ContentType::Text, body)
}
