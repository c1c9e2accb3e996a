//! Plots as PNG files. `resvg` renders the SVG file of a plot with a font that is part of the program, so that a picture
//! is the same on a machine without fonts.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::Database;
use resvg::usvg::{Node, Options, Tree};

use super::escape::escape;
use super::style::{LIGHT, bold_classes, hex};
use super::{Plot, svg};

/// A part of DejaVu Sans Condensed; see the licence next to it.
const FONT: &[u8] = include_bytes!("font/DejaVuSansCondensed-subset.ttf");

/// The family of that font, which the SVG files name first.
pub(crate) const FONT_FAMILY: &str = "DejaVu Sans Condensed";

/// Pixels of the picture for one of the plot, so that it is sharp on dense screens and in print.
pub(crate) const SCALE: f32 = 2.0;

/// Most pixels along an edge: a plot with thousands of rows must not take all memory.
const MAX_EDGE: f32 = 16_000.0;

/// How much wider a bold letter's outline is drawn, in pixels of a plot: the font has one weight.
const BOLD: f64 = 0.55;

/// The program's own font and no other.
static OPTIONS: LazyLock<Options<'static>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(FONT.to_vec());
    Options { fontdb: Arc::new(fonts), font_family: FONT_FAMILY.to_owned(), ..Options::default() }
});

/// The width of a text in pixels of a plot.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    let text = escape(text);
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1\" height=\"1\"><text font-size=\"{size}\">{text}</text></svg>"
    );
    let tree = Tree::from_str(&svg, &OPTIONS).ok();
    let width = tree.and_then(|tree| match tree.root().children().first() {
        Some(Node::Text(text)) => Some(text.bounding_box().width()),
        _ => None,
    });
    width.map_or(0.0, f64::from)
}

/// The plot as a PNG file, with title and key, in the colours of light paper; `None` if it is too large to be painted.
/// The same plot gives the same bytes.
pub(crate) fn to_png(plot: &Plot) -> Option<Vec<u8>> {
    let tree = Tree::from_str(&with_bold_letters(&svg::document(plot)), &OPTIONS).ok()?;
    let [width, height] = [tree.size().width(), tree.size().height()].map(|edge| (edge * SCALE).ceil());
    if width.max(height) > MAX_EDGE {
        return None;
    }
    let mut pixels = Pixmap::new(width as u32, height as u32)?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().ok()
}

/// The file with an outline around bold letters.
fn with_bold_letters(svg: &str) -> String {
    let ink = hex(LIGHT.colour("ink"));
    let rules: String = bold_classes()
        .map(|class| format!("svg .{class} {{ stroke: {ink}; stroke-width: {BOLD}; }}\n"))
        .collect();
    svg.replacen("</style>", &format!("{rules}</style>"), 1)
}

#[cfg(test)]
mod tests {
    use super::super::shape::{Shape, band, circle, line, polyline, rectangle, text};
    use super::super::style::LETTERS;
    use super::*;

    /// Width, height and the colour of a pixel of a plot's picture.
    fn painted(plot: &Plot) -> (u32, u32, impl Fn(f64, f64) -> u32 + use<>) {
        let pixels = Pixmap::decode_png(&to_png(plot).unwrap()).unwrap();
        let (width, height) = (pixels.width(), pixels.height());
        let scale = f64::from(SCALE);
        let at = move |x: f64, y: f64| {
            let pixel = pixels.pixel((x * scale) as u32, (y * scale) as u32).unwrap();
            assert_eq!(pixel.alpha(), 255);
            u32::from_be_bytes([0, pixel.red(), pixel.green(), pixel.blue()])
        };
        (width, height, at)
    }

    fn plot(shapes: Vec<Shape>) -> Plot {
        Plot { size: [100.0, 50.0], shapes, ..Plot::default() }
    }

