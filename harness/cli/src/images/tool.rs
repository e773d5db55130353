//! Programs of the system that a build needs.

use std::fs::File;
use std::io;
use std::process::{Output, Stdio};

use tokio::process::Command;

use super::error::ImageError;

/// Makes the minimal Debian.
pub const DEBOOTSTRAP: Tool = Tool { name: "debootstrap", package: "debootstrap" };
/// Fetches jars.
pub const MAVEN: Tool = Tool { name: "mvn", package: "maven" };
/// What Maven itself runs on.
pub const JAVA: Tool = Tool { name: "java", package: "default-jre-headless" };
/// Packs what a build is made of.
pub const TAR: Tool = Tool { name: "tar", package: "tar" };

/// The most lines of a failed program that are shown.
const SHOWN_LINES: usize = 30;

/// A program, and the package of Debian that brings it.
#[derive(Clone, Copy)]
pub struct Tool {
    /// The program.
    pub name: &'static str,
    package: &'static str,
}

impl Tool {
    fn missing(self) -> ImageError {
        ImageError::NoTool { name: self.name, package: self.package }
    }

    /// Fails if the program is not on the path.
    pub fn require(self) -> Result<(), ImageError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = std::env::split_paths(&path).any(|dir| dir.join(self.name).is_file());
        if is_there { Ok(()) } else { Err(self.missing()) }
    }

    /// Runs it to its end. It dies with us.
    pub async fn run(self, arguments: &[&str]) -> Result<(), ImageError> {
        let output = Command::new(self.name)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => self.missing(),
                _ => ImageError::Io { what: format!("cannot run `{}`", self.name), source: error },
            })?;
        check(self.name, &output)
    }
}

/// Runs a shell script with one argument to its end; what it prints goes to a file.
pub async fn run_script(name: &str, text: &str, argument: &str, out: File) -> Result<(), ImageError> {
    let output = Command::new("sh")
        .args(["-c", text, name, argument])
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(ImageError::io("cannot run `sh`"))?
        .wait_with_output()
        .await
        .map_err(ImageError::io("cannot wait for `sh`"))?;
    check(&format!("{name} {argument}"), &output)
}

fn check(what: &str, output: &Output) -> Result<(), ImageError> {
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let lines: Vec<String> = String::from_utf8_lossy(&said).lines().map(str::to_owned).collect();
    Err(ImageError::Build { what: format!("`{what}`"), output: last(&lines) })
}

/// The last lines of what a program printed.
pub fn last(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_package_that_brings_it() {
        let tool = Tool { name: "no-such-program-of-ours", package: "some-package" };
        let error = tool.require().expect_err("it is missing").to_string();
        assert!(error.contains("no-such-program-of-ours") && error.contains("`some-package`"), "{error}");
        assert!(TAR.require().is_ok());
    }

    #[tokio::test]
    async fn a_script_that_fails_shows_what_it_said() {
        let out = File::create("/dev/null").expect("a file");
        let error = run_script("make.sh", "echo \"no $1\" >&2; exit 3", "mirror", out).await;
        let text = error.expect_err("it fails").to_string();
        assert_eq!(text, "`make.sh mirror` failed\nno mirror");
    }
}
