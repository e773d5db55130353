//! Who may connect, and whether others can read along.
//!
//! In:  [`SecurityOptions`], and the files that they name. Out: the users that the core asks for, and the ends of TLS.
//! Owns: the rule that nothing is half protected: settings that would leave a door open beside a guarded one are refused.
//! Never: logs a password or a key.

mod error;
mod files;
mod options;
mod protocol;
mod tls;
mod users;

pub use error::SecurityError;
pub use options::SecurityOptions;
pub use protocol::SecurityProtocol;

pub(crate) use options::Security;
