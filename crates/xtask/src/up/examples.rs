//! One line to try per path, each asked once before it is shown.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Result, bail};
use hyper::StatusCode;

use crate::platform::client::Client;
use crate::platform::sample::Sample;

/// A chain of one block, which is valid, and no transaction to add.
const CHAIN: &str = "eJxFjssKgzAQRf_lrrOYvNDkV4pImqY1oLbYoAXx35uEYu9qOOfOMDv84OIMe9nhxrFPnzouwa-wnEzTKkUkSBoG\
     NyVYTb8wpDgFWHDdCi1I0T9gGNx7yFKYcPWNNDg6htdzy0jJrOMNls4WcdPedROySG55hFTO1pU5bP2JqBQqKV92\
     xxfRVjOZ";
/// A symbol somewhere in a field of 32 by 32 cells; it says `rGrnY`.
const FIELD: &str = "0xce32930a0xfbbc8f950xe8e7fcb40x20b1948e0x2e67438a0xbf78016c0x3de3b42c0xf829cd970x2e867d\
     ce0x14b16dca0x140c5a800xa4de00da0xa01f303d0x272d88d50xc1d435da0xccc082fb0xe42d2ed50xd1ea\
     2f0a0xc171003e0xe16cf7e20x76c7ae250x25ee6b020x96a569250xee09db7b0x9f8ea10b0x25b33ca90xf3\
     c3c03b0x68c01e950xcbada1030x40f77b330x65fa2e1d0xdff3a68b";
/// One of the hand-made users, with words that count.
const HAND_MADE: &str = "/twitter?user_id=25513&type=retweet&phrase=hello%20cc&hashtag=cmu";
/// Users of the generated part that are tried before we give up.
const USERS_TRIED: usize = 50;
/// How much of a reply is shown.
const SHOWN_CHARS: usize = 60;

/// Asks every path through the router. Returns the lines for people: a `curl`
/// command and, as a comment, the beginning of its reply.
pub(crate) async fn ask(client: &Client, router: SocketAddr, sample: &Sample) -> Result<String> {
    let mut targets = vec![
        format!("/blockchain?cc={CHAIN}"),
        "/qrcode?type=encode&data=CC%20Team".to_owned(),
        format!("/qrcode?type=decode&data={FIELD}"),
        HAND_MADE.to_owned(),
    ];
    targets.extend(generated_user(client, router, sample).await?);
    let mut lines = String::new();
    for target in targets {
        let (status, reply) = client.get(router, &target).await?;
        let Some(payload) = payload(status, &reply) else {
            bail!("http://{router}{target} gave no real answer, but {status}: {reply}");
        };
        let payload = payload.escape_debug().collect::<String>();
        let shown: String = payload.chars().take(SHOWN_CHARS).collect();
        let more = if shown == payload { "" } else { "..." };
        // Writing to a string cannot fail.
        let _ = write!(
            lines,
            "curl 'http://{router}{target}'\n# => {shown}{more}\n"
        );
    }
    let _ = writeln!(
        lines,
        "curl -o symbol.png 'http://{router}/qrcode/image?data=CC%20Team'"
    );
    Ok(lines)
}

/// A question about a generated user who has contacts.
async fn generated_user(
    client: &Client,
    router: SocketAddr,
    sample: &Sample,
) -> Result<Option<String>> {
    for user in sample.contacted_users()?.into_iter().take(USERS_TRIED) {
        let target = format!("/twitter?user_id={user}&type=both&phrase=the&hashtag=cloud");
        let (status, reply) = client.get(router, &target).await?;
        if payload(status, &reply).is_some() {
            return Ok(Some(target));
        }
    }
    Ok(None)
}

/// What follows the first line, if it is a real answer.
fn payload(status: StatusCode, reply: &str) -> Option<&str> {
    let (_, payload) = reply.split_once('\n')?;
    let real = status == StatusCode::OK && !payload.is_empty() && !payload.starts_with("INVALID");
    real.then_some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_real_answers_from_polite_refusals() {
        assert_eq!(payload(StatusCode::OK, "T,0\n0x1"), Some("0x1"));
        assert_eq!(payload(StatusCode::OK, "T,0\nINVALID"), None);
        assert_eq!(payload(StatusCode::OK, "T,0"), None);
        assert_eq!(payload(StatusCode::OK, "T,0\n"), None);
        assert_eq!(payload(StatusCode::BAD_GATEWAY, "T,0\n0x1"), None);
    }
}
