//! The frame of a plot of curves: two axes with their names and a grid.

use super::axis::Axis;
use super::shape::{Shape, line, text};

/// Width and height of the plot.
pub(crate) const SIZE: [f64; 2] = [320.0, 232.0];
/// Ends of the axes, in pixels.
pub(crate) const ACROSS: [f64; 2] = [40.0, 310.0];
pub(crate) const UP: [f64; 2] = [194.0, 26.0];
/// Between a curve's first or last point and the end of the axis.
const PADDING: f64 = 12.0;

/// The ends of the axis for points that must not lie on the frame.
pub(crate) const WITHIN: [f64; 2] = [ACROSS[0] + PADDING, ACROSS[1] - PADDING];

/// The grid of the upright axis with its name above, and the labels of the other with its name below.
pub(crate) fn frame(up: &Axis, up_name: &str, across: &[(f64, String)], across_name: &str) -> Vec<Shape> {
    let mut shapes = vec![text(0.0, 11.0, "faint", up_name)];
    for (value, label) in up.ticks() {
        let y = up.at(value);
        let class = if value.abs() < 1e-9 { "axis" } else { "grid" };
        shapes.push(line([ACROSS[0], y], [ACROSS[1], y], class));
        shapes.push(text(ACROSS[0] - 6.0, y + 4.0, "end faint", &label));
    }
    for (place, label) in across {
        shapes.push(line([*place, UP[0]], [*place, UP[0] + 4.0], "axis"));
        shapes.push(text(*place, UP[0] + 17.0, "middle faint", label));
    }
    shapes.push(line([ACROSS[0], UP[0]], [ACROSS[1], UP[0]], "axis"));
    shapes.push(text(f64::midpoint(ACROSS[0], ACROSS[1]), UP[0] + 34.0, "middle faint", across_name));
    shapes
}
