//! A second parser, made of serde_json, that the crate's own must agree with.

#![allow(dead_code)]

use blockchain_core::{NewTransaction, Payment, Request, Reward};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    chain: Vec<Block>,
    new_target: String,
    new_tx: Vec<Tx>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    all_tx: Vec<Tx>,
    pow: String,
    id: i64,
    hash: String,
    target: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tx {
    #[serde(default, deserialize_with = "present")]
    sig: Option<i64>,
    recv: i64,
    #[serde(default, deserialize_with = "present")]
    fee: Option<i64>,
    amt: i64,
    time: String,
    #[serde(default, deserialize_with = "present")]
    send: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    hash: Option<String>,
}

/// A key that is there has a value; `null` is none.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

fn is_hash(text: &str) -> bool {
    text.len() == 8
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Tx {
    /// The keys present, and all values within what a value of theirs may be.
    fn kind(&self) -> Option<&'static str> {
        let naturals = [Some(self.recv), self.sig, self.send];
        let digits = self.time.bytes().all(|byte| byte.is_ascii_digit());
        if naturals.into_iter().flatten().any(|value| value < 0)
            || !digits
            || !(1..=19).contains(&self.time.len())
            || !self.hash.as_deref().is_none_or(is_hash)
        {
            return None;
        }
        match (self.sig, self.fee, self.send, &self.hash) {
            (Some(_), Some(_), Some(_), Some(_)) => Some("signed"),
            (None, None, None, Some(_)) => Some("reward"),
            (None, None, None, None) => Some("unsigned"),
            _ => None,
        }
    }
}

impl Document {
    fn has_shape(&self) -> bool {
        let blocks = self.chain.iter().all(|block| {
            let Some((last, rest)) = block.all_tx.split_last() else {
                return false;
            };
            block.id >= 0
                && is_hash(&block.hash)
                && last.kind() == Some("reward")
                && rest.iter().all(|tx| tx.kind() == Some("signed"))
        });
        blocks
            && self
                .new_tx
                .iter()
                .all(|tx| matches!(tx.kind(), Some("signed" | "unsigned")))
    }
}

/// Derived types read an array as an object without keys; the rules do not.
fn objects_are_objects(value: &Value) -> bool {
    let all = |list: &Value, check: &dyn Fn(&Value) -> bool| {
        list.as_array().is_some_and(|list| list.iter().all(check))
    };
    value.is_object()
        && all(&value["new_tx"], &Value::is_object)
        && all(&value["chain"], &|block| {
            block.is_object() && all(&block["all_tx"], &Value::is_object)
        })
}

fn parse(text: &str) -> Option<Document> {
    let document: Document = serde_json::from_str(text).ok()?;
    let value: Value = serde_json::from_str(text).ok()?;
    (objects_are_objects(&value) && document.has_shape()).then_some(document)
}

/// Panics unless both parsers accept the text with equal values or both refuse it.
pub(crate) fn compare(text: &str) {
    let ours = Request::parse(text);
    let theirs = parse(text);
    match (ours, theirs) {
        (Ok(ours), Some(theirs)) => assert!(same(&ours, &theirs), "{text}\n{ours:?}\n{theirs:?}"),
        (Err(_), None) => {}
        (ours, theirs) => panic!("{text}\n{ours:?}\n{theirs:?}"),
    }
}

fn same(ours: &Request<'_>, theirs: &Document) -> bool {
    ours.new_target() == theirs.new_target
        && ours.chain().len() == theirs.chain.len()
        && ours.new_tx().len() == theirs.new_tx.len()
        && ours
            .chain()
            .iter()
            .zip(&theirs.chain)
            .all(|(ours, theirs)| {
                let (reward, payments) = theirs.all_tx.split_last().expect("checked shape");
                ours.pow == theirs.pow
                    && Ok(ours.id) == u64::try_from(theirs.id)
                    && ours.hash.to_string() == theirs.hash
                    && ours.target == theirs.target
                    && ours.payments.len() == payments.len()
                    && ours
                        .payments
                        .iter()
                        .zip(payments)
                        .all(|(ours, theirs)| same_payment(ours, theirs))
                    && same_reward(&ours.reward, reward)
            })
        && ours
            .new_tx()
            .iter()
            .zip(&theirs.new_tx)
            .all(|(ours, theirs)| match ours {
                NewTransaction::Signed(payment) => same_payment(payment, theirs),
                NewTransaction::Unsigned(unsigned) => {
                    theirs.kind() == Some("unsigned")
                        && i64::try_from(unsigned.recv) == Ok(theirs.recv)
                        && unsigned.amt == theirs.amt
                        && unsigned.time.digits() == theirs.time.as_bytes()
                }
            })
}

fn same_payment(ours: &Payment, theirs: &Tx) -> bool {
    i64::try_from(ours.sig).ok() == theirs.sig
        && i64::try_from(ours.recv) == Ok(theirs.recv)
        && Some(ours.fee) == theirs.fee
        && ours.amt == theirs.amt
        && ours.time.digits() == theirs.time.as_bytes()
        && i64::try_from(ours.send).ok() == theirs.send
        && Some(ours.hash.to_string()) == theirs.hash
}

fn same_reward(ours: &Reward, theirs: &Tx) -> bool {
    i64::try_from(ours.recv) == Ok(theirs.recv)
        && ours.amt == theirs.amt
        && ours.time.digits() == theirs.time.as_bytes()
        && Some(ours.hash.to_string()) == theirs.hash
}