    #[test]
    fn shapes_are_painted_where_they_are_in_the_colours_of_their_classes() {
        let (width, height, at) = painted(&plot(vec![
            rectangle([10.0, 10.0], 20.0, 10.0, "bar c1"),
            circle([50.0, 15.0], 4.0, "dot c2"),
            line([70.0, 5.0], [70.0, 45.0], "picked"),
            band([10.0, 90.0], [30.0, 30.0], 10.0, "band wrong"),
        ]));
        let margin = super::super::MARGIN;
        let at = |x: f64, y: f64| at(x + margin, y + margin);
        assert_eq!((width, height), ((100.0 + 2.0 * margin) as u32 * 2, (50.0 + 2.0 * margin) as u32 * 2));
        assert_eq!(at(20.0, 15.0), LIGHT.colour("c1"));
        assert_eq!(at(50.0, 15.0), LIGHT.colour("c2"));
        assert_eq!((at(5.0, 15.0), at(31.0, 15.0)), (LIGHT.colour("page"), LIGHT.colour("page")));
        assert_eq!(at(70.0, 20.0), LIGHT.colour("ink"));
        // 45 % of the band's colour on the page: 0xc4 on 0xfd is 0xe3 to a rounding.
        let red = at(50.0, 35.0) >> 16;
        assert!((0xe2..=0xe4).contains(&red), "{red:x}");
    }

    #[test]
    fn letters_are_painted_and_begin_where_the_class_says() {
        let ink = |class: &str| {
            let (_, _, at) = painted(&plot(vec![text(50.0, 30.0, class, "HHH")]));
            let margin = super::super::MARGIN;
            let dark = |x: f64| (40..60).any(|y| at(x + margin, f64::from(y) / 2.0 + margin) < 0x80_80_80);
            let columns: Vec<f64> = (0..200).map(|x| f64::from(x) / 2.0).filter(|x| dark(*x)).collect();
            (columns[0], columns[columns.len() - 1])
        };
        let width = text_width("HHH", LETTERS);
        assert!((20.0..30.0).contains(&width), "{width}");
        for (class, start) in [("", 50.0), ("middle", 50.0 - width / 2.0), ("end", 50.0 - width)] {
            let (first, last) = ink(class);
            assert!(first >= start && first < start + 2.0, "{class}: {first} for {start}");
            assert!(last <= start + width && last > start + width - 3.0, "{class}: {last}");
        }
    }

    #[test]
    fn a_dashed_curve_has_gaps_and_a_bold_text_more_ink() {
        let (_, _, at) = painted(&plot(vec![polyline(vec![[0.0, 25.0], [100.0, 25.0]], "curve c0")]));
        let margin = super::super::MARGIN;
        let inked =
            (0..200).filter(|x| at(f64::from(*x) / 2.0 + margin, 25.0 + margin) == LIGHT.colour("c0"));
        // Dashes of 5 with gaps of 3.
        let inked = inked.count();
        assert!((110..=140).contains(&inked), "{inked} of 200");
        let ink = |class: &str| {
            let (width, height, at) = painted(&plot(vec![text(10.0, 30.0, class, "HHH")]));
            let places =
                (0..width).flat_map(|x| (0..height).map(move |y| (f64::from(x) / 2.0, f64::from(y) / 2.0)));
            places.filter(|(x, y)| at(*x, *y) < 0x80_80_80).count()
        };
        assert!(ink("strong") as f64 > 1.2 * ink("") as f64, "{} and {}", ink("strong"), ink(""));
    }

    #[test]
    fn the_font_has_the_letters_of_the_plots() {
        // What it does not have is an empty box.
        let box_width = text_width("\u{6f22}", LETTERS);
        for c in "azAZ09+-−±→…%/[],.äéñßøčДж≥".chars() {
            assert!((text_width(&c.to_string(), LETTERS) - box_width).abs() > 1e-3, "{c}");
        }
        // Advances of the font file in its units: H 1386, i 512, of 2048 for an em.
        assert!(
            (text_width("HiH", 20.48) - (2.0 * 13.86 + 5.12)).abs() < 0.01,
            "{}",
            text_width("HiH", 20.48)
        );
    }

    #[test]
    fn the_same_plot_gives_the_same_bytes_and_one_beyond_all_measure_none() {
        let of = |height: f64| to_png(&Plot { size: [100.0, height], ..plot(vec![text(0.0, 9.0, "", "a")]) });
        assert!(of(50.0).is_some() && of(50.0) == of(50.0));
        assert_eq!(of(1e6), None);
    }
}
