//! Number formats.

use crate::Language;

/// The format of a number, by what the number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A plain number.
    Number,
    /// A ratio, shown in percent.
    Percent,
    /// Seconds, shown as hours, minutes and seconds.
    Duration,
    /// Points of a score.
    Points,
    /// An amount of money without a currency symbol.
    Currency,
}

impl Form {
    /// The format by its name in a `-- chart:` line: `number`, `percent`, `duration`, `points`, `currency`.
    pub fn named(name: &str) -> Self {
        match name {
            "percent" => Self::Percent,
            "duration" => Self::Duration,
            "points" => Self::Points,
            "currency" => Self::Currency,
            _ => Self::Number,
        }
    }

    /// A formatted value with as many digits as a reader needs.
    pub fn value(self, value: f64, language: Language) -> String {
        match self {
            Self::Percent => format!("{}%", decimals(value * 100.0, 1)),
            Self::Duration => duration(value),
            Self::Points => decimals(value, 1),
            Self::Currency if value.abs() >= 1e7 => large(value, language),
            Self::Currency => decimals(value, if value.fract() == 0.0 { 0 } else { 2 }),
            Self::Number if value.abs() >= 1e7 => large(value, language),
            Self::Number => {
                let size = value.abs();
                let digits = match size {
                    _ if value.fract() == 0.0 => 0,
                    _ if size >= 1000.0 => 0,
                    _ if size >= 10.0 => 1,
                    _ if size >= 1.0 => 2,
                    _ if size >= 0.001 => 3,
                    _ => return format!("{value:.2e}"),
                };
                decimals(value, digits)
            }
        }
    }

    /// The signed difference of two values; that of ratios in percentage points.
    pub(crate) fn difference(self, difference: f64, language: Language) -> String {
        let sign = if difference < 0.0 { "−" } else { "+" };
        let size = difference.abs();
        match (self, language) {
            (Self::Percent, Language::English) => format!("{sign}{} pp", decimals(size * 100.0, 1)),
            (Self::Percent, Language::Chinese) => format!("{sign}{} 个百分点", decimals(size * 100.0, 1)),
            _ => format!("{sign}{}", self.value(size, language)),
        }
    }

    /// A tick label of an axis whose ticks are `step` apart.
    pub fn tick(self, value: f64, step: f64, language: Language) -> String {
        let places = |step: f64| {
            let mut places = 0;
            let mut scaled = step.abs();
            while places < 6 && (scaled - scaled.round()).abs() > 1e-6 * scaled.max(1e-9) {
                scaled *= 10.0;
                places += 1;
            }
            places
        };
        match self {
            Self::Percent => format!("{}%", decimals(value * 100.0, places(step * 100.0))),
            Self::Duration => duration(value),
            _ if value.abs() >= 1e4 && (step >= 1000.0 || value.abs() >= 1e6) => large(value, language),
            _ if step.abs() < 1e-6 => format!("{value:.1e}"),
            _ => decimals(value, places(step)),
        }
    }
}

/// Numbers from here on are written with an exponent.
const BEYOND: f64 = 1e15;

/// Fixed decimals with thousands separators, no minus zero.
fn decimals(value: f64, places: usize) -> String {
    if value.abs() >= BEYOND {
        return format!("{value:.2e}").replace('-', "−");
    }
    let text = format!("{:.places$}", value.abs());
    let is_negative = value < 0.0 && text.chars().any(|c| c.is_ascii_digit() && c != '0');
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if is_negative { "−" } else { "" };
    match rest {
        Some(rest) => format!("{sign}{grouped}.{rest}"),
        None => format!("{sign}{grouped}"),
    }
}

