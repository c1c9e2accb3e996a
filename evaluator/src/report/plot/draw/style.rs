//! Colours and widths of all plots, once, as CSS for pages and SVG files.
//!
//! The colours can be told apart by the colour-blind (Okabe and Ito, 2008, darkened on light paper and lightened on dark
//! for contrast); curves differ in their dashes too, rules in their forms.

/// Names of the colours, in the order of a palette.
const NAMES: [&str; 16] = [
    "page", "ink", "soft", "rule", "card", "correct", "wrong", "refused", "c0", "c1", "c2", "c3", "c4", "c5",
    "c6", "c7",
];

/// Strengths of a colour, on either side of zero.
pub(crate) const STEPS: usize = 5;

/// One colour for every name, and how strongly the cells of heat maps are tinted.
#[derive(Debug)]
pub(crate) struct Palette {
    colours: [u32; NAMES.len()],
    /// Share of the colour in the strongest cell; the text on it is `ink`.
    tint: f64,
}

/// On light paper.
pub(crate) const LIGHT: Palette = Palette {
    colours: [
        0xfdfdfc, 0x1d2327, 0x5b656c, 0xd9dee1, 0xf4f5f4, 0x0072b2, 0xc4500a, 0x8a8f94, 0x5b656c, 0x0072b2,
        0xc4500a, 0x00795a, 0xa04a86, 0x8a6d00, 0x2b8fb8, 0x7a4b2a,
    ],
    tint: 0.55,
};

/// On a dark screen.
pub(crate) const DARK: Palette = Palette {
    colours: [
        0x15191c, 0xe6e9ea, 0x9aa5ac, 0x343c42, 0x1d2327, 0x56b4e9, 0xf08a3c, 0x8d969d, 0x9aa5ac, 0x56b4e9,
        0xf08a3c, 0x2fc295, 0xdd8fbd, 0xe8d24a, 0xa8d8f0, 0xc99b78,
    ],
    tint: 0.4,
};

/// Printed.
pub(crate) const PRINT: Palette = Palette {
    colours: [
        0xffffff, 0x000000, 0x444444, 0xcccccc, 0xffffff, 0x0072b2, 0xc4500a, 0x8a8f94, 0x5b656c, 0x0072b2,
        0xc4500a, 0x00795a, 0xa04a86, 0x8a6d00, 0x2b8fb8, 0x7a4b2a,
    ],
    tint: 0.55,
};

impl Palette {
    /// The colour of a name, `0xrrggbb`; cells of heat maps are `gain1`, `gain2` ... and `loss1`, `loss2` ...
    pub(crate) fn colour(&self, name: &str) -> u32 {
        let named = |name: &str| NAMES.iter().position(|other| *other == name).map(|at| self.colours[at]);
        let heat = |name: &str, prefix: &str, strong: &str| {
            let step: usize = name.strip_prefix(prefix)?.parse().ok()?;
            Some(mix(named("page")?, named(strong)?, self.tint * step as f64 / STEPS as f64))
        };
        named(name)
            .or_else(|| heat(name, "gain", "correct"))
            .or_else(|| heat(name, "loss", "wrong"))
            .unwrap_or_default()
    }

    /// The colours as CSS variables.
    pub(crate) fn variables(&self) -> String {
        let cells = (1..=STEPS).flat_map(|step| ["gain", "loss"].map(|side| format!("{side}{step}")));
        let names = NAMES.iter().map(|name| (*name).to_owned()).chain(cells);
        names.map(|name| format!("--{name}: {}; ", hex(self.colour(&name)))).collect()
    }
}

/// A colour between two, channel by channel.
fn mix(from: u32, to: u32, share: f64) -> u32 {
    let channel = |shift: u32| {
        let of = |colour: u32| f64::from((colour >> shift) & 0xff);
        ((of(from) + (of(to) - of(from)) * share).round() as u32) << shift
    };
    channel(16) | channel(8) | channel(0)
}

/// As CSS writes it.
pub(crate) fn hex(colour: u32) -> String {
    format!("#{colour:06x}")
}

