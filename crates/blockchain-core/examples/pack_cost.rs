//! What each way of compressing costs, in bytes and time: answers the sample requests over and
//! over, the ways in turn, and prints the medians.
//!
//! `cargo run --release -p blockchain-core --example pack_cost`

use std::time::Instant;

use blockchain_core::{Compression, Scratch, respond};

const ROUNDS: usize = 21;

fn main() {
    let lines = include_str!("../tests/data/generated_valid.jsonl").lines();
    let requests: Vec<String> = lines
        .filter_map(|line| {
            let vector: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(vector["cc"].as_str()?.to_owned())
        })
        .collect();
    let ways = [
        ("stored", Compression::level(0)),
        ("fast", Some(Compression::FAST)),
        ("1", Compression::level(1)),
        ("6", Compression::level(6)),
        ("9", Compression::level(9)),
    ];
    let mut times = vec![Vec::new(); ways.len()];
    let mut bytes = vec![0; ways.len()];
    for _ in 0..ROUNDS {
        for (index, (_, compression)) in ways.iter().enumerate() {
            let Some(compression) = compression else {
                continue;
            };
            let mut scratch = Scratch::new(*compression);
            let mut out = Vec::new();
            let started = Instant::now();
            bytes[index] = 0;
            for _ in 0..20 {
                for request in &requests {
                    out.clear();
                    if respond(request.as_bytes(), &mut scratch, &mut out).is_ok() {
                        bytes[index] += out.len();
                    }
                }
            }
            times[index].push(started.elapsed().as_secs_f64() / 20.0);
        }
    }
    println!("level   characters   us/reply");
    for (index, (name, _)) in ways.iter().enumerate() {
        times[index].sort_by(f64::total_cmp);
        let characters = bytes[index] / 20 / requests.len();
        #[expect(clippy::cast_precision_loss, reason = "a hundred requests")]
        let micros = times[index][ROUNDS / 2] / requests.len() as f64 * 1e6;
        println!("{name:6} {characters:11} {micros:10.2}");
    }
}
