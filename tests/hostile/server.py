"""`cxql serve` within a limit of address space, watched from outside."""

from __future__ import annotations

import pathlib
import resource
import subprocess
import threading
import time

MIB = 1 << 20


def cases(folder: pathlib.Path) -> str:
    """The cases that the attackers are at."""
    return ", ".join(f"{path.name.removeprefix('case-')}:{path.read_text()}" for path in sorted(folder.glob("case-*")))


class Server:
    """A server of a project folder, and the most memory that it was seen with."""

    def __init__(self, cxql: str, folder: pathlib.Path, data: pathlib.Path, memory: str, address_space: int) -> None:
        command = [
            cxql, "serve", "--project", str(folder), "--data", str(data), "--listen", "127.0.0.1:0", "--address-file",
            str(folder / "address"), "--allow-ingest", "--memory", memory, "--temp-dir", str(folder / "spill"), "--cache-dir",
            str(folder / "cache"),
        ]  # fmt: skip
        (folder / "spill").mkdir(exist_ok=True)
        (folder / "address").unlink(missing_ok=True)

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        self.folder, self.cases_at_peak = folder, ""
        self.log_path = folder / "server.log"
        self.log = self.log_path.open("wb")
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log, preexec_fn=limit)
        self.peak = self.peak_address_space = self.threads = 0
        deadline = time.monotonic() + 120
        while not (folder / "address").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the server did not start: {self.text()[-2000:]}")
            time.sleep(0.05)
        self.address = (folder / "address").read_text().strip()
        self.is_watched = True
        self.watcher = threading.Thread(target=self._watch, daemon=True)
        self.watcher.start()

    def _watch(self) -> None:
        while self.is_watched and self.process.poll() is None:
            self._read_status()
            time.sleep(0.1)

    def _read_status(self) -> None:
        try:
            lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:  # it has ended meanwhile
            return
        values = {line.split(":")[0]: line.split()[1] for line in lines if len(line.split()) > 1}
        peak = int(values.get("VmHWM", 0)) << 10
        if peak > self.peak + 32 * MIB:
            self.cases_at_peak = cases(self.folder)
        self.peak = max(self.peak, peak)
        self.peak_address_space = max(self.peak_address_space, int(values.get("VmPeak", 0)) << 10)
        self.threads = max(self.threads, int(values.get("Threads", 0)))

    def is_running(self) -> bool:
        return self.process.poll() is None

    def text(self) -> str:
        return self.log_path.read_text(errors="replace")

    def stop(self) -> int:
        """Stops the server as an operator does, and returns its exit code."""
        self.is_watched = False
        if self.process.poll() is None:
            self._read_status()
            self.process.terminate()
        try:
            code = self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.log.close()
        return code
