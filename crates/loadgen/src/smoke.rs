//! Golden requests for every path: does a target speak the contract, to the byte?

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use blockchain_core::Scratch;
use cost_model::Service;

use crate::check::{Checker, TeamLine, Wrong};
use crate::client::{Client, Failure};
use crate::corpus::{Expect, INVALID, Item, blockchain};
use crate::plan::Prepared;

/// What all checks together take, but for [`LEAST`] of the last few.
const LIMIT: Duration = Duration::from_secs(4);

/// What each check has even when the others used up the time.
const LEAST: Duration = Duration::from_millis(50);

/// A chain of one block, which is valid, and no transaction to add; target `0e`.
const CHAIN: &str = "eJxFjssKgzAQRf_lrrOYvNDkV4pImqY1oLbYoAXx35uEYu9qOOfOMDv84OIMe9nhxrFPnzouwa-wnEzTKkUkSBoG\
     NyVYTb8wpDgFWHDdCi1I0T9gGNx7yFKYcPWNNDg6htdzy0jJrOMNls4WcdPedROySG55hFTO1pU5bP2JqBQqKV92\
     xxfRVjOZ";
/// A symbol somewhere in a field of 32 by 32 cells; it says `rGrnY`.
const FIELD: &str = "0xce32930a0xfbbc8f950xe8e7fcb40x20b1948e0x2e67438a0xbf78016c0x3de3b42c0xf829cd970x2e867d\
     ce0x14b16dca0x140c5a800xa4de00da0xa01f303d0x272d88d50xc1d435da0xccc082fb0xe42d2ed50xd1ea\
     2f0a0xc171003e0xe16cf7e20x76c7ae250x25ee6b020x96a569250xee09db7b0x9f8ea10b0x25b33ca90xf3\
     c3c03b0x68c01e950xcbada1030x40f77b330x65fa2e1d0xdff3a68b";
/// What `CC Team` is drawn as.
const WORDS: &[u8] =
    b"\n0x66d92b800x5bc76d830x121a7fa60x51c111870x3a5f3ca30x8be36a130xedb223a0xfc8e98780\
    x33bf50de0x2e8709700x545a2d0f0xecef7ae0x461175cd0xff132a";

/// A golden request and its name.
#[derive(Debug)]
pub struct Golden {
    /// Its path.
    pub service: Service,
    /// What it shows.
    pub name: &'static str,
    /// The request and its answer.
    pub item: Item,
}

/// The golden requests; with `tiny`, the table of `/twitter` holds the hand-made tweets.
pub fn golden(tiny: bool) -> Vec<Golden> {
    let new = |service, name, query: &str, expect| Golden {
        service,
        name,
        item: Item {
            target: format!("/{}?{query}", service.name()),
            expect,
        },
    };
    let rest = |bytes: &[u8]| Expect::Rest(bytes.to_vec());
    let chain = blockchain::expected(CHAIN.as_bytes(), &mut Scratch::default());
    let (blockchain, qrcode, twitter) = (Service::Blockchain, Service::Qrcode, Service::Twitter);
    let mut all = vec![
        new(qrcode, "encode", "type=encode&data=CC%20Team", rest(WORDS)),
        new(
            qrcode,
            "encode, plus for a blank",
            "type=encode&data=CC+Team",
            rest(WORDS),
        ),
        new(
            qrcode,
            "decode",
            &format!("type=decode&data={FIELD}"),
            rest(b"\nrGrnY"),
        ),
        new(
            qrcode,
            "invalid: 23 characters",
            "type=encode&data=12345678901234567890123",
            rest(INVALID),
        ),
        new(
            qrcode,
            "invalid: no symbol",
            "type=decode&data=0x0",
            rest(INVALID),
        ),
        new(blockchain, "valid", &format!("cc={CHAIN}"), chain),
        new(blockchain, "invalid: not packed", "cc=eJ*", rest(INVALID)),
        new(blockchain, "invalid: nothing", "", rest(INVALID)),
        new(
            twitter,
            "invalid: no such type",
            "user_id=1&type=neither&phrase=a&hashtag=b",
            rest(INVALID),
        ),
        new(
            twitter,
            "invalid: no user",
            "type=both&phrase=a&hashtag=b",
            rest(INVALID),
        ),
    ];
    all.push(if tiny {
        let contacts = b"\n25213\tn25213\td25213\tcomputing\n25640\tn25640\td25640\thello cc!!";
        let query = "user_id=25513&type=retweet&phrase=hello%20cc&hashtag=cmu";
        new(
            twitter,
            "contacts of a hand-made user",
            query,
            rest(contacts),
        )
    } else {
        let query = "user_id=1&type=both&phrase=the&hashtag=cloud";
        new(
            twitter,
            "team line, then contacts if any",
            query,
            Expect::Contacts,
        )
    });
    all
}

/// Why a golden request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No whole reply in time.
    Failed(Failure),
    /// A reply with another status than 200.
    Status(u16),
    /// A wrong reply.
    Wrong(Wrong, String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => write!(f, "no reply: {}", failure.name()),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Wrong(wrong, body) => write!(f, "{}: {body}", wrong.reason()),
        }
    }
}

/// Asks one target; `on_check` hears of each check. True if all are right.
pub async fn ask(
    address: SocketAddr,
    authority: &str,
    team: &TeamLine,
    all: impl IntoIterator<Item = Golden>,
    mut on_check: impl FnMut(&Golden, &Result<Duration, Fault>),
) -> bool {
    let started = Instant::now();
    let mut checker = Checker::default();
    let mut is_good = true;
    for golden in all {
        let asked = Instant::now();
        // One silent path must not use up the time of the others.
        let left = LIMIT.saturating_sub(started.elapsed()) / 2;
        let left = left.max(LEAST);
        let mut client = Client::new(address, left);
        let prepared = Prepared::new(golden.item.clone(), authority, "");
        let result = match client.exchange(&prepared.request).await {
            Err(failure) => Err(Fault::Failed(failure)),
            Ok(reply) if reply.status != 200 => Err(Fault::Status(reply.status)),
            Ok(reply) => checker
                .check(&golden.item.expect, team, reply.body)
                .map(|()| asked.elapsed())
                .map_err(|wrong| {
                    let body = String::from_utf8_lossy(reply.body);
                    Fault::Wrong(wrong, body.escape_debug().take(400).collect())
                }),
        };
        is_good &= result.is_ok();
        on_check(&golden, &result);
    }
    is_good
}

impl fmt::Display for Golden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{} {}", self.service.name(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::{Expect, WORDS, golden};

    #[test]
    fn golden_answers_are_those_of_the_cores() {
        let message = qrcode_core::Message::try_from(b"CC Team".as_slice()).unwrap();
        let mut words = b"\n".to_vec();
        qrcode_core::encode(&message, &mut words);
        assert_eq!(words, WORDS);
        let is_chain = |golden: &super::Golden| matches!(golden.item.expect, Expect::Chain(_));
        assert_eq!(
            golden(true)
                .iter()
                .filter(|golden| is_chain(golden))
                .count(),
            1
        );
        assert_eq!(golden(false).len(), golden(true).len());
    }
}
