"""Expected values of zscore and modified_zscore for tests/slt/{zscore,modified_zscore}.slt.

Not run by the tests. Its output is kept beside it: python3 outlier_reference.py > outlier_expected.csv
Needs numpy, pandas, scipy and statsmodels (made with the versions in the first line of its output).

Nothing here is our code: z-scores by scipy and, to check it, pandas; the median absolute deviation by scipy and, to check
it, statsmodels; the mean absolute deviation by numpy.
"""

import numpy
import pandas
import scipy
import scipy.stats
import statsmodels
import statsmodels.robust.scale

DATASETS = {
    # NIST/SEMATECH e-Handbook 1.3.5.17.1, Grubbs' test: eight uranium isotope readings of a mass spectrometer.
    "nist_grubbs": [199.31, 199.53, 200.19, 200.82, 201.92, 201.95, 202.18, 245.57],
    # Vertical semi-diameters of Venus, NIST/SEMATECH e-Handbook 1.3.5.17.2 (Tietjen and Moore 1972).
    "nist_venus": [-1.40, -0.44, -0.30, -0.24, -0.22, -0.13, -0.05, 0.06, 0.10, 0.18, 0.20, 0.39, 0.48, 0.63, 1.01],
    # Handle times in seconds, with equal ones, and a far one.
    "handle_s": [240, 255, 255, 270, 300, 310, 325, 1800],
    # More than half equal: the MAD is 0.
    "mostly_zero": [0, 0, 0, 0, 0, 3, 12],
    # Far from zero and close together, where sums of squares cancel.
    "offset": [1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16],
}


def text(value):
    """A float as the SQL logic tests print it: 12 significant digits, no exponent, no trailing zeros."""
    return numpy.format_float_positional(float(f"{value:.12g}"), trim="-")


def zscores(x):
    scores = scipy.stats.zscore(x, ddof=1)
    series = pandas.Series(x, dtype="float64")
    numpy.testing.assert_allclose(scores, (series - series.mean()) / series.std(), rtol=1e-9)
    return scores


def modified_zscores(x):
    median = numpy.median(x)
    mad = scipy.stats.median_abs_deviation(x)
    assert mad == statsmodels.robust.scale.mad(x, c=1)
    if mad > 0:
        return 0.6745 * (x - median) / mad
    return (x - median) / (1.253314 * numpy.mean(numpy.abs(x - median)))


def main():
    libraries = (numpy, pandas, scipy, statsmodels)
    print("# " + ", ".join(f"{library.__name__} {library.__version__}" for library in libraries))
    print("dataset,x,zscore,modified_zscore")
    for name, values in DATASETS.items():
        x = numpy.array(values, dtype="float64")
        for row in zip(x, zscores(x), modified_zscores(x)):
            print(",".join([name, *map(text, row)]))


main()
