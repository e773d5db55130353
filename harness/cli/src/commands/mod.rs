//! One file per subcommand.

pub mod broker;
