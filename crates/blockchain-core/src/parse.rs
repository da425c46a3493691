//! JSON text to a request, in one pass and without copying.
//!
//! The parser knows the request's shape, so nothing is built that the shape does
//! not allow: nesting is bounded by the shape, integers are exactly integers, and a
//! missing, unknown or repeated key ends the parse. Text is borrowed; only strings
//! with `\` escapes are copied. On the way it notes whether the chain is written
//! exactly as a reply would write it, because then the reply can copy it.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::block::{Block, Request};
use crate::error::Reason;
use crate::json::{Keys, Reader};
use crate::transaction::{NewTransaction, Payment, Reward, ShortHash, Time, Unsigned};

impl<'a> Request<'a> {
    /// Parses the JSON text of a request.
    ///
    /// Any key order, white space and `\u` escapes are accepted.
    ///
    /// # Errors
    ///
    /// [`Reason::Json`], [`Reason::Fields`] and [`Reason::Type`] for a text of another
    /// shape; [`Reason::Kinds`] and [`Reason::NewKinds`] for a transaction kind in the
    /// wrong place; [`Reason::TransactionHash`] and [`Reason::BlockHash`] for a hash that
    /// is not 8 lower-case hex digits and so cannot match.
    pub fn parse(text: &'a str) -> Result<Self, Reason> {
        let mut reader = Reader::new(text);
        let request = request(&mut reader)?;
        if reader.at_end() {
            Ok(request)
        } else {
            Err(Reason::Json)
        }
    }
}

const REQUEST: Keys<3> = Keys([r#""chain":"#, r#""new_target":"#, r#""new_tx":"#]);
const BLOCK: Keys<5> = Keys([
    r#""all_tx":"#,
    r#""pow":"#,
    r#""id":"#,
    r#""hash":"#,
    r#""target":"#,
]);
const TRANSACTION: Keys<7> = Keys([
    r#""sig":"#,
    r#""recv":"#,
    r#""fee":"#,
    r#""amt":"#,
    r#""time":"#,
    r#""send":"#,
    r#""hash":"#,
]);

/// A transaction in any place, told apart by its keys.
enum Transaction {
    Signed(Payment),
    Reward(Reward),
    Unsigned(Unsigned),
}

fn request<'a>(reader: &mut Reader<'a>) -> Result<Request<'a>, Reason> {
    let mut chain = None;
    let mut new_target = None;
    let mut new_tx = None;
    let mut canonical_chain = None;
    reader.object(&REQUEST, |reader, place| {
        match place {
            0 => {
                let start = reader.token_start();
                reader.canonical = true;
                chain = Some(blocks(reader)?);
                if reader.canonical {
                    canonical_chain = reader.since(start);
                }
            }
            1 => new_target = Some(reader.string()?),
            _ => new_tx = Some(new_transactions(reader)?),
        }
        Ok(())
    })?;
    Ok(Request {
        chain: chain.ok_or(Reason::Fields)?,
        new_target: new_target.ok_or(Reason::Fields)?,
        new_tx: new_tx.ok_or(Reason::Fields)?,
        canonical_chain,
    })
}

fn blocks<'a>(reader: &mut Reader<'a>) -> Result<Vec<Block<'a>>, Reason> {
    let mut blocks = Vec::new();
    reader.array(|reader| {
        blocks.push(block(reader)?);
        Ok(())
    })?;
    Ok(blocks)
}

fn block<'a>(reader: &mut Reader<'a>) -> Result<Block<'a>, Reason> {
    let mut transactions = None;
    let mut pow = None;
    let mut id = None;
    let mut hash = None;
    let mut target = None;
    reader.object(&BLOCK, |reader, place| {
        match place {
            0 => transactions = Some(block_transactions(reader)?),
            1 => pow = Some(reader.string()?),
            2 => id = Some(reader.natural()?),
            3 => hash = Some(short_hash(reader, Reason::BlockHash)?),
            _ => target = Some(reader.string()?),
        }
        Ok(())
    })?;
    let (payments, reward) = transactions.ok_or(Reason::Fields)?;
    Ok(Block {
        payments,
        reward,
        pow: pow.ok_or(Reason::Fields)?,
        id: id.ok_or(Reason::Fields)?,
        hash: hash.ok_or(Reason::Fields)?,
        target: target.ok_or(Reason::Fields)?,
    })
}

