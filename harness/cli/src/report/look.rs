//! What a text may assume about where it is shown.

use std::os::fd::AsFd;

use owo_colors::{OwoColorize, Style};

use mqproof_core::verdict::VerdictWord;
use tabled::grid::util::string::get_line_width;

/// Width and colour of a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// Columns.
    pub width: usize,
    /// Whether escape sequences may be used. Nothing is said by colour alone.
    pub colour: bool,
}

impl Look {
    /// Standard output as it is.
    pub fn of_stdout() -> Self {
        Self { width: width_of(&std::io::stdout()), colour: crate::terminal::stdout_is_styled() }
    }

    /// Standard error as it is.
    pub fn of_stderr() -> Self {
        Self { width: width_of(&std::io::stderr()), colour: crate::terminal::stderr_is_styled() }
    }

    /// The text in a style, if there is colour.
    pub fn paint(self, text: &str, style: Style) -> String {
        if self.colour { text.style(style).to_string() } else { text.to_owned() }
    }

    /// In the background of attention.
    pub fn dim(self, text: &str) -> String {
        self.paint(text, Style::new().dimmed())
    }

    /// Sign and word, padded to a width.
    pub fn word(self, word: VerdictWord, width: usize) -> String {
        self.paint(&padded(&format!("{} {word}", word.sign()), width), style_of(word))
    }
}

/// The width of a terminal, else what `COLUMNS` says, else enough for one line per cell in a log.
fn width_of(stream: &impl AsFd) -> usize {
    let measured = rustix::termios::tcgetwinsize(stream).ok().map(|size| usize::from(size.ws_col));
    let told = || std::env::var("COLUMNS").ok()?.parse().ok();
    measured.filter(|width| *width > 0).or_else(told).unwrap_or(140).clamp(60, 160)
}

/// The colour of a word.
fn style_of(word: VerdictWord) -> Style {
    match word {
        VerdictWord::Violated | VerdictWord::HarnessFailure => Style::new().red().bold(),
        VerdictWord::NotObserved => Style::new().green(),
        VerdictWord::Inconclusive | VerdictWord::NotExercised => Style::new().yellow(),
        VerdictWord::NotClaimed => Style::new().blue(),
        VerdictWord::NotOffered => Style::new().dimmed(),
    }
}

/// Columns that a line takes.
pub fn columns(text: &str) -> usize {
    get_line_width(text)
}

/// Filled with blanks up to a width.
pub fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// Filled from the left.
pub fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(columns(text))))
}

/// Adds a line, without the blanks at its end.
pub fn push_line(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

/// Cut to a width, with an ellipsis if something is missing.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if columns(&kept) + columns(c.encode_utf8(&mut [0; 4])) + 1 > width {
            break;
        }
        kept.push(c);
    }
    format!("{}…", kept.trim_end())
}

/// Broken like [`wrapped`], but between the parts of a list rather than within one, where they are short enough.
pub fn wrapped_list(text: &str, width: usize) -> Vec<String> {
    const SEPARATOR: &str = " · ";
    let parts: Vec<&str> = text.split(SEPARATOR).collect();
    if parts.len() == 1 || parts.iter().any(|part| columns(part) + 2 > width) {
        return wrapped(text, width);
    }
    let mut lines = vec![String::new()];
    for part in parts {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            part.clone_into(line);
        } else if columns(line) + columns(SEPARATOR) + columns(part) <= width {
            line.push_str(SEPARATOR);
            line.push_str(part);
        } else {
            lines.push(part.to_owned());
        }
    }
    lines
}

/// Broken at blanks into lines of at most `width` columns; a longer word stands alone.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            word.clone_into(line);
        } else if columns(line) + 1 + columns(word) <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
