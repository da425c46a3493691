//! The reply text.
//!
//! A head line without its newline, which is `TEAMID,AWSACCOUNT`, then a line
//! for each contact, each with its newline in front. Stored strings go out
//! byte for byte.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::query::Query;
use crate::rank::{Scratch, rank};
use crate::record::Pack;

/// What follows the head line when the request is invalid.
const INVALID: &[u8] = b"\nINVALID";

/// Appends the reply to a valid request. The pack must be that of the query's
/// user; without a contact to show the reply is the head alone.
///
/// Allocates only where `out` or `scratch` must grow.
pub fn respond(
    query: &Query<'_>,
    pack: &Pack<'_>,
    head: &[u8],
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) {
    out.extend_from_slice(head);
    let mark = query.contact_type().latest();
    let mut digits = itoa::Buffer::new();
    for entry in rank(query, pack, scratch) {
        let contact = entry.contact();
        let (name, description) = pack.names(contact);
        // A checked pack marks one row wherever it has one of the type.
        let text = pack.latest_row(contact, mark).map(|row| pack.text(row));
        let id = digits.format(pack.columns.contact_ids.get(contact));
        out.push(b'\n');
        out.extend_from_slice(id.as_bytes());
        for field in [name, description, text.unwrap_or_default()] {
            out.push(b'\t');
            out.extend_from_slice(field);
        }
    }
}

/// Appends the reply for a user without a pack: the head alone.
pub fn respond_unknown(head: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(head);
}

/// Appends the reply to an invalid request.
pub fn respond_invalid(head: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(head);
    out.extend_from_slice(INVALID);
}
