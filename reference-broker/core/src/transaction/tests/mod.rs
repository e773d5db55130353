//! Tests of the coordinator as a whole: literal requests, and the records and markers that they lead to.

mod defects;
mod fencing;
mod lives;
mod random;
mod reload;
mod second;
mod world;
