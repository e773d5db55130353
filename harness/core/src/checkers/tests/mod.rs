//! Each checker on literal histories that pass, violate and leave it open; then mutations of a healthy one; then random
//! histories against a naive oracle.

mod literal;
mod mutations;
mod oracle;
mod queue;
mod story;
mod transactions;
