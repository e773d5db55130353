//! How long a flush takes now, so that a noisy disk is seen beside the numbers that it spoiled.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// What is written before the flush.
const BYTES: usize = 16 << 10;
/// Flushes of one probe; the median counts.
const FLUSHES: usize = 5;

/// The time of an fdatasync of 16 KiB appended to a file in this directory, ms; None where there can be no such file.
pub fn fdatasync_ms(directory: &Path) -> Option<f64> {
    let mut file = tempfile::tempfile_in(directory).ok()?;
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        let begun = Instant::now();
        file.write_all(&[0x5A; BYTES]).ok()?;
        file.sync_data().ok()?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    super::statistics::median(&times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_there_is_probed_and_another_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(fdatasync_ms(dir.path()).is_some_and(|ms| ms > 0.0));
        assert_eq!(fdatasync_ms(Path::new("/no/such/directory")), None);
    }
}
