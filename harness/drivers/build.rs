//! Says which system package is missing before the build of librdkafka stumbles over it.

use std::env;
use std::path::Path;

/// Programs that the build of librdkafka runs, and what Debian calls the package of each.
const NEEDED: [(&str, &str); 4] = [("cc", "gcc"), ("c++", "g++"), ("make", "make"), ("bash", "bash")];

fn main() {
    println!("cargo::rerun-if-env-changed=PATH");
    if env::var_os("CARGO_FEATURE_KAFKA").is_none() {
        return;
    }
    for (program, package) in NEEDED {
        let chosen = match program {
            "cc" => env::var("CC").ok(),
            "c++" => env::var("CXX").ok(),
            _ => None,
        };
        if !is_there(chosen.as_deref().unwrap_or(program)) {
            println!(
                "cargo::error=`{program}` is not installed, and librdkafka is built with it (Debian: `apt-get install {package}`)"
            );
        }
    }
}

fn is_there(program: &str) -> bool {
    // A compiler may be given with arguments.
    let program = program.split_whitespace().next().unwrap_or(program);
    let in_path = env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|directory| directory.join(program).is_file()));
    in_path || Path::new(program).is_absolute() && Path::new(program).is_file()
}
