"""The questions of bench/questions in cxql and its peers, and how their cost grows with the data.

A folder is a question, a file in it one engine's form of the answer: `cxql.sql`, `duckdb.sql`, `clickhouse.arrays.sql`,
`polars.py`. Every form of Polars runs in memory and streaming, as two forms.
"""

import os
import sys

from common import HERE, brief, difference, leave, median, peak, read_csv, spread, table, turn, verdict

QUESTIONS = HERE / "questions"
ENGINES = ["duckdb", "polars", "clickhouse", "datafusion"]
CONTACTS = 20_000_000
SIZES = [2_000_000, 10_000_000, 20_000_000, 60_000_000]
GROWING = ["fcr_by_topic", "repeats_by_agent", "sessions"]  # what growth asks unless told otherwise
GOALS = {"fcr_by_topic": 0.5, "repeats_by_agent": 0.5}  # of the fastest peer's time; all others 1
# a form is repeated when its first answer came within these of its engine's fastest form and of the fastest of all
NEAR_FORM, NEAR_ALL = 1.25, 4.0
STOPPED = "stopped"  # what is said of a form that takes too long; it is no failure
IDLE = {".sql": "select 1 as one", ".py": "import polars\n\ndef answer(scan):\n    return polars.select(one=1).lazy()\n"}


class Form:
    """One engine's way to answer a question, and what its answers cost."""

    def __init__(self, engine, file, kind=None):
        form = file.name.split(".")[1:-1]
        self.engine, self.file = engine, file
        self.command = f"{engine}-streaming" if kind == "streaming" else engine
        self.name = " ".join([engine, *form, *([kind] if kind else [])])
        self.samples, self.problem = [], None

    def answer(self, bench, limit_s):
        self.out = bench.work / f"{self.name}.csv"
        self.out.unlink(missing_ok=True)
        if self.engine == "cxql":
            run = bench.cxql_run(self.file.read_text().strip(), self.out)  # without its answer there is no question
        else:
            run = bench.peer_run(self.command, self.file, self.out, limit_s=limit_s)
        if run["code"] == -9 and limit_s and run["wall"] >= limit_s:
            self.problem = f"{STOPPED}: after {limit_s:g} s"
        elif run["code"] != 0:
            self.problem = f"failed: {reason(run)}"
        self.samples.append(brief(run))

    def time(self, key="query"):
        return median(self.samples, key)

    def record(self):
        return {"file": self.file.name, "problem": self.problem, "samples": self.samples}


def reason(run):
    """The line of an error's output that says most."""
    lines = [line.strip() for line in run["err"].splitlines() if line.strip()] or [f"exit {run['code']}"]
    return next((line for line in reversed(lines) if "rror" in line), lines[-1])[:300]


def questions():
    return sorted(folder.name for folder in QUESTIONS.iterdir() if (folder / "cxql.sql").exists())


def forms(name, engines):
    yield Form("cxql", QUESTIONS / name / "cxql.sql")
    for engine in engines:
        for file in sorted((QUESTIONS / name).glob(f"{engine}.*")):
            for kind in ("in-memory", "streaming") if engine == "polars" else (None,):
                yield Form(engine, file, kind)


def tolerance(name):
    """1e-9, or what the first line of cxql.sql says."""
    first = (QUESTIONS / name / "cxql.sql").read_text().splitlines()[0]
    return float(first.removeprefix("-- tolerance: ")) if first.startswith("-- tolerance: ") else 1e-9


def ask(bench, args, name):
    """All answers to one question; the cost of each form stands in it afterwards."""
    every = list(forms(name, args.engines))
    for form in every:
        form.answer(bench, args.limit)
    ours, *peers = every
    if ours.problem:
        return every
    rows, allowed = read_csv(ours.out), tolerance(name)
    for form in peers:
        if not form.problem and (found := difference(rows, read_csv(form.out), allowed)):
            form.problem = f"differs: {found}"
    going = [form for form in peers if not form.problem]
    if not args.all_forms:
        best = {form.engine: min(f.time() for f in going if f.engine == form.engine) for form in going}
        near_all = NEAR_ALL * min(best.values(), default=0)
        going = [form for form in going if form.time() <= min(NEAR_FORM * best[form.engine], near_all)]
    for form in (ours, *going):
        form.samples.clear()  # the first answer decided who goes on; it is counted only for those that do not
    for number in range(args.runs):
        for form in turn([ours, *going], number):
            if not form.problem:
                form.answer(bench, args.limit)
    for form in going:
        if not form.problem and (found := difference(rows, read_csv(form.out), allowed)):
            form.problem = f"differs: {found}"
    return every


def fastest(peers):
    return min((form for form in peers if not form.problem), key=Form.time, default=None)


