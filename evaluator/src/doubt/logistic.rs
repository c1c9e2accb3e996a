//! Logistic regression with soft targets and an L2 penalty, in f64 and in a fixed order of operations: the same rows give the
//! same bits. Minimised by L-BFGS (Liu and Nocedal 1989, <https://doi.org/10.1007/BF01589116>).

use std::collections::VecDeque;

/// Most steps of the minimisation.
const MAX_STEPS: usize = 500;
/// It ends where no component of the gradient is larger.
const TOLERANCE: f64 = 1e-7;
/// Steps that are remembered for the curvature.
const MEMORY: usize = 10;
/// The share of the decrease that the slope promises which a step must reach (Armijo 1966).
const SUFFICIENT: f64 = 1e-4;
/// Halvings of a step before the minimum is as near as numbers can tell.
const MAX_HALVINGS: usize = 40;

/// A fitted model: the probability of a row is the logistic function of a weighted sum of its standardised values.
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticRegression {
    means: Vec<f64>,
    /// Standard deviations; 1 for a value that never changes.
    deviations: Vec<f64>,
    /// One for each value, then the bias.
    weights: Vec<f64>,
}

impl LogisticRegression {
    /// Fits `targets`, each in `[0, 1]`, on as many rows of one length: minimises the mean cross-entropy plus
    /// `l2 / (2 rows) |weights|^2`, without the bias. `l2` is 1/C of scikit-learn.
    #[must_use]
    pub fn fit(rows: &[Vec<f32>], targets: &[f64], l2: f64) -> Self {
        let width = rows.first().map_or(0, Vec::len);
        let n = rows.len().max(1) as f64;
        let mut model =
            Self { means: vec![0.0; width], deviations: vec![0.0; width], weights: vec![0.0; width + 1] };
        for row in rows {
            model.means.iter_mut().zip(row).for_each(|(mean, &value)| *mean += f64::from(value) / n);
        }
        for row in rows {
            let deviations = model.deviations.iter_mut().zip(row.iter().zip(&model.means));
            deviations.for_each(|(sum, (&value, mean))| *sum += (f64::from(value) - mean).powi(2) / n);
        }
        for deviation in &mut model.deviations {
            *deviation = if *deviation > 0.0 { deviation.sqrt() } else { 1.0 };
        }
        let rows: Vec<Vec<f64>> = rows.iter().map(|row| model.standardised(row)).collect();
        let objective = Objective { rows: &rows, targets, penalty: l2 / n };
        model.weights = minimise(&objective, model.weights);
        model
    }

    /// The probability of a row of the length that was fitted.
    #[must_use]
    pub fn probability(&self, row: &[f32]) -> f64 {
        sigmoid(score(&self.weights, &self.standardised(row)))
    }

    fn standardised(&self, row: &[f32]) -> Vec<f64> {
        let scales = self.means.iter().zip(&self.deviations);
        row.iter()
            .zip(scales)
            .map(|(&value, (mean, deviation))| (f64::from(value) - mean) / deviation)
            .collect()
    }
}

/// What is minimised: `rows` are standardised, `penalty` is the factor of half the squared weights.
struct Objective<'a> {
    rows: &'a [Vec<f64>],
    targets: &'a [f64],
    penalty: f64,
}

impl Objective<'_> {
    /// The value and its gradient.
    fn at(&self, weights: &[f64]) -> (f64, Vec<f64>) {
        let n = self.rows.len().max(1) as f64;
        let mut gradient = vec![0.0; weights.len()];
        let mut value = 0.0;
        for (row, &target) in self.rows.iter().zip(self.targets) {
            let score = score(weights, row);
            // log(1 + e^z) - t z, without overflow.
            value += (score.max(0.0) + (-score.abs()).exp().ln_1p() - target * score) / n;
            let error = (sigmoid(score) - target) / n;
            gradient.iter_mut().zip(row).for_each(|(sum, value)| *sum += error * value);
            gradient[row.len()] += error;
        }
        for (sum, weight) in gradient.iter_mut().zip(&weights[..weights.len() - 1]) {
            value += self.penalty * weight * weight / 2.0;
            *sum += self.penalty * weight;
        }
        (value, gradient)
    }
}

