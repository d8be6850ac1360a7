//! A chart as a PNG picture: its SVG rasterized by `resvg`.
//!
//! The font is embedded, so that a picture looks the same on every machine. Characters that it lacks are taken from the
//! system's fonts; a character that no font has is an error, because an empty box is of no use to the recipient.

use std::sync::{Arc, Mutex, PoisonError};

use cxql_chart::{Language, Plot, Size, Theme};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, ID, Source};
use resvg::usvg::{FontResolver, Options, Tree};

use crate::output::{FinishState, Format, OutputError, Result, Sink};
use crate::report::{Chart, ChartData};

/// Pixels per unit of the chart, for high-resolution screens and paper.
const SCALE: f32 = 2.0;

const FONT: &[u8] = include_bytes!("../../assets/NotoSansCJKsc-subset.otf");

/// Writes the chart of one section as a picture.
pub(super) struct PngSink {
    chart: Option<Chart>,
    title: String,
    language: Language,
    chart_data: Option<ChartData>,
}

impl PngSink {
    /// A picture of `chart`, headed by its own title or else `title`.
    pub(super) fn new(chart: Option<Chart>, title: &str) -> Self {
        Self { chart, title: title.to_owned(), language: Language::of(title), chart_data: None }
    }
}

impl Sink for PngSink {
    fn begin_section(&mut self, _: Option<&str>, schema: &SchemaRef, _: &mut Vec<u8>) -> Result<()> {
        let chart = self.chart.as_ref().ok_or(OutputError::NoChart { format: Format::Png })?;
        self.chart_data = Some(ChartData::new(chart, schema, self.language));
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, _: &mut Vec<u8>) -> Result<()> {
        match &mut self.chart_data {
            Some(chart_data) => chart_data.add(batch).map_err(|source| OutputError::encode(Format::Png, source)),
            None => Ok(()),
        }
    }

    fn end_section(&mut self, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<FinishState> {
        let chart_data = self.chart_data.take().ok_or(OutputError::NoChart { format: Format::Png })?;
        let mut plot = chart_data.plot();
        plot.title.get_or_insert_with(|| crate::output::visible(&self.title));
        out.extend_from_slice(&picture(&plot)?);
        Ok(FinishState::Done)
    }
}

/// The chart as PNG.
///
/// # Errors
/// A character that no font of the machine has.
pub(super) fn picture(plot: &Plot) -> Result<Vec<u8>> {
    let failed = |source: String| OutputError::encode(Format::Png, source);
    let svg = cxql_chart::standalone(plot, Size::Wide, Theme::Light);
    let mut fonts = Database::new();
    let own = fonts.load_font_source(Source::Binary(Arc::new(FONT)));
    let own = own.first().copied().ok_or_else(|| failed("the font of the program cannot be read".into()))?;
    let missing: Arc<Mutex<Vec<char>>> = Arc::default();
    let options =
        Options { font_resolver: resolver(own, Arc::clone(&missing)), fontdb: Arc::new(fonts), ..Options::default() };
    let tree = Tree::from_str(&svg, &options).map_err(|error| failed(error.to_string()))?;
    let mut missing = std::mem::take(&mut *missing.lock().unwrap_or_else(PoisonError::into_inner));
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() {
        return Err(OutputError::Glyphs { characters: missing.into_iter().take(20).collect() });
    }
    let size = tree.size();
    let (width, height) = ((size.width() * SCALE).ceil() as u32, (size.height() * SCALE).ceil() as u32);
    let mut pixels = Pixmap::new(width, height).ok_or_else(|| failed("the picture is too large".into()))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| failed(error.to_string()))
}

/// Resolves fonts: the embedded one, a system font for characters that it lacks; collects characters that no font has.
fn resolver(own: ID, missing: Arc<Mutex<Vec<char>>>) -> FontResolver<'static> {
    let find = FontResolver::default_fallback_selector();
    let is_loaded = Mutex::new(false);
    FontResolver {
        select_font: Box::new(move |_, _| Some(own)),
        select_fallback: Box::new(move |character, used, fonts| {
            let mut is_loaded = is_loaded.lock().unwrap_or_else(PoisonError::into_inner);
            if !std::mem::replace(&mut *is_loaded, true) {
                Arc::make_mut(fonts).load_system_fonts();
            }
            let found = find(character, used, fonts);
            if found.is_none() {
                missing.lock().unwrap_or_else(PoisonError::into_inner).push(character);
            }
            found
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cxql_chart::{Column, Kind, Values};

    fn bars(name: &str) -> Plot {
        Plot {
            title: Some("满意度 by topic".into()),
            x: Some(Column {
                name: "topic".into(),
                values: Values::Strings(vec![Some(name.into()), Some("b".into())]),
            }),
            y: vec![Column { name: "n".into(), values: Values::Numbers(vec![Some(3.0), Some(1.0)]) }],
            ..Plot::new(Kind::Bar)
        }
    }

    /// The colours of a picture and how many pixels each has.
    fn colors(png: &[u8]) -> std::collections::HashMap<[u8; 3], usize> {
        let pixels = Pixmap::decode_png(png).unwrap();
        let mut colors = std::collections::HashMap::new();
        for pixel in pixels.pixels() {
            *colors.entry([pixel.red(), pixel.green(), pixel.blue()]).or_default() += 1;
        }
        colors
    }

    #[test]
    fn a_picture_has_the_chart_and_its_letters() {
        let png = picture(&bars("电话")).unwrap();
        let pixels = Pixmap::decode_png(&png).unwrap();
        // 800 units wide, two pixels each
        assert_eq!(pixels.width(), 1600);
        let found = colors(&png);
        assert!(found[&[0x00, 0x72, 0xb2]] > 10_000, "the bars are blue");
        assert!(found[&[0x1b, 0x23, 0x30]] > 300, "the title is dark");
        assert!(found[&[0xff, 0xff, 0xff]] > found.values().sum::<usize>() / 2, "the ground is white");
        // the same chart with another name differs in its letters
        assert_ne!(png, picture(&bars("邮件")).unwrap());
    }

    #[test]
    fn a_character_without_a_glyph_is_an_error() {
        // a character that is set aside and will never have a meaning
        let error = picture(&bars("a\u{10fffd}b")).unwrap_err().to_string();
        assert!(error.contains("U+10FFFD") && error.contains("install"), "{error}");
    }
}
