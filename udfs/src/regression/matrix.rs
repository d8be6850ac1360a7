//! Rows of numbers as blocks of columns, and the sums over them that the fits need.

/// Rows in a block: its columns stay in the cache.
pub(super) const BLOCK_ROWS: usize = 256;

/// Encoded rows, `width` numbers each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f64],
    pub(super) width: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// The rows in blocks of at most [`BLOCK_ROWS`].
    pub(super) fn blocks(&self) -> impl Iterator<Item = Rows<'a>> {
        let width = self.width.max(1);
        self.values.chunks(BLOCK_ROWS * width).map(move |values| Rows { values, width })
    }

    pub(super) fn iter(&self) -> std::slice::ChunksExact<'a, f64> {
        self.values.chunks_exact(self.width.max(1))
    }
}

/// A column of the design matrix: a number of the encoded row, or whether that number is the code of a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Column {
    pub(super) index: usize,
    pub(super) level: Option<f64>,
}

impl Column {
    #[inline]
    pub(super) fn value(&self, row: &[f64]) -> f64 {
        let value = row.get(self.index).copied().unwrap_or(f64::NAN);
        match self.level {
            None => value,
            Some(code) => f64::from(u8::from(value == code)),
        }
    }

    /// Replaces `out` by the values of the column.
    pub(super) fn fill(&self, rows: Rows<'_>, out: &mut Vec<f64>) {
        out.clear();
        out.extend(rows.iter().map(|row| self.value(row)));
    }
}

/// Sum of products, in eight parts: vector instructions, and a smaller rounding error than one sum.
#[inline]
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_parts, b_parts) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_parts.remainder().iter().zip(b_parts.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_parts.zip(b_parts) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// `target += factor * source`.
#[inline]
pub(super) fn add_scaled(target: &mut [f64], factor: f64, source: &[f64]) {
    for (target, source) in target.iter_mut().zip(source) {
        *target += factor * source;
    }
}

/// The Cholesky factor L of a symmetric matrix (row by row, `size` rows): A = L L'. `None` if it is not positive definite.
pub(super) fn cholesky(matrix: &[f64], size: usize) -> Option<Vec<f64>> {
    let mut factor = vec![0.0; size * size];
    for row in 0..size {
        for column in 0..=row {
            let mut sum = matrix[row * size + column];
            for k in 0..column {
                sum -= factor[row * size + k] * factor[column * size + k];
            }
            if row == column {
                if !(sum > 0.0 && sum.is_finite()) {
                    return None;
                }
                factor[row * size + row] = sum.sqrt();
            } else {
                factor[row * size + column] = sum / factor[column * size + column];
            }
        }
    }
    Some(factor)
}

/// Solves L L' x = b for the factor of [`cholesky`].
pub(super) fn cholesky_solve(factor: &[f64], size: usize, b: &[f64]) -> Vec<f64> {
    let mut x = b.to_vec();
    for row in 0..size {
        for k in 0..row {
            x[row] -= factor[row * size + k] * x[k];
        }
        x[row] /= factor[row * size + row];
    }
    for row in (0..size).rev() {
        for k in row + 1..size {
            x[row] -= factor[k * size + row] * x[k];
        }
        x[row] /= factor[row * size + row];
    }
    x
}

/// The inverse of a symmetric positive definite matrix by its Cholesky factor.
pub(super) fn cholesky_inverse(factor: &[f64], size: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; size * size];
    for column in 0..size {
        let mut unit = vec![0.0; size];
        unit[column] = 1.0;
        for (row, value) in cholesky_solve(factor, size, &unit).into_iter().enumerate() {
            inverse[row * size + column] = value;
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_adds_every_part() {
        let a: Vec<f64> = (1..=19).map(f64::from).collect();
        // 1 + 4 + 9 + .. + 361 = 19 20 39 / 6
        assert_eq!(dot(&a, &a), 2470.0);
    }

    #[test]
    fn cholesky_of_a_known_matrix() {
        // [4 2; 2 5] = [2 0; 1 2] [2 1; 0 2]
        let factor = cholesky(&[4.0, 2.0, 2.0, 5.0], 2).unwrap();
        assert_eq!(factor, [2.0, 0.0, 1.0, 2.0]);
        assert_eq!(cholesky_solve(&factor, 2, &[8.0, 12.0]), [1.0, 2.0]);
        assert_eq!(cholesky_inverse(&factor, 2), [0.3125, -0.125, -0.125, 0.25]);
        assert_eq!(cholesky(&[1.0, 2.0, 2.0, 1.0], 2), None);
        assert_eq!(cholesky(&[f64::NAN], 1), None);
    }
}
