//! One function for each route.

use qrcode_core::{MAX_ENCODED_LEN, Message};
use service_kit::compute::PoolFull;
use service_kit::request::{Query, Request, Value};
use service_kit::respond::{ContentType, Reply};
use service_kit::trace::Span;

use crate::app::{App, Outcome};
use crate::invalid::Invalid;
use crate::picture::{Format, ImageRequest};

/// `GET /qrcode`: encode or decode, always 200; what breaks a rule is answered `INVALID`.
pub(crate) async fn symbol(app: &App, request: &Request<'_>) -> Reply {
    let [kind, data, timestamp] = request.query().first(["type", "data", "timestamp"]);
    match answer(app, kind, data, timestamp, request.span()).await {
        Ok(reply) => reply,
        Err(reason) => {
            app.count(reason);
            reply(app, Outcome::Invalid, b"INVALID")
        }
    }
}

async fn answer(
    app: &App,
    kind: Option<Value<'_>>,
    data: Option<Value<'_>>,
    timestamp: Option<Value<'_>>,
    span: Option<&Span>,
) -> Result<Reply, Invalid> {
    let kind = kind.ok_or(Invalid::Type)?.decode()?;
    let data = data.ok_or(Invalid::Data)?.decode()?;
    match kind.as_ref() {
        b"encode" => {
            let message = Message::try_from(data.as_ref())?;
            let mut body = Vec::with_capacity(app.reply_head.len() + MAX_ENCODED_LEN);
            body.extend_from_slice(&app.reply_head);
            qrcode_core::encode(&message, &mut body);
            Ok(Reply::ok(Outcome::Encoded, ContentType::Text, body))
        }
        b"decode" => {
            let message = qrcode_core::decode(&data)?;
            match (&app.tokens, timestamp) {
                (Some(tokens), Some(timestamp)) => {
                    let timestamp = milliseconds(timestamp)?;
                    Ok(match tokens.exchange(&message, timestamp, span).await {
                        Ok(token) => reply(app, Outcome::Token, token.as_bytes()),
                        Err(error) => {
                            tracing::debug!(%error, "no token");
                            Reply::bad_gateway(Outcome::TokenFailed, error.public_line())
                        }
                    })
                }
                _ => Ok(reply(app, Outcome::Decoded, message.as_bytes())),
            }
        }
        _ => Err(Invalid::Type),
    }
}

fn milliseconds(timestamp: Value<'_>) -> Result<i64, Invalid> {
    let decoded = timestamp.decode()?;
    let text = std::str::from_utf8(&decoded).map_err(|_| Invalid::Timestamp)?;
    text.parse().map_err(|_| Invalid::Timestamp)
}

fn reply(app: &App, outcome: Outcome, payload: &[u8]) -> Reply {
    let body = [&app.reply_head, payload].concat();
    Reply::ok(outcome, ContentType::Text, body)
}

/// `GET /qrcode/image`: a picture for people.
pub(crate) async fn image(app: &App, query: Query<'_>) -> Reply {
    let request = match ImageRequest::parse(query) {
        Ok(request) => request,
        Err(error) => return Reply::bad_request(Outcome::ImageRefused, format!("{error}\n")),
    };
    let content_type = match request.format() {
        Format::Png => ContentType::Png,
        Format::Svg => ContentType::Svg,
    };
    // Large pictures take milliseconds.
    match app.compute.run(move || request.draw()).await {
        Ok(Ok(picture)) => Reply::ok(Outcome::Image, content_type, picture),
        Ok(Err(error)) => Reply::bad_request(Outcome::ImageRefused, format!("{error}\n")),
        Err(PoolFull) => Reply::unavailable(Outcome::ImageBusy, "too many pictures are waiting\n"),
    }
}
