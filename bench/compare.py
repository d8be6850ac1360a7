"""The questions of bench/questions in cxql and its peers, and how their cost grows with the data.

A folder is a question, a file in it one engine's form of the answer: `cxql.sql`, `duckdb.sql`, `clickhouse.arrays.sql`,
`polars.py`. Every form of Polars runs in memory and streaming, as two forms. `cxql.report` names a shipped report: cxql runs it
as users do, `cxql run NAME`.
"""

import os
import sys

from common import HERE, brief, difference, leave, median, peak, read_csv, read_sections, section_difference, spread, table, turn, verdict

QUESTIONS = HERE / "questions"
ENGINES = ["duckdb", "polars", "clickhouse", "datafusion"]
CONTACTS = 20_000_000
SIZES = [2_000_000, 10_000_000, 20_000_000, 60_000_000]
GROWING = ["fcr_by_topic", "repeats_by_agent", "sessions"]  # what growth asks unless told otherwise, and the reports
REPORTS_UNTIL = 20_000_000  # larger data is for the others
LINEAR = 1.2  # the goal of time per contact at any size, by that at the smallest
REPORT_GOAL = 0.5
GOALS = {"fcr_by_topic": 0.5, "repeats_by_agent": 0.5, "report_fcr_by_topic": 0.3}  # of the fastest peer's time; others 1
MEMORY_GOALS = {"report_fcr_by_topic": 0.7}
IDS = {"demo": "Customer ids of eight bytes", "uuid": "UUIDs as customer ids"}
# a form is repeated when its first answer came within these of its engine's fastest form and of the fastest of all
NEAR_FORM, NEAR_ALL = 1.25, 4.0
KEYS_KNOWN = "keys known"  # the form of cxql that finds what an earlier run kept of the keys of files
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
        self.is_report = (file.parent / "cxql.report").exists()
        self.is_known = kind == KEYS_KNOWN

    def answer(self, bench, limit_s):
        self.out = bench.work / f"{self.name}.csv"
        self.out.unlink(missing_ok=True)
        if self.file.suffix == ".report":
            run = bench.cxql_report(self.file.read_text().strip(), self.out, self.is_known)
        elif self.engine == "cxql":
            run = bench.cxql_run(self.file.read_text().strip(), self.out)  # without its answer there is no question
        else:
            run = bench.peer_run(self.command, self.file, self.out, limit_s=limit_s)
        if run["code"] == -9 and limit_s and run["wall"] >= limit_s:
            self.problem = f"{STOPPED}: after {limit_s:g} s"
        elif run["code"] != 0:
            self.problem = f"failed: {reason(run)}"
        self.samples.append(brief(run))

    def rows(self):
        return read_sections(self.out) if self.is_report else read_csv(self.out)

    def time(self, key="query"):
        return median(self.samples, key)

    def record(self):
        return {"file": self.file.name, "problem": self.problem, "samples": self.samples}


def reason(run):
    """The line of an error's output that says most."""
    lines = [line.strip() for line in run["err"].splitlines() if line.strip()] or [f"exit {run['code']}"]
    return next((line for line in reversed(lines) if "rror" in line), lines[-1])[:300]


def questions():
    return sorted(folder.name for folder in QUESTIONS.iterdir() if our_file(folder.name))


def reports():
    return [name for name in questions() if our_file(name).suffix == ".report"]


def our_file(name):
    files = (QUESTIONS / name / f"cxql.{kind}" for kind in ("sql", "report"))
    return next((file for file in files if file.exists()), None)


def chosen(only):
    """The questions of `--only`; `reports` stands for all that are reports."""
    return [question for name in only for question in (reports() if name == "reports" else [name])]


def forms(name, engines):
    yield Form("cxql", our_file(name))
    if our_file(name).suffix == ".report":
        yield Form("cxql", our_file(name), KEYS_KNOWN)
    for engine in engines:
        for file in sorted((QUESTIONS / name).glob(f"{engine}.*")):
            for kind in ("in-memory", "streaming") if engine == "polars" else (None,):
                yield Form(engine, file, kind)


def goal(name):
    return GOALS.get(name, REPORT_GOAL if name in reports() else 1)


def tolerance(name):
    """1e-9, or what the first line of cxql.sql says."""
    first = our_file(name).read_text().splitlines()[0]
    return float(first.removeprefix("-- tolerance: ")) if first.startswith("-- tolerance: ") else 1e-9


def ask(bench, args, name):
    """All answers to one question; the cost of each form stands in it afterwards."""
    every = list(forms(name, args.engines))
    for form in every:
        form.answer(bench, args.limit)
    ours, *peers = every
    if ours.problem:
        return every
    rows, allowed = ours.rows(), tolerance(name)
    compare = section_difference if ours.is_report else difference
    for form in peers:
        if not form.problem and (found := compare(rows, form.rows(), allowed)):
            form.problem = f"differs: {found}"
    going = [form for form in peers if not form.problem]
    if not args.all_forms:
        best = {form.engine: min(f.time() for f in going if f.engine == form.engine) for form in going if form.engine != "cxql"}
        near_all = NEAR_ALL * min(best.values(), default=0)
        going = [form for form in going if form.is_known or form.time() <= min(NEAR_FORM * best[form.engine], near_all)]
    for form in (ours, *going):
        form.samples.clear()  # the first answer decided who goes on; it is counted only for those that do not
    for number in range(args.runs):
        for form in turn([ours, *going], number):
            if not form.problem:
                form.answer(bench, args.limit)
    for form in going:
        if not form.problem and (found := compare(rows, form.rows(), allowed)):
            form.problem = f"differs: {found}"
    return every


