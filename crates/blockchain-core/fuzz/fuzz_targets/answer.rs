//! What every target checks of an answer.

use std::cell::RefCell;

use blockchain_core::{Reason, Request, Scratch};

use crate::packing;

thread_local! {
    /// Reused from input to input, as a service does.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Answers a packed request, unless that takes long, and checks that a reply's chain is
/// valid in its turn.
pub fn answer(packed: &[u8]) -> Result<(), Reason> {
    SCRATCH.with_borrow_mut(|scratch| {
        let text = scratch.unpacker.unpack(packed)?;
        let plan = Request::parse(text)?.validate()?;
        if plan.expected_tries() > 10_000 {
            return Ok(());
        }
        let mut out = Vec::new();
        plan.reply(&mut scratch.packer, &mut out)?;
        let reply = packing::unpack(&out);
        let chain = reply.strip_prefix("{\"chain\":").expect("a chain alone");
        let next = format!("{{\"new_target\":\"g\",\"new_tx\":[],\"chain\":{chain}");
        match Request::parse(&next)
            .expect("a reply is well formed")
            .validate()
        {
            // The reward after next may lie beyond the last time there is.
            Ok(_) | Err(Reason::RewardTime) => Ok(()),
            Err(reason) => panic!("a reply breaks {}: {reply}", reason.code()),
        }
    })
}