/// `row` may lack the last weight's value: that of the bias is 1.
fn score(weights: &[f64], row: &[f64]) -> f64 {
    dot(&weights[..row.len()], row) + weights[row.len()]
}

fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// A step and the change of the gradient along it.
struct Curvature {
    step: Vec<f64>,
    change: Vec<f64>,
}

/// The weights of the smallest value, from `weights` on.
fn minimise(objective: &Objective<'_>, mut weights: Vec<f64>) -> Vec<f64> {
    let (mut value, mut gradient) = objective.at(&weights);
    let mut memory: VecDeque<Curvature> = VecDeque::new();
    for _ in 0..MAX_STEPS {
        if gradient.iter().all(|component| component.abs() <= TOLERANCE) {
            break;
        }
        let direction = descent(&memory, &gradient);
        let slope = dot(&direction, &gradient);
        let mut length = 1.0;
        let mut found = None;
        for _ in 0..MAX_HALVINGS {
            let tried: Vec<f64> = weights.iter().zip(&direction).map(|(at, by)| at + length * by).collect();
            let (lower, next) = objective.at(&tried);
            if lower <= value + SUFFICIENT * length * slope {
                found = Some((tried, lower, next));
                break;
            }
            length /= 2.0;
        }
        let Some((tried, lower, next)) = found else { break };
        let difference =
            |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(one, other)| one - other).collect();
        let pair = Curvature { step: difference(&tried, &weights), change: difference(&next, &gradient) };
        if dot(&pair.step, &pair.change) > 0.0 {
            memory.push_back(pair);
        }
        if memory.len() > MEMORY {
            memory.pop_front();
        }
        (weights, value, gradient) = (tried, lower, next);
    }
    weights
}

/// Minus the gradient times an estimate of the inverse Hessian, by the two-loop recursion.
fn descent(memory: &VecDeque<Curvature>, gradient: &[f64]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|component| -component).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for Curvature { step, change } in memory.iter().rev() {
        let share = dot(step, &direction) / dot(step, change);
        direction.iter_mut().zip(change).for_each(|(at, by)| *at -= share * by);
        shares.push(share);
    }
    if let Some(Curvature { step, change }) = memory.back() {
        let scale = dot(step, change) / dot(change, change);
        direction.iter_mut().for_each(|component| *component *= scale);
    }
    for (Curvature { step, change }, share) in memory.iter().zip(shares.into_iter().rev()) {
        let by = share - dot(change, &direction) / dot(step, change);
        direction.iter_mut().zip(step).for_each(|(at, component)| *at += by * component);
    }
    direction
}

#[cfg(test)]
mod tests {
    use idk_common::seed::Rng;

    use super::*;

    /// Rows of `width` values with targets that depend on the first, the second and luck.
    fn case(n: usize, width: usize) -> (Vec<Vec<f32>>, Vec<f64>) {
        let mut rng = Rng::new(17);
        let rows: Vec<Vec<f32>> =
            (0..n).map(|_| (0..width).map(|_| 3.0 * rng.normal() as f32 + 1.0).collect()).collect();
        let target = |row: &Vec<f32>| {
            let known = sigmoid(f64::from(row[0] - row[1]) + 0.5);
            (5.0 * known + rng.uniform() - 0.5).round().clamp(0.0, 5.0) / 5.0
        };
        let targets = rows.iter().map(target).collect();
        (rows, targets)
    }