def compared(name, every, engines):
    """The record of a question, and its row without the question's name."""
    ours, *peers = every
    first = fastest(peers)
    record = {"forms": {form.name: form.record() for form in every}, "fastest": first.name if first else None}
    cells = ["failed", ""] if ours.problem else [f"{ours.time():.3f}", spread(ours.samples, "query", 1, 3)]
    for engine in engines:
        best = fastest(form for form in peers if form.engine == engine)
        cells.append("" if not best else f"{best.time():.3f}" + (" (once)" if len(best.samples) < len(ours.samples) else ""))
    if ours.problem or not first:
        return record, [*cells, "", "", "", "", "", wrong(every)]
    record |= {
        "time": ours.time() / first.time(),
        "process": ours.time("wall") / min(form.time("wall") for form in peers if not form.problem),
        "memory": peak(ours.samples) / peak(first.samples),
    }
    cells += [
        first.name,
        verdict(record["time"], GOALS.get(name, 1)),
        f"{record['process']:.2f}",
        f"{peak(ours.samples):.0f} / {peak(first.samples):.0f}",
        verdict(record["memory"], 1),
        wrong(every),
    ]
    return record, cells


def wrong(every):
    return ", ".join(f"{form.name} {form.problem.split(':')[0]}" for form in every if form.problem) or "same"


def header(engines):
    return ["cxql s", "min..max", *(f"{engine} s" for engine in engines), "fastest peer", "time ratio", "process ratio",
            "peak MiB cxql / it", "memory ratio", "rows"]


def form_rows(name, every):
    known = not every[0].problem
    for form in every:
        done = [run for run in form.samples if "query" in run]
        yield [
            name, form.name,
            *([f"{median(done, 'query'):.3f}", spread(done, "query", 1, 3), f"{median(done, 'wall'):.3f}"] if done else [""] * 3),
            f"{peak(form.samples):.0f}", len(done), form.problem.split(":")[0] if form.problem else "same" if known else "",
        ]


def idle(bench, engines):
    """What a process costs that answers nothing."""
    rows, records = [], {}
    for engine in ("cxql", *engines):
        file = bench.work / ("idle.py" if engine == "polars" else "idle.sql")
        file.write_text(IDLE[file.suffix])
        form = Form(engine, file)
        for _ in range(3):
            form.answer(bench, None)
        if form.problem:
            sys.exit(f"{engine} {form.problem}")
        records[engine] = form.record()
        rows.append([engine, f"{form.time('wall'):.3f}", f"{peak(form.samples):.0f}"])
    return records, table(["`select 1`", "process s", "peak MiB"], rows)


def report(name, every):
    for form in every:
        if form.problem:
            print(f"{name}: {form.name} {form.problem}", file=sys.stderr, flush=True)
    return [f"{name}: {form.name}" for form in every if form.problem and not form.problem.startswith(STOPPED)]


def run_questions(bench, args):
    bench.use(args.contacts)
    context, problems = bench.context(), []
    records, rows, details = {}, [], []
    idle_records, idle_table = idle(bench, args.engines)
    for name in args.only or questions():
        every = ask(bench, args, name)
        records[name], cells = compared(name, every, args.engines)
        rows.append([name, *cells])
        details += form_rows(name, every)
        problems += report(name, every)
        print("questions", *rows[-1], sep=" | ", flush=True)
    context["load"].append(os.getloadavg()[0])
    head = ["question", "form", "in query s", "min..max", "process s", "peak MiB", "runs", "rows"]
    lines = [*table(["question", *header(args.engines)], rows), "", "Every form:", "", *table(head, details), "",
             "A process with nothing to do:", "", *idle_table]
    print("", *lines, sep="\n", flush=True)
    whole = not args.only and args.contacts == CONTACTS and args.engines == ENGINES
    if folder := args.results or (HERE / "results" if whole else None):
        leave(folder, "questions", context, records | {"idle": idle_records}, lines)
    return end(problems)


def run_growth(bench, args):
    context, problems = None, []
    records, rows = {}, []
    for size in sorted(args.sizes):
        bench.use(size)
        context = context or bench.context() | {"contacts": None}
        for name in args.only or GROWING:
            every = ask(bench, args, name)
            record, cells = compared(name, every, args.engines)
            records.setdefault(name, {})[str(size)] = record
            ours = every[0]
            speed = "" if ours.problem else f"{ours.time() / size * 1e6:.3f}"
            rows.append((name, size, [name, f"{size / 1e6:g}", speed, *cells]))
            problems += report(f"{name}, {size}", every)
            print("growth", *rows[-1][2], sep=" | ", flush=True)
    context["load"].append(os.getloadavg()[0])
    head = ["question", "million contacts", "cxql s per million", *header(args.engines)]
    lines = table(head, [row for *_, row in sorted(rows)])
    print("", *lines, sep="\n", flush=True)
    whole = not args.only and args.sizes == SIZES and args.engines == ENGINES
    if folder := args.results or (HERE / "results" if whole else None):
        leave(folder, "growth", context, records, lines)
    return end(problems)


def end(problems):
    """0 when every form gave the same rows."""
    print("\nevery engine gave the same rows" if not problems else f"\nnot the same or failed: {'; '.join(problems)}")
    return 1 if problems else 0