def fastest(peers):
    return min((form for form in peers if not form.problem and form.engine != "cxql"), key=Form.time, default=None)


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
        return record, [*cells, "", "", "", "", "", "", wrong(every)]
    record |= {
        "time": ours.time() / first.time(),
        "process": ours.time("wall") / min(form.time("wall") for form in peers if not form.problem and form.engine != "cxql"),
        "memory": peak(ours.samples) / peak(first.samples),
    }
    known = next((form for form in peers if form.is_known and not form.problem), None)
    if known:
        record["keys known"] = known.time() / first.time()
    cells += [
        first.name,
        verdict(record["time"], goal(name)),
        verdict(record["keys known"], goal(name)) if known else "",
        f"{record['process']:.2f}",
        f"{peak(ours.samples):.0f} / {peak(first.samples):.0f}",
        verdict(record["memory"], MEMORY_GOALS.get(name, 1)),
        wrong(every),
    ]
    return record, cells


def wrong(every):
    return ", ".join(f"{form.name} {form.problem.split(':')[0]}" for form in every if form.problem) or "same"


def header(engines):
    return ["cxql s", "min..max", *(f"{engine} s" for engine in engines), "fastest peer", "time ratio", "keys known", "process ratio",
            "peak MiB cxql / it", "memory ratio", "rows"]


def form_rows(name, every):
    known = not every[0].problem
    for form in every:
        done = [run for run in form.samples if "query" in run]
        yield [
            name, form.name,
            *([f"{median(done, 'query'):.3f}", spread(done, "query", 1, 3), f"{median(done, 'wall'):.3f}",
               f"{median(done, 'cpu'):.3f}"] if done else [""] * 4),
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
    whole = not args.only and args.contacts == CONTACTS and args.engines == ENGINES
    ids = args.ids or ("both" if whole else "demo")
    styles = list(IDS) if ids == "both" else [ids]
    context, problems, records, lines = None, [], {}, []
    for bench.ids in styles:
        bench.use(args.contacts)
        if not context:
            context = bench.context() | {"customer ids": ids}
            records["idle"], idle_table = idle(bench, args.engines)
        asked, rows, details = {}, [], []
        for name in args.only or questions():
            every = ask(bench, args, name)
            asked[name], cells = compared(name, every, args.engines)
            rows.append([name, *cells])
            details += form_rows(name, every)
            problems += report(f"{name}, {bench.ids}", every)
            print("questions", bench.ids, *rows[-1], sep=" | ", flush=True)
        records[bench.ids] = asked
        head = ["question", "form", "in query s", "min..max", "process s", "processor s", "peak MiB", "runs", "rows"]
        lines += ["", f"## {IDS[bench.ids]}", "", *table(["question", *header(args.engines)], rows), "", "Every form:", "",
                  *table(head, details)]
    context["load"].append(os.getloadavg()[0])
    lines += ["", "## A process with nothing to do", "", *idle_table]
    if len(styles) > 1:
        lines = [*both(styles, records), *lines]
    print("", *lines, sep="\n", flush=True)
    if folder := args.results or (HERE / "results" if whole and ids == "both" else None):
        leave(folder, "questions", context, records, lines)
    return end(problems)


def both(styles, records):
    """The ratios to the fastest peer with each style of customer ids side by side."""
    rows = []
    for name in records[styles[0]]:
        found = [records[style][name] for style in styles]
        rows.append([
            name,
            *(verdict(record["time"], goal(name)) if "time" in record else "" for record in found),
            *(f"{record['process']:.2f}" if "process" in record else "" for record in found),
            *(verdict(record["memory"], MEMORY_GOALS.get(name, 1)) if "memory" in record else "" for record in found),
            ", ".join(dict.fromkeys(record["fastest"] or "none" for record in found)),
        ])
    columns = [f"{what}, {style}" for what in ("time", "process", "memory") for style in ("short ids", "UUIDs")]
    return ["Ratios to the fastest peer with both styles of customer ids; below 1 is better.", "",
            *table(["question", *columns, "fastest peer"], rows)]


def run_growth(bench, args):
    context, problems = None, []
    records, rows, smallest = {}, [], {}
    for size in sorted(args.sizes):
        bench.use(size)
        context = context or bench.context() | {"contacts": None}
        for name in args.only or [*GROWING, *(reports() if size <= REPORTS_UNTIL else [])]:
            every = ask(bench, args, name)
            record, cells = compared(name, every, args.engines)
            records.setdefault(name, {})[str(size)] = record
            ours = every[0]
            speed = growth = ""
            if not ours.problem:
                record["per million"] = ours.time() / size * 1e6
                record["growth"] = record["per million"] / smallest.setdefault(name, record["per million"])
                speed, growth = f"{record['per million']:.3f}", verdict(record["growth"], LINEAR)
            rows.append((name, size, [name, f"{size / 1e6:g}", speed, growth, *cells]))
            problems += report(f"{name}, {size}", every)
            print("growth", *rows[-1][2], sep=" | ", flush=True)
    context["load"].append(os.getloadavg()[0])
    head = ["question", "million contacts", "cxql s per million", "by that of the smallest", *header(args.engines)]
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