fn block_transactions(reader: &mut Reader<'_>) -> Result<(Vec<Payment>, Reward), Reason> {
    let mut payments = Vec::new();
    let mut reward = None;
    reader.array(|reader| {
        match transaction(reader)? {
            // Nothing may follow the reward.
            _ if reward.is_some() => return Err(Reason::Kinds),
            Transaction::Signed(payment) => payments.push(payment),
            Transaction::Reward(last) => reward = Some(last),
            Transaction::Unsigned(_) => return Err(Reason::Kinds),
        }
        Ok(())
    })?;
    Ok((payments, reward.ok_or(Reason::Kinds)?))
}

fn new_transactions(reader: &mut Reader<'_>) -> Result<Vec<NewTransaction>, Reason> {
    let mut transactions = Vec::new();
    reader.array(|reader| {
        transactions.push(match transaction(reader)? {
            Transaction::Signed(payment) => NewTransaction::Signed(payment),
            Transaction::Unsigned(unsigned) => NewTransaction::Unsigned(unsigned),
            Transaction::Reward(_) => return Err(Reason::NewKinds),
        });
        Ok(())
    })?;
    Ok(transactions)
}

fn transaction(reader: &mut Reader<'_>) -> Result<Transaction, Reason> {
    let mut sig = None;
    let mut recv = None;
    let mut fee = None;
    let mut amt = None;
    let mut time = None;
    let mut send = None;
    let mut hash = None;
    reader.object(&TRANSACTION, |reader, place| {
        match place {
            0 => sig = Some(reader.natural()?),
            1 => recv = Some(reader.natural()?),
            2 => fee = Some(reader.integer()?),
            3 => amt = Some(reader.integer()?),
            4 => time = Some(time_text(reader)?),
            5 => send = Some(reader.natural()?),
            _ => hash = Some(short_hash(reader, Reason::TransactionHash)?),
        }
        Ok(())
    })?;
    let (Some(recv), Some(amt), Some(time)) = (recv, amt, time) else {
        return Err(Reason::Fields);
    };
    match (sig, fee, send, hash) {
        (Some(sig), Some(fee), Some(send), Some(hash)) => Ok(Transaction::Signed(Payment {
            sig,
            recv,
            fee,
            amt,
            time,
            send,
            hash,
        })),
        (None, None, None, Some(hash)) => Ok(Transaction::Reward(Reward {
            recv,
            amt,
            time,
            hash,
        })),
        (None, None, None, None) => Ok(Transaction::Unsigned(Unsigned { recv, amt, time })),
        _ => Err(Reason::Fields),
    }
}

fn time_text(reader: &mut Reader<'_>) -> Result<Time, Reason> {
    Time::parse(&reader.string()?).ok_or(Reason::Type)
}

/// A hash; `broken` is the rule a text breaks that cannot be one.
fn short_hash(reader: &mut Reader<'_>, broken: Reason) -> Result<ShortHash, Reason> {
    ShortHash::parse(&reader.string()?).ok_or(broken)
}

#[cfg(test)]
mod tests {
    use super::Request;
    use crate::error::Reason;

    const EMPTY: &str = r#"{"chain":[],"new_target":"1","new_tx":[]}"#;

