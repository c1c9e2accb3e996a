//! Plots as SVG: inside a page, where colours and fonts are the page's, and as files of their own.

use super::escape::escape;
use super::raster::FONT_FAMILY;
use super::shape::{Form, Shape};
use super::style::{DARK, LIGHT, Palette, classes, hex};
use super::{Plot, laid_out};

/// A coordinate, to a tenth of a pixel.
pub(crate) fn px(value: f64) -> String {
    let tenths = (value * 10.0).round();
    let text = format!("{}", tenths / 10.0 + 0.0);
    if text == "-0" { "0".to_owned() } else { text }
}

/// The shapes as SVG elements, one per line.
pub(crate) fn elements(shapes: &[Shape]) -> String {
    shapes.iter().map(element).collect()
}

fn element(shape: &Shape) -> String {
    let points = |points: &[[f64; 2]]| -> String {
        let points: Vec<String> = points.iter().map(|[x, y]| format!("{},{}", px(*x), px(*y))).collect();
        points.join(" ")
    };
    let (name, attributes, content) = match &shape.form {
        Form::Line(ends) => {
            let [[x1, y1], [x2, y2]] = ends.map(|end| end.map(px));
            ("line", format!("x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\""), String::new())
        }
        Form::Rectangle(corner, size) => {
            let ([x, y], [width, height]) = (corner.map(px), size.map(px));
            ("rect", format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\""), String::new())
        }
        Form::Circle(centre, radius) => {
            let ([x, y], radius) = (centre.map(px), px(*radius));
            ("circle", format!("cx=\"{x}\" cy=\"{y}\" r=\"{radius}\""), String::new())
        }
        Form::Polygon(corners) => ("polygon", format!("points=\"{}\"", points(corners)), String::new()),
        Form::Polyline(corners) => ("polyline", format!("points=\"{}\"", points(corners)), String::new()),
        Form::Band(x, tops, thickness) => ("path", band_path(*x, *tops, *thickness), String::new()),
        Form::Text(at, content) => {
            let [x, y] = at.map(px);
            ("text", format!("x=\"{x}\" y=\"{y}\""), escape(content))
        }
    };
    let title = shape.title.as_ref().map(|title| format!("<title>{}</title>", escape(title)));
    let content = content + &title.unwrap_or_default();
    let class = &shape.class;
    if content.is_empty() {
        format!("<{name} {attributes} class=\"{class}\"/>\n")
    } else {
        format!("<{name} {attributes} class=\"{class}\">{content}</{name}>\n")
    }
}

fn band_path(x: [f64; 2], tops: [f64; 2], thickness: f64) -> String {
    let [from, middle, to] = [x[0], f64::midpoint(x[0], x[1]), x[1]].map(px);
    let [y0, y1] = tops.map(px);
    let [y2, y3] = tops.map(|top| px(top + thickness));
    format!(
        "d=\"M{from},{y0} C{middle},{y0} {middle},{y1} {to},{y1} V{y3} C{middle},{y3} {middle},{y2} {from},{y2} Z\""
    )
}

/// A plot inside a page, without title and key, which are elsewhere on the page.
pub(crate) fn inline(plot: &Plot) -> String {
    let ([width, height], label) = (plot.size.map(px), escape(&plot.label));
    let content = elements(&plot.shapes);
    format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\n{content}</svg>\n")
}

/// A plot as a file of its own, with title and key, in the colours of light paper.
pub(crate) fn document(plot: &Plot) -> String {
    let (size, shapes) = laid_out(plot);
    file(&plot.label, size, &shapes, &style(&LIGHT))
}

/// Plots in rows of `columns` as one file, with titles and keys, light or dark as the reader's system is.
pub(crate) fn sheet(label: &str, plots: &[Plot], columns: usize) -> String {
    let laid: Vec<([f64; 2], Vec<Shape>)> = plots.iter().map(laid_out).collect();
    let column = laid.iter().map(|([width, _], _)| *width).fold(0.0, f64::max);
    let (mut shapes, mut top) = (Vec::new(), 0.0);
    for row in laid.chunks(columns) {
        for (index, (_, plot)) in row.iter().enumerate() {
            shapes.extend(plot.iter().map(|shape| shape.clone().moved([index as f64 * column, top])));
        }
        top += row.iter().map(|([_, height], _)| *height).fold(0.0, f64::max);
    }
    let dark = style(&DARK);
    let style = format!("{}@media (prefers-color-scheme:dark) {{\n{dark}}}\n", style(&LIGHT));
    file(label, [columns.min(plots.len()) as f64 * column, top], &shapes, &style)
}

