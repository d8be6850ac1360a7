//! Spellings of intervals that Arrow's parser does not know: `27:15:08`, `2 days 03:00:00`, `-00:05`, ISO 8601 (`P1DT2H`).

/// The interval in words that Arrow's parser reads; `None` where it has nothing to spell out.
///
/// `hh:mm` and `hh:mm:ss` may be anywhere, with any number of hours and a sign, as in PostgreSQL.
pub(crate) fn spelled_out(text: &str) -> Option<String> {
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
}
