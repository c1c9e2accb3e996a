//! How plots are drawn: shapes with classes, as SVG and as PNG.

pub(crate) mod axis;
pub(crate) mod escape;
pub(crate) mod panel;
mod raster;
pub(crate) mod shape;
pub(crate) mod style;
pub(crate) mod svg;

use std::path::{Path, PathBuf};

use idk_common::fs::write_atomic;
use idk_common::owned::claim;

use crate::error::EvalError;

use self::raster::text_width;
use self::shape::{Shape, line, text};

/// A plot and its legend.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plot {
    /// Name of its files, without the ending.
    pub file: String,
    /// What it shows; above it.
    pub title: String,
    /// The same for those who do not see it.
    pub label: String,
    /// Width and height in pixels.
    pub size: [f64; 2],
    /// What is drawn.
    pub shapes: Vec<Shape>,
    /// What its lines and marks mean.
    pub key: Vec<Key>,
}

/// What a line or a mark means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    /// A sample of it, in [`MARK`].
    pub mark: Vec<Shape>,
    /// Its meaning.
    pub name: String,
}

/// Width and height of the samples in a key.
pub(crate) const MARK: [f64; 2] = [22.0, 14.0];

impl Key {
    /// A line of that class.
    pub(crate) fn line(class: &str, name: &str) -> Self {
        let y = MARK[1] / 2.0;
        Self { mark: vec![line([0.0, y], [MARK[0], y], class)], name: name.to_owned() }
    }
}

/// Around a plot in a file.
pub(crate) const MARGIN: f64 = 12.0;
/// Height of a title and of a line of the key.
const TITLE: f64 = 24.0;
const KEY: f64 = 20.0;
/// Between a mark and its name, and between two entries of a key.
const GAP: [f64; 2] = [5.0, 16.0];

/// Size and shapes of a plot in a file of its own: the title at the top, the key below it, then the plot.
pub(crate) fn laid_out(plot: &Plot) -> ([f64; 2], Vec<Shape>) {
    let title_width = text_width(&plot.title, 14.0);
    let inner = plot.size[0].max(title_width);
    let mut shapes = Vec::new();
    let mut top = MARGIN;
    if !plot.title.is_empty() {
        shapes.push(text(MARGIN, top + 13.0, "title", &plot.title));
        top += TITLE;
    }
    let mut x = 0.0;
    for key in &plot.key {
        let width = MARK[0] + GAP[0] + text_width(&key.name, style::LETTERS);
        if x > 0.0 && x + width > inner {
            x = 0.0;
            top += KEY;
        }
        let left = MARGIN + x;
        shapes.extend(key.mark.iter().map(|shape| shape.clone().moved([left, top])));
        shapes.push(text(left + MARK[0] + GAP[0], top + 11.0, "", &key.name));
        x += width + GAP[1];
    }
    if !plot.key.is_empty() {
        top += KEY + 2.0;
    }
    shapes.extend(plot.shapes.iter().map(|shape| shape.clone().moved([MARGIN, top])));
    ([inner + 2.0 * MARGIN, top + plot.size[1] + MARGIN], shapes)
}

/// A name of a file from names that may come from data: small letters, digits and hyphens.
pub(crate) fn file_name(parts: &[&str]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = parts.join("-").chars().map(plain).take(80).collect();
    name.trim_matches('-').to_owned()
}

/// Writes every plot as SVG and as PNG into a folder and returns the paths. Two plots whose names differ in other
/// characters only get numbers.
///
/// # Errors
/// [`EvalError::Common`] if a file cannot be written, or is there and none of the program's.
pub(crate) fn write_plots(plots: &[Plot], dir: &Path) -> Result<Vec<PathBuf>, EvalError> {
    let name = |(index, plot): (usize, &Plot)| {
        let twins = plots[..index].iter().filter(|other| other.file == plot.file).count();
        if twins == 0 { plot.file.clone() } else { format!("{}-{}", plot.file, twins + 1) }
    };
    let names: Vec<String> = plots.iter().enumerate().map(name).collect();
    let files: Vec<String> =
        names.iter().flat_map(|name| ["svg", "png"].map(|ending| format!("{name}.{ending}"))).collect();
    let _lock = claim(dir, &files.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut written = Vec::new();
    for (name, plot) in names.iter().zip(plots) {
        let path = dir.join(format!("{name}.svg"));
        write_atomic(&path, svg::document(plot).as_bytes())?;
        written.push(path);
        if let Some(bytes) = raster::to_png(plot) {
            let path = dir.join(format!("{name}.png"));
            write_atomic(&path, &bytes)?;
            written.push(path);
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::shape::Form;
    use super::*;

    #[test]
    fn title_and_key_stand_above_the_plot_and_the_key_breaks_its_lines() {
        let key = |name: &str| Key::line("curve c1", name);
        let plot = Plot {
            title: "Title".to_owned(),
            size: [120.0, 50.0],
            shapes: vec![line([0.0, 0.0], [120.0, 50.0], "grid")],
            key: vec![key("one"), key("two"), key("three")],
            ..Plot::default()
        };
        let ([width, height], shapes) = laid_out(&plot);
        // Two lines of the key: "three" does not fit into 120 pixels.
        let top = MARGIN + TITLE + 2.0 * KEY + 2.0;
        assert_eq!((width, height), (120.0 + 2.0 * MARGIN, top + 50.0 + MARGIN));
        assert_eq!(shapes[shapes.len() - 1].form, Form::Line([[MARGIN, top], [MARGIN + 120.0, top + 50.0]]));
        let lines: Vec<f64> = shapes
            .iter()
            .filter_map(|shape| match &shape.form {
                Form::Text([_, y], content) if ["one", "two", "three"].contains(&content.as_str()) => {
                    Some(*y)
                }
                _ => None,
            })
            .collect();
        assert_eq!((lines[0], lines[2]), (lines[1], lines[1] + KEY));
    }

    #[test]
    fn names_of_tasks_cannot_lead_out_of_the_folder_nor_write_over_each_other() {
        assert_eq!(file_name(&["risk-coverage", "../Über"]), "risk-coverage-----ber");
        let dir = tempfile::tempdir().unwrap();
        let plot = |task: &str| Plot { file: file_name(&["x", task]), size: [9.0, 9.0], ..Plot::default() };
        let written = write_plots(&[plot("a/b"), plot("a b")], dir.path()).unwrap();
        let names: Vec<String> =
            written.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["x-a-b.svg", "x-a-b.png", "x-a-b-2.svg", "x-a-b-2.png"]);
        assert!(written.iter().all(|path| path.is_file()));
    }
}
