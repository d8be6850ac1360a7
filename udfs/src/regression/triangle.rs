//! Weighted rows reduced to a triangle: least squares in a memory that does not grow with the rows.
//!
//! ```text
//!  rows, centred at their means       R, upper triangular      least squares of one column on others
//!  +---+---+---+                      +---+---+---+
//!  | y | a | b |     Householder      | r | r | r |            QR of the chosen columns of R
//!  | y | a | b |  ----------------->  |   | r | r |  --------> estimates, residual, R^-1
//!  | ..        |                      |   |   | r |
//!  +---+---+---+                      +---+---+---+
//! ```
//!
//! R'R is the matrix of centred squares and products, which is never formed: a QR decomposition has twice its digits.
//! States merge in any order: R, below it the other R, and one row with the difference of the means times
//! sqrt(w1 w2 / (w1 + w2)) (the merge of T. F. Chan, G. H. Golub and R. J. LeVeque 1983 for many columns). A column that
//! comes later (a level that no earlier row has) was 0 before: a column of zeros.
//!
//! Source: G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed., 2013, sections 5.2 and 6.5.

use super::matrix::{add_scaled, dot};

/// A column is a combination of those before it when this part of its length, at most, is left of it.
const COLLINEAR: f64 = 1e-11;

/// Relative to its mean, below this a spread is rounding.
const ROUNDING: f64 = 16.0 * f64::EPSILON;

/// Reduced rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Triangle {
    pub(super) rows: i64,
    pub(super) weight: f64,
    /// A value of each column near its mean: the first one.
    origins: Vec<f64>,
    /// The means less the origins, so that values far from 0 keep the digits of their spread.
    means: Vec<f64>,
    /// Row by row, as many as columns, 0 below the diagonal.
    factor: Vec<f64>,
}

impl Triangle {
    pub(super) fn width(&self) -> usize {
        self.means.len()
    }

    /// The mean of a column.
    pub(super) fn mean(&self, column: usize) -> f64 {
        self.origins[column] + self.means[column]
    }

    /// Appends columns that were 0 in all rows so far.
    pub(super) fn widen(&mut self, width: usize) {
        let old = self.width();
        if width <= old {
            return;
        }
        let mut factor = vec![0.0; width * width];
        for row in 0..old {
            factor[row * width..row * width + old].copy_from_slice(&self.factor[row * old..(row + 1) * old]);
        }
        self.factor = factor;
        self.origins.resize(width, 0.0);
        self.means.resize(width, 0.0);
    }

    /// Adds a block of rows: its columns one after the other, with one weight > 0 for each row.
    pub(super) fn absorb(&mut self, columns: &[f64], weights: &[f64]) {
        let (width, rows) = (self.width(), weights.len());
        let added = weights.iter().sum::<f64>();
        if rows == 0 || width == 0 {
            return;
        }
        let (total, height) = (self.weight + added, rows + 1);
        // Not sqrt(w1 w2 / ..): the product may overflow.
        let coupling = if self.weight > 0.0 { self.weight.sqrt() * (added / total).sqrt() } else { 0.0 };
        let mut block = vec![0.0; height * width];
        let is_first = self.weight <= 0.0;
        let sources = columns.chunks_exact(rows).zip(block.chunks_exact_mut(height));
        for ((source, target), (origin, mean)) in sources.zip(self.origins.iter_mut().zip(&mut self.means)) {
            if is_first {
                *origin = source[0];
            }
            for (target, value) in target.iter_mut().zip(source) {
                *target = value - *origin;
            }
            let first = dot(&target[..rows], weights) / added;
            let error: f64 = target.iter().zip(weights).map(|(value, weight)| (value - first) * weight).sum();
            let middle = first + error / added;
            for (target, weight) in target.iter_mut().zip(weights) {
                *target = (*target - middle) * weight.sqrt();
            }
            let difference = middle - *mean;
            target[rows] = coupling * difference;
            *mean = if is_first { middle } else { *mean + difference * (added / total) };
        }
        self.rows += rows as i64;
        self.weight = total;
        reduce(&mut self.factor, width, &mut block, height);
    }

