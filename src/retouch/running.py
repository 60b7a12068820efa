"""Start the real `retouch serve` and stop it again: for tests, benchmarks and the demo."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

READY = re.compile(r"ready at (http\S+)")


class RunningServer:
    """A server in a process group of its own. Its log lines are kept in `log`."""

    def __init__(
        self,
        data: Path,
        *flags: str,
        command: str = "serve",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`command` is `serve`, or `web` for one without a worker. Raises RuntimeError."""
        self.data = data
        started = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603  our own command
            [
                sys.executable,
                "-m",
                "retouch.cli",
                command,
                "--port",
                "0",
                "--data",
                str(data),
                *flags,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=environ,
        )
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self.url = self._await_ready()
        self.ready_s = time.monotonic() - started

    def _await_ready(self) -> str:
        assert self.process.stdout is not None  # noqa: S101  asked for above
        line = self.process.stdout.readline()
        found = READY.search(line)
        if not found:
            self.process.wait(10)
            self._reader.join(1)
            raise RuntimeError(f"the server did not start: {line}{''.join(self.log[-20:])}")
        return found[1]

    def _read_log(self) -> None:
        assert self.process.stderr is not None  # noqa: S101  asked for above
        with self.process.stderr as lines:
            for line in lines:
                self.log.append(line)

    def stop(self, timeout_s: float = 40.0) -> int:
        """Ask it to drain and wait; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout_s)
        self._close()
        return code

    def kill(self) -> None:
        """End the web process as a crash would; its worker ends by itself."""
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        # The log's end comes when the last child is gone: one that still imports is late.
        self._reader.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def running_server(
    data: Path, *flags: str, environ: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """A server on a free port, stopped at the end whatever happens."""
    server = RunningServer(data, *flags, environ=environ)
    try:
        yield server
    finally:
        try:
            server.stop()
        except subprocess.TimeoutExpired:
            server.kill()
