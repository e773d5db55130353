//! The two clocks of a history.

use rustix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC in nanoseconds: the same in all processes of one boot.
#[inline]
pub fn monotonic_ns() -> u64 {
    now(ClockId::Monotonic)
}

/// CLOCK_REALTIME, nanoseconds since 1970.
pub fn wall_ns() -> u64 {
    now(ClockId::Realtime)
}

#[inline]
fn now(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps until a moment of CLOCK_MONOTONIC, to the precision of the kernel's timer.
pub fn sleep_until(monotonic: u64) {
    let now = monotonic_ns();
    if monotonic > now {
        std::thread::sleep(std::time::Duration::from_nanos(monotonic - now));
    }
}

/// The boot in which CLOCK_MONOTONIC counts; empty where the system does not say.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
