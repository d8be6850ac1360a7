"""Opens pages of cxql in Chromium and looks at them.

usage: pages.py CXQL DATA [FOLDER]

Each page must open without an error in the console and without asking any address, in light and dark, wide and as wide as
a phone; nothing may stick out of the page or of a chart, sorting and filtering must work, a picture of it must not be
empty. With FOLDER the pictures stay there. Chromium and fonts with Chinese are installed when the machine has none.
"""

import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

from playwright.sync_api import sync_playwright

from checks import Counts

ROOT = pathlib.Path(__file__).resolve().parents[2]
GALLERIES = ["docs/gallery.html", "docs/gallery.zh-CN.html"]
REPORTS = ["kpi_overview", "contact_volume", "fcr_by_topic", "service_level_by_hour_of_week", "nps_by_month"]
VIEWS = [("light", 1280, 900), ("dark", 1280, 900), ("light", 390, 844), ("dark", 390, 844)]

check = Counts()


def chromium():
    """The path of a Chromium, installed when there is none."""
    names = ["chromium", "chromium-browser", "google-chrome"]
    named = os.environ.get("CHROMIUM")
    found = named or next(filter(None, map(shutil.which, names)), None)
    if found:
        return found
    apt = ["apt-get"] if os.geteuid() == 0 else ["sudo", "-n", "apt-get"]
    quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run([*apt, "update", "-q"], check=False, **quiet)
    subprocess.run([*apt, "install", "-y", "-q", "chromium", "fonts-noto-cjk"], check=False, **quiet)
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        sys.exit("pages.py needs Chromium: install it, or name it in the variable CHROMIUM")
    return found


def colors(png):
    """How many different bytes the picture's rows hold: an empty picture has a handful."""
    data, at = b"", 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    return len(set(zlib.decompress(data)))


# texts of charts that leave their chart, and charts without a height
STRAY = """() => {
  const stray = [];
  for (const svg of document.querySelectorAll("svg.cx")) {
    const box = svg.getBoundingClientRect();
    if (box.width === 0) continue;
    if (box.height < 40) stray.push("flat chart");
    for (const text of svg.querySelectorAll("text")) {
      const at = text.getBoundingClientRect();
      if (at.left < box.left - 2 || at.right > box.right + 2 || at.bottom > box.bottom + 2 || at.top < box.top - 2)
        stray.push(`${svg.getAttribute("aria-label").slice(0, 30)}: ${text.textContent}`);
    }
  }
  return stray;
}"""

SHAPE = """() => ({
  overflow: document.scrollingElement.scrollWidth - window.innerWidth,
  charts: Array.from(document.querySelectorAll("svg.cx")).filter((svg) => svg.getBoundingClientRect().width > 0).length,
  unnamed: document.querySelectorAll("svg.cx:not([aria-label]), .scroll:not([aria-label]), th:not([scope])").length,
  tables: document.querySelectorAll("table").length,
  lang: document.documentElement.lang,
  small: Array.from(document.querySelectorAll("svg.cx text"))
    .filter((text) => text.getBoundingClientRect().height > 0 && text.getBoundingClientRect().height < 9).length,
})"""

SORT = """() => {
  const table = Array.from(document.querySelectorAll("table")).find((table) => table.tBodies[0].rows.length > 3);
  const body = table.tBodies[0];
  const column = Array.from(table.tHead.rows[0].cells).findIndex((th) => th.classList.contains("n"));
  const values = () => Array.from(body.rows, (row) => row.cells[column])
    .filter((cell) => !cell.classList.contains("null"))
    .map((cell) => Number(cell.dataset.v ?? cell.textContent));
  const rises = (all) => all.every((value, at) => at === 0 || all[at - 1] <= value);
  const header = table.tHead.rows[0].cells[column];
  const before = body.rows.length;
  header.querySelector("button").click();
  const up = rises(values()) && header.getAttribute("aria-sort") === "ascending";
  header.querySelector("button").click();
  const down = rises(values().reverse()) && header.getAttribute("aria-sort") === "descending";
  return { up, down, kept: body.rows.length === before };
}"""

FILTER = """() => {
  const input = document.querySelector(".filter input");
  if (!input) return null;
  const table = input.closest(".filter").nextElementSibling.querySelector("table");
  const first = table.tBodies[0].rows[0].cells[0].textContent;
  const shown = () => Array.from(table.tBodies[0].rows).filter((row) => !row.hidden).length;
  const all = shown();
  input.value = first;
  input.dispatchEvent(new Event("input"));
  const some = shown();
  input.value = "no row has this text";
  input.dispatchEvent(new Event("input"));
  const none = shown();
  input.value = "";
  input.dispatchEvent(new Event("input"));
  return { works: some >= 1 && some <= all && none === 0 && shown() === all };
}"""


def look(browser, path, name, pictures):
    for scheme, width, height in VIEWS:
        what = f"{name}, {scheme}, {width}"
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": height}, is_mobile=width < 600, device_scale_factor=1
        )
        page = context.new_page()
        errors, asked = [], []
        page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_load_state("load")
        shape = page.evaluate(SHAPE)
        check(f"{what}: nothing in the console", not errors, errors)
        asked = [url for url in asked if url != path.as_uri() and not url.startswith("data:")]
        check(f"{what}: no address is asked", not asked, asked)
        check(f"{what}: nothing sticks out of the page", shape["overflow"] <= 0, shape)
        check(f"{what}: every part has a name", shape["unnamed"] == 0, shape)
        check(f"{what}: texts can be read", shape["small"] == 0, shape)
        check(f"{what}: there is something to see", shape["tables"] > 0, shape)
        stray = page.evaluate(STRAY)
        check(f"{what}: nothing sticks out of a chart", not stray, stray[:5])
        picture = page.screenshot(full_page=True)
        check(f"{what}: the picture is not empty", len(picture) > 5_000 and colors(picture) > 40, len(picture))
        if pictures:
            (pictures / f"{name}-{scheme}-{width}.png").write_bytes(picture)
        if (scheme, width) == ("light", 1280):
            sorted_ = page.evaluate(SORT)
            check(f"{what}: sorting works", sorted_["up"] and sorted_["down"] and sorted_["kept"], sorted_)
            filtered = page.evaluate(FILTER)
            check(f"{what}: filtering works", filtered is None or filtered["works"], filtered)
            paper = page.pdf(format="A4", prefer_css_page_size=True)
            check(f"{what}: it prints", paper.startswith(b"%PDF") and len(paper) > 10_000, len(paper))
            if pictures:
                (pictures / f"{name}.pdf").write_bytes(paper)
        context.close()


def main():
    program, data = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    pictures = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for gallery in GALLERIES:
            look(browser, ROOT / gallery, pathlib.Path(gallery).stem, pictures)
        for report in REPORTS:
            path = pathlib.Path(folder) / f"{report}.html"
            subprocess.run([program, "run", report, "--data", data, "-o", path], check=True, capture_output=True)
            look(browser, path, report, pictures)
        hostile = pathlib.Path(folder) / "hostile.html"
        sql = "select '<script>alert(1)</script><img src=http://127.0.0.1:9/x>' as \"<b>\", value from range(20)"
        subprocess.run([program, "query", sql, "-o", hostile], check=True, capture_output=True)
        look(browser, hostile, "hostile", pictures)
        browser.close()
    check.end()


if __name__ == "__main__":
    main()
