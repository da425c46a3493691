//! Why a request is refused: one reason per rule.

use thiserror::Error;

/// The rule a request breaks.
///
/// A refusal is a normal answer: the service replies `INVALID` whatever the
/// reason, and counts the [`code`](Reason::code). When a request breaks several
/// rules, which one is named is not part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Reason {
    /// The packed request is absent or empty.
    #[error("the packed request is empty")]
    Missing,
    /// A character outside the URL-safe alphabet, a length no encoder produces, or
    /// incomplete padding.
    #[error("the request is not URL-safe base64")]
    Base64,
    /// No complete zlib stream with a matching checksum.
    #[error("the request is not a zlib stream")]
    Zlib,
    /// The inflated bytes are not UTF-8.
    #[error("the request is not UTF-8")]
    Utf8,
    /// The text is not one JSON value, or names a key twice.
    #[error("the request is not JSON")]
    Json,
    /// A missing or unknown key.
    #[error("a key is missing or unknown")]
    Fields,
    /// A value of the wrong type or outside its range.
    #[error("a value has the wrong type")]
    Type,
    /// The packed or the inflated request is larger than allowed.
    #[error("the request is too large")]
    Limit,
    /// A block's id is not its position.
    #[error("a block's id is not its position")]
    BlockId,
    /// The chain has no blocks.
    #[error("the chain is empty")]
    EmptyChain,
    /// A block's transactions are not signed ones followed by one reward.
    #[error("a block does not end in its only reward")]
    Kinds,
    /// A reward among the new transactions.
    #[error("a new transaction is a reward")]
    NewKinds,
    /// A transaction is not later than the one before it.
    #[error("a transaction is not later than the one before")]
    Time,
    /// A new transaction is not earlier than the new block's reward.
    #[error("a new transaction is not earlier than the new reward")]
    RewardTime,
    /// A negative amount.
    #[error("an amount is negative")]
    NegativeAmount,
    /// A negative fee.
    #[error("a fee is negative")]
    NegativeFee,
    /// A sender does not own amount and fee.
    #[error("a sender does not own the amount and the fee")]
    Balance,
    /// A transaction's hash does not match its content.
    #[error("a transaction's hash does not match")]
    TransactionHash,
    /// A signature does not match.
    #[error("a signature does not match")]
    Signature,
    /// A reward is not the scheduled one.
    #[error("a reward is not the scheduled one")]
    Reward,
    /// A block's hash does not match its content.
    #[error("a block's hash does not match")]
    BlockHash,
    /// A block's hash does not sort before the block's target.
    #[error("a block's hash is not below its target")]
    Target,
    /// The new target is impossible or too hard.
    #[error("the new target is impossible or too hard")]
    NewTarget,
    /// The request is valid, but mining took all the tries that a request may have. No rule is
    /// broken, so this is the one reason that is not answered `INVALID`.
    #[error("mining took more tries than a request may have")]
    Exhausted,
}

impl Reason {
    /// Every reason, in the order of the rules; the closed set of metric labels.
    pub const ALL: [Self; 24] = [
        Self::Missing,
        Self::Base64,
        Self::Zlib,
        Self::Utf8,
        Self::Json,
        Self::Fields,
        Self::Type,
        Self::Limit,
        Self::BlockId,
        Self::EmptyChain,
        Self::Kinds,
        Self::NewKinds,
        Self::Time,
        Self::RewardTime,
        Self::NegativeAmount,
        Self::NegativeFee,
        Self::Balance,
        Self::TransactionHash,
        Self::Signature,
        Self::Reward,
        Self::BlockHash,
        Self::Target,
        Self::NewTarget,
        Self::Exhausted,
    ];

    /// The rule's short name, as used in metrics, logs and test vectors.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "E1-missing",
            Self::Base64 => "E2-base64",
            Self::Zlib => "E3-zlib",
            Self::Utf8 => "E4-utf8",
            Self::Json => "E5-json",
            Self::Fields => "E6-fields",
            Self::Type => "E7-type",
            Self::Limit => "E8-limit",
            Self::BlockId => "C1-id",
            Self::EmptyChain => "C2-empty",
            Self::Kinds => "K1-kinds",
            Self::NewKinds => "K2-new-kinds",
            Self::Time => "T1-time",
            Self::RewardTime => "T2-reward-time",
            Self::NegativeAmount => "V1-amt-negative",
            Self::NegativeFee => "V2-fee-negative",
            Self::Balance => "B1-balance",
            Self::TransactionHash => "H1-tx-hash",
            Self::Signature => "S1-signature",
            Self::Reward => "R1-reward",
            Self::BlockHash => "H2-block-hash",
            Self::Target => "P1-target",
            Self::NewTarget => "P2-new-target",
            Self::Exhausted => "P3-exhausted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn every_reason_has_its_own_code() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}
