//! How many of the requests are traced whose caller has not decided.

/// A sampled share of 1, in billionths.
const BILLION: u64 = 1_000_000_000;
/// Random bits in a trace id that the choice goes by.
const CHOICE_BITS: u32 = 56;

/// A share of all requests, in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share(u64);

impl Share {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let refusal = || "expected a share from 0 to 1, such as 0.01".to_owned();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |part: &str| {
            (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_digits(whole) || !is_digits(fraction) {
            return Err(refusal());
        }
        let whole: u64 = whole.parse().map_err(|_| refusal())?;
        let billionths: u64 = format!("{fraction:0<9}").parse().map_err(|_| refusal())?;
        let share = whole.saturating_mul(BILLION).saturating_add(billionths);
        (share <= BILLION)
            .then_some(Self(share))
            .ok_or_else(refusal)
    }

    /// The same for the same trace everywhere, so that services that are asked for one page
    /// decide alike.
    pub(super) fn holds(self, trace_id: u128) -> bool {
        let drawn = trace_id & ((1 << CHOICE_BITS) - 1);
        drawn < (u128::from(self.0) << CHOICE_BITS) / u128::from(BILLION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::split_mix;

    #[test]
    fn a_share_is_a_decimal_number_from_0_to_1() {
        for (text, billionths) in [
            ("0", 0),
            ("1", BILLION),
            ("1.0", BILLION),
            ("0.01", 10_000_000),
            ("0.000000001", 1),
        ] {
            assert_eq!(Share::parse(text), Ok(Share(billionths)), "{text}");
        }
        for text in [
            "",
            ".5",
            "1.",
            "1.1",
            "2",
            "-0",
            "1e-2",
            "0.0000000001",
            "half",
        ] {
            assert!(Share::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_holds_for_that_part_of_the_ids() {
        let ids = || {
            let mut state = 7;
            std::iter::from_fn(move || {
                let (next, drawn) = split_mix(state);
                state = next;
                Some(u128::from(drawn))
            })
        };
        let held = |share: Share| ids().take(10_000).filter(|id| share.holds(*id)).count();
        assert_eq!(held(Share(0)), 0);
        assert_eq!(held(Share(BILLION)), 10_000);
        // Seven standard deviations of a fair draw of a quarter are 303.
        assert!(held(Share(BILLION / 4)).abs_diff(2500) < 303);
    }
}