/// Abbreviated by thousands and millions, in Chinese by ten thousands and hundred millions.
fn large(value: f64, language: Language) -> String {
    if value.abs() >= BEYOND {
        return decimals(value, 0);
    }
    let units: [(f64, &str); 3] = match language {
        Language::English => [(1e9, "bn"), (1e6, "M"), (1e3, "k")],
        Language::Chinese => [(1e12, "万亿"), (1e8, "亿"), (1e4, "万")],
    };
    let unit = units.into_iter().find(|(unit, _)| value.abs() >= *unit);
    let Some((unit, name)) = unit else { return decimals(value, 0) };
    let scaled = value / unit;
    let text = decimals(scaled, if scaled.abs() >= 100.0 { 0 } else { 2 });
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{name}")
}

/// A duration: `45s`, `7m 16s`, `1h 05m`, `2d 3h`; one decimal below ten seconds.
fn duration(seconds: f64) -> String {
    if seconds.abs() >= BEYOND {
        return format!("{}s", decimals(seconds, 0));
    }
    let sign = if seconds < 0.0 { "−" } else { "" };
    let size = seconds.abs();
    if size < 10.0 {
        let text = decimals(size, 1);
        return format!("{sign}{}s", text.trim_end_matches(".0"));
    }
    let whole = size.round();
    if whole < 60.0 {
        return format!("{sign}{whole}s");
    }
    let part = |unit: f64, of: f64| ((whole / unit).floor() % of).abs();
    let two = |first: f64, a: &str, second: f64, b: &str| {
        if second == 0.0 { format!("{sign}{first}{a}") } else { format!("{sign}{first}{a} {second}{b}") }
    };
    if whole < 3600.0 {
        two(part(60.0, 60.0), "m", part(1.0, 60.0), "s")
    } else if whole < 86_400.0 {
        two(part(3600.0, 24.0), "h", part(60.0, 60.0), "m")
    } else {
        two((whole / 86_400.0).floor(), "d", part(3600.0, 24.0), "h")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_digits_that_a_reader_wants() {
        let number = |value| Form::Number.value(value, Language::English);
        assert_eq!(number(1583.0), "1,583");
        assert_eq!(number(413.9), "413.9");
        assert_eq!(number(4.6735), "4.67");
        assert_eq!(number(-0.0384), "−0.038");
        assert_eq!(number(12_345_678.0), "12.35M");
        assert_eq!(Form::Number.value(123_456_789.0, Language::Chinese), "1.23亿");
        assert_eq!(Form::Percent.value(0.7612, Language::English), "76.1%");
        assert_eq!(Form::Percent.value(-0.0001, Language::English), "0.0%");
        assert_eq!(Form::Currency.value(1234.5, Language::English), "1,234.50");
    }

    #[test]
    fn seconds_are_read_as_a_clock() {
        // 435.71 s are 7 minutes and 16 seconds, 3900 s are 65 minutes, 97200 s are 27 hours
        for (seconds, text) in [
            (0.0, "0s"),
            (4.26, "4.3s"),
            (16.63, "17s"),
            (435.71, "7m 16s"),
            (3900.0, "1h 5m"),
            (97_200.0, "1d 3h"),
            (-90.0, "−1m 30s"),
        ] {
            assert_eq!(Form::Duration.value(seconds, Language::English), text);
        }
    }

    #[test]
    fn marks_have_the_decimals_of_their_step() {
        let tick = |value, step| Form::Number.tick(value, step, Language::English);
        assert_eq!(tick(0.5, 0.25), "0.50");
        assert_eq!(tick(20.0, 5.0), "20");
        assert_eq!(tick(20_000.0, 5_000.0), "20k");
        assert_eq!(Form::Number.tick(20_000.0, 5_000.0, Language::Chinese), "2万");
        assert_eq!(Form::Percent.tick(0.075, 0.025, Language::English), "7.5%");
        assert_eq!(Form::Percent.tick(0.6, 0.2, Language::English), "60%");
    }

    #[test]
    fn differences_have_a_sign_and_ratios_differ_by_points() {
        assert_eq!(Form::Percent.difference(-0.0096, Language::English), "−1.0 pp");
        assert_eq!(Form::Percent.difference(0.0172, Language::Chinese), "+1.7 个百分点");
        assert_eq!(Form::Duration.difference(7.2911, Language::English), "+7.3s");
    }
}
