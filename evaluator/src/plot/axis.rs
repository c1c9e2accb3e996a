//! From values to pixels.

/// A linear map from values to pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Axis {
    /// Lowest and highest value.
    pub values: [f64; 2],
    /// Where they are, in pixels.
    pub pixels: [f64; 2],
    /// From one tick to the next.
    pub step: f64,
}

/// Distances of ticks that are easy to read.
const STEPS: [f64; 20] = [
    0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4,
    1e5,
];

impl Axis {
    /// An axis from tick to tick that holds all finite `values`, with at most `most` steps.
    pub(crate) fn around(values: &[f64], most: usize, pixels: [f64; 2]) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let (low, high) =
            (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
        let (low, high) = if low < high { (low, high) } else { (low.min(0.0), high.max(1.0)) };
        let out = |step: f64| [(low / step).floor() * step, (high / step).ceil() * step];
        let fits = |step: &f64| ((out(*step)[1] - out(*step)[0]) / step).round() as usize <= most;
        let step = STEPS.into_iter().find(fits).unwrap_or(high - low);
        Self { values: out(step), pixels, step }
    }

    /// The place of a value; what lies beyond an end is put there.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let ([low, high], [from, to]) = (self.values, self.pixels);
        from + (to - from) * ((value - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// The values of the ticks with their labels.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let [low, high] = self.values;
        let digits = if self.step < 0.1 { 2 } else { usize::from(self.step < 1.0) };
        let count = ((high - low) / self.step).round() as usize;
        let values = (0..=count).map(|index| low + index as f64 * self.step);
        // A zero that rounding has missed must not be printed as -0.0.
        let label = |value: f64| format!("{:.digits$}", if value.abs() < 1e-9 { 0.0 } else { value });
        values.map(|value| (value, label(value))).collect()
    }
}

/// The values of a parameter along a plot, each with its label: to scale where they are spread evenly enough to be told
/// apart, else at even distances, as for 0, 0.25, 0.5, 1, 2, 4.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Positions {
    values: Vec<f64>,
    pixels: Vec<f64>,
    /// The distances are those of the values.
    pub to_scale: bool,
}

/// The widest gap between values that are drawn to scale, in narrowest gaps.
const MAX_GAP_RATIO: f64 = 4.0;
/// Pixels that a label needs.
const LABEL: f64 = 30.0;

impl Positions {
    /// Places for ascending `values` between two pixels.
    pub(crate) fn new(values: &[f64], pixels: [f64; 2]) -> Self {
        let values = values.to_vec();
        let gaps = || values.windows(2).map(|pair| pair[1] - pair[0]);
        let widest = gaps().fold(0.0, f64::max);
        let narrowest = gaps().fold(f64::INFINITY, f64::min);
        let to_scale = widest > 0.0 && widest <= MAX_GAP_RATIO * narrowest;
        let last = values.len().saturating_sub(1).max(1) as f64;
        let share = |(index, value): (usize, &f64)| match (values.first(), values.last()) {
            (Some(first), Some(end)) if to_scale => (value - first) / (end - first),
            _ => index as f64 / last,
        };
        let place = |share: f64| pixels[0] + (pixels[1] - pixels[0]) * share;
        let places = values.iter().enumerate().map(share).map(place).collect();
        Self { pixels: places, values, to_scale }
    }

    /// Where the value of that index is.
    pub(crate) fn at(&self, index: usize) -> f64 {
        self.pixels.get(index).copied().unwrap_or_default()
    }

    /// Where that value is, if it is one of them.
    pub(crate) fn of(&self, value: f64) -> Option<f64> {
        let index = self.values.iter().position(|other| (other - value).abs() < 1e-9)?;
        Some(self.at(index))
    }

    /// Places and labels, without those that would lie on the one before.
    pub(crate) fn labels(&self) -> Vec<(f64, String)> {
        let mut labels: Vec<(f64, String)> = Vec::new();
        for (place, value) in self.pixels.iter().zip(&self.values) {
            if labels.last().is_none_or(|(last, _)| place - last >= LABEL) {
                labels.push((*place, short(*value)));
            }
        }
        labels
    }
}

/// A value with at most three decimals, without zeros at its end.
pub(crate) fn short(value: f64) -> String {
    format!("{}", (value * 1000.0).round() / 1000.0 + 0.0)
}

#[cfg(test)]
mod tests {
    use super::super::svg::px;
    use super::*;

    #[test]
    fn an_axis_goes_from_tick_to_tick_around_its_values() {
        let axis = Axis::around(&[-0.3, 0.72, f64::INFINITY], 6, [100.0, 300.0]);
        // From -0.4 to 0.8 in six steps of 0.2.
        assert_eq!(axis.step, 0.2);
        let labels: Vec<String> = axis.ticks().into_iter().map(|tick| tick.1).collect();
        assert_eq!(labels, ["-0.4", "-0.2", "0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(px(axis.at(0.2)), "200");
        assert_eq!((axis.at(f64::INFINITY), axis.at(-9.0)), (300.0, 100.0));
    }

    #[test]
    fn an_axis_without_values_goes_from_zero_to_one() {
        for values in [&[][..], &[f64::NAN], &[0.0]] {
            let axis = Axis::around(values, 10, [0.0, 1.0]);
            assert_eq!(
                (px(axis.values[0]), px(axis.values[1])),
                ("0".to_owned(), "1".to_owned()),
                "{values:?}"
            );
        }
    }

    #[test]
    fn even_values_are_to_scale_and_doubling_ones_at_even_distances() {
        let even = Positions::new(&[1.0, 2.0, 3.0, 5.0], [0.0, 100.0]);
        assert!(even.to_scale);
        assert_eq!([0, 1, 2, 3].map(|index| even.at(index)), [0.0, 25.0, 50.0, 100.0]);
        let doubling = Positions::new(&[0.0, 0.25, 0.5, 1.0, 2.0, 4.0], [0.0, 100.0]);
        assert!(!doubling.to_scale);
        assert_eq!((doubling.at(1), doubling.of(2.0), doubling.of(3.0)), (20.0, Some(80.0), None));
        let labels: Vec<String> = doubling.labels().into_iter().map(|label| label.1).collect();
        assert_eq!(labels, ["0", "0.5", "2"], "those in between would lie on each other");
        assert_eq!(Positions::new(&[7.0], [10.0, 90.0]).at(0), 10.0);
    }
}
