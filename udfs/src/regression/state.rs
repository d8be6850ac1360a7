//! The rows of one group of a fit, and how they travel between partitions.
//!
//! A fit that needs all rows keeps them, 8 bytes for each number; a fit by least squares reduces them to a [`Triangle`]
//! as they come. A row is its response and weights, then its features as [`super::design`] encodes them.

use std::collections::BTreeMap;

use super::design::{FeatureEncoder, FeatureKind, LevelCounts, MAX_LEVELS, OTHER};
use super::matrix::{Column, Rows};
use super::triangle::Triangle;

/// Rows that are reduced at once, at least.
const MIN_REDUCED_ROWS: usize = 64;

/// The rows of one group.
#[derive(Debug, Default, Clone)]
pub(crate) struct GroupState {
    /// Rows that are left out: with a NULL, NaN or infinity, or a number that the fit does not take.
    pub(crate) missing: i64,
    /// Rows that are kept, or not reduced yet.
    pub(crate) rows: Vec<f64>,
    pub(crate) reduced: Option<Box<Reduced>>,
}

/// The shape of the rows of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Numbers before the features.
    pub(crate) first: usize,
    /// Numbers of a row.
    pub(crate) width: usize,
}

/// Rows that are reduced: number 0 of a row is the response, number 1 its weight.
#[derive(Debug, Default, Clone)]
pub(crate) struct Reduced {
    pub(super) triangle: Triangle,
    pub(super) columns: Vec<ReducedColumn>,
    /// A string feature with too many levels: nothing else is known any more.
    pub(crate) overflow: Option<usize>,
}

/// A column of the triangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReducedColumn {
    /// Its number of the row.
    pub(crate) index: usize,
    pub(crate) level: Option<u32>,
    /// Rows with this level.
    pub(crate) rows: i64,
}

impl GroupState {
    pub(crate) fn heap_size(&self) -> usize {
        let reduced = self.reduced.as_ref().map_or(0, |reduced| {
            size_of::<Reduced>()
                + reduced.triangle.heap_size()
                + reduced.columns.capacity() * size_of::<ReducedColumn>()
        });
        self.rows.capacity() * size_of::<f64>() + reduced
    }

    /// Reduces the rows if there are enough of them, or `is_last`.
    pub(crate) fn reduce(&mut self, encoder: &FeatureEncoder, layout: Layout, is_last: bool) {
        let columns = self.reduced.as_ref().map_or(layout.width, |reduced| reduced.columns.len());
        let enough = MIN_REDUCED_ROWS.max(2 * columns) * layout.width;
        if self.rows.is_empty() || !(is_last || self.rows.len() >= enough) {
            return;
        }
        let reduced = self.reduced.get_or_insert_default();
        for rows in (Rows { values: &self.rows, width: layout.width }).blocks() {
            reduced.absorb(encoder, layout, rows);
        }
        self.rows.clear();
        self.rows.shrink_to(enough);
    }

    /// The levels of each feature that the rows have, by their codes; the value is the number of the level in the state.
    fn used_levels(&self, encoder: &FeatureEncoder, layout: Layout) -> Vec<BTreeMap<u32, u32>> {
        let mut used = vec![BTreeMap::new(); encoder.features.len()];
        for (index, (feature, used)) in encoder.features.iter().zip(&mut used).enumerate() {
            if feature.kind != FeatureKind::Text {
                continue;
            }
            let mut last = None;
            for row in (Rows { values: &self.rows, width: layout.width }).iter() {
                let code = row.get(layout.first + index).map_or(OTHER, |code| *code as u32);
                if last != Some(code) {
                    used.insert(code, 0);
                    last = Some(code);
                }
            }
            let columns = self.reduced.iter().flat_map(|reduced| &reduced.columns);
            used.extend(
                columns
                    .filter(|column| column.index == layout.first + index)
                    .filter_map(|column| Some((column.level?, 0))),
            );
            // A code without a string stays what it is.
            used.remove(&OTHER);
            used.values_mut().zip(0..).for_each(|(number, next)| *number = next);
        }
        used
    }

