//! Colours and strokes of charts, as CSS classes.

use std::fmt::Write;

/// The theme of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark on a white background.
    Light,
    /// Light on a dark background.
    Dark,
}

/// Number of series colours.
pub(crate) const SERIES: usize = 8;
/// Number of colour steps of a heat map.
pub(crate) const STEPS: usize = 9;

/// Name, light, dark. `s0` to `s7` are Okabe and Ito's colours, on dark lighter variants, with yellow where it has
/// contrast; `h0` to `h8` run from low to high.
const COLORS: [(&str, &str, &str); 27] = [
    ("bg", "#ffffff", "#14181f"),
    ("ink", "#1b2330", "#e8ecf2"),
    ("muted", "#5a6577", "#9aa6b8"),
    ("grid", "#e3e7ed", "#2b3340"),
    ("axis", "#8a94a6", "#6b778a"),
    ("soft", "#f4f6f9", "#1c222c"),
    ("other", "#a4adba", "#667085"),
    ("s0", "#0072b2", "#56b4e9"),
    ("s1", "#d55e00", "#f0803c"),
    ("s2", "#009e73", "#2fc295"),
    ("s3", "#b8609a", "#dd9cc4"),
    ("s4", "#e69f00", "#e9b23c"),
    ("s5", "#56b4e9", "#3d8fd1"),
    ("s6", "#4b5666", "#c9d1dc"),
    ("s7", "#7a5c00", "#f0e442"),
    ("h0", "#eef4fa", "#1b2735"),
    ("h1", "#d9e8f4", "#1d3346"),
    ("h2", "#bedaee", "#1e4159"),
    ("h3", "#9dc8e5", "#1f506e"),
    ("h4", "#76b2d9", "#236285"),
    ("h5", "#4f99c9", "#2f789e"),
    ("h6", "#2f80b6", "#4592b8"),
    ("h7", "#16659b", "#6fb3d3"),
    ("h8", "#064a7a", "#a8d8ee"),
    ("on-low", "#1b2330", "#e8ecf2"),
    ("on-high", "#ffffff", "#10161d"),
    ("halo", "#ffffff", "#14181f"),
];

/// The step from which the text on a heat map's cell is inverted.
pub(crate) const HIGH_STEP: usize = 5;

/// The colours of a theme as CSS variables, `--bg: #fff; ...`.
pub fn variables(theme: Theme) -> String {
    let mut text = String::new();
    for (name, light, dark) in COLORS {
        let value = if theme == Theme::Light { light } else { dark };
        // writing into a String cannot fail
        let _ = write!(text, "--{name}:{value};");
    }
    text
}

