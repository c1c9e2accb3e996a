//! Line charts as one SVG file that is read alone: light or dark as the reader's system is, no script, no font.

use std::fmt::Write as _;

/// One line of a panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// `[x, y]` from left to right. What is not finite is left out.
    pub points: Vec<[f64; 2]>,
    /// Marks every point: for lines of few points.
    pub marked: bool,
}

/// One chart above or below others with the same x axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What is shown.
    pub title: String,
    /// Its lines; the first eight have a colour of their own.
    pub series: Vec<Series>,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 16.0;
/// From the top of a panel to its plot: title and legend.
const HEAD: f64 = 44.0;
const PLOT_HEIGHT: f64 = 150.0;
const PANEL_HEIGHT: f64 = HEAD + PLOT_HEIGHT + 26.0;
/// Points of a line beyond which neighbours are averaged.
const MOST_POINTS: usize = 400;
const COLOURS: usize = 8;
/// Width of a letter of the legend, roughly.
const LETTER: f64 = 6.6;

const STYLE: &str = "\
<style>
text{font:12px system-ui,sans-serif;fill:#333}
.title{font-weight:600;font-size:13px}
.end{text-anchor:end}.middle{text-anchor:middle}
.paper{fill:#fff}.grid{stroke:#ddd}
polyline{fill:none;stroke-width:1.6}
.key{stroke-width:3}
.c0{stroke:#1f6fb2}.c1{stroke:#d1601f}.c2{stroke:#2c8a4b}.c3{stroke:#8a4bb0}
.c4{stroke:#b0302f}.c5{stroke:#0f8f94}.c6{stroke:#8d7417}.c7{stroke:#666}
circle{stroke:none}
circle.c0{fill:#1f6fb2}circle.c1{fill:#d1601f}circle.c2{fill:#2c8a4b}circle.c3{fill:#8a4bb0}
circle.c4{fill:#b0302f}circle.c5{fill:#0f8f94}circle.c6{fill:#8d7417}circle.c7{fill:#666}
@media (prefers-color-scheme:dark){
text{fill:#ddd}.paper{fill:#17191d}.grid{stroke:#363a41}
.c0{stroke:#6db3f2}.c1{stroke:#f29a5c}.c2{stroke:#6fcf8e}.c3{stroke:#c594ea}
.c4{stroke:#f07c7b}.c5{stroke:#5fd0d4}.c6{stroke:#d7bd55}.c7{stroke:#aaa}
circle.c0{fill:#6db3f2}circle.c1{fill:#f29a5c}circle.c2{fill:#6fcf8e}circle.c3{fill:#c594ea}
circle.c4{fill:#f07c7b}circle.c5{fill:#5fd0d4}circle.c6{fill:#d7bd55}circle.c7{fill:#aaa}
}
</style>
";

/// Panels one below the other over one x axis. The same values give the same bytes.
#[must_use]
pub fn line_charts(label: &str, x_name: &str, panels: &[Panel]) -> String {
    let height = 12.0 + PANEL_HEIGHT * panels.len() as f64 + 14.0;
    let xs =
        panels.iter().flat_map(|panel| &panel.series).flat_map(|line| &line.points).map(|point| point[0]);
    let x_axis = Axis::around(xs, 10, [LEFT, RIGHT]);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\" \
         aria-label=\"{label}\">\n<title>{label}</title>\n{STYLE}<rect class=\"paper\" width=\"{w}\" height=\"{h}\"/>\n",
        w = px(WIDTH),
        h = px(height),
        label = escape(label),
    );
    for (number, panel) in panels.iter().enumerate() {
        push_panel(&mut svg, panel, &x_axis, 12.0 + PANEL_HEIGHT * number as f64);
    }
    push_text(&mut svg, [f64::midpoint(LEFT, RIGHT), height - 8.0], "middle", x_name);
    svg.push_str("</svg>\n");
    svg
}

fn push_panel(svg: &mut String, panel: &Panel, x_axis: &Axis, top: f64) {
    push_text(svg, [8.0, top + 12.0], "title", &panel.title);
    let (plot_top, plot_bottom) = (top + HEAD, top + HEAD + PLOT_HEIGHT);
    let ys = panel.series.iter().flat_map(|line| &line.points).map(|point| point[1]);
    let y_axis = Axis::around(ys, 5, [plot_bottom, plot_top]);
    for (value, label) in y_axis.ticks() {
        let y = y_axis.at(value);
        push_line(svg, [LEFT, y], [RIGHT, y], "grid");
        push_text(svg, [LEFT - 6.0, y + 4.0], "end", &label);
    }
    for (value, label) in x_axis.ticks() {
        let x = x_axis.at(value);
        push_line(svg, [x, plot_top], [x, plot_bottom], "grid");
        push_text(svg, [x, plot_bottom + 16.0], "middle", &label);
    }
    let mut legend_x = 8.0;
    for (number, line) in panel.series.iter().enumerate() {
        let colour = format!("c{}", number % COLOURS);
        push_line(svg, [legend_x, top + 26.0], [legend_x + 16.0, top + 26.0], &format!("{colour} key"));
        push_text(svg, [legend_x + 21.0, top + 30.0], "name", &line.name);
        legend_x += 37.0 + LETTER * line.name.chars().count() as f64;
        push_series(svg, line, x_axis, &y_axis, &colour);
    }
}

fn push_series(svg: &mut String, line: &Series, x_axis: &Axis, y_axis: &Axis, colour: &str) {
    let finite: Vec<[f64; 2]> =
        line.points.iter().copied().filter(|point| point.iter().all(|value| value.is_finite())).collect();
    let places: Vec<[String; 2]> =
        averaged(&finite).iter().map(|[x, y]| [px(x_axis.at(*x)), px(y_axis.at(*y))]).collect();
    let points: Vec<String> = places.iter().map(|[x, y]| format!("{x},{y}")).collect();
    let _ = writeln!(svg, "<polyline class=\"{colour}\" points=\"{}\"/>", points.join(" "));
    // A single point is no line.
    if line.marked || places.len() == 1 {
        for [x, y] in &places {
            let _ = writeln!(svg, "<circle class=\"{colour}\" cx=\"{x}\" cy=\"{y}\" r=\"3\"/>");
        }
    }
}

/// At most [`MOST_POINTS`] points, each the mean of as many neighbours as it takes.
fn averaged(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let neighbours = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |of: &[[f64; 2]], at: usize| of.iter().map(|point| point[at]).sum::<f64>() / of.len() as f64;
    points.chunks(neighbours).map(|of| [mean(of, 0), mean(of, 1)]).collect()
}

/// A linear map from values to pixels, from tick to tick.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    values: [f64; 2],
    pixels: [f64; 2],
    /// From one tick to the next: 1, 2 or 5 times a power of ten.
    step: f64,
}

impl Axis {
    /// An axis that holds all finite `values`, with at most `most` steps.
    fn around(values: impl Iterator<Item = f64>, most: usize, pixels: [f64; 2]) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match low.partial_cmp(&high) {
            Some(std::cmp::Ordering::Less) => (low, high),
            // One value, or none.
            Some(std::cmp::Ordering::Equal) => {
                (low - 0.5 * low.abs().max(1.0), high + 0.5 * high.abs().max(1.0))
            }
            _ => (0.0, 1.0),
        };
        let mut step = 10.0_f64.powf(((high - low) / most as f64).log10().floor());
        let out = |step: f64| [(low / step).floor() * step, (high / step).ceil() * step];
        let fits = |step: f64| ((out(step)[1] - out(step)[0]) / step).round() as usize <= most;
        // Twice 2, 2.5 and 2 is a factor of ten.
        for factor in [2.0, 2.5, 2.0, 2.0, 2.5, 2.0] {
            if fits(step) {
                break;
            }
            step *= factor;
        }
        Self { values: out(step), pixels, step }
    }

    fn at(&self, value: f64) -> f64 {
        let ([low, high], [from, to]) = (self.values, self.pixels);
        from + (to - from) * ((value - low) / (high - low)).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        let [low, high] = self.values;
        let digits = (-self.step.log10() - 1e-9).ceil().max(0.0) as usize;
        let count = ((high - low) / self.step).round() as usize;
        let label = |value: f64| {
            // A zero that rounding has missed must not be printed as -0.0.
            let value = if value.abs() < self.step * 1e-6 { 0.0 } else { value };
            if digits > 4 { format!("{value:.1e}") } else { format!("{value:.digits$}") }
        };
        (0..=count).map(|index| low + index as f64 * self.step).map(|value| (value, label(value))).collect()
    }
}

fn push_line(svg: &mut String, from: [f64; 2], to: [f64; 2], class: &str) {
    let [[x1, y1], [x2, y2]] = [from, to].map(|point| point.map(px));
    let _ = writeln!(svg, "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>");
}

fn push_text(svg: &mut String, at: [f64; 2], class: &str, content: &str) {
    let [x, y] = at.map(px);
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escape(content));
}

/// A coordinate, to a tenth of a pixel.
fn px(value: f64) -> String {
    let text = format!("{}", (value * 10.0).round() / 10.0 + 0.0);
    if text == "-0" { "0".to_owned() } else { text }
}

/// Text as content or attribute of XML, which has no control characters.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(values: &[f64], most: usize) -> Axis {
        Axis::around(values.iter().copied(), most, [0.0, 100.0])
    }

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|tick| tick.1).collect()
    }

    #[test]
    fn ticks_are_round_numbers_around_the_values_at_any_size() {
        assert_eq!(labels(&axis(&[0.3, 2.2], 5)), ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"]);
        assert_eq!(labels(&axis(&[1.0, 600.0], 10)), ["0", "100", "200", "300", "400", "500", "600"]);
        assert_eq!(labels(&axis(&[-0.31, 0.72], 6)), ["-0.4", "-0.2", "0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(
            labels(&axis(&[0.0, 0.0009], 5)),
            ["0.0000", "0.0002", "0.0004", "0.0006", "0.0008", "0.0010"]
        );
        assert_eq!(labels(&axis(&[0.0, 4e-6], 4)), ["0.0e0", "1.0e-6", "2.0e-6", "3.0e-6", "4.0e-6"]);
        let mut most = 0;
        for power in -8..9 {
            for low in [0.0, 0.37, -4.1] {
                let scale = 10.0_f64.powi(power);
                let axis = axis(&[low * scale, 5.3 * scale], 5);
                assert!(axis.values[0] <= low * scale && 5.3 * scale <= axis.values[1] * (1.0 + 1e-12));
                most = most.max(labels(&axis).len());
            }
        }
        assert!((4..=6).contains(&most), "{most}");
    }

    #[test]
    fn one_value_or_none_still_has_an_axis() {
        assert_eq!(labels(&axis(&[], 2)), ["0.0", "0.5", "1.0"]);
        assert_eq!(labels(&axis(&[f64::NAN], 2)), ["0.0", "0.5", "1.0"]);
        let one = axis(&[3.0], 5);
        assert!(one.values[0] < 3.0 && 3.0 < one.values[1]);
        assert_eq!(px(one.at(f64::INFINITY)), "100");
    }

    fn panel(name: &str, points: Vec<[f64; 2]>, marked: bool) -> Panel {
        Panel { title: "t".to_owned(), series: vec![Series { name: name.to_owned(), points, marked }] }
    }

    #[test]
    fn a_line_goes_through_its_values_and_leaves_out_what_is_none() {
        let points = vec![[0.0, 0.0], [5.0, f64::NAN], [10.0, 1.0]];
        let svg = line_charts("curves", "step", &[panel("loss", points, true)]);
        // The plot reaches from x 64 to 704, and from y 206 (0) to 56 (1).
        assert!(svg.contains("<polyline class=\"c0\" points=\"64,206 704,56\"/>"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
        assert!(svg.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn long_lines_are_averaged_and_keep_their_mean() {
        let points: Vec<[f64; 2]> = (0..2000).map(|x| [f64::from(x), f64::from(x % 5)]).collect();
        let fewer = averaged(&points);
        assert_eq!(fewer.len(), 400);
        assert!(fewer.iter().all(|point| (point[1] - 2.0).abs() < 1e-12));
        assert_eq!(averaged(&points[..400]), points[..400]);
    }

    #[test]
    fn a_name_cannot_become_markup() {
        let svg = line_charts("\"><script>", "x\u{1b}", &[panel("<b>&", vec![[0.0, 1.0]], false)]);
        assert!(!svg.contains("<script") && !svg.contains("<b>") && !svg.contains('\u{1b}'), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 1, "a line of one point is marked");
    }
}
