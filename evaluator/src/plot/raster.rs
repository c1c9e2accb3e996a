//! Plots as pixels: shapes are painted by tiny-skia, letters are the outlines of a font that is part of the program, so
//! that a picture is the same on a machine without fonts.

use png::{BitDepth, ColorType, Compression, Encoder};
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

use super::shape::{Form, Shape};
use super::style::{LETTERS, LIGHT, Style, resolve};
use super::{Plot, laid_out};

/// A part of DejaVu Sans Condensed; see the licence beside it.
const FONT: &[u8] = include_bytes!("font/DejaVuSansCondensed-subset.ttf");

/// Pixels of the picture for one of the plot, so that it is sharp on dense screens and in print.
pub(crate) const SCALE: f64 = 2.0;

/// Most pixels along an edge: a plot with thousands of rows must not take all memory.
const MAX_EDGE: f64 = 16_000.0;

/// How much wider a bold letter's outline is drawn, in pixels of a plot.
const BOLD: f64 = 0.55;

/// The width of a text in pixels of a plot.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    let Ok(face) = Face::parse(FONT, 0) else { return 0.0 };
    let per_unit = size / f64::from(face.units_per_em());
    text.chars().map(|c| f64::from(advance(&face, c)) * per_unit).sum()
}

fn glyph(face: &Face<'_>, c: char) -> GlyphId {
    face.glyph_index(c).unwrap_or_default()
}

fn advance(face: &Face<'_>, c: char) -> u16 {
    face.glyph_hor_advance(glyph(face, c)).unwrap_or_default()
}

/// The plot as a PNG file, with title and key, in the colours of light paper; `None` if it is too large to be painted.
/// The same plot gives the same bytes.
pub(crate) fn to_png(plot: &Plot) -> Option<Vec<u8>> {
    let (size, shapes) = laid_out(plot);
    let [width, height] = size.map(|edge| (edge * SCALE).ceil());
    if width.max(height) > MAX_EDGE {
        return None;
    }
    let mut canvas =
        Canvas { pixels: Pixmap::new(width as u32, height as u32)?, face: Face::parse(FONT, 0).ok()? };
    canvas.pixels.fill(colour("page", 1.0));
    for shape in &shapes {
        canvas.draw(shape);
    }
    encode(&canvas.pixels)
}

/// Everything is opaque on an opaque page: three channels hold it.
fn encode(pixels: &Pixmap) -> Option<Vec<u8>> {
    let rgb: Vec<u8> =
        pixels.pixels().iter().flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]).collect();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, pixels.width(), pixels.height());
    encoder.set_color(ColorType::RGB);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Best);
    encoder.write_header().ok()?.write_image_data(&rgb).ok()?;
    Some(bytes)
}

fn colour(name: &str, opacity: f64) -> Color {
    let rgb = LIGHT.colour(name);
    let [_, red, green, blue] = rgb.to_be_bytes();
    Color::from_rgba8(red, green, blue, (255.0 * opacity).round() as u8)
}

struct Canvas {
    pixels: Pixmap,
    face: Face<'static>,
}

impl Canvas {
    fn draw(&mut self, shape: &Shape) {
        let style = resolve(&shape.class);
        if let Form::Text(at, content) = &shape.form {
            return self.write(*at, content, &style);
        }
        if let Some(path) = outline(&shape.form) {
            self.paint(&path, &style, style.fill.filter(|_| !matches!(shape.form, Form::Line(_))));
        }
    }

    fn paint(&mut self, path: &Path, style: &Style, fill: Option<&str>) {
        let scale = Transform::from_scale(SCALE as f32, SCALE as f32);
        let opacity = style.opacity.unwrap_or(1.0);
        let paint = |name: &str| {
            let mut paint = Paint::default();
            paint.set_color(colour(name, opacity));
            paint
        };
        if let Some(name) = fill.filter(|name| *name != "none") {
            self.pixels.fill_path(path, &paint(name), FillRule::Winding, scale, None);
        }
        if let Some(name) = style.stroke.filter(|name| *name != "none") {
            let round = style.round && style.dash.is_none();
            let stroke = Stroke {
                width: style.stroke_width.unwrap_or(1.0) as f32,
                line_cap: if round { LineCap::Round } else { LineCap::Butt },
                line_join: if style.round { LineJoin::Round } else { LineJoin::Miter },
                dash: style.dash.and_then(|dash| StrokeDash::new(dash.to_vec(), 0.0)),
                ..Stroke::default()
            };
            self.pixels.stroke_path(path, &paint(name), &stroke, scale, None);
        }
    }

