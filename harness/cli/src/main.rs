//! mqproof.
mod clock;
mod commands;
mod faults;
mod provision;
fn main(){}
