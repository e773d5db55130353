//! Programs of the system that are run for a moment.

use std::io;
use std::process::{Command, Stdio};

use crate::provision::ProvisionError;

/// Runs a program to its end and returns what it printed. `package` is what Debian calls the package that brings it.
pub fn run(name: &str, package: &str, command: &mut Command) -> Result<String, ProvisionError> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            ProvisionError::NoTool { name: name.to_owned(), package: package.to_owned() }
        }
        _ => ProvisionError::Io { what: format!("cannot run `{name}`"), source: error },
    })?;
    if !output.status.success() {
        return Err(ProvisionError::Engine {
            what: format!("`{}`", words(command)),
            why: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn words(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}
