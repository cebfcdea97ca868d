//! What the calls cost, in nanoseconds: an acquisition, a release, a change of state, a phase. Run by
//! `scripts/bench` under the shim and without it.

use std::time::Instant;

const LIVE: u64 = 256;
const ROUNDS: usize = 400;

/// The tenth percentile: what the work costs where nobody disturbs it.
fn cost(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 10]
}

fn main() {
    let steps: [fn(u64); 4] = [
        |handle| resshim_api::acquire("data-source", handle, "orders at db.example.org"),
        |handle| resshim_api::state("data-source", handle, "busy"),
        |_| resshim_api::phase("serving"),
        |handle| resshim_api::release("data-source", handle),
    ];
    let mut times = [const { Vec::new() }; 4];
    for round in 0..=ROUNDS {
        for (step, times) in steps.iter().zip(&mut times) {
            let began = Instant::now();
            (1..=LIVE).for_each(step);
            // The first is for first touches.
            if round > 0 {
                times.push(began.elapsed().as_nanos() as f64 / LIVE as f64);
            }
        }
    }
    let [acquire, state, phase, release] = times.map(cost);
    println!("{acquire:.2} {release:.2} {state:.2} {phase:.2}");
}
