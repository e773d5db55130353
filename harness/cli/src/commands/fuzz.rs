//! `mqproof fuzz`: random clusters, workloads and faults in the simulator, seed by seed.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use broker_sim::{Defect, Options, Outcome, Rarities};
use clap::Args;
use mqproof_core::verdict::ExitStatus;

/// Arguments of `mqproof fuzz`.
#[derive(Args)]
pub struct FuzzArgs {
    /// How many seeds to run
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Plant a bug in every node (see `mqproof defects`)
    #[arg(long, value_name = "NAME")]
    defect: Vec<Defect>,
}

/// What all seeds did together.
#[derive(Default)]
struct Sum {
    steps: AtomicU64,
    faults: AtomicU64,
    acknowledged: AtomicU64,
    not_claimed: AtomicU64,
    /// Of all traces, whatever the order in which the seeds end.
    trace: AtomicU64,
    rarities: Mutex<Rarities>,
}

impl Sum {
    fn add(&self, outcome: &Outcome) {
        self.steps.fetch_add(outcome.steps, Ordering::Relaxed);
        self.faults.fetch_add(outcome.faults, Ordering::Relaxed);
        self.acknowledged.fetch_add(outcome.acknowledged, Ordering::Relaxed);
        self.not_claimed.fetch_add(u64::from(outcome.not_claimed.is_some()), Ordering::Relaxed);
        self.trace.fetch_xor(outcome.trace_hash.rotate_left((outcome.seed % 64) as u32), Ordering::Relaxed);
        let rarities = self.rarities.lock();
        rarities.unwrap_or_else(std::sync::PoisonError::into_inner).merge(&outcome.rarities);
    }
}

/// Runs the seeds on all cores; status 1 if a promise or a rule of the broker was broken.
pub fn run(args: &FuzzArgs) -> u8 {
    let options = Options { defects: args.defect.iter().copied().collect(), ..Options::default() };
    let (begun, sum) = (Instant::now(), Sum::default());
    let next = AtomicU64::new(0);
    let failed = Mutex::new(0_u64);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(seed) = take(&next, args) {
                    let outcome = broker_sim::run(seed, options);
                    sum.add(&outcome);
                    if !outcome.violations.is_empty() {
                        // Held while it prints, so that two seeds do not mix.
                        let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        *failed += 1;
                        println!("{}", told(&outcome, &args.defect));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let seconds = begun.elapsed().as_secs_f64();
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{failed} of {} seeds failed · {} went beyond what their settings promise · {} faults · {} records acknowledged · trace {:016x} · {} steps in {seconds:.1} s, {:.0} a second",
        args.seeds,
        read(&sum.not_claimed),
        read(&sum.faults),
        read(&sum.acknowledged),
        read(&sum.trace),
        read(&sum.steps),
        read(&sum.steps) as f64 / seconds
    );
    let rarities = sum.rarities.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    println!("{rarities}");
    if failed == 0 { ExitStatus::Ok as u8 } else { ExitStatus::Violated as u8 }
}

/// The next seed, if there is one left.
fn take(next: &AtomicU64, args: &FuzzArgs) -> Option<u64> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    (index < args.seeds).then(|| args.from.wrapping_add(index))
}

/// What went wrong, and the line that shows it again.
fn told(outcome: &Outcome, defects: &[Defect]) -> String {
    let mut text = format!("seed {}: trace {:016x}", outcome.seed, outcome.trace_hash);
    for violation in &outcome.violations {
        let _ = write!(text, "\n  {violation}");
    }
    let _ = write!(text, "\n  replay: mqproof fuzz --seeds 1 --from {}", outcome.seed);
    for defect in defects {
        let _ = write!(text, " --defect {}", defect.name());
    }
    text
}
