//! A request's JSON text in the order the services write it, and its packing.

use std::fmt::Write as _;
use std::str;

use blockchain_core::{NewTransaction, Payment, Time};
use libdeflater::{CompressionLvl, Compressor};

use super::{Block, Draft};

/// The JSON text of a request.
pub(super) fn json(draft: &Draft) -> String {
    let mut out = "{\"chain\":[".to_owned();
    list(&mut out, draft.chain.iter().enumerate(), block);
    out.push_str("],\"new_target\":\"");
    out.push_str(draft.new_target);
    out.push_str("\",\"new_tx\":[");
    list(&mut out, draft.new_tx.iter(), |out, tx| match tx {
        NewTransaction::Signed(tx) => payment(out, tx),
        // Writing to a string cannot fail, here and below.
        NewTransaction::Unsigned(tx) => {
            let (recv, amt, time) = (tx.recv, tx.amt, digits(&tx.time));
            let _ = write!(out, r#"{{"recv":{recv},"amt":{amt},"time":"{time}"}}"#);
        }
    });
    out.push_str("]}");
    out
}

/// Compresses and encodes a text, as senders do.
pub(super) fn pack(text: &str) -> String {
    let mut compressor = Compressor::new(CompressionLvl::default());
    let mut stream = vec![0; compressor.zlib_compress_bound(text.len())];
    let len = compressor
        .zlib_compress(text.as_bytes(), &mut stream)
        .expect("the bound is kept");
    base64_simd::URL_SAFE.encode_to_string(&stream[..len])
}

fn list<T>(out: &mut String, from: impl Iterator<Item = T>, write: impl Fn(&mut String, T)) {
    for (place, element) in from.enumerate() {
        if place > 0 {
            out.push(',');
        }
        write(out, element);
    }
}

fn block(out: &mut String, (id, block): (usize, &Block)) {
    out.push_str("{\"all_tx\":[");
    for tx in &block.payments {
        payment(out, tx);
        out.push(',');
    }
    let reward = &block.reward;
    let (recv, amt, time) = (reward.recv, reward.amt, digits(&reward.time));
    let _ = write!(
        out,
        r#"{{"recv":{recv},"amt":{amt},"time":"{time}","hash":"{}"}}],"#,
        reward.hash
    );
    let Block {
        pow, hash, target, ..
    } = block;
    let _ = write!(
        out,
        r#""pow":"{pow}","id":{id},"hash":"{hash}","target":"{target}"}}"#
    );
}

fn payment(out: &mut String, tx: &Payment) {
    let (sig, recv, fee, amt) = (tx.sig, tx.recv, tx.fee, tx.amt);
    let (time, send, hash) = (digits(&tx.time), tx.send, tx.hash);
    let _ = write!(
        out,
        r#"{{"sig":{sig},"recv":{recv},"fee":{fee},"amt":{amt},"time":"{time}","send":{send},"hash":"{hash}"}}"#
    );
}

fn digits(time: &Time) -> &str {
    str::from_utf8(time.digits()).unwrap_or_default()
}
