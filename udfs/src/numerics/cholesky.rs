//! Cholesky factors of symmetric positive semidefinite matrices, with columns that depend on earlier ones left out.
//!
//! A column whose pivot falls below a share of its diagonal is a linear combination of the columns before it. It gets no
//! pivot: solutions are 0 there, and so are its row and column of the inverse.

/// A matrix is stored by rows, `size * size` numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cholesky {
    size: usize,
    /// The lower triangle by rows; rows and columns that are left out are 0.
    lower: Vec<f64>,
    is_left_out: Vec<bool>,
}

impl Cholesky {
    /// The factor of `matrix`; a pivot at or below `tolerance` times its diagonal element leaves its column out.
    pub(crate) fn of(matrix: &[f64], size: usize, tolerance: f64) -> Self {
        let mut lower = vec![0.0; size * size];
        let mut is_left_out = vec![false; size];
        for column in 0..size {
            let diagonal = matrix[column * size + column];
            let own = &lower[column * size..column * size + column];
            let pivot = diagonal - own.iter().map(|value| value * value).sum::<f64>();
            // NaN has no pivot either
            if !(pivot > tolerance * diagonal && pivot > 0.0) {
                is_left_out[column] = true;
                continue;
            }
            let root = pivot.sqrt();
            lower[column * size + column] = root;
            for row in column + 1..size {
                let product: f64 =
                    (0..column).map(|index| lower[row * size + index] * lower[column * size + index]).sum();
                lower[row * size + column] = (matrix[row * size + column] - product) / root;
            }
        }
        // a row that is left out has no part in the others
        for (row, _) in is_left_out.iter().enumerate().filter(|(_, is_left_out)| **is_left_out) {
            lower[row * size..(row + 1) * size].fill(0.0);
        }
        Self { size, lower, is_left_out }
    }

    /// Which columns are left out.
    pub(crate) fn left_out(&self) -> &[bool] {
        &self.is_left_out
    }

    /// How many columns have a pivot.
    pub(crate) fn rank(&self) -> usize {
        self.is_left_out.iter().filter(|is_left_out| !**is_left_out).count()
    }

    /// The x of `matrix * x = right`.
    pub(crate) fn solve(&self, right: &[f64]) -> Vec<f64> {
        let size = self.size;
        let mut x = right.to_vec();
        for row in 0..size {
            if self.is_left_out[row] {
                x[row] = 0.0;
                continue;
            }
            let sum: f64 = (0..row).map(|index| self.lower[row * size + index] * x[index]).sum();
            x[row] = (x[row] - sum) / self.lower[row * size + row];
        }
        for row in (0..size).rev().filter(|row| !self.is_left_out[*row]) {
            let sum: f64 = (row + 1..size).map(|index| self.lower[index * size + row] * x[index]).sum();
            x[row] = (x[row] - sum) / self.lower[row * size + row];
        }
        x
    }

    /// The inverse of the matrix.
    pub(crate) fn inverse(&self) -> Vec<f64> {
        let size = self.size;
        let mut inverse = vec![0.0; size * size];
        for column in (0..size).filter(|column| !self.is_left_out[*column]) {
            let mut unit = vec![0.0; size];
            unit[column] = 1.0;
            for (row, value) in self.solve(&unit).into_iter().enumerate() {
                inverse[row * size + column] = value;
            }
        }
        inverse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_by_hand() {
        // (4 2; 2 3) = L L' with L = (2 0; 1 sqrt 2); its inverse is (3 -2; -2 4) / 8.
        let factor = Cholesky::of(&[4.0, 2.0, 2.0, 3.0], 2, 1e-12);
        let inverse = factor.inverse();
        for (got, wanted) in inverse.iter().zip([0.375, -0.25, -0.25, 0.5]) {
            assert!((got - wanted).abs() < 1e-15, "{inverse:?}");
        }
        // 4 x + 2 y = 8, 2 x + 3 y = 8: x = 1, y = 2
        let x = factor.solve(&[8.0, 8.0]);
        assert!((x[0] - 1.0).abs() < 1e-15 && (x[1] - 2.0).abs() < 1e-15, "{x:?}");
    }

    #[test]
    fn a_column_that_depends_on_others_is_left_out() {
        // columns a, 2 a, b with a'a = 1, b'b = 1, a'b = 0
        let matrix = [1.0, 2.0, 0.0, 2.0, 4.0, 0.0, 0.0, 0.0, 1.0];
        let factor = Cholesky::of(&matrix, 3, 1e-10);
        assert_eq!(factor.left_out(), [false, true, false]);
        assert_eq!(factor.rank(), 2);
        assert_eq!(factor.solve(&[3.0, 6.0, 5.0]), [3.0, 0.0, 5.0]);
        assert_eq!(Cholesky::of(&[f64::NAN], 1, 1e-10).left_out(), [true]);
        assert_eq!(Cholesky::of(&[0.0], 1, 1e-10).left_out(), [true]);
    }
}