    /// Appends the state to the columns in which it travels.
    pub(crate) fn write<'a>(
        &self,
        encoder: &'a FeatureEncoder,
        layout: Layout,
        numbers: &mut Vec<f64>,
        strings: &mut Vec<&'a str>,
    ) {
        let used = self.used_levels(encoder, layout);
        let overflow = self.reduced.as_ref().and_then(|reduced| reduced.overflow);
        numbers.extend([self.missing as f64, overflow.map_or(-1.0, |feature| feature as f64)]);
        for (levels, used) in encoder.levels.iter().zip(&used) {
            numbers.push(used.len() as f64);
            strings.extend(used.keys().filter_map(|code| levels.name(*code)));
        }
        let number_of = |index: usize, code: u32| -> f64 {
            let known = index.checked_sub(layout.first).and_then(|feature| used.get(feature)?.get(&code));
            f64::from(known.copied().unwrap_or(OTHER))
        };
        match &self.reduced {
            None => numbers.push(-1.0),
            Some(reduced) => {
                numbers.push(reduced.columns.len() as f64);
                for column in &reduced.columns {
                    let level = column.level.map_or(-1.0, |code| number_of(column.index, code));
                    numbers.extend([column.index as f64, level, column.rows as f64]);
                }
                reduced.triangle.write(numbers);
            }
        }
        let texts: Vec<usize> = text_features(encoder).map(|feature| feature + layout.first).collect();
        if texts.is_empty() {
            numbers.extend_from_slice(&self.rows);
            return;
        }
        for row in (Rows { values: &self.rows, width: layout.width }).iter() {
            let start = numbers.len();
            numbers.extend_from_slice(row);
            for index in &texts {
                if let Some(value) = numbers.get_mut(start + index) {
                    *value = number_of(*index, *value as u32);
                }
            }
        }
    }

    /// Adds a state as it was written. `None` for numbers that no state has.
    pub(crate) fn merge(
        &mut self,
        encoder: &mut FeatureEncoder,
        layout: Layout,
        numbers: &[f64],
        mut strings: impl Iterator<Item = String>,
    ) -> Option<()> {
        let (head, mut rest) = numbers.split_at_checked(2 + encoder.features.len())?;
        let (missing, overflow, counts) = (head[0], head[1], &head[2..]);
        self.missing += missing as i64;
        let mut codes: Vec<Vec<u32>> = vec![];
        for (levels, count) in encoder.levels.iter_mut().zip(counts) {
            let mut known = vec![];
            for _ in 0..*count as usize {
                known.push(levels.code(&strings.next()?));
            }
            codes.push(known);
        }
        let code_of = |index: usize, number: f64| -> u32 {
            let codes = index.checked_sub(layout.first).and_then(|feature| codes.get(feature));
            codes.and_then(|codes| codes.get(number as usize)).copied().unwrap_or(OTHER)
        };
        let (count, after) = rest.split_first()?;
        rest = after;
        if *count >= 0.0 {
            let count = *count as usize;
            let (columns, after) = rest.split_at_checked(3 * count)?;
            let (triangle, after) = after.split_at_checked(Triangle::written_len(count))?;
            rest = after;
            let columns = columns.chunks_exact(3).map(|column| ReducedColumn {
                index: column[0] as usize,
                level: (column[1] >= 0.0).then(|| code_of(column[0] as usize, column[1])),
                rows: column[2] as i64,
            });
            let other = Reduced {
                triangle: Triangle::read(triangle, count)?,
                columns: columns.collect(),
                overflow: (overflow >= 0.0).then_some(overflow as usize),
            };
            self.reduced.get_or_insert_default().merge(&other, layout);
        }
        if rest.len() % layout.width.max(1) != 0 {
            return None;
        }
        let start = self.rows.len();
        self.rows.extend_from_slice(rest);
        let texts: Vec<usize> = text_features(encoder).map(|feature| feature + layout.first).collect();
        if !texts.is_empty() {
            for row in self.rows.get_mut(start..)?.chunks_exact_mut(layout.width.max(1)) {
                for index in &texts {
                    if let Some(value) = row.get_mut(*index) {
                        *value = f64::from(code_of(*index, *value));
                    }
                }
            }
        }
        Some(())
    }
}

