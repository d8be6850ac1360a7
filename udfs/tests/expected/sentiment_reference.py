"""Writes the expected values of the tests of `sentiment`: the compound scores of the reference program.

Reference: PyPI package vaderSentiment 3.3.2 (C.J. Hutto, MIT), run with Python 3.11. From Python 3.12 on `sum` of floats
is compensated, which can change the sign of a sum that is zero but for rounding; use 3.11 or older.

    python3.11 -m venv venv
    venv/bin/pip install vaderSentiment==3.3.2
    venv/bin/python udfs/tests/expected/sentiment_reference.py ../shared/data/sentiment_english

Writes beside itself:
- sentiment_<name>.txt, one compound score a line, in the order of <name>_GroundTruth.txt in the folder given
  (the texts themselves stay there);
- sentiment_edge_cases.tsv: repetitions, compound score, text; in the text a backslash, a control character, white
  space other than the blank, and a blank at either end stand as \\u{hex}. The text is repeated as often as the first column says.

Prints, for each input file, Pearson's correlation of the score with the mean human rating, and the share of texts whose
class (positive from .05, negative to -.05, else neutral) agrees with the sign of the rating.
"""

import math
import sys
from importlib.metadata import version
from pathlib import Path

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

HERE = Path(__file__).parent
NAMES = ["tweets", "amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets"]

EDGE_CASES = [
    # nothing to score
    "", " ", "\n\t ", "...", "?!", "!!!!!", "-- ** --", "17", "order 4711", "a", "\u200b", "\ufeff",
    # one word, one emoticon
    "good", "Good.", "GOOD", "bad", "(bad)", "¡good!", "“good”", "good\u200b", ":)", ":-)", ":D", ":-D", "=)", ":(", "xD",
    "XD", "<3", "ok", "ok!", "(ok)", "lol", "LOL", "fav", "'good'", "good-looking", "goodgood", "^urs", "fed up", "O_o",
    # emphasis by punctuation: four exclamation marks count, two or three question marks, more
    "good!", "good!!", "good!!!", "good!!!!", "good!!!!!", "good?", "good??", "good???", "good????", "good?????",
    "good!?", "good!?!?", "bad!!!", "bad???", "table!!!", "bad and good!!!", "! good",
    # capitals
    "this is GOOD", "THIS IS GOOD", "this is BAD", "GOOD morning", "a GOOD b", "1 GOOD", "Ⓐ good", "ǅ GOOD", "Aǅ GOOD", "ÄÖÜ good",
    "the shop is VERY good", "the shop is VERY bad", "the shop is HARDLY good", "NO good here", "the NO good", "GOOD iPhone",
    # degree words, one to four before, and phrases of two
    "very good", "very very good", "very bad", "hardly good", "hardly bad", "very nice table good", "very a good",
    "very a b good", "very a b c good", "extremely a b bad", "kind good", "kind of good", "a kind of good",
    "it is kind of good", "it is sort of bad", "just enough good", "it was just enough good", "kind-of good", "kinda good",
    "it is sort of a good", "it was just enough a good",
    "sort of", "kind of", "KIND OF good", "more good", "less bad", "so so good", "uber good", "most of the good",
    "The book was only kind of good.", "utterly, completely and totally bad",
    # negations one to four before
    "not good", "not a good", "not a b good", "not a b c good", "not bad", "never bad", "isn't good", "isn't a good",
    "isn't a b good", "isn't a b c good", "isnt good", "mayn't good", "ISN'T good", "isn’t good", "wouldn't've good",
    "cannot good", "not not good", "not very good", "not very very good", "nothing good", "nor good", "rarely good",
    "despite good", "without good", "without a good", "aint a bad", "uh-uh good", "can't stand", "can't stand it",
    "good not", "not", "At least it isn't a horrible book.",
    # never so, never this, so and this directly before, without doubt
    "never so good", "never this good", "never been so good", "never so very good", "never this very good", "never a so good",
    "a never so good", "a b so good", "a b this bad", "not so good", "he is not so good", "not this good", "this good",
    "without doubt good", "without a doubt good", "without doubt a good", "without any doubt good", "never doubt good",
    "it is without doubt good", "not so very good",
    # no
    "no", "No.", "no good", "no bad", "no problem", "no table", "no a good", "no a b good", "no good or bad",
    "no bad nor worse", "no good and bad", "NO good", "no no good", "no no", "no no no good", "is NO good", "there is no NO",
    # least
    "least good", "the least good", "at least good", "very least good", "the very least good", "at the least good",
    "LEAST good here", "least", "AT least good",
    # idioms: in the reference only from the fourth word on, after an unrated word
    "the shit", "the bomb", "he is the shit", "he is just the bomb", "this is the shit for us", "good is it the bomb",
    "yeah right", "oh yeah right", "well he said yeah right", "well she went yeah sure", "it was the kiss of death",
    "this is the bomb a bad ass", "a cake that is to die for", "it was a beating heart", "near to the bus stop", "he is a bad ass", "badass",
    "he is a badass", "such a bad ass fellow here", "for us the kiss of death and good", "what a to die for good",
    "what a beating heart good", "so a yeah right good", "this is just kind of good", "this is just sort of bad",
    "cut the mustard", "upper hand", "break a leg", "under the weather",
    # but
    "but", "good but bad", "bad but good", "good but", "but good", "good but good", "bad but bad", "good good but good good",
    "good bad but good bad", "good but bad but good", "BUT good bad", "good, but bad.", "good But, bad", "good butt bad",
    "nice good nice but good nice good nice", "good good good good but bad bad bad good",
    "great good great but great good good great but good", "fine sad fine sad but sad fine sad fine",
    "The plot was good, but the characters are uncompelling and the dialog is not great.",
    # emojis: words of their own, a blank before but none after
    "😀", "😂", "😭", "💔", "❤", "❤️", "so😀good", "so 😀 good", "😀good", "😀 good", "good😀", "😀😀", "😡!!!", "👍🏽", "👎", "🔛",
    "🆙 good", "‼ good", "❓❓ bad", "© good", "™good", "👩‍⚕️ good", "🇩🇪 bad", "Catch utf-8 emoji such as 💘 and 💋 and 😁",
    "\n😀good", "😀\tgood",
    # other scripts and other white space
    "很好", "很好 good", "服务非常好，谢谢！", "good。", "좋아요 good", "хорошо good", "ХОРОШО good", "Ωraio good", "ΣΑΣ good", "İyi good",
    "K\u0131nd good", "\u212Aind", "\u212AIND of good", "ﬁne", "ＧＯＯＤ", "good\u00a0bad", "not\u3000good", "good\u2028bad",
    "not\u001cgood", "not\u001fgood", "not\u0085good", "not\u200bgood", "not\u180egood", "ªb GOOD", "naïve", "e\u0301 good",
    "\U0001f600\u00a0good", "\U00010400 good", "\\good\\", "<b>good</b>", "http://good.com", "#good @good", "good/bad",
    "good\u0000bad", "good\r\nbad",
    # the examples of the reference
    "VADER is smart, handsome, and funny.", "VADER is smart, handsome, and funny!", "VADER is very smart, handsome, and funny.",
    "VADER is VERY SMART, handsome, and FUNNY.", "VADER is VERY SMART, handsome, and FUNNY!!!",
    "VADER is VERY SMART, uber handsome, and FRIGGIN FUNNY!!!", "VADER is not smart, handsome, nor funny.",
    "The book was good.", "Today SUX!", "Today only kinda sux! But I'll get by, lol", "Make sure you :) or :D today!",
    "Not bad at all",
    # contact center
    "I have been on hold for 40 minutes. This is NOT acceptable!!", "Thanks a lot, the agent was very kind and solved it.",
    "My order never arrived and nobody answers.", "Not the fastest, but they fixed it in the end. Great job!",
    "Worst. Service. EVER.", "the refund was rejected without any reason", "no complaints at all", "no problem, thank you :)",
]  # fmt: skip

