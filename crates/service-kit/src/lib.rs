//! What every Tripod service shares.
