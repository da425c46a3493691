//! What a caller says about the trace that a request belongs to.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::num::NonZeroU64;

use http::HeaderMap;

const TRACEPARENT: &str = "traceparent";
const AMAZON: &str = "x-amzn-trace-id";

/// A caller's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    /// Never 0.
    pub(super) trace_id: u128,
    /// The caller's span.
    pub(super) parent: Option<NonZeroU64>,
    /// Whether it traces the request; `None` leaves that to us.
    pub(super) sampled: Option<bool>,
}

/// The caller's context, and the load balancer's name for the request.
///
/// `traceparent` goes first: the load balancer passes it on untouched and puts its own field
/// beside it. What is broken counts as absent.
pub(super) fn upstream(headers: &HeaderMap) -> (Option<Context>, Option<u128>) {
    let amazon = only(headers, AMAZON).and_then(parse_amazon);
    let w3c = only(headers, TRACEPARENT).and_then(parse_traceparent);
    (w3c.or(amazon), amazon.map(|context| context.trace_id))
}

/// The value of a field that came once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

/// `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`; later versions may go on after a dash.
fn parse_traceparent(text: &str) -> Option<Context> {
    let mut parts = text.split('-');
    let version = hex(parts.next()?, 2, Case::Lower)?;
    let trace_id = hex(parts.next()?, 32, Case::Lower)?;
    let parent = hex(parts.next()?, 16, Case::Lower)?;
    let flags = hex(parts.next()?, 2, Case::Lower)?;
    let is_version_0_with_more = version == 0 && parts.next().is_some();
    if version == 0xff || trace_id == 0 || is_version_0_with_more {
        return None;
    }
    Some(Context {
        trace_id,
        parent: Some(NonZeroU64::new(u64::try_from(parent).ok()?)?),
        sampled: Some(flags & 1 == 1),
    })
}

/// `Root=1-<8 hex digits>-<24 hex digits>`, perhaps with `Parent=<16 hex digits>`, `Sampled=0` or
/// `1` and other fields, separated by `;`. The load balancer itself sends the root only.
fn parse_amazon(text: &str) -> Option<Context> {
    let field = |name: &str| {
        text.split(';').find_map(|field| {
            let (key, value) = field.trim().split_once('=')?;
            (key == name).then_some(value)
        })
    };
    let (time, random) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
    let time = hex(time, 8, Case::Any)?;
    let random = hex(random, 24, Case::Any)?;
    let trace_id = (time << 96) | random;
    if trace_id == 0 {
        return None;
    }
    let parent = field("Parent").and_then(|parent| hex(parent, 16, Case::Any));
    Some(Context {
        trace_id,
        parent: parent
            .and_then(|parent| u64::try_from(parent).ok())
            .and_then(NonZeroU64::new),
        sampled: match field("Sampled") {
            Some("1") => Some(true),
            Some("0") => Some(false),
            _ => None,
        },
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Any,
}

/// A number of just that many hex digits, at most 32.
fn hex(text: &str, digits: usize, case: Case) -> Option<u128> {
    let is_digit =
        |byte: u8| byte.is_ascii_hexdigit() && (case == Case::Any || !byte.is_ascii_uppercase());
    // `from_str_radix` takes a sign, too.
    (text.len() == digits && text.bytes().all(is_digit))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

/// The field for whom we call: always sampled, since spans exist for nothing else.
pub(super) fn traceparent(trace_id: u128, span_id: NonZeroU64) -> String {
    format!("00-{trace_id:032x}-{span_id:016x}-01")
}

/// A trace id as the load balancer's log writes it.
pub(super) fn amazon_root(trace_id: u128) -> String {
    let random = trace_id & ((1 << 96) - 1);
    format!("1-{:08x}-{random:024x}", trace_id >> 96)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const ID: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    const PARENT: Option<NonZeroU64> = NonZeroU64::new(0x00f0_67aa_0ba9_02b7);

    #[test]
    fn reads_the_example_of_the_standard() {
        // W3C Trace Context, section 3.2.3.
        let context = |sampled| {
            Some(Context {
                trace_id: ID,
                parent: PARENT,
                sampled: Some(sampled),
            })
        };
        let start = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        assert_eq!(parse_traceparent(&format!("{start}-01")), context(true));
        assert_eq!(parse_traceparent(&format!("{start}-00")), context(false));
        assert_eq!(parse_traceparent(&format!("{start}-03")), context(true));
    }

    #[test]
    fn takes_later_versions_that_go_on() {
        let start = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(parse_traceparent(start).is_some());
        assert!(parse_traceparent(&format!("{start}-more")).is_some());
        assert!(parse_traceparent(&format!("{start}more")).is_none());
    }

    #[test]
    fn refuses_what_is_no_traceparent() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert_eq!(parse_traceparent(text), None, "{text}");
        }
    }

    #[test]
    fn reads_the_load_balancers_field() {
        // The first as in AWS's own documentation, Elastic Load Balancing, "request tracing".
        let root = 0x6789_1233_abcd_ef01_2345_6789_1234_5678_u128;
        let context = |parent, sampled| {
            Some(Context {
                trace_id: root,
                parent,
                sampled,
            })
        };
        for (text, parent, sampled) in [
            ("Root=1-67891233-abcdef012345678912345678", None, None),
            (
                "Self=1-67891234-12456789abcdef012345678;Root=1-67891233-abcdef012345678912345678",
                None,
                None,
            ),
            (
                "Root=1-67891233-abcdef012345678912345678;Parent=00f067aa0ba902b7;Sampled=1",
                PARENT,
                Some(true),
            ),
            (
                "Root=1-67891233-abcdef012345678912345678; Sampled=0",
                None,
                Some(false),
            ),
            (
                "Root=1-67891233-abcdef012345678912345678;Sampled=?",
                None,
                None,
            ),
        ] {
            assert_eq!(parse_amazon(text), context(parent, sampled), "{text}");
        }
        assert_eq!(amazon_root(root), "1-67891233-abcdef012345678912345678");
        for text in [
            "",
            "Root=",
            "Root=2-67891233-abcdef012345678912345678",
            "Root=1-0-0",
        ] {
            assert_eq!(parse_amazon(text), None, "{text}");
        }
    }

    #[test]
    fn the_standards_field_goes_first_and_a_doubled_one_counts_as_absent() {
        let w3c =
            HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let alb = HeaderValue::from_static("Root=1-67891233-abcdef012345678912345678");
        let mut headers = HeaderMap::new();
        headers.insert(AMAZON, alb);
        headers.append(TRACEPARENT, w3c.clone());
        let (context, amazon) = upstream(&headers);
        assert_eq!(context.map(|context| context.trace_id), Some(ID));
        assert_eq!(amazon, Some(0x6789_1233_abcd_ef01_2345_6789_1234_5678));
        headers.append(TRACEPARENT, w3c);
        assert_eq!(upstream(&headers).0.map(|context| context.trace_id), amazon);
    }

    proptest! {
        #[test]
        fn what_we_write_we_read(trace_id in 1..u128::MAX, span_id in 1..u64::MAX) {
            let span_id = NonZeroU64::new(span_id).unwrap();
            let read = parse_traceparent(&traceparent(trace_id, span_id));
            prop_assert_eq!(read, Some(Context { trace_id, parent: Some(span_id), sampled: Some(true) }));
        }

        #[test]
        fn no_text_is_too_much(text in "\\PC{0,80}") {
            let _ = parse_traceparent(&text);
            let _ = parse_amazon(&text);
        }
    }
}
