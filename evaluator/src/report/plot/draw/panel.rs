//! The frame of a plot of curves: two axes with their names and a grid.

use super::axis::Axis;
use super::shape::{Shape, line, text};

/// How large a plot of curves is, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Panel {
    /// Width and height.
    pub size: [f64; 2],
    /// Ends of the axis from left to right.
    pub across: [f64; 2],
    /// Ends of the upright axis.
    pub up: [f64; 2],
}

/// Several fit side by side on a page.
pub(crate) const SMALL: Panel = Panel { size: [320.0, 232.0], across: [40.0, 310.0], up: [194.0, 26.0] };

/// Two fit side by side on a screen.
pub(crate) const WIDE: Panel = Panel { size: [440.0, 212.0], across: [52.0, 430.0], up: [174.0, 26.0] };

/// Between a curve's first or last point and the end of the axis.
const PADDING: f64 = 12.0;

/// The ends of the axis of a small panel for points that must not lie on the frame.
pub(crate) const WITHIN: [f64; 2] = [SMALL.across[0] + PADDING, SMALL.across[1] - PADDING];

impl Panel {
    /// The grid of the upright axis with its name above, and the labels of the other with its name below.
    pub(crate) fn frame(
        &self,
        up: &Axis,
        up_name: &str,
        across: &[(f64, String)],
        across_name: &str,
    ) -> Vec<Shape> {
        let ([left, right], [bottom, _]) = (self.across, self.up);
        let mut shapes = vec![text(0.0, 11.0, "faint", up_name)];
        for (value, label) in up.ticks() {
            let y = up.at(value);
            let class = if value.abs() < 1e-9 { "axis" } else { "grid" };
            shapes.push(line([left, y], [right, y], class));
            shapes.push(text(left - 6.0, y + 4.0, "end faint", &label));
        }
        for (place, label) in across {
            shapes.push(line([*place, bottom], [*place, bottom + 4.0], "axis"));
            shapes.push(text(*place, bottom + 17.0, "middle faint", label));
        }
        shapes.push(line([left, bottom], [right, bottom], "axis"));
        shapes.push(text(f64::midpoint(left, right), bottom + 34.0, "middle faint", across_name));
        shapes
    }
}