    /// Adds the rows of `other`, whose column `i` is column `positions[i]` here.
    pub(super) fn merge(&mut self, other: &Self, positions: &[usize]) {
        if other.weight <= 0.0 {
            return;
        }
        let (width, theirs) = (self.width(), other.width());
        let (total, height) = (self.weight + other.weight, theirs + 1);
        let coupling = if self.weight > 0.0 { self.weight.sqrt() * (other.weight / total).sqrt() } else { 0.0 };
        let mut block = vec![0.0; height * width];
        let is_first = self.weight <= 0.0;
        let mut middles: Vec<f64> = self.origins.iter().map(|origin| -origin).collect();
        for (column, position) in positions.iter().enumerate().take(theirs) {
            let Some(target) = block.get_mut(position * height..(position + 1) * height) else { continue };
            for (row, target) in target.iter_mut().enumerate().take(theirs) {
                *target = other.factor[row * theirs + column];
            }
            if is_first {
                self.origins[*position] = other.origins[column];
            }
            middles[*position] = (other.origins[column] - self.origins[*position]) + other.means[column];
        }
        for ((target, mean), middle) in block.chunks_exact_mut(height).zip(&mut self.means).zip(middles) {
            let difference = middle - *mean;
            target[theirs] = coupling * difference;
            *mean = if is_first { middle } else { *mean + difference * (other.weight / total) };
        }
        self.rows += other.rows;
        self.weight = total;
        reduce(&mut self.factor, width, &mut block, height);
    }

    /// Appends its numbers to a state, as many as [`Triangle::read`] takes.
    pub(super) fn write(&self, numbers: &mut Vec<f64>) {
        numbers.extend([self.rows as f64, self.weight]);
        numbers.extend_from_slice(&self.origins);
        numbers.extend_from_slice(&self.means);
        let width = self.width();
        for row in 0..width {
            numbers.extend_from_slice(&self.factor[row * width + row..(row + 1) * width]);
        }
    }

    /// The inverse of [`Triangle::write`]; `None` for other numbers than it writes.
    pub(super) fn read(numbers: &[f64], width: usize) -> Option<Self> {
        let (head, rest) = numbers.split_at_checked(2)?;
        let (origins, rest) = rest.split_at_checked(width)?;
        let (means, mut rest) = rest.split_at_checked(width)?;
        let mut factor = vec![0.0; width * width];
        for row in 0..width {
            let (values, after) = rest.split_at_checked(width - row)?;
            factor[row * width + row..(row + 1) * width].copy_from_slice(values);
            rest = after;
        }
        rest.is_empty().then(|| Self {
            rows: head[0] as i64,
            weight: head[1],
            origins: origins.to_vec(),
            means: means.to_vec(),
            factor,
        })
    }

    /// How many numbers [`Triangle::write`] appends.
    pub(super) fn written_len(width: usize) -> usize {
        2 + 2 * width + width * (width + 1) / 2
    }

    pub(super) fn heap_size(&self) -> usize {
        (self.origins.capacity() + self.means.capacity() + self.factor.capacity()) * size_of::<f64>()
    }

    /// The length of a column, centred at its mean: the square root of its sum of squares.
    pub(super) fn length(&self, column: usize) -> f64 {
        let width = self.width();
        norm(&(0..=column).map(|row| self.factor[row * width + column]).collect::<Vec<_>>())
    }

    /// Least squares of column `y` on the columns `x` and a constant.
    pub(super) fn least_squares(&self, y: usize, x: &[usize]) -> LeastSquares {
        let (width, count) = (self.width(), x.len());
        // The chosen columns of R, y last.
        let mut block = Vec::with_capacity((count + 1) * width);
        for column in x.iter().chain([&y]) {
            block.extend((0..width).map(|row| self.factor[row * width + column]));
        }
        let lengths: Vec<f64> = block.chunks_exact(width.max(1)).map(norm).collect();
        let mut solution =
            LeastSquares { kept: vec![], left_out: vec![], estimates: vec![], inverse: vec![], residual: 0.0 };
        // Rows of the new triangle, one for each column that is kept.
        let mut triangle: Vec<Vec<f64>> = vec![];
        for (position, column) in x.iter().enumerate() {
            let (before, after) = block.split_at_mut((position + 1) * width);
            let pivot = &mut before[position * width..];
            let left = norm(pivot);
            let least = COLLINEAR * lengths[position] + ROUNDING * self.mean(*column).abs() * self.weight.sqrt();
            if left.is_nan() || left <= least {
                solution.left_out.push(position);
                continue;
            }
            // The pivot column is left as it is in row `position`: all of it is in the block.
            let mut row = vec![0.0; count + 1];
            row[position] = eliminate(0.0, pivot, after, width, &mut row[position + 1..]);
            solution.kept.push(position);
            triangle.push(row);
        }
        solution.residual = block.get(count * width..).map_or(f64::NAN, norm);
        solution.solve(&triangle, count);
        solution
    }
}

