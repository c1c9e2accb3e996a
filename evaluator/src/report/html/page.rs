//! What every page has: its head, styles, and parts with headings.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::report::plot::draw::escape::escape;
use crate::report::plot::draw::style::{DARK, LIGHT, PRINT, Palette, classes};
use crate::report::plot::draw::svg::{elements, inline, px};
use crate::report::plot::draw::{MARK, Plot};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A whole page. Title and texts of `lead` and `sections` are HTML already, but for `title`.
pub(super) fn page(title: &str, lead: &str, sections: &str) -> String {
    // Even if text from the data got into the page as markup, nothing but this one script could run, and nothing could
    // be loaded.
    let script_hash = STANDARD.encode(Sha256::digest(SCRIPT));
    let (title, style) = (escape(title), style());
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'sha256-{script_hash}'; img-src data:; media-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n<div class=\"lead\">\n{lead}</div>\n{sections}<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// Colours for light, dark and paper, the page's own rules, and those of the plots.
fn style() -> String {
    let [light, dark, print] = [&LIGHT, &DARK, &PRINT].map(Palette::variables);
    format!(
        ":root {{ color-scheme: light dark; {light}}}\n\
         @media (prefers-color-scheme: dark) {{ :root {{ {dark}}} }}\n\
         {STYLE}{}\
         @media print {{ :root {{ color-scheme: light; {print}}} }}\n",
        classes(|name| format!("var(--{name})"))
    )
}

/// A part of the page with a heading; nothing if it has no content.
pub(super) fn section(title: &str, note: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    let note = if note.is_empty() { String::new() } else { format!("<p class=\"faint\">{note}</p>\n") };
    format!("<section>\n<h2>{title}</h2>\n{note}{content}</section>\n")
}

/// A plot with its title, its key and what stands below it.
pub(super) fn figure(plot: &Plot, below: &str) -> String {
    let title = format!("<figcaption>{}</figcaption>\n", escape(&plot.title));
    format!("<figure>\n{title}{}{}{below}</figure>\n", key(plot), inline(plot))
}

/// A plot as wide as the text, under a heading that says what it shows.
pub(super) fn wide(plot: &Plot) -> String {
    format!("<figure class=\"wide\">\n{}{}</figure>\n", key(plot), inline(plot))
}

/// Plots side by side, as many as there is room for.
pub(super) fn figures(figures: &[String]) -> String {
    if figures.is_empty() {
        String::new()
    } else {
        format!("<div class=\"figures\">\n{}</div>\n", figures.concat())
    }
}

fn key(plot: &Plot) -> String {
    if plot.key.is_empty() {
        return String::new();
    }
    let [width, height] = MARK.map(px);
    let entry = |key: &crate::report::plot::draw::Key| {
        format!(
            "<span class=\"key\"><svg viewBox=\"0 0 {width} {height}\" class=\"mark\" aria-hidden=\"true\">{}</svg>{}</span>\n",
            elements(&key.mark).trim_end(),
            escape(&key.name)
        )
    };
    format!("<p class=\"keys\">{}</p>\n", plot.key.iter().map(entry).collect::<String>())
}

/// A table that scrolls on its own where the screen is narrow; the head's and the rows' cells are HTML already.
pub(super) fn table(head: &[&str], rows: &str) -> String {
    let head: String = head.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
}

/// A row of a table.
pub(super) fn row(class: &str, name: &str, cells: &[String]) -> String {
    let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
    format!("<tr class=\"{class}\"><th scope=\"row\">{}</th>{cells}</tr>\n", escape(name))
}

/// Text from files as a paragraph; a number and its percent sign stay together.
pub(super) fn paragraph(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("<p>{}</p>\n", escape(text).replace(" %", "\u{a0}%"))
    }
}
