//! Whether the table answers requests as the rows do, before anybody else is served from it.

use std::collections::HashSet;

use twitter_core::error::PackError;
use twitter_core::rank::Scratch;
use twitter_core::record::{OwnedPack, join};
use twitter_core::render::{respond, respond_unknown};

use crate::checks::requests::Request;
use crate::checks::{Failures, Rule};
use crate::failure::Failure;

/// Users without rows who are asked for too.
const UNKNOWN: u64 = 16;

/// Reads what the table holds under a user's id, in the order of parts.
pub(super) trait Parts {
    /// The parts; none for an unknown user.
    fn parts_of(&mut self, user_id: u64) -> Result<Vec<(u16, Vec<u8>)>, Failure>;
}

/// Answers all requests from the table by the code that the service runs. Gives their number.
pub(super) fn check(
    requests: &[Request],
    table: &mut dyn Parts,
    failures: &mut Failures,
) -> Result<u64, Failure> {
    let mut asked = 0;
    let mut scratch = Scratch::default();
    let mut reply = Vec::new();
    for requests in requests.chunk_by(|a, b| a.user_id == b.user_id) {
        let Some(first) = requests.first() else {
            continue;
        };
        let user_id = first.user_id;
        let parts = table.parts_of(user_id)?;
        let pack = join(parts).and_then(|bytes| OwnedPack::parse_for(user_id, bytes));
        for request in requests {
            asked += 1;
            reply.clear();
            let is_right =
                answer(request, &pack, &mut reply, &mut scratch) && request.is_answered_by(&reply);
            failures.unless(Rule::Serving, is_right, || {
                let why = pack
                    .as_ref()
                    .err()
                    .map_or_else(String::new, |error| format!(": {error}"));
                format!("the table answers otherwise to {request:?}{why}")
            });
        }
    }
    let known: HashSet<u64> = requests.iter().map(|request| request.user_id).collect();
    let step = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for user_id in (1..=UNKNOWN)
        .map(step)
        .filter(|user_id| !known.contains(user_id))
    {
        asked += 1;
        reply.clear();
        // The sample need not hold this user, but then the rows do; both are an answer.
        let parts = table.parts_of(user_id)?;
        let is_right = if parts.is_empty() {
            respond_unknown(b"", &mut reply);
            reply.is_empty()
        } else {
            join(parts)
                .and_then(|bytes| OwnedPack::parse_for(user_id, bytes))
                .is_ok()
        };
        failures.unless(Rule::Serving, is_right, || {
            format!("the table does not answer for user {user_id}")
        });
    }
    Ok(asked)
}

fn answer(
    request: &Request,
    pack: &Result<OwnedPack, PackError>,
    reply: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> bool {
    let (Some(query), Ok(pack)) = (request.query(), pack) else {
        return false;
    };
    respond(&query, &pack.as_pack(), b"", reply, scratch);
    true
}