    fn unsigned(amt: &str) -> String {
        format!(r#"{{"chain":[],"new_target":"1","new_tx":[{{"recv":1,"amt":{amt},"time":"1"}}]}}"#)
    }

    fn target(text: &str) -> Result<String, Reason> {
        let text = format!(r#"{{"chain":[],"new_target":"{text}","new_tx":[]}}"#);
        Request::parse(&text).map(|request| request.new_target.into_owned())
    }

    #[test]
    fn integers_are_integers_within_64_bits() {
        for amt in [
            "0",
            "1",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
        ] {
            assert!(Request::parse(&unsigned(amt)).is_ok(), "{amt}");
        }
        for (amt, reason) in [
            ("-0", Reason::Type),
            ("1.0", Reason::Type),
            ("1e2", Reason::Type),
            ("1E2", Reason::Type),
            ("9223372036854775808", Reason::Type),
            ("-9223372036854775809", Reason::Type),
            ("18446744073709551617", Reason::Type),
            ("100000000000000000000000000", Reason::Type),
            ("null", Reason::Type),
            ("true", Reason::Type),
            ("\"5\"", Reason::Type),
            ("[5]", Reason::Type),
            ("{}", Reason::Type),
            ("01", Reason::Json),
            ("-01", Reason::Json),
            ("-", Reason::Json),
            ("+1", Reason::Json),
            ("NaN", Reason::Json),
            ("nul", Reason::Json),
            ("", Reason::Json),
            ("1 2", Reason::Json),
        ] {
            assert_eq!(Request::parse(&unsigned(amt)), Err(reason), "{amt}");
        }
    }

    #[test]
    fn strings_know_every_escape_and_no_half_pairs() {
        assert_eq!(
            target(r#"a\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\uDE00z"#).unwrap(),
            "a\"\\/\u{8}\u{c}\n\r\tA\u{e9}\u{1f600}z"
        );
        for text in [
            r"\ud83d",
            r"\ude00",
            r"\ud83dx",
            r"\ud83d\n",
            r"\ud83d\u0041",
            r"\ud83d\ud83d",
            r"\u12",
            r"\u12g4",
            r"\u+123",
            r"\x",
            "\u{1f}",
            "\n",
            r"\",
        ] {
            assert_eq!(target(text), Err(Reason::Json), "{text:?}");
        }
    }

    #[test]
    fn every_object_has_exactly_its_keys() {
        assert!(Request::parse(EMPTY).is_ok());
        for (text, reason) in [
            (r#"{"chain":[],"new_target":"1"}"#, Reason::Fields),
            (
                r#"{"chain":[],"new_target":"1","new_tx":[],"x":1}"#,
                Reason::Fields,
            ),
            (
                r#"{"chain":[],"new_target":"1","new_tx":[],"chain":[]}"#,
                Reason::Json,
            ),
            (
                r#"{"chain":[],"new_target":"1","new_tx":[],}"#,
                Reason::Json,
            ),
            (
                r#"{"chain":[],"new_target":"1","new_tx":[,]}"#,
                Reason::Json,
            ),
            (
                r#"{"chain":[],"new_target":"1","new_tx":[]} x"#,
                Reason::Json,
            ),
            (r#"{"chain":[],"new_target":"1","new_tx":[]"#, Reason::Json),
            (r#"{"chain":{},"new_target":"1","new_tx":[]}"#, Reason::Type),
            (r#"{"chain":[],"new_target":1,"new_tx":[]}"#, Reason::Type),
            (r#"{chain:[],"new_target":"1","new_tx":[]}"#, Reason::Json),
            ("{}", Reason::Fields),
            ("[]", Reason::Type),
            ("", Reason::Json),
            ("\u{feff}{}", Reason::Json),
        ] {
            assert_eq!(Request::parse(text), Err(reason), "{text}");
        }
        // An escaped key is the key.
        assert!(Request::parse(&EMPTY.replace("chain", r"\u0063hain")).is_ok());
    }

    #[test]
    fn notes_whether_the_chain_is_written_as_a_reply_would() {
        assert_eq!(Request::parse(EMPTY).unwrap().canonical_chain, Some("[]"));
        let spaced_outside = r#" { "new_tx" : [ ] , "chain" : [] , "new_target" : "\u0031" } "#;
        assert_eq!(
            Request::parse(spaced_outside).unwrap().canonical_chain,
            Some("[]")
        );
        let spaced_inside = r#"{"chain":[ ],"new_target":"1","new_tx":[]}"#;
        assert_eq!(Request::parse(spaced_inside).unwrap().canonical_chain, None);
    }
}