    /// Writes a line of text; what the font does not have is an empty box.
    fn write(&mut self, at: [f64; 2], content: &str, style: &Style) {
        let size = style.size.unwrap_or(LETTERS);
        let width = text_width(content, size);
        let start = match style.anchor {
            Some("middle") => at[0] - width / 2.0,
            Some("end") => at[0] - width,
            _ => at[0],
        };
        let per_unit = size / f64::from(self.face.units_per_em());
        let mut letters = Letters { path: PathBuilder::new(), at: [start, at[1]], per_unit };
        for c in content.chars() {
            self.face.outline_glyph(glyph(&self.face, c), &mut letters);
            letters.at[0] += f64::from(advance(&self.face, c)) * per_unit;
        }
        let Some(path) = letters.path.finish() else { return };
        let fill = style.fill.unwrap_or("ink");
        let edge = style.bold.then_some(fill);
        let style = Style { stroke: edge, stroke_width: Some(BOLD), dash: None, ..*style };
        self.paint(&path, &style, Some(fill));
    }
}

/// The outline of all shapes but texts.
fn outline(form: &Form) -> Option<Path> {
    let mut path = PathBuilder::new();
    let mut through = |points: &[[f64; 2]], close: bool| {
        for (index, [x, y]) in points.iter().enumerate() {
            let (x, y) = (*x as f32, *y as f32);
            if index == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        if close {
            path.close();
        }
    };
    match form {
        Form::Line(ends) => through(ends, false),
        Form::Polyline(points) => through(points, false),
        Form::Polygon(points) => through(points, true),
        Form::Rectangle([x, y], [width, height]) => {
            let [x, y, width, height] = [*x, *y, *width, *height].map(|value| value as f32);
            path.push_rect(Rect::from_xywh(x, y, width, height)?);
        }
        Form::Circle([x, y], radius) => path.push_circle(*x as f32, *y as f32, *radius as f32),
        Form::Band(x, tops, thickness) => {
            let [from, middle, to] = [x[0], f64::midpoint(x[0], x[1]), x[1]].map(|x| x as f32);
            let [y0, y1] = tops.map(|top| top as f32);
            let [y2, y3] = tops.map(|top| (top + thickness) as f32);
            path.move_to(from, y0);
            path.cubic_to(middle, y0, middle, y1, to, y1);
            path.line_to(to, y3);
            path.cubic_to(middle, y3, middle, y2, from, y2);
            path.close();
        }
        Form::Text(..) => {}
    }
    path.finish()
}

/// Collects the outlines of letters, from the font's units into pixels.
struct Letters {
    path: PathBuilder,
    at: [f64; 2],
    per_unit: f64,
}

impl Letters {
    fn place(&self, x: f32, y: f32) -> (f32, f32) {
        let [left, base] = self.at;
        ((left + f64::from(x) * self.per_unit) as f32, (base - f64::from(y) * self.per_unit) as f32)
    }
}

impl OutlineBuilder for Letters {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.place(x1, y1), self.place(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.place(x1, y1), self.place(x2, y2), self.place(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::{band, circle, line, rectangle, text};
    use super::*;

    /// Width, height and the colour of a pixel of a plot's picture.
    fn painted(plot: &Plot) -> (u32, u32, impl Fn(f64, f64) -> u32 + use<>) {
        let bytes = to_png(plot).unwrap();
        let (info, mut reader) = png::Decoder::new(&bytes[..]).read_info().unwrap();
        let mut pixels = vec![0; info.buffer_size()];
        reader.next_frame(&mut pixels).unwrap();
        let at = move |x: f64, y: f64| {
            let index = 3 * ((y * SCALE) as usize * info.width as usize + (x * SCALE) as usize);
            u32::from_be_bytes([0, pixels[index], pixels[index + 1], pixels[index + 2]])
        };
        (info.width, info.height, at)
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
    fn the_font_has_the_letters_of_the_plots() {
        let face = Face::parse(FONT, 0).unwrap();
        for c in "azAZ09+-−±→…%/[],.äéñßøčДж≥".chars() {
            assert!(face.glyph_index(c).is_some(), "{c}");
        }
    }

    #[test]
    fn the_same_plot_gives_the_same_bytes_and_one_beyond_all_measure_none() {
        let of = |height: f64| to_png(&Plot { size: [100.0, height], ..plot(vec![text(0.0, 9.0, "", "a")]) });
        assert!(of(50.0).is_some() && of(50.0) == of(50.0));
        assert_eq!(of(1e6), None);
    }
}