fn text_features(encoder: &FeatureEncoder) -> impl Iterator<Item = usize> + '_ {
    let features = encoder.features.iter().enumerate();
    features.filter(|(_, feature)| feature.kind == FeatureKind::Text).map(|(index, _)| index)
}

impl Reduced {
    /// Rows that are kept, reduced.
    pub(crate) fn of_rows(encoder: &FeatureEncoder, layout: Layout, rows: &[f64]) -> Self {
        let mut reduced = Self::default();
        for rows in (Rows { values: rows, width: layout.width }).blocks() {
            reduced.absorb(encoder, layout, rows);
        }
        reduced
    }

    fn absorb(&mut self, encoder: &FeatureEncoder, layout: Layout, rows: Rows<'_>) {
        if self.overflow.is_some() {
            return;
        }
        if self.columns.is_empty() {
            let numbers = (0..encoder.features.len())
                .filter(|feature| {
                    encoder.features.get(*feature).is_some_and(|feature| feature.kind != FeatureKind::Text)
                })
                .map(|feature| feature + layout.first);
            let columns = std::iter::once(0).chain(numbers);
            self.columns.extend(columns.map(|index| ReducedColumn { index, level: None, rows: 0 }));
        }
        for feature in text_features(encoder) {
            let index = layout.first + feature;
            for row in rows.iter() {
                let code = row.get(index).map_or(OTHER, |code| *code as u32);
                if self.count(index, code, 1, layout).is_none() {
                    return;
                }
            }
        }
        self.triangle.widen(self.columns.len());
        let mut block = Vec::with_capacity(self.columns.len() * rows.len());
        let mut values = vec![];
        for column in &self.columns {
            Column { index: column.index, level: column.level.map(f64::from) }.fill(rows, &mut values);
            block.extend_from_slice(&values);
        }
        Column { index: 1, level: None }.fill(rows, &mut values);
        self.triangle.absorb(&block, &values);
    }

    /// Counts rows of a level and returns its column.
    fn count(&mut self, index: usize, code: u32, rows: i64, layout: Layout) -> Option<usize> {
        let known = self.columns.iter().position(|column| column.index == index && column.level == Some(code));
        if let Some(column) = known.and_then(|position| self.columns.get_mut(position)) {
            column.rows += rows;
            return known;
        }
        let levels = self.columns.iter().filter(|column| column.index == index).count();
        if code == OTHER || levels >= MAX_LEVELS {
            self.give_up(index.saturating_sub(layout.first));
            return None;
        }
        self.columns.push(ReducedColumn { index, level: Some(code), rows });
        Some(self.columns.len() - 1)
    }

    fn give_up(&mut self, feature: usize) {
        *self = Self { overflow: Some(feature), ..Self::default() };
    }

    fn merge(&mut self, other: &Self, layout: Layout) {
        if self.overflow.is_some() {
            return;
        }
        if let Some(feature) = other.overflow {
            self.give_up(feature);
            return;
        }
        let mut positions = vec![];
        for column in &other.columns {
            let position = match column.level {
                Some(code) => self.count(column.index, code, column.rows, layout),
                None => {
                    let known = self.columns.iter().position(|known| known.index == column.index);
                    Some(known.unwrap_or_else(|| {
                        self.columns.push(*column);
                        self.columns.len() - 1
                    }))
                }
            };
            match position {
                Some(position) => positions.push(position),
                None => return,
            }
        }
        self.triangle.widen(self.columns.len());
        self.triangle.merge(&other.triangle, &positions);
    }

    /// How many rows have each level of each feature.
    pub(crate) fn level_counts(&self, encoder: &FeatureEncoder, layout: Layout) -> LevelCounts {
        let mut counts: LevelCounts = vec![BTreeMap::new(); encoder.features.len()];
        for column in &self.columns {
            let feature = column.index.checked_sub(layout.first).and_then(|feature| counts.get_mut(feature));
            if let (Some(counts), Some(code)) = (feature, column.level) {
                counts.insert(code, column.rows);
            }
        }
        counts
    }

    /// The column of a number of the row, or of a level of it.
    pub(crate) fn column(&self, index: usize, level: Option<u32>) -> Option<usize> {
        self.columns.iter().position(|column| column.index == index && column.level == level)
    }
}

#[cfg(test)]
mod tests;