/// What a class says about a shape; what it does not say stays as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Style {
    /// Name of the colour inside, `own` for that of the class `c0` to `c7`, `none`.
    pub fill: Option<&'static str>,
    /// Name of the colour of the line, likewise.
    pub stroke: Option<&'static str>,
    /// Width of the line in pixels.
    pub stroke_width: Option<f64>,
    /// Lengths of dashes and gaps.
    pub dash: Option<&'static [f32]>,
    /// Round ends.
    pub round: bool,
    /// From 0 to 1.
    pub opacity: Option<f64>,
    /// Where a text begins: `middle`, `end`.
    pub anchor: Option<&'static str>,
    /// A text is bold.
    pub bold: bool,
    /// Size of a text in pixels.
    pub size: Option<f64>,
}

const NOTHING: Style = Style {
    fill: None,
    stroke: None,
    stroke_width: None,
    dash: None,
    round: false,
    opacity: None,
    anchor: None,
    bold: false,
    size: None,
};

const fn filled(fill: &'static str) -> Style {
    Style { fill: Some(fill), ..NOTHING }
}

const fn stroked(stroke: &'static str, width: f64) -> Style {
    Style { fill: Some("none"), stroke: Some(stroke), stroke_width: Some(width), ..NOTHING }
}

const fn dashed(dash: &'static [f32]) -> Style {
    Style { dash: Some(dash), ..NOTHING }
}

/// Size of letters in pixels.
pub(crate) const LETTERS: f64 = 12.0;

/// Classes, which may be two together, and what they say; later ones have the last word.
const CLASSES: [(&str, Style); 32] = [
    ("strong", Style { bold: true, ..NOTHING }),
    ("title", Style { bold: true, size: Some(14.0), ..NOTHING }),
    ("end", Style { anchor: Some("end"), ..NOTHING }),
    ("middle", Style { anchor: Some("middle"), ..NOTHING }),
    ("faint", filled("soft")),
    ("small", Style { size: Some(11.0), ..NOTHING }),
    ("value", Style { bold: true, size: Some(15.0), ..NOTHING }),
    ("grid", stroked("rule", 1.0)),
    ("axis", stroked("soft", 1.0)),
    ("base", Style { dash: Some(&[2.0, 3.0]), ..stroked("soft", 1.5) }),
    ("picked", stroked("ink", 1.0)),
    ("range", Style { round: true, ..stroked("own", 2.5) }),
    ("whisker", Style { opacity: Some(0.55), ..stroked("own", 1.5) }),
    ("dot", Style { stroke: Some("page"), stroke_width: Some(1.0), ..filled("own") }),
    ("bar", filled("own")),
    ("rule", Style { stroke: Some("ink"), stroke_width: Some(1.2), ..filled("page") }),
    ("curve", Style { round: true, ..stroked("own", 2.0) }),
    ("thin", Style { stroke_width: Some(1.0), ..NOTHING }),
    ("raw", Style { opacity: Some(0.45), ..stroked("own", 1.0) }),
    ("correct", filled("correct")),
    ("wrong", filled("wrong")),
    ("refused", filled("refused")),
    ("band", Style { opacity: Some(0.45), ..NOTHING }),
    ("blank", filled("card")),
    ("curve c0", dashed(&[5.0, 3.0])),
    ("curve c5", dashed(&[5.0, 3.0])),
    ("curve c2", dashed(&[9.0, 2.5])),
    ("curve c6", dashed(&[9.0, 2.5])),
    ("curve c3", dashed(&[2.0, 2.5])),
    ("curve c7", dashed(&[2.0, 2.5])),
    ("curve c4", dashed(&[9.0, 2.5, 2.0, 2.5])),
    ("whisker c0", dashed(&[2.0, 2.0])),
];

/// The classes of heat maps.
fn heat_classes() -> Vec<&'static str> {
    vec!["gain1", "gain2", "gain3", "gain4", "gain5", "loss1", "loss2", "loss3", "loss4", "loss5"]
}

