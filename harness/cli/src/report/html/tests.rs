use super::render;
use crate::report::fixture;

/// Every element that is opened is closed, in order. Returns the first fault.
fn unbalanced(html: &str) -> Option<String> {
    const VOID: [&str; 6] = ["meta", "br", "hr", "col", "link", "!doctype"];
    let mut open: Vec<String> = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, after) = after.split_once('>')?;
        rest = after;
        let name =
            tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap_or_default().to_lowercase();
        if name == "style" && !tag.starts_with('/') {
            rest = rest.split_once("</style>")?.1;
        } else if tag.starts_with("!--") || tag.ends_with('/') || VOID.contains(&name.as_str()) {
        } else if tag.starts_with('/') {
            if open.pop().as_deref() != Some(&name) {
                return Some(format!("`</{name}>` closes nothing, before: {}", &rest[..rest.len().min(200)]));
            }
        } else {
            open.push(name);
        }
    }
    (!open.is_empty()).then(|| format!("never closed: {open:?}"))
}

#[test]
fn every_element_is_closed() {
    for report in [fixture::report(), fixture::clean(), fixture::large()] {
        assert_eq!(unbalanced(&render(&report, "reports/x")), None);
    }
    assert!(unbalanced("<p><b>x</p></b>").is_some(), "the check itself must be able to fail");
}

#[test]
fn ids_are_unique_and_every_link_leads_somewhere() {
    for report in [fixture::report(), fixture::large()] {
        links_lead_somewhere(&render(&report, "reports/x"));
    }
}

fn links_lead_somewhere(html: &str) {
    let values = |attribute: &str| -> Vec<String> {
        html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    let mut ids = values(" id=\"");
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "an id stands twice");
    let links = values("href=\"#");
    assert!(!links.is_empty());
    for link in links {
        assert!(ids.contains(&link), "#{link} leads nowhere");
    }
}

#[test]
fn the_page_needs_nothing_from_outside_and_no_script() {
    let html = render(&fixture::report(), "reports/x");
    for word in ["http:", "https:", "//fonts", "@import", "url(", "<script", "<link", "<img", "javascript"] {
        assert!(!html.contains(word), "`{word}` in the page");
    }
}

#[test]
fn names_from_outside_are_escaped_everywhere() {
    let html = render(&fixture::report(), "reports/<b>x</b>");
    assert!(html.contains("&lt;script&gt;") || html.contains("&#60;script&#62;"));
    assert!(!html.contains("<script>") && !html.contains("<b>x</b>"));
}

#[test]
fn a_run_of_many_cells_stays_below_3_mb_and_is_folded() {
    let html = render(&fixture::large(), "reports/x");
    assert!(html.len() < 3_000_000, "{} bytes", html.len());
    assert!(html.contains("<details"));
}

#[test]
fn planted_defects_are_announced_before_anything_else() {
    let html = render(&fixture::report(), "reports/x");
    let banner = html.find("ack-before-replicate").unwrap();
    assert!(banner < html.find("<h1").unwrap());
    assert!(!render(&fixture::clean(), "reports/x").contains("Planted defect"));
}

/// Writes the sample pages into the directory named by `MQPROOF_SAMPLES`, to be looked at.
#[test]
fn samples_are_written_where_asked() {
    let Some(directory) = std::env::var_os("MQPROOF_SAMPLES") else { return };
    let directory = std::path::Path::new(&directory);
    for (name, report) in
        [("report", fixture::report()), ("clean", fixture::clean()), ("large", fixture::large())]
    {
        std::fs::write(directory.join(format!("{name}.json")), crate::report::json::render(&report, ""))
            .unwrap();
        std::fs::write(directory.join(format!("{name}.html")), render(&report, "reports/20261121-0240"))
            .unwrap();
    }
}
