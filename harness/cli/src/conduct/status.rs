//! What can be seen of a cell while it runs.

/// What can be seen of a cell while it runs.
#[derive(Clone, Debug, Default)]
pub struct CellStatus {
    /// `starting`, `load`, `drain`, `judging`.
    pub phase: &'static str,
    /// The fault in force or due next.
    pub fault: Option<String>,
    /// How much of the cell is over, 0 to 1.
    pub progress: f64,
    /// Messages acknowledged per second, of the last second.
    pub acked_per_s: f64,
    /// Seconds that are left, as far as known.
    pub left_s: f64,
}

/// Is told how a cell goes, a few times a second.
pub trait Observer {
    /// The newest status.
    fn status(&mut self, status: &CellStatus);
}