/// All classes as CSS rules for what is inside an `svg`; `paint` writes a colour of the palette.
pub(crate) fn classes(paint: impl Fn(&str) -> String) -> String {
    let mut css = format!("svg text {{ font-size: {LETTERS}px; fill: {}; }}\n", paint("ink"));
    for (class, style) in CLASSES {
        let selector = class.replace(' ', ".");
        css.push_str(&format!("svg .{selector} {{ {}}}\n", declarations(&style, &paint)));
    }
    for class in heat_classes() {
        css.push_str(&format!("svg .{class} {{ fill: {}; }}\n", paint(class)));
    }
    for number in 0..8 {
        let class = format!("c{number}");
        css.push_str(&format!("svg .{class} {{ color: {}; }}\n", paint(&class)));
    }
    css
}

fn declarations(style: &Style, paint: impl Fn(&str) -> String) -> String {
    let colour = |name: &str| match name {
        "none" => "none".to_owned(),
        "own" => "currentColor".to_owned(),
        name => paint(name),
    };
    let dash = style.dash.map(|dash| dash.iter().map(f32::to_string).collect::<Vec<_>>().join(" "));
    // Round ends would fill the gaps between dashes.
    let linecap = if style.dash.is_some() { Some("butt") } else { style.round.then_some("round") };
    let all = [
        ("fill", style.fill.map(colour)),
        ("stroke", style.stroke.map(colour)),
        ("stroke-width", style.stroke_width.map(|width| width.to_string())),
        ("stroke-dasharray", dash),
        ("stroke-linecap", linecap.map(str::to_owned)),
        ("stroke-linejoin", style.round.then(|| "round".to_owned())),
        ("opacity", style.opacity.map(|opacity| opacity.to_string())),
        ("text-anchor", style.anchor.map(str::to_owned)),
        ("font-weight", style.bold.then(|| "650".to_owned())),
        ("font-size", style.size.map(|size| format!("{size}px"))),
    ];
    all.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}; ", value?))).collect()
}

/// The classes of bold texts.
pub(crate) fn bold_classes() -> impl Iterator<Item = &'static str> {
    CLASSES.iter().filter(|(_, style)| style.bold).map(|(class, _)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance and contrast as in WCAG 2.1.
    fn contrast(one: u32, other: u32) -> f64 {
        let luminance = |colour: u32| {
            let channel = |shift: u32| {
                let value = f64::from((colour >> shift) & 0xff) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
        };
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        one.max(other) / one.min(other)
    }

    #[test]
    fn text_can_be_read_on_the_page_and_on_every_cell_of_a_heat_map() {
        assert!((contrast(0x000000, 0xffffff) - 21.0).abs() < 1e-9);
        for palette in [&LIGHT, &DARK, &PRINT] {
            let ink = palette.colour("ink");
            let mut grounds: Vec<u32> = heat_classes().iter().map(|name| palette.colour(name)).collect();
            grounds.extend(["page", "card"].map(|name| palette.colour(name)));
            for ground in grounds {
                assert!(contrast(ink, ground) >= 4.5, "{} on {}", hex(ink), hex(ground));
            }
            assert!(contrast(palette.colour("soft"), palette.colour("page")) >= 4.5);
        }
    }

    #[test]
    fn lines_and_marks_stand_out_from_the_page() {
        for palette in [&LIGHT, &DARK, &PRINT] {
            for name in ["correct", "wrong", "refused", "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"] {
                assert!(contrast(palette.colour(name), palette.colour("page")) >= 3.0, "{name}");
            }
        }
    }

    #[test]
    fn dashes_have_flat_ends_also_where_their_curve_has_round_ones() {
        let css = classes(str::to_owned);
        let rule = |selector: &str| css.lines().find(|line| line.starts_with(selector)).unwrap();
        assert!(rule("svg .curve {").contains("stroke-linecap: round;"));
        assert!(rule("svg .curve.c3 {").contains("stroke-dasharray: 2 2.5; stroke-linecap: butt;"));
    }

    #[test]
    fn every_colour_that_a_class_names_is_in_the_palette() {
        for (class, style) in CLASSES {
            for name in [style.fill, style.stroke].into_iter().flatten() {
                assert!(NAMES.contains(&name) || ["own", "none"].contains(&name), "{class}: {name}");
            }
        }
        assert_eq!(heat_classes().len(), 2 * STEPS);
    }
}
