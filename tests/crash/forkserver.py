"""Starts processes by fork, as ``watchbill up`` does, for tests that kill many: imports would be most of their time.

Reads one JSON line after another: ``{"name", "environment", "log"}`` starts a process (a runner too, with the file that
RUNNER_CREDENTIALS names) and is answered with its id,
``{"signal": number, "to": id}`` sends a signal, ``{"wait": id}`` waits for its end, ``{"poll": id}`` looks; the
answer is the exit code or null. It ends with its standard input, and then the kernel kills what it started.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from watchbill.processes import forks
from watchbill.processes.local_runner import run_local_runner
from watchbill.processes.run import run_process
from watchbill.runtime import config


def start(order: dict[str, Any]) -> forks.Forked:
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def run() -> int:
        os.dup2(log, 1)
        os.dup2(log, 2)
        if order["name"] == "runner":
            return run_local_runner(Path(order["environment"]["RUNNER_CREDENTIALS"]), style="json")
        run_process(order["name"], config.load())
        return 0

    try:
        return forks.fork(order["name"], run, environment=order["environment"], keep=[log])
    finally:
        os.close(log)


def main() -> None:
    forks.preload()
    children: dict[int, forks.Forked] = {}
    for line in sys.stdin:
        order = json.loads(line)
        answer: int | None
        if "wait" in order:
            answer = children.pop(order["wait"]).wait(30)
        elif "signal" in order:
            children[order["to"]].send_signal(order["signal"])
            answer = None
        elif "poll" in order:
            answer = children[order["poll"]].poll()
        else:
            child = start(order)
            children[child.pid] = child
            answer = child.pid
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