REPEATED = [
    (2000, "good "), (3000, "not bad, but "), (500, "good bad great sad but fine "), (10000, "x"), (1000, "!"),
    (300, "GOOD not very bad? "), (700, "😀"), (1500, "the bomb no good least fun "), (257, "服务很好 good，"),
]  # fmt: skip


def escape(text):
    def one(at, c):
        is_plain = 0 < at < len(text) - 1 if c == " " else c != "\\" and c.isprintable()
        return c if is_plain else f"\\u{{{ord(c):x}}}"

    return "".join(one(at, c) for at, c in enumerate(text))


def read(path):
    lines = path.read_bytes().decode("utf-8").split("\n")
    for line in (line.rstrip("\r") for line in lines):
        if line:
            _, rating, text = line.split("\t", 2)
            yield float(rating), text


def pearson(xs, ys):
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    cov = sum((x - mx) * (y - my) for x, y in zip(xs, ys))
    return cov / math.sqrt(sum((x - mx) ** 2 for x in xs) * sum((y - my) ** 2 for y in ys))


def sign(x, limit):
    return (x >= limit) - (x <= -limit)


def main(folder):
    assert version("vaderSentiment") == "3.3.2", version("vaderSentiment")
    assert sys.version_info < (3, 12), "sum() of floats is compensated from Python 3.12 on"
    analyzer = SentimentIntensityAnalyzer()

    def score(text):
        return analyzer.polarity_scores(text)["compound"]

    for name in NAMES:
        ratings, texts = zip(*read(folder / f"{name}_GroundTruth.txt"))
        scores = [score(text) for text in texts]
        (HERE / f"sentiment_{name}.txt").write_text("".join(f"{s:g}\n" for s in scores))
        agree = sum(sign(s, 0.05) == (r > 0) - (r < 0) for s, r in zip(scores, ratings)) / len(texts)
        print(f"{name}: {len(texts)} texts, Pearson {pearson(scores, ratings):.4f}, accuracy {agree:.4f}")
    cases = [(1, text) for text in EDGE_CASES] + REPEATED
    with open(HERE / "sentiment_edge_cases.tsv", "w", encoding="utf-8", newline="\n") as out:
        for count, text in cases:
            out.write(f"{count}\t{score(text * count):g}\t{escape(text)}\n")
    print(f"edge cases: {len(cases)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
