//! The reply's JSON text: the course service's key order, no white space.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::block::{Block, Request};
use crate::transaction::{Payment, Reward};

/// Appends `{"chain":[...]}` with the request's blocks and the new one.
pub(crate) fn reply(request: &Request<'_>, block: &Block<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"chain\":[");
    match request
        .canonical_chain
        .and_then(|chain| chain.strip_prefix('[')?.strip_suffix(']'))
    {
        Some(blocks) => out.extend_from_slice(blocks.as_bytes()),
        None => {
            for (position, block) in request.chain.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_block(block, out);
            }
        }
    }
    if !request.chain.is_empty() {
        out.push(b',');
    }
    write_block(block, out);
    out.extend_from_slice(b"]}");
}

fn write_block(block: &Block<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"all_tx\":[");
    for payment in &block.payments {
        write_payment(payment, out);
        out.push(b',');
    }
    write_reward(&block.reward, out);
    out.extend_from_slice(b"],\"pow\":");
    string(&block.pow, out);
    out.extend_from_slice(b",\"id\":");
    integer(block.id, out);
    out.extend_from_slice(b",\"hash\":\"");
    out.extend_from_slice(&block.hash.hex());
    out.extend_from_slice(b"\",\"target\":");
    string(&block.target, out);
    out.push(b'}');
}

fn write_payment(payment: &Payment, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"sig\":");
    integer(payment.sig, out);
    out.extend_from_slice(b",\"recv\":");
    integer(payment.recv, out);
    out.extend_from_slice(b",\"fee\":");
    integer(payment.fee, out);
    out.extend_from_slice(b",\"amt\":");
    integer(payment.amt, out);
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(payment.time.digits());
    out.extend_from_slice(b"\",\"send\":");
    integer(payment.send, out);
    out.extend_from_slice(b",\"hash\":\"");
    out.extend_from_slice(&payment.hash.hex());
    out.extend_from_slice(b"\"}");
}

fn write_reward(reward: &Reward, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"recv\":");
    integer(reward.recv, out);
    out.extend_from_slice(b",\"amt\":");
    integer(reward.amt, out);
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(reward.time.digits());
    out.extend_from_slice(b"\",\"hash\":\"");
    out.extend_from_slice(&reward.hash.hex());
    out.extend_from_slice(b"\"}");
}

fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Escapes what must be escaped and nothing else.
fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x09 => b't',
            0x0a => b'n',
            0x0c => b'f',
            0x0d => b'r',
            0..0x20 => {
                let digits = b"0123456789abcdef";
                let low = digits.get(usize::from(byte & 0xf)).copied().unwrap_or(b'0');
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[b'0' | (byte >> 4), low]);
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::string;

    #[test]
    fn escapes_what_json_demands() {
        let text: String = ('\0'..='\u{ff}').chain(['\u{1f600}']).collect();
        let mut ours = Vec::new();
        string(&text, &mut ours);
        assert_eq!(
            String::from_utf8(ours).unwrap(),
            serde_json::to_string(&text).unwrap()
        );
    }
}
