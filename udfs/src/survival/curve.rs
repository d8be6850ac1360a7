//! Survival curves: the life table of durations, Kaplan and Meier's estimate with Greenwood's error, and its median.

/// What happened at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moment {
    pub(crate) time: f64,
    pub(crate) events: u64,
    pub(crate) censored: u64,
}

/// How the interval of a survival probability is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Band {
    /// On the scale log(-log S): stays between 0 and 1.
    LogLog,
    /// On the scale log S: at most 1.
    Log,
    /// S plus and minus z errors, cut off at 0 and 1.
    Plain,
}

/// One step of the curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub(crate) time: f64,
    pub(crate) at_risk: u64,
    pub(crate) events: u64,
    pub(crate) censored: u64,
    pub(crate) survival: f64,
    pub(crate) std_error: f64,
    /// `None` where the scale of the interval has no value: at 1 and 0, but for [`Band::Plain`].
    pub(crate) bounds: Option<(f64, f64)>,
}

/// The moments of sorted rows `(time, is_event, count)`.
pub(crate) fn life_table(rows: impl Iterator<Item = (f64, bool, u64)>) -> Vec<Moment> {
    let mut moments: Vec<Moment> = vec![];
    for (time, is_event, count) in rows {
        let (events, censored) = if is_event { (count, 0) } else { (0, count) };
        match moments.last_mut() {
            Some(last) if last.time == time => {
                last.events += events;
                last.censored += censored;
            }
            _ => moments.push(Moment { time, events, censored }),
        }
    }
    moments
}

/// Kaplan and Meier's curve: one step per time. Of events and censorings at one time the events come first.
pub(crate) fn kaplan_meier(moments: &[Moment], band: Band, z: f64) -> Vec<Step> {
    let mut at_risk: u64 = moments.iter().map(|moment| moment.events + moment.censored).sum();
    let mut steps = Vec::with_capacity(moments.len());
    // the sum of d / (n (n - d)), the variance of log S
    let (mut survival, mut log_variance) = (1.0_f64, 0.0_f64);
    for moment in moments {
        let (n, d) = (at_risk as f64, moment.events as f64);
        if moment.events > 0 {
            survival *= (n - d) / n;
            log_variance += d / (n * (n - d));
        }
        let std_error = if survival > 0.0 { survival * log_variance.sqrt() } else { 0.0 };
        let bounds = bounds(survival, log_variance, band, z);
        let Moment { time, events, censored } = *moment;
        steps.push(Step { time, at_risk, events, censored, survival, std_error, bounds });
        at_risk -= events + censored;
    }
    steps
}

fn bounds(survival: f64, log_variance: f64, band: Band, z: f64) -> Option<(f64, f64)> {
    let is_inside = survival > 0.0 && survival < 1.0;
    let margin = z * log_variance.sqrt();
    match band {
        Band::LogLog if is_inside => {
            let log = survival.ln();
            let exponent = margin / log.abs();
            Some(((log * exponent.exp()).exp(), (log * (-exponent).exp()).exp()))
        }
        Band::Log if is_inside => Some((survival * (-margin).exp(), (survival * margin.exp()).min(1.0))),
        Band::Log if survival > 0.0 => Some((1.0, 1.0)),
        Band::Plain if survival > 0.0 => {
            Some(((survival * (1.0 - margin)).max(0.0), (survival * (1.0 + margin)).min(1.0)))
        }
        Band::Plain => Some((0.0, 0.0)),
        _ => None,
    }
}

/// Where a curve that falls at the times reaches one half: the middle of the stretch on which it is one half, otherwise the
/// first time at which it is below. `None` when it stays above.
pub(crate) fn median(steps: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let mut reached = None;
    for (time, value) in steps {
        // a product of ratios is one half up to rounding
        let is_half = (value - 0.5).abs() < 1e-12;
        match reached {
            None if is_half => reached = Some(time),
            None if value < 0.5 => return Some(time),
            Some(from) if !is_half => return Some(from + (time - from) / 2.0),
            _ => {}
        }
    }
    reached
}

/// The median of a curve and its interval: where the ends of the band reach one half.
pub(crate) fn median_with_bounds(steps: &[Step]) -> (Option<f64>, Option<f64>, Option<f64>) {
    let with_bounds = |end: fn((f64, f64)) -> f64| {
        median(steps.iter().filter_map(|step| {
            let is_over = step.survival == 0.0;
            // at its end the curve has no band and is below one half
            Some((step.time, step.bounds.map(end).or(is_over.then_some(f64::NAN))?))
        }))
    };
    let estimate = median(steps.iter().map(|step| (step.time, step.survival)));
    (estimate, with_bounds(|(low, _)| low), with_bounds(|(_, high)| high))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remissions of leukaemia under 6-MP in weeks (Freireich 1963), `true` for a relapse.
    pub(crate) const SIX_MP: [(f64, bool, u64); 17] = [
        (6.0, true, 3),
        (6.0, false, 1),
        (7.0, true, 1),
        (9.0, false, 1),
        (10.0, true, 1),
        (10.0, false, 1),
        (11.0, false, 1),
        (13.0, true, 1),
        (16.0, true, 1),
        (17.0, false, 1),
        (19.0, false, 1),
        (20.0, false, 1),
        (22.0, true, 1),
        (23.0, true, 1),
        (25.0, false, 1),
        (32.0, false, 2),
        (34.0, false, 1),
    ];

    fn near(got: f64, wanted: f64, tolerance: f64) {
        assert!((got - wanted).abs() < tolerance, "{got}, wanted {wanted}");
    }

    #[test]
    fn six_mp_as_published() {
        let mut rows = SIX_MP.to_vec();
        rows.push((35.0, false, 1));
        let steps = kaplan_meier(&life_table(rows.into_iter()), Band::LogLog, 1.959963984540054);
        let at = |time: f64| *steps.iter().find(|step| step.time == time).unwrap();
        for (time, survival) in [
            (6.0, 0.857143),
            (7.0, 0.806723),
            (10.0, 0.752941),
            (13.0, 0.690196),
            (16.0, 0.627451),
            (22.0, 0.537815),
            (23.0, 0.448179),
        ] {
            near(at(time).survival, survival, 5e-7);
        }
        near(at(6.0).std_error, 0.07636, 5e-6);
        let (low, high) = at(6.0).bounds.unwrap();
        near(low, 0.619718, 5e-7);
        near(high, 0.951552, 5e-7);
        assert_eq!((at(6.0).at_risk, at(6.0).events, at(6.0).censored), (21, 3, 1));
        assert_eq!(median_with_bounds(&steps).0, Some(23.0));
    }

    #[test]
    fn a_curve_that_is_one_half_has_its_median_in_the_middle() {
        // 1 2 3 4 without censoring: one half from 2 to 3
        let rows = [1.0, 2.0, 3.0, 4.0].map(|time| (time, true, 1));
        let steps = kaplan_meier(&life_table(rows.into_iter()), Band::Plain, 1.96);
        assert_eq!(median_with_bounds(&steps).0, Some(2.5));
        assert_eq!(steps.last().map(|step| (step.survival, step.bounds)), Some((0.0, Some((0.0, 0.0)))));
        let one = kaplan_meier(&life_table([(1.0, false, 5)].into_iter()), Band::LogLog, 1.96);
        assert_eq!((one[0].survival, one[0].std_error, one[0].bounds), (1.0, 0.0, None));
        assert_eq!(median_with_bounds(&one), (None, None, None));
    }
}
