//! What the terminal can show.

use std::io::IsTerminal;

use owo_colors::{OwoColorize, Stream};

/// Whether errors may be coloured: a terminal, and no `NO_COLOR`.
pub fn stderr_is_styled() -> bool {
    supports(Stream::Stderr)
}

/// The same for what goes to standard output.
pub fn stdout_is_styled() -> bool {
    supports(Stream::Stdout)
}

fn supports(stream: Stream) -> bool {
    let styled = std::cell::Cell::new(false);
    let probe = "".if_supports_color(stream, |text| {
        styled.set(true);
        text.default_color()
    });
    let _ = probe.to_string();
    styled.get()
}

/// Whether standard error is a terminal that somebody looks at.
pub fn stderr_is_watched() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("CI").is_none()
}