/// The solution of a problem of least squares.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LeastSquares {
    /// Which columns have an estimate, by their position among those given.
    pub(super) kept: Vec<usize>,
    /// Which are combinations of those before them, or constant.
    pub(super) left_out: Vec<usize>,
    /// One for each column that is kept.
    pub(super) estimates: Vec<f64>,
    /// The inverse of the centred matrix of squares and products, row by row, of the columns kept.
    pub(super) inverse: Vec<f64>,
    /// The square root of the sum of squared residuals.
    pub(super) residual: f64,
}

impl LeastSquares {
    /// Back substitution; `triangle` has the row of each column kept, with y in the last column.
    fn solve(&mut self, triangle: &[Vec<f64>], y: usize) {
        let count = self.kept.len();
        let at = |row: usize, column: usize| triangle[row][self.kept[column]];
        let mut estimates = vec![0.0; count];
        // R^-1, row by row.
        let mut inverse = vec![0.0; count * count];
        for row in (0..count).rev() {
            let mut sum = triangle[row][y];
            for (column, estimate) in estimates.iter().enumerate().skip(row + 1) {
                sum -= at(row, column) * estimate;
            }
            estimates[row] = sum / at(row, row);
            inverse[row * count + row] = 1.0 / at(row, row);
            for column in row + 1..count {
                let sum: f64 = (row + 1..=column).map(|k| at(row, k) * inverse[k * count + column]).sum();
                inverse[row * count + column] = -sum / at(row, row);
            }
        }
        self.inverse = vec![0.0; count * count];
        for row in 0..count {
            for column in 0..count {
                let from = row.max(column);
                let (a, b) = (&inverse[row * count..(row + 1) * count], &inverse[column * count..(column + 1) * count]);
                self.inverse[row * count + column] = dot(&a[from..], &b[from..]);
            }
        }
        self.estimates = estimates;
    }
}

/// The length of a vector, without overflow of its squares.
fn norm(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    if largest == 0.0 || !largest.is_finite() {
        // NaN where a value is NaN: `max` does not see it.
        return values.iter().sum::<f64>().abs() + largest;
    }
    if (1e-140..1e140).contains(&largest) {
        return dot(values, values).sqrt();
    }
    largest * values.iter().map(|value| (value / largest).powi(2)).sum::<f64>().sqrt()
}

/// Householder's reflections that turn the triangle with the block below it into a triangle.
fn reduce(factor: &mut [f64], width: usize, block: &mut [f64], height: usize) {
    for column in 0..width {
        let (before, after) = block.split_at_mut((column + 1) * height);
        let pivot = &mut before[column * height..];
        let row = &mut factor[column * width..(column + 1) * width];
        let (diagonal, others) = row[column..].split_at_mut(1);
        diagonal[0] = eliminate(diagonal[0], pivot, after, height, others);
    }
}

/// One reflection: turns (`diagonal`, `pivot`) into (result, 0, .., 0) and applies it to (`row[i]`, column i of `others`).
fn eliminate(diagonal: f64, pivot: &mut [f64], others: &mut [f64], height: usize, row: &mut [f64]) -> f64 {
    let below = norm(pivot);
    if below == 0.0 {
        return diagonal;
    }
    let length = diagonal.hypot(below);
    let result = if diagonal > 0.0 { -length } else { length };
    let head = diagonal - result;
    let factor = (result - diagonal) / result;
    pivot.iter_mut().for_each(|value| *value /= head);
    for (value, column) in row.iter_mut().zip(others.chunks_exact_mut(height)) {
        let step = factor * (*value + dot(pivot, column));
        *value -= step;
        add_scaled(column, -step, pivot);
    }
    result
}

#[cfg(test)]
mod tests;
