//! How values are written: what is accepted beside the spelling of Arrow, and what is refused for its unit.

/// The sentence for a [number without a unit](cxql_engine::number_without_unit) in an interval.
pub(crate) fn unit_wanted(text: &str, number: &str) -> String {
    let text = text.trim();
    let with = |units: &str| {
        let unit = if number == "1" { units.trim_end_matches('s') } else { units };
        format!("`{}`", text.replacen(number, &format!("{number} {unit}"), 1))
    };
    if text == number {
        format!(
            "`{text}` has no unit; write {}, {}, {} or {}",
            with("days"),
            with("hours"),
            with("weeks"),
            with("months")
        )
    } else {
        format!("`{text}` has no unit for its `{number}`; write one, as in `1 day 3 hours`")
    }
}

/// The sentence for a number with a unit where a number alone is wanted, such as `20s` for `threshold_s`.
pub(super) fn unit_not_wanted(text: &str) -> Option<String> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))?;
    let (number, unit) = text.split_at(end);
    let is_unit = unit.trim().chars().all(|c| c.is_alphabetic() || c == '%') && number.parse::<f64>().is_ok();
    is_unit.then(|| format!("`{text}` has a unit, and a number alone is wanted; write `{number}`"))
}

/// A timestamp of hours and minutes with its seconds: `2025-06-01T12:00Z` as `2025-06-01T12:00:00Z`.
pub(super) fn timestamp_with_seconds(text: &str) -> Option<String> {
    let text = text.trim();
    let (minutes, rest) = (text.get(..16)?, text.get(16..)?);
    let is_time = matches!(minutes.as_bytes(), [.., b'T' | b't' | b' ', _, _, b':', _, _]);
    (is_time && !rest.starts_with(':')).then(|| format!("{minutes}:00{rest}"))
}
