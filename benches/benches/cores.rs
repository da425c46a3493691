//! Time of one pass over each case: `cargo bench -p benches`. Compare figures of one machine and
//! one run only; the gate in the checks counts instructions instead (`cargo xtask test --only counts`).

#![allow(missing_docs, reason = "what the macro makes has none")]

use benches::cases::{NAMES, case};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn cores(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cores");
    for name in NAMES {
        let mut case = case(name).expect("the vectors in the repository are whole");
        group.throughput(Throughput::Elements(case.requests));
        group.bench_function(name, |bencher| bencher.iter(|| case.pass()));
    }
    group.finish();
}

criterion_group!(all, cores);
criterion_main!(all);
