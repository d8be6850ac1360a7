//! Intervals as strings: spellings that Arrow's parser does not know (`27:15:08`, `2 days 03:00:00`, `-00:05`, ISO 8601 as `P1DT2H`),
//! and the one of PostgreSQL, in which they are written.

/// The interval in words that Arrow's parser reads; `None` where it has nothing to spell out.
///
/// `hh:mm` and `hh:mm:ss` may be anywhere, with any number of hours and a sign, as in PostgreSQL.
pub fn spelled_out(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(iso) = text.strip_prefix(['P', 'p']) {
        return iso_words(iso);
    }
    let mut words: Vec<String> = text.split_whitespace().map(str::to_string).collect();
    let mut is_changed = false;
    for index in 0..words.len() {
        let Some(spelled) = clock_words(&words[index]) else { continue };
        words[index] = spelled;
        is_changed = true;
        // `3 04:05:06`: a number alone before a time is days
        if let Some(before) = index.checked_sub(1)
            && words[before].parse::<i64>().is_ok()
        {
            words[before].push_str(" days");
        }
    }
    is_changed.then(|| words.join(" "))
}

/// The number without a unit in an interval such as `7` or `1 day 3`. Arrow reads it as months in one place and as seconds in
/// another.
pub fn number_without_unit(text: &str) -> Option<&str> {
    let is_amount = |word: &str| word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | '_'));
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if !is_amount(word) {
            continue;
        }
        match words.next_if(|next| !is_amount(next)) {
            Some(_unit) => {}
            None => return Some(word),
        }
    }
    None
}

/// `-27:15:08.5` as `-27 hours -15 minutes -8.5 seconds`.
fn clock_words(word: &str) -> Option<String> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    };
    let mut parts = digits.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next().unwrap_or("0"));
    let is_whole = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let below_60 = |part: &str| part.parse::<u32>().is_ok_and(|number| number < 60);
    let is_clock = parts.next().is_none() && [hours, minutes, whole, fraction].into_iter().all(is_whole);
    if !is_clock || !below_60(minutes) || !below_60(whole) {
        return None;
    }
    Some(format!("{sign}{hours} hours {sign}{minutes} minutes {sign}{seconds} seconds"))
}

/// `1Y2M3DT4H5M6.5S` as words.
fn iso_words(text: &str) -> Option<String> {
    let (mut words, mut number, mut is_time) = (vec![], String::new(), false);
    for letter in text.chars() {
        let unit = match (letter.to_ascii_uppercase(), is_time) {
            ('T', false) if number.is_empty() => {
                is_time = true;
                continue;
            }
            ('0'..='9' | '-' | '+' | '.', _) => {
                number.push(letter);
                continue;
            }
            ('Y', false) => "years",
            ('M', false) => "months",
            ('W', false) => "weeks",
            ('D', false) => "days",
            ('H', true) => "hours",
            ('M', true) => "minutes",
            ('S', true) => "seconds",
            _ => return None,
        };
        if number.is_empty() {
            return None;
        }
        words.push(format!("{} {unit}", std::mem::take(&mut number)));
    }
    (number.is_empty() && !words.is_empty()).then(|| words.join(" "))
}

/// Months, days and nanoseconds as PostgreSQL writes them: `1 year 2 mons -3 days +00:00:01.5`.
///
/// Parts that are 0 are left out, nothing is `00:00:00`. After a negative part a positive one has a sign.
pub fn shown(months: i32, days: i128, time_ns: i128) -> String {
    let mut parts: Vec<String> = vec![];
    let mut is_after_negative = false;
    let counted = [(i128::from(months / 12), "year"), (i128::from(months % 12), "mon"), (days, "day")];
    for (count, unit) in counted.into_iter().filter(|(count, _)| *count != 0) {
        let sign = if is_after_negative && count > 0 { "+" } else { "" };
        parts.push(format!("{sign}{count} {unit}{}", if count == 1 { "" } else { "s" }));
        is_after_negative = count < 0;
    }
    if time_ns != 0 || parts.is_empty() {
        let sign = match time_ns {
            ..0 => "-",
            _ if is_after_negative => "+",
            _ => "",
        };
        let (seconds, fraction) = (time_ns.unsigned_abs() / 1_000_000_000, time_ns.unsigned_abs() % 1_000_000_000);
        let mut time = format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if fraction != 0 {
            time.push_str(format!(".{fraction:09}").trim_end_matches('0'));
        }
        parts.push(time);
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;

    use super::*;

    /// Expected values: PostgreSQL 15, as months, days and seconds.
    #[test]
    fn spellings_of_postgresql() {
        for (text, expected) in [
            ("27:15:08", (0, 0, 98_108.0)),
            ("-27:15:08", (0, 0, -98_108.0)),
            ("00:05", (0, 0, 300.0)),
            ("2 days 03:00:00", (0, 2, 10_800.0)),
            ("1 mon -1 days +00:00:01.5", (1, -1, 1.5)),
            ("P1Y2M3DT4H5M6.5S", (14, 3, 14_706.5)),
            ("3 04:05:06", (0, 3, 14_706.0)),
            ("PT36H", (0, 0, 129_600.0)),
            ("P2W", (0, 14, 0.0)),
        ] {
            let spelled = spelled_out(text).unwrap();
            let interval = parse_interval_month_day_nano(&spelled).unwrap();
            let seconds = interval.nanoseconds as f64 / 1e9;
            assert_eq!((interval.months, interval.days, seconds), expected, "{text}: {spelled}");
        }
        for text in ["7 days", "1:2:3:4", "12:75", "a:b", "P", "P1H", "2025-01-01"] {
            assert_eq!(spelled_out(text), None, "{text}");
        }
    }

    /// Expected values: PostgreSQL 15.
    #[test]
    fn values_are_written_as_postgresql_writes_them() {
        let second = 1_000_000_000_i128;
        for (months, days, time_ns, expected) in [
            (0, 0, 0, "00:00:00"),
            (0, 2, 3 * 3600 * second, "2 days 03:00:00"),
            (0, 0, 245_250_000_000, "00:04:05.25"),
            (0, 0, -245_250_000_000, "-00:04:05.25"),
            (0, -1, -2 * 3600 * second, "-1 days -02:00:00"),
            (0, -1, 2 * 3600 * second, "-1 days +02:00:00"),
            (14, -3, second, "1 year 2 mons -3 days +00:00:01"),
            (-14, 3, 0, "-1 years -2 mons +3 days"),
            (1, 1, 0, "1 mon 1 day"),
            (0, 0, 36 * 3600 * second, "36:00:00"),
            (0, 0, 1_000, "00:00:00.000001"),
        ] {
            assert_eq!(shown(months, days, time_ns), expected);
        }
        // PostgreSQL has no nanoseconds
        assert_eq!(shown(0, 0, 1), "00:00:00.000000001");
    }
}
