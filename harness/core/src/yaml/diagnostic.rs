//! What is wrong with a scenario, and how it is shown.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::node::Place;

/// One thing that is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, or `--set`.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Which bytes of the text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    source: usize,
}

/// Everything that is wrong with one scenario, in the order of the text. Never empty as an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    sources: Vec<Source>,
}

/// A text that can be pointed at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    name: String,
    text: String,
}

impl Diagnostics {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self { items: Vec::new(), sources: vec![Source { name: file.to_owned(), text: text.to_owned() }] }
    }

    /// Adds a text that places may point at, and returns its number.
    pub(crate) fn add_source(&mut self, name: &str, text: &str) -> usize {
        self.sources.push(Source { name: name.to_owned(), text: text.to_owned() });
        self.sources.len() - 1
    }

    pub(crate) fn push(&mut self, place: Place, message: impl Into<String>, hint: impl Into<String>) {
        let Source { name, text } = &self.sources[place.source];
        let start = floor(text, place.start);
        let end = floor(text, place.end.max(start)).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let item = Diagnostic {
            file: name.clone(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            // A block of several lines is shown by its first.
            span: start..text[start..end].find('\n').map_or(end, |at| start + at),
            message: message.into(),
            hint: hint.into(),
            source: place.source,
        };
        if !self.items.contains(&item) {
            self.items.push(item);
        }
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// In the order of the text.
    pub(crate) fn sorted(mut self) -> Self {
        self.items.sort_by_key(|item| (item.source, item.span.start, item.span.end));
        self
    }

    /// What is wrong, in the order of the text.
    pub fn items(&self) -> &[Diagnostic] {
        &self.items
    }

    /// The source lines, underlined, with hints; with terminal colours if `styled`.
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let rendered: Vec<String> = self
            .items
            .iter()
            .map(|item| {
                let source = &self.sources[item.source];
                let mut annotation = AnnotationKind::Primary.span(item.span.clone());
                if !item.hint.is_empty() {
                    annotation = annotation.label(item.hint.as_str());
                }
                let snippet =
                    Snippet::source(source.text.as_str()).path(item.file.as_str()).annotation(annotation);
                renderer.render(&[Level::ERROR.primary_title(item.message.as_str()).element(snippet)])
            })
            .collect();
        rendered.join("\n\n")
    }
}

/// The nearest character boundary at or below.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
