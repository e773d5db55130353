//! The elements of a drawing, written as text.

use std::fmt::Write as _;

/// A drawing narrower than this share of its width would be hard to read; its frame scrolls instead.
const SMALLEST_SHARE: f64 = 0.84;

/// A drawing that grows element by element.
pub struct Canvas {
    out: String,
}

/// Which end of a text stands at its place.
#[derive(Clone, Copy)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

impl Canvas {
    /// An empty drawing with a title and a description for those who do not see it. `id` is unique on the page.
    pub fn new(id: &str, width: f64, height: f64, title: &str, desc: &str) -> Self {
        let (title, desc) = (escaped(title), escaped(desc));
        let out = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {width:.0} {height:.0}\" style=\"max-width:{width:.0}px;min-width:{:.0}px\" role=\"img\" \
             aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{desc}</desc>",
            width * SMALLEST_SHARE
        );
        Self { out }
    }

    /// The finished drawing.
    pub fn finish(mut self) -> String {
        self.out.push_str("</svg>");
        self.out
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.put(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// A rectangle with words that a pointer resting on it shows.
    pub fn rect(&mut self, class: &str, x: f64, y: f64, size: (f64, f64), hint: &str) {
        let (width, height) = (size.0.max(0.5), size.1);
        self.put(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\""
        ));
        if hint.is_empty() {
            self.out.push_str("/>");
        } else {
            self.put(format_args!("><title>{}</title></rect>", escaped(hint)));
        }
    }

    /// A dot.
    pub fn dot(&mut self, class: &str, x: f64, y: f64, radius: f64) {
        self.put(format_args!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>"));
    }

    /// Text.
    pub fn text(&mut self, class: &str, x: f64, y: f64, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        self.put(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{}</text>",
            escaped(text)
        ));
    }

    /// Text in several styles, one after the other.
    pub fn words(&mut self, x: f64, y: f64, words: &[(&str, &str)]) {
        self.put(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\">"));
        for (class, word) in words {
            self.put(format_args!("<tspan class=\"{class}\">{}</tspan> ", escaped(word)));
        }
        self.out.push_str("</text>");
    }

    /// A line through points; None is a gap, and no line is drawn over it. A point alone becomes a dot.
    pub fn path(&mut self, class: &str, points: &[Option<(f64, f64)>]) {
        let mut data = String::new();
        let mut pen_up = true;
        for (index, point) in points.iter().enumerate() {
            let Some((x, y)) = point else {
                pen_up = true;
                continue;
            };
            let alone = pen_up && points.get(index + 1).is_none_or(Option::is_none);
            let _ = write!(data, "{}{x:.1} {y:.1}", if pen_up { "M" } else { "L" });
            if alone {
                data.push_str("h.1");
            }
            pen_up = false;
        }
        if !data.is_empty() {
            self.put(format_args!("<path class=\"{class}\" d=\"{data}\"/>"));
        }
    }

    /// The area between two lines over the same places; gaps as in [`Self::path`].
    pub fn band(&mut self, class: &str, band: &[Option<(f64, f64, f64)>]) {
        let mut data = String::new();
        for piece in band.split(Option::is_none) {
            let piece: Vec<_> = piece.iter().flatten().collect();
            if piece.len() < 2 {
                continue;
            }
            let upper = piece.iter().map(|(x, _, upper)| (*x, *upper));
            let lower = piece.iter().rev().map(|(x, lower, _)| (*x, *lower));
            for (index, (x, y)) in upper.chain(lower).enumerate() {
                let _ = write!(data, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" });
            }
            data.push('Z');
        }
        if !data.is_empty() {
            self.put(format_args!("<path class=\"{class}\" d=\"{data}\"/>"));
        }
    }

    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(arguments);
    }
}

/// About how wide a label of 11 pixels is.
pub fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.1
}

/// As text of an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
