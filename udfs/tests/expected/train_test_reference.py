"""The split of train_test by its documentation, with the Python package of BLAKE3.

    pip install blake3==1.0.11
    python train_test_reference.py

Prints the query and the rows that udfs/tests/slt/train_test.slt expects.
"""

import struct

import blake3


def train_test(key, share=0.8, seed=42):
    """'train' or 'test' of an integer or a string."""
    if isinstance(key, str):
        kind, data = b"s", key.encode()
    else:
        kind, data = b"i", key.to_bytes(16, "little", signed=True)
    digest = blake3.blake3(struct.pack("<q", seed) + kind + data).digest()
    number = (int.from_bytes(digest[:8], "little") >> 11) / 2**53
    return "train" if number < share else "test"


def slt():
    """The query of the test and its rows."""
    lines = [
        "query ITTTT",
        "select value, train_test(value), train_test(value, 0.5), train_test(value, 0.5, -7), "
        "train_test('customer ' || value, 0.5)",
        "from generate_series(-3, 8) order by value",
        "----",
    ]
    for value in range(-3, 9):
        row = [train_test(value), train_test(value, 0.5), train_test(value, 0.5, -7), train_test(f"customer {value}", 0.5)]
        lines.append(" ".join([str(value), *row]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(slt())
