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

impl Axis {
    /// An axis from tick to tick that holds all finite `values`, with at most `most` steps of 1, 2 or 5 times a power of
    /// ten.
    pub(crate) fn around(values: &[f64], most: usize, pixels: [f64; 2]) -> Self {
        Self::in_steps(values, most, pixels, 0.0)
    }

    /// The same for what is counted: ticks are whole numbers.
    pub(crate) fn counting(values: &[f64], most: usize, pixels: [f64; 2]) -> Self {
        Self::in_steps(values, most, pixels, 1.0)
    }

    fn in_steps(values: &[f64], most: usize, pixels: [f64; 2], least: f64) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let (low, high) =
            (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
        let (low, high) = if low < high { (low, high) } else { (low.min(0.0), high.max(1.0)) };
        let out = |step: f64| [(low / step).floor() * step, (high / step).ceil() * step];
        let fits = |step: f64| ((out(step)[1] - out(step)[0]) / step).round() as usize <= most;
        let mut step = 10.0_f64.powf(((high - low) / most as f64).log10().floor()).max(least);
        // Twice 2, 2.5 and 2 is more than a factor of ten, which is enough.
        for factor in [2.0, 2.5, 2.0, 2.0, 2.5, 2.0] {
            if fits(step) {
                break;
            }
            step *= factor;
        }
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
        let digits = (-self.step.log10() - 1e-9).ceil().max(0.0) as usize;
        let count = ((high - low) / self.step).round() as usize;
        let values = (0..=count).map(|index| low + index as f64 * self.step);
        let label = |value: f64| {
            // A zero that rounding has missed must not be printed as -0.0.
            let value = if value.abs() < 1e-6 * self.step { 0.0 } else { value };
            match digits {
                0..=4 => format!("{value:.digits$}"),
                _ if value == 0.0 => "0".to_owned(),
                _ => format!("{value:.1e}"),
            }
        };
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

/// A value with at most three decimals, or three digits if it is below a hundredth, without zeros at its end.
pub(crate) fn short(value: f64) -> String {
    if value == 0.0 || value.abs() >= 0.01 {
        return format!("{}", (value * 1000.0).round() / 1000.0 + 0.0);
    }
    let digits = format!("{value:.2e}");
    digits.parse::<f64>().map_or(digits, |rounded| format!("{rounded}"))
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

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|tick| tick.1).collect()
    }

    #[test]
    fn ticks_are_round_numbers_around_the_values_at_any_size() {
        let labels = |values: &[f64], most| labels(&Axis::around(values, most, [0.0, 1.0]));
        assert_eq!(labels(&[0.3, 2.2], 5), ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"]);
        assert_eq!(labels(&[1.0, 600.0], 10), ["0", "100", "200", "300", "400", "500", "600"]);
        assert_eq!(labels(&[0.0, 0.0009], 5), ["0.0000", "0.0002", "0.0004", "0.0006", "0.0008", "0.0010"]);
        assert_eq!(labels(&[0.0, 4e-6], 4), ["0", "1.0e-6", "2.0e-6", "3.0e-6", "4.0e-6"]);
        for power in -8..9 {
            for low in [0.0, 0.37, -4.1] {
                let [low, high] = [low, 5.3].map(|value| value * 10.0_f64.powi(power));
                let axis = Axis::around(&[low, high], 5, [0.0, 1.0]);
                assert!(axis.values[0] <= low && high <= axis.values[1] * (1.0 + 1e-12), "{axis:?}");
                assert!((4..=6).contains(&axis.ticks().len()), "{axis:?}");
            }
        }
    }

    #[test]
    fn what_is_counted_has_whole_ticks() {
        for (last, expected) in
            [(1.0, &["0", "1"][..]), (3.0, &["0", "1", "2", "3"]), (7.0, &["0", "2", "4", "6", "8"])]
        {
            assert_eq!(labels(&Axis::counting(&[0.0, last], 6, [0.0, 1.0])), expected);
        }
    }

    #[test]
    fn short_numbers_keep_what_tells_small_ones_apart() {
        let of = [0.0, 1.5, 0.123_456, 0.000_123_456, -0.002].map(short);
        assert_eq!(of, ["0", "1.5", "0.123", "0.000123", "-0.002"]);
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