    #[test]
    fn the_gradient_is_that_of_the_value_by_hand_and_by_differences() {
        // One row (2), target 0.25, weight 0 and bias 0: probability 1/2, so the error is 1/4; log 2 is the value.
        let one = Objective { rows: &[vec![2.0]], targets: &[0.25], penalty: 3.0 };
        let (value, gradient) = one.at(&[0.0, 0.0]);
        assert!((value - std::f64::consts::LN_2).abs() < 1e-15);
        assert_eq!(gradient, [0.5, 0.25]);
        // The penalty adds 3 / 2 to the value at weight 1 and 3 to the gradient, and nothing for the bias.
        let bare = Objective { penalty: 0.0, ..one };
        let ((with, by), (without, plain)) = (one_at(&[vec![2.0]], 3.0), bare.at(&[1.0, 1.0]));
        assert!((with - without - 1.5).abs() < 1e-12 && (by[0] - plain[0] - 3.0).abs() < 1e-12);
        assert_eq!(by[1], plain[1]);
        let (rows, targets) = case(30, 4);
        let rows: Vec<Vec<f64>> =
            rows.iter().map(|row| row.iter().map(|&value| f64::from(value)).collect()).collect();
        let objective = Objective { rows: &rows, targets: &targets, penalty: 0.1 };
        let weights = [0.3, -0.2, 0.1, 0.05, -0.4];
        let (_, gradient) = objective.at(&weights);
        for (place, component) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut moved = weights;
                moved[place] += by;
                objective.at(&moved).0
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - component).abs() < 1e-8, "{place}: {slope} {component}");
        }
    }

    fn one_at(rows: &[Vec<f64>], penalty: f64) -> (f64, Vec<f64>) {
        Objective { rows, targets: &[0.25], penalty }.at(&[1.0, 1.0])
    }

    #[test]
    fn without_a_use_for_the_values_the_probability_is_the_mean_of_the_targets() {
        let rows = vec![vec![1.0_f32, 4.0]; 4];
        let model = LogisticRegression::fit(&rows, &[0.0, 0.2, 0.4, 1.0], 1.0);
        assert!((model.probability(&rows[0]) - 0.4).abs() < 1e-6, "{model:?}");
    }

    #[test]
    fn soft_targets_are_fitted_as_as_many_hard_ones() {
        // A target of 0.25 is one row of 1 and three of 0; twice the rows with twice the penalty are the same problem.
        let model = LogisticRegression::fit(&[vec![1.0], vec![-1.0]], &[0.25, 0.75], 0.5);
        let rows: Vec<Vec<f32>> = [1.0, -1.0].into_iter().flat_map(|value| vec![vec![value]; 4]).collect();
        let hard = [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0];
        let split = LogisticRegression::fit(&rows, &hard, 2.0);
        for row in [[1.0], [-1.0], [0.3]] {
            assert!((model.probability(&row) - split.probability(&row)).abs() < 1e-6);
        }
        // Symmetric: p(1) = s and p(-1) = 1 - s, where the mean gradient (s - 1/4) + l2 / 2 w is 0.
        let weight = model.weights[0];
        assert!((sigmoid(weight) - 0.25 + 0.25 * weight).abs() < 1e-6, "{weight}");
    }

    #[test]
    fn the_minimum_has_no_slope_and_is_found_again_bit_for_bit_in_any_scale() {
        let (rows, targets) = case(200, 12);
        let model = LogisticRegression::fit(&rows, &targets, 1.0);
        assert_eq!(LogisticRegression::fit(&rows, &targets, 1.0), model);
        let standardised: Vec<Vec<f64>> = rows.iter().map(|row| model.standardised(row)).collect();
        let objective = Objective { rows: &standardised, targets: &targets, penalty: 1.0 / 200.0 };
        let (_, gradient) = objective.at(&model.weights);
        assert!(gradient.iter().all(|component| component.abs() < 1e-6), "{gradient:?}");
        assert!(model.weights[0] > 0.5 && model.weights[1] < -0.5 && model.weights[2].abs() < 0.5);
        let scaled: Vec<Vec<f32>> =
            rows.iter().map(|row| row.iter().map(|value| 64.0 * value).collect()).collect();
        let other = LogisticRegression::fit(&scaled, &targets, 1.0);
        assert!((other.probability(&scaled[0]) - model.probability(&rows[0])).abs() < 1e-6);
    }

    #[test]
    fn more_values_than_rows_are_held_by_the_penalty() {
        let (rows, targets) = case(20, 60);
        let model = LogisticRegression::fit(&rows, &targets, 1.0);
        let strict = LogisticRegression::fit(&rows, &targets, 1e6);
        let mean = targets.iter().sum::<f64>() / 20.0;
        assert!(rows.iter().all(|row| (strict.probability(row) - mean).abs() < 1e-2));
        assert!(rows.iter().all(|row| model.probability(row).is_finite()));
    }
}
