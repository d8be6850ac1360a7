//! Clusters of rows by k-means: pure state, in standardised features.
//!
//! Rows are put into an order that depends on them and the seed alone (by a hash; copies of a row are spread), so that the
//! same rows give the same clusters in any order of arrival. Each of ten starts chooses its centroids by k-means++ among
//! the first [`SAMPLE`] rows of that order, a random sample of all, and moves them until no row of the sample changes its
//! cluster; the best start then goes on over all rows. Rows that are near enough to their centroid are not compared with
//! the others (G. Hamerly, SIAM International Conference on Data Mining 2010, 130-140).
//!
//! Source: D. Arthur and S. Vassilvitskii, k-means++, SODA 2007, 1027-1035; S. P. Lloyd, IEEE Transactions on Information
//! Theory 28 (1982) 129-137; P. J. Rousseeuw, Silhouettes, Journal of Computational and Applied Mathematics 20 (1987) 53-65.

/// Rows from which the starts choose.
pub(super) const SAMPLE: usize = 20_000;

/// Rows of which the silhouette is computed.
pub(super) const SILHOUETTE_ROWS: usize = 2_000;

const STARTS: u64 = 10;

/// Most passes over the rows.
const MAX_PASSES: i64 = 500;

/// Clusters of standardised rows, the largest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Clusters {
    /// As many numbers for each cluster as features.
    pub(super) centroids: Vec<f64>,
    pub(super) sizes: Vec<i64>,
    /// Sum of squared distances of the rows of each cluster from its centroid.
    pub(super) inertias: Vec<f64>,
    pub(super) passes: i64,
    pub(super) is_converged: bool,
    /// Of the first [`SILHOUETTE_ROWS`] rows of the order.
    pub(super) silhouette: f64,
    pub(super) silhouette_rows: usize,
}

/// A generator of random numbers (SplitMix64; G. L. Steele, D. Lea and C. H. Flood 2014).
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number from 0, below 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// The rows (`width` numbers each) in an order that depends on them and the seed alone, and how many are distinct.
pub(super) fn canonical_order(rows: &[f64], width: usize, seed: u64) -> (Vec<f64>, usize) {
    let hash = |row: &[f64]| {
        // -0 is 0
        row.iter().fold(mix(seed ^ 0x6A09_E667_F3BC_C908), |hash, value| {
            mix(hash ^ (value + 0.0).to_bits()).wrapping_add(hash)
        })
    };
    let width = width.max(1);
    let mut order: Vec<(u64, usize)> = rows.chunks_exact(width).map(hash).zip(0..).collect();
    let row = |index: usize| rows.get(index * width..(index + 1) * width).unwrap_or_default();
    let compare = |(one, a): &(u64, usize), (other, b): &(u64, usize)| {
        // Rows of one hash that differ are ordered by their values.
        one.cmp(other).then_with(|| {
            let values = row(*a).iter().zip(row(*b)).map(|(one, other)| (one + 0.0).total_cmp(&(other + 0.0)));
            values.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        })
    };
    order.sort_unstable_by(compare);
    let mut distinct = 0;
    let mut copy = 0;
    // The copies of a row get hashes of their own: else they would stand together, and a sample would have all or none.
    let mut spread = Vec::with_capacity(order.len());
    for position in 0..order.len() {
        let Some((hash, index)) = order.get(position).copied() else { break };
        let before = position.checked_sub(1).and_then(|before| order.get(before));
        let is_copy = before.is_some_and(|(_, before)| row(*before) == row(index));
        copy = if is_copy { copy + 1 } else { 0 };
        distinct += usize::from(!is_copy);
        spread.push((if copy == 0 { hash } else { mix(hash ^ mix(copy)) }, index));
    }
    spread.sort_unstable_by(compare);
    let mut ordered = Vec::with_capacity(rows.len());
    spread.iter().for_each(|(_, index)| ordered.extend(row(*index).iter().map(|value| value + 0.0)));
    (ordered, distinct)
}

#[inline]
fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The nearest centroid of a row, its squared distance, and that of the second nearest. Of equally near ones the first.
pub(super) fn nearest(row: &[f64], centroids: &[f64]) -> (usize, f64, f64) {
    let (mut best, mut least, mut second) = (0, f64::INFINITY, f64::INFINITY);
    for (index, centroid) in centroids.chunks_exact(row.len().max(1)).enumerate() {
        let distance = squared_distance(row, centroid);
        if distance < least {
            (best, second, least) = (index, least, distance);
        } else if distance < second {
            second = distance;
        }
    }
    (best, least, second)
}

