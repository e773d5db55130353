//! How a client process ends.

/// The exit status of a client process. Only the conductor sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ClientExit {
    /// It did what it had to, or was told to stop; its journal is sealed.
    Done = 0,
    /// Its specification cannot be read.
    BadSpec = 3,
    /// It could not connect, or could not create its journal or log.
    Environment = 4,
    /// Its recorder failed, for example on a full disk; what could be recorded is sealed.
    Recorder = 5,
    /// Its parent is gone.
    Orphaned = 6,
}
