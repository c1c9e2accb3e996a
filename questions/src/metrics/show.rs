//! How a number that may be undefined is written for people.

/// What stands for a number that is not defined.
pub const UNDEFINED: &str = "-";

/// The number with so many decimals, or [`UNDEFINED`].
#[must_use]
pub fn show(value: Option<f64>, decimals: usize) -> String {
    show_with(value, |value| format!("{value:.decimals$}"))
}

/// As [`show`], always with a sign.
#[must_use]
pub fn show_signed(value: Option<f64>, decimals: usize) -> String {
    show_with(value, |value| format!("{value:+.decimals$}"))
}

/// The value as `text` writes it, or [`UNDEFINED`].
#[must_use]
pub fn show_with<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), text)
}

/// RGI with its 95 % interval, `+0.27 [+0.10,+0.44]`; where it is not defined the reason, or [`UNDEFINED`].
#[must_use]
pub fn show_rgi(rgi: Option<f64>, interval: Option<[f64; 2]>, reason: Option<&str>) -> String {
    match (rgi, interval) {
        (Some(rgi), Some([low, high])) => format!("{rgi:+.2} [{low:+.2},{high:+.2}]"),
        (Some(rgi), None) => format!("{rgi:+.2}"),
        (None, _) => reason.unwrap_or(UNDEFINED).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_decimals_and_its_sign_and_an_undefined_one_is_a_dash() {
        assert_eq!([show(Some(12.345), 1), show(Some(-0.5), 2), show(None, 3)], ["12.3", "-0.50", "-"]);
        assert_eq!([show_signed(Some(0.2), 2), show_signed(None, 2)], ["+0.20", "-"]);
        assert_eq!(show_signed(Some(f64::INFINITY), 2), "+inf");
        assert_eq!(show_rgi(Some(0.27), Some([0.1, -0.44]), Some("why")), "+0.27 [+0.10,-0.44]");
        assert_eq!(show_rgi(None, None, Some("lost nothing")), "lost nothing");
        assert_eq!([show_rgi(Some(-1.0), None, None), show_rgi(None, None, None)], ["-1.00", "-"]);
        assert_eq!(show_with(Some([1, 2]), |pair| format!("{pair:?}")), "[1, 2]");
    }
}