/// Centroids by k-means++: each next one a row, with a probability in proportion to its squared distance from those before;
/// of several candidates the one that leaves the least.
fn plus_plus(rows: &[f64], width: usize, k: usize, random: &mut Random) -> Vec<f64> {
    let count = rows.len() / width;
    let row = |index: usize| rows.get(index * width..(index + 1) * width).unwrap_or_default();
    let candidates = 2 + (k as f64).ln() as usize;
    let first = ((random.share() * count as f64) as usize).min(count.saturating_sub(1));
    let mut centroids = row(first).to_vec();
    let mut distances: Vec<f64> = rows.chunks_exact(width).map(|other| squared_distance(other, row(first))).collect();
    while centroids.len() < k * width {
        let total: f64 = distances.iter().sum();
        let mut best: Option<(f64, usize, Vec<f64>)> = None;
        for _ in 0..candidates {
            let mut left = random.share() * total;
            let chosen = distances.iter().position(|distance| {
                left -= distance;
                left < 0.0
            });
            // Rounding may leave the end without a row: the farthest one.
            let farthest =
                || distances.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(index, _)| index);
            let chosen = chosen.unwrap_or_else(farthest);
            let after: Vec<f64> = rows
                .chunks_exact(width)
                .zip(&distances)
                .map(|(other, distance)| distance.min(squared_distance(other, row(chosen))))
                .collect();
            let sum: f64 = after.iter().sum();
            if best.as_ref().is_none_or(|(least, ..)| sum < *least) {
                best = Some((sum, chosen, after));
            }
        }
        let Some((_, chosen, after)) = best else { break };
        centroids.extend_from_slice(row(chosen));
        distances = after;
    }
    centroids
}

/// Centroids in columns: the distances of a row from all of them are computed side by side.
#[derive(Debug)]
struct Columns {
    k: usize,
    /// The first number of each centroid, then the second ones.
    values: Vec<f64>,
    distances: Vec<f64>,
}

impl Columns {
    fn new(centroids: &[f64], width: usize) -> Self {
        let k = centroids.len() / width;
        let column = |index: usize| centroids.iter().skip(index).step_by(width).copied();
        Self { k, values: (0..width).flat_map(column).collect(), distances: vec![0.0; k] }
    }

    /// As [`nearest`].
    fn nearest(&mut self, row: &[f64]) -> (usize, f64, f64) {
        self.distances.fill(0.0);
        for (value, column) in row.iter().zip(self.values.chunks_exact(self.k)) {
            for (distance, centroid) in self.distances.iter_mut().zip(column) {
                let difference = value - centroid;
                *distance += difference * difference;
            }
        }
        let (mut best, mut least, mut second) = (0, f64::INFINITY, f64::INFINITY);
        for (index, distance) in self.distances.iter().enumerate() {
            if *distance < least {
                (best, second, least) = (index, least, *distance);
            } else if *distance < second {
                second = *distance;
            }
        }
        (best, least, second)
    }
}

/// Sums and numbers of the rows of each cluster.
#[derive(Debug)]
struct ClusterSums {
    width: usize,
    sums: Vec<f64>,
    sizes: Vec<i64>,
}

impl ClusterSums {
    fn of(rows: &[f64], width: usize, labels: &[u32], k: usize) -> Self {
        let mut sums = Self { width, sums: vec![0.0; k * width], sizes: vec![0; k] };
        rows.chunks_exact(width).zip(labels).for_each(|(row, label)| sums.add(*label, row, 1));
        sums
    }

    /// Adds a row, or takes it away with a `count` of -1.
    fn add(&mut self, label: u32, row: &[f64], count: i64) {
        let cluster = label as usize;
        if let Some(size) = self.sizes.get_mut(cluster) {
            *size += count;
        }
        let sign = count as f64;
        let sums = self.sums.get_mut(cluster * self.width..(cluster + 1) * self.width).unwrap_or_default();
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += sign * value);
    }

    /// Moves the centroids of clusters with rows to their means; how far each one has moved.
    fn move_centroids(&self, centroids: &mut [f64]) -> Vec<f64> {
        let clusters = centroids.chunks_exact_mut(self.width).zip(self.sums.chunks_exact(self.width)).zip(&self.sizes);
        let moved = clusters.map(|((centroid, sum), size)| {
            if *size == 0 {
                return 0.0;
            }
            let mut moved = 0.0;
            for (value, sum) in centroid.iter_mut().zip(sum) {
                let mean = sum / *size as f64;
                moved += (*value - mean) * (*value - mean);
                *value = mean;
            }
            moved.sqrt()
        });
        moved.collect()
    }
}