/// All rules of a file; the class `paper` is its ground.
fn style(palette: &Palette) -> String {
    let page = hex(palette.colour("page"));
    classes(|name| hex(palette.colour(name))) + &format!("svg .paper {{ fill: {page}; }}\n")
}

fn file(label: &str, size: [f64; 2], shapes: &[Shape], style: &str) -> String {
    let ([width, height], label, content) = (size.map(px), escape(label), elements(shapes));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\n<title>{label}</title>\n<style>\n\
         svg {{ font-family: \"{FONT_FAMILY}\", \"DejaVu Sans\", Verdana, sans-serif; }}\n{style}</style>\n\
         <rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n{content}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::shape::{band, circle, polygon, text};
    use super::*;

    #[test]
    fn coordinates_are_short_and_never_minus_zero() {
        assert_eq!([1.0, 2.25, 0.04, -0.04].map(px), ["1", "2.3", "0", "0"]);
    }

    #[test]
    fn shapes_have_the_elements_and_attributes_of_svg() {
        let shapes = [
            circle([1.0, 2.0], 3.0, "dot c1").titled("<b>".to_owned()),
            polygon(vec![[0.0, 0.0], [1.5, 0.0]], "rule"),
            band([0.0, 10.0], [1.0, 2.0], 3.0, "band"),
        ];
        assert_eq!(
            elements(&shapes),
            "<circle cx=\"1\" cy=\"2\" r=\"3\" class=\"dot c1\"><title>&lt;b&gt;</title></circle>\n\
             <polygon points=\"0,0 1.5,0\" class=\"rule\"/>\n\
             <path d=\"M0,1 C5,1 5,2 10,2 V5 C5,5 5,4 0,4 Z\" class=\"band\"/>\n"
        );
    }

    #[test]
    fn neither_a_label_nor_a_title_nor_a_text_can_hold_markup() {
        let attack = "\"></svg></style><script>";
        let plot = Plot {
            title: attack.to_owned(),
            label: attack.to_owned(),
            shapes: vec![text(0.0, 0.5, "end", attack).titled(attack.to_owned())],
            ..Plot::default()
        };
        for svg in [inline(&plot), document(&plot)] {
            assert!(!svg.contains("<script") && svg.matches("</svg>").count() == 1, "{svg}");
        }
    }

    #[test]
    fn a_sheet_has_its_plots_in_rows_and_follows_the_readers_light() {
        let plot = |text_of: &str, height: f64| Plot {
            size: [100.0, height],
            shapes: vec![text(0.0, 10.0, "", text_of)],
            ..Plot::default()
        };
        let svg = sheet("<all>", &[plot("a", 50.0), plot("b", 30.0), plot("c", 20.0)], 2);
        // 12 pixels around each: columns of 124, a first row as high as its highest plot.
        for part in [
            "<text x=\"12\" y=\"22\" class=\"\">a<",
            "x=\"136\" y=\"22\"",
            "x=\"12\" y=\"96\"",
            "viewBox=\"0 0 248 118\"",
        ] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
        assert!(
            svg.contains("<title>&lt;all&gt;</title>") && svg.contains("@media (prefers-color-scheme:dark)")
        );
        assert!(svg.contains(&hex(DARK.colour("page"))) && svg.contains(&hex(LIGHT.colour("page"))));
        assert!(sheet("none", &[], 2).ends_with("</svg>\n"));
    }

    #[test]
    fn a_file_needs_neither_the_page_nor_the_network() {
        let svg = document(&Plot::default());
        assert!(!svg.contains("var(") && !svg.contains("url(") && svg.matches("http").count() == 1, "{svg}");
    }
}
