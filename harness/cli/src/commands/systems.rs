//! `mqproof systems`: where scenarios can run.

use crate::conduct::System;

/// Prints them.
pub fn run() -> u8 {
    for system in System::ALL {
        println!("{:10}  {}", system.name(), system.about());
    }
    0
}