/// Lloyd's passes from given centroids until no row changes its cluster: the cluster of each row, and how it ended.
fn lloyd(rows: &[f64], width: usize, centroids: &mut [f64]) -> (Vec<u32>, i64, bool) {
    let k = centroids.len() / width;
    let count = rows.len() / width;
    let mut labels = vec![0_u32; count];
    // Of each row: at most as far from its centroid, and at least as far from any other.
    let mut bounds = vec![(0.0_f64, 0.0_f64); count];
    let mut columns = Columns::new(centroids, width);
    for ((row, label), bounds) in rows.chunks_exact(width).zip(&mut labels).zip(&mut bounds) {
        let (best, least, second) = columns.nearest(row);
        *label = best as u32;
        *bounds = (least.sqrt(), second.sqrt());
    }
    let mut sums = ClusterSums::of(rows, width, &labels, k);
    let mut is_exact = true;
    for passes in 1..=MAX_PASSES {
        let mut moved = sums.move_centroids(centroids);
        // The farthest rows become the centroids of clusters without rows.
        let is_any_empty = sums.sizes.contains(&0);
        if is_any_empty {
            refill(rows, width, centroids, &labels, &sums.sizes);
            moved.fill(f64::INFINITY);
        }
        columns = Columns::new(centroids, width);
        let others_moved = farthest_of_others(&moved);
        let halves = half_distances(centroids, width);
        let mut changed = 0_usize;
        for ((row, label), (own, others)) in rows.chunks_exact(width).zip(&mut labels).zip(&mut bounds) {
            let cluster = *label as usize;
            *own += moved.get(cluster).copied().unwrap_or(0.0);
            *others -= others_moved.get(cluster).copied().unwrap_or(f64::INFINITY);
            // Nearer than half way to any other centroid; rounding of the bounds must not hide a change.
            let least = others.max(halves.get(cluster).copied().unwrap_or(0.0)) * (1.0 - 1e-12);
            if *own < least {
                continue;
            }
            let start = cluster * width;
            *own = squared_distance(row, centroids.get(start..start + width).unwrap_or_default()).sqrt();
            if *own < least {
                continue;
            }
            let (best, least, second) = columns.nearest(row);
            if best != cluster {
                sums.add(*label, row, -1);
                *label = best as u32;
                sums.add(*label, row, 1);
                changed += 1;
            }
            (*own, *others) = (least.sqrt(), second.sqrt());
        }
        if changed == 0 && !is_any_empty {
            if is_exact {
                return (labels, passes, true);
            }
            // The sums have the rounding of all changes: once more with new ones.
            sums = ClusterSums::of(rows, width, &labels, k);
            is_exact = true;
        } else {
            is_exact = false;
        }
    }
    (labels, MAX_PASSES, false)
}

/// For each centroid how far one of the others has moved at most.
fn farthest_of_others(moved: &[f64]) -> Vec<f64> {
    let (mut first, mut second, mut farthest) = (0.0_f64, 0.0_f64, 0);
    for (cluster, moved) in moved.iter().enumerate() {
        if *moved > first {
            (second, first, farthest) = (first, *moved, cluster);
        } else if *moved > second {
            second = *moved;
        }
    }
    (0..moved.len()).map(|cluster| if cluster == farthest { second } else { first }).collect()
}

/// Half of the distance of each centroid from the nearest other one.
fn half_distances(centroids: &[f64], width: usize) -> Vec<f64> {
    let of = |(index, centroid): (usize, &[f64])| {
        let others = centroids.chunks_exact(width).enumerate().filter(|(other, _)| *other != index);
        let least = others.map(|(_, other)| squared_distance(centroid, other)).fold(f64::INFINITY, f64::min);
        least.sqrt() / 2.0
    };
    centroids.chunks_exact(width).enumerate().map(of).collect()
}

/// Gives each cluster without rows the row that is farthest from its centroid.
fn refill(rows: &[f64], width: usize, centroids: &mut [f64], labels: &[u32], sizes: &[i64]) {
    let mut distances: Vec<(f64, usize)> = rows
        .chunks_exact(width)
        .zip(labels)
        .enumerate()
        .map(|(index, (row, label))| {
            let start = *label as usize * width;
            (squared_distance(row, centroids.get(start..start + width).unwrap_or_default()), index)
        })
        .collect();
    distances.sort_unstable_by(|(one, a), (other, b)| other.total_cmp(one).then(a.cmp(b)));
    let mut farthest = distances.into_iter();
    for (cluster, size) in sizes.iter().enumerate() {
        if *size > 0 {
            continue;
        }
        let Some((_, index)) = farthest.next() else { return };
        let row = rows.get(index * width..(index + 1) * width).unwrap_or_default();
        if let Some(centroid) = centroids.get_mut(cluster * width..(cluster + 1) * width) {
            centroid.copy_from_slice(row);
        }
    }
}