/// The style sheet of all charts: with the colours of a theme, or with the variables of the enclosing page.
pub fn stylesheet(theme: Option<Theme>) -> String {
    let color = |name: &str| match theme {
        None => format!("var(--{name})"),
        Some(theme) => COLORS
            .iter()
            .find(|(known, ..)| *known == name)
            .map(|(_, light, dark)| if theme == Theme::Light { *light } else { *dark })
            .unwrap_or_default()
            .to_string(),
    };
    let mut css = String::new();
    let mut rule = |selector: &str, body: String| {
        let _ = write!(css, ".cx {selector}{{{body}}}");
    };
    let fonts = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','Noto Sans SC','PingFang SC',\
                 'Microsoft YaHei','Noto Sans CJK SC',sans-serif";
    rule("text", format!("{fonts};font-size:12px;fill:{}", color("ink")));
    rule(".tm", format!("fill:{}", color("muted")));
    rule(".ts", format!("font-size:11px;fill:{}", color("muted")));
    rule(".th", "font-size:16px;font-weight:600".into());
    rule(".tb", "font-weight:600".into());
    rule(".tv", "font-size:26px;font-weight:600".into());
    rule(".tn", "font-size:19px;font-weight:600".into());
    rule(".to", format!("fill:{}", color("on-high")));
    rule(".tl", format!("fill:{}", color("on-low")));
    rule(".bg", format!("fill:{}", color("bg")));
    rule(".g", format!("stroke:{};stroke-width:1", color("grid")));
    rule(".a", format!("stroke:{};stroke-width:1", color("axis")));
    rule(".w", format!("stroke:{};stroke-width:1.4;fill:none", color("ink")));
    rule(".r", format!("stroke:{};stroke-width:1;stroke-dasharray:4 4;fill:none", color("muted")));
    rule(".e", format!("fill:{};stroke:{};stroke-dasharray:3 3", color("soft"), color("grid")));
    rule(".k", format!("fill:{};stroke:{}", color("soft"), color("grid")));
    rule(".pc", format!("stroke:{};stroke-width:1.5", color("bg")));
    rule(".m", "stroke-width:2.4".into());
    rule(".x", "fill:transparent;stroke:none".into());
    rule(".fo", format!("fill:{}", color("other")));
    rule(".lo", format!("stroke:{};stroke-width:1.2;fill:none", color("other")));
    for series in 0..SERIES {
        let own = color(&format!("s{series}"));
        rule(&format!(".f{series}"), format!("fill:{own}"));
        rule(&format!(".l{series}"), format!("stroke:{own};stroke-width:2;fill:none;stroke-linejoin:round"));
        rule(&format!(".b{series}"), format!("fill:{own};fill-opacity:.18;stroke:none"));
        rule(&format!(".p{series}"), format!("fill:{own};stroke:{};stroke-width:1", color("halo")));
        rule(&format!(".o{series}"), format!("fill:{};stroke:{own};stroke-width:1.8", color("bg")));
        rule(&format!(".q{series}"), format!("fill:{own};fill-opacity:.6;stroke:{own}"));
    }
    rule(".fine", "stroke-width:1.3".into());
    // parts of periods and values of few cases
    rule(".weak", "fill-opacity:.42".into());
    rule(".veil", format!("fill:{};fill-opacity:.55", color("bg")));
    // series differ by dash pattern as well as by colour
    rule(".l4", "stroke-dasharray:7 3".into());
    rule(".l5", "stroke-dasharray:2 3".into());
    rule(".l6", "stroke-dasharray:9 3 2 3".into());
    rule(".l7", "stroke-dasharray:4 2".into());
    rule(".dash", "stroke-dasharray:3 4;stroke-width:1.6".into());
    for step in 0..STEPS {
        rule(&format!(".h{step}"), format!("fill:{}", color(&format!("h{step}"))));
    }
    css
}

/// The CSS class of a series: a letter and the colour index, or the class of the uncoloured series.
pub(crate) fn class(letter: char, shade: Option<usize>) -> String {
    match shade {
        Some(shade) => format!("{letter}{}", shade % SERIES),
        None if letter == 'l' => "lo".to_string(),
        None => "fo".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance and contrast as WCAG 2.1 defines them.
    fn luminance(color: &str) -> f64 {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn color(name: &str, theme: Theme) -> &'static str {
        let (_, light, dark) = COLORS.iter().find(|(known, ..)| *known == name).unwrap();
        if theme == Theme::Light { light } else { dark }
    }

    #[test]
    fn texts_and_marks_have_enough_contrast() {
        for theme in [Theme::Light, Theme::Dark] {
            for (text, ground) in [("ink", "bg"), ("muted", "bg"), ("ink", "soft"), ("muted", "soft")] {
                let found = contrast(color(text, theme), color(ground, theme));
                assert!(found >= 4.5, "{text} on {ground} in {theme:?}: {found:.2}");
            }
            for step in 0..STEPS {
                let text = if step >= HIGH_STEP { "on-high" } else { "on-low" };
                let found = contrast(color(text, theme), color(&format!("h{step}"), theme));
                assert!(found >= 3.0, "{text} on h{step} in {theme:?}: {found:.2}");
            }
            for series in 0..4 {
                let found = contrast(color(&format!("s{series}"), theme), color("bg", theme));
                assert!(found >= 3.0, "s{series} in {theme:?}: {found:.2}");
            }
        }
    }

    #[test]
    fn a_picture_that_stands_alone_has_no_variables() {
        assert!(stylesheet(None).contains("var(--s0)"));
        let css = stylesheet(Some(Theme::Dark));
        assert!(!css.contains("var(") && css.contains("#56b4e9"), "{css}");
    }
}
