//! Several seeds of one value, summed up.

use idk_questions::metrics::show_with;

use crate::grid::cell::GridScore;

/// The scores of one value on one task, one per seed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spread<'a>(pub(crate) Vec<&'a GridScore>);

impl Spread<'_> {
    fn values(&self, value: impl Fn(&GridScore) -> Option<f64>) -> Vec<f64> {
        self.0.iter().filter_map(|score| value(score)).collect()
    }

    /// Mean of the values that are defined.
    pub(crate) fn mean(&self, value: impl Fn(&GridScore) -> Option<f64>) -> Option<f64> {
        let values = self.values(value);
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Mean of the RGIs that are defined.
    pub(crate) fn rgi(&self) -> Option<f64> {
        self.mean(|score| score.rgi)
    }

    /// Sample standard deviation of the RGIs that are defined; it takes two.
    pub(crate) fn rgi_std(&self) -> Option<f64> {
        let (mean, values) = (self.rgi()?, self.values(|score| score.rgi));
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        (values.len() > 1).then(|| (squares / (values.len() as f64 - 1.0)).sqrt())
    }

    /// From the lowest to the highest end of the seeds' intervals over questions.
    pub(crate) fn hull(&self) -> Option<[f64; 2]> {
        let ends = self.0.iter().filter_map(|score| score.rgi_ci95);
        ends.reduce(|hull, next| [hull[0].min(next[0]), hull[1].max(next[1])])
    }

    /// Every seed's interval lies above zero.
    pub(crate) fn is_above_zero(&self) -> bool {
        self.0.iter().all(|score| score.rgi_ci95.is_some_and(|[low, _]| low > 0.0))
    }

    /// Mean and spread of RGI, and for how many seeds it is undefined.
    pub(crate) fn rgi_text(&self) -> String {
        let undefined = self.0.iter().filter(|score| score.rgi.is_none()).count();
        match (self.rgi(), self.rgi_std()) {
            (None, _) => "undefined".to_owned(),
            (Some(mean), std) => {
                let std = std.map_or(String::new(), |std| format!(" ± {std:.2}"));
                let undefined =
                    if undefined > 0 { format!(" ({undefined} undefined)") } else { String::new() };
                format!("{mean:+.2}{std}{undefined}")
            }
        }
    }

    /// RGI and refusal rate in a few words.
    pub(crate) fn text(&self) -> String {
        format!("{}, {}", self.rgi_text(), self.refused_text())
    }

    /// Mean share refused.
    pub(crate) fn refused_text(&self) -> String {
        show_with(self.mean(|score| score.refusal_rate), |rate| format!("{rate:.0} %"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(rgis: &[Option<f64>]) -> Vec<GridScore> {
        let score = |&rgi: &Option<f64>| GridScore {
            rgi,
            rgi_ci95: rgi.map(|rgi| [rgi - 0.3, rgi + 0.2]),
            ..GridScore::default()
        };
        rgis.iter().map(score).collect()
    }

    #[test]
    fn mean_and_spread_are_those_of_the_defined_values() {
        let summed = |rgis: &[Option<f64>]| {
            let scores = scores(rgis);
            let spread = Spread(scores.iter().collect());
            (spread.rgi_text(), spread.hull())
        };
        let (text, hull) = summed(&[Some(0.1), None, Some(0.3), Some(0.5)]);
        assert_eq!(text, "+0.30 ± 0.20 (1 undefined)");
        let hull = hull.unwrap();
        assert!((hull[0] + 0.2).abs() < 1e-12 && (hull[1] - 0.7).abs() < 1e-12, "{hull:?}");
        assert_eq!(summed(&[Some(0.1)]).0, "+0.10");
        assert_eq!(summed(&[None]), ("undefined".to_owned(), None));
    }
}