/// Sum of squared distances of the rows from their centroids, by cluster.
fn inertias(rows: &[f64], width: usize, centroids: &[f64], labels: &[u32]) -> Vec<f64> {
    let mut sums = vec![0.0; centroids.len() / width];
    for (row, label) in rows.chunks_exact(width).zip(labels) {
        let start = *label as usize * width;
        let distance = squared_distance(row, centroids.get(start..start + width).unwrap_or_default());
        if let Some(sum) = sums.get_mut(*label as usize) {
            *sum += distance;
        }
    }
    sums
}

/// The mean silhouette of rows: (b - a) / max(a, b) with the mean distance a from the rows of its own cluster and b from
/// those of the nearest other one; 0 for the only row of a cluster. NaN with fewer than two clusters.
fn silhouette(rows: &[f64], width: usize, labels: &[u32], k: usize) -> f64 {
    let mut sizes = vec![0.0_f64; k];
    labels.iter().for_each(|label| sizes[*label as usize] += 1.0);
    if sizes.iter().filter(|size| **size > 0.0).count() < 2 {
        return f64::NAN;
    }
    let mut total = 0.0;
    let mut sums = vec![0.0; k];
    for (row, label) in rows.chunks_exact(width).zip(labels) {
        sums.fill(0.0);
        for (other, label) in rows.chunks_exact(width).zip(labels) {
            sums[*label as usize] += squared_distance(row, other).sqrt();
        }
        let own = *label as usize;
        if sizes[own] <= 1.0 {
            continue;
        }
        let a = sums[own] / (sizes[own] - 1.0);
        let others = sums.iter().zip(&sizes).enumerate().filter(|(cluster, (_, size))| *cluster != own && **size > 0.0);
        let b = others.map(|(_, (sum, size))| sum / size).fold(f64::INFINITY, f64::min);
        let larger = a.max(b);
        total += if larger > 0.0 { (b - a) / larger } else { 0.0 };
    }
    total / labels.len() as f64
}

/// The clusters of standardised rows that are in their canonical order, of which at least `k` are distinct.
pub(super) fn clusters(rows: &[f64], width: usize, k: usize, seed: u64) -> Clusters {
    let count = rows.len() / width;
    let sample = rows.get(..count.min(SAMPLE) * width).unwrap_or(rows);
    let mut best: Option<(f64, Vec<f64>)> = None;
    for start in 0..STARTS {
        let mut random = Random(mix(seed).wrapping_add(start));
        let mut centroids = plus_plus(sample, width, k, &mut random);
        let (labels, ..) = lloyd(sample, width, &mut centroids);
        let inertia: f64 = inertias(sample, width, &centroids, &labels).iter().sum();
        if best.as_ref().is_none_or(|(least, _)| inertia < *least) {
            best = Some((inertia, centroids));
        }
    }
    let Some((_, mut centroids)) = best else { return Clusters::default() };
    let (labels, passes, is_converged) = lloyd(rows, width, &mut centroids);
    let inertias = inertias(rows, width, &centroids, &labels);
    let mut sizes = vec![0_i64; k];
    labels.iter().for_each(|label| sizes[*label as usize] += 1);
    let silhouette_rows = count.min(SILHOUETTE_ROWS);
    let head = (rows.get(..silhouette_rows * width), labels.get(..silhouette_rows));
    let silhouette = match head {
        (Some(rows), Some(labels)) => silhouette(rows, width, labels, k),
        _ => f64::NAN,
    };
    // The largest first, of equally large ones that with the smaller values.
    let centroid = |cluster: usize| centroids.get(cluster * width..(cluster + 1) * width).unwrap_or_default();
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by(|one, other| {
        let values = centroid(*one).iter().zip(centroid(*other)).map(|(one, other)| one.total_cmp(other));
        sizes[*other].cmp(&sizes[*one]).then(values.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then))
    });
    Clusters {
        centroids: order.iter().flat_map(|cluster| centroid(*cluster).iter().copied()).collect(),
        sizes: order.iter().map(|cluster| sizes[*cluster]).collect(),
        inertias: order.iter().map(|cluster| inertias[*cluster]).collect(),
        passes,
        is_converged,
        silhouette,
        silhouette_rows,
    }
}

#[cfg(test)]
mod tests;
