"""Mutated files of every format as uploads: no server error, and no memory, process or file is left behind."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from test_serve_command import running

import fuzz
from fuzzing.mutations import mutate

_FILES = int(os.environ.get("SOUNDALIKE_FUZZ_UPLOADS", "120"))
"""Mutated files to send. 2,000 take about a quarter of an hour."""
_CLIENTS = 2


def megabytes(process: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(encoding="ascii"))
    assert found
    return int(found[1]) / 1024


@pytest.mark.slow
def test_mutated_uploads_cost_nothing(stocked: Path, tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("this system has no /proc")
    seeds = fuzz.Seeds(tmp_path).recordings
    names, others = sorted(seeds), list(seeds.values())
    statuses: Counter[tuple[str, int]] = Counter()
    memory = []

    def send(part: int) -> None:
        with closing(http.client.HTTPConnection(host, timeout=300)) as connection:
            for number in range(part, _FILES, _CLIENTS):
                name = names[number % len(names)]
                data = mutate(seeds[name], others, random.Random(number)) or b"\0"
                connection.request("POST", f"/api/v1/uploads?name={name}", data)
                answer = connection.getresponse()
                said = json.loads(answer.read())
                statuses[name, answer.status] += 1
                assert answer.status in (201, 422), (number, name, said)
                assert answer.status == 201 or "Traceback" not in said["detail"]
                memory.append(megabytes(process.pid))

    with running(stocked) as (process, address), ThreadPoolExecutor(_CLIENTS) as pool:
        host = address.removeprefix("http://").rstrip("/")
        list(pool.map(send, range(_CLIENTS)))
        time.sleep(0.5)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
        assert children == "", "every decoder has ended"
    by_status = Counter(status for _, status in statuses.elements())
    print(f"{_FILES:,} files of {len(names)} formats: {by_status[201]:,} decoded, {by_status[422]:,} refused")
    assert set(by_status) == {201, 422}, "some files survive, and some do not"
    half = len(memory) // 2
    grown = np.median(memory[half:]) - np.median(memory[5:half])
    print(f"memory of the server: {np.median(memory[5:half]):.0f} MB, then {grown:+.1f} MB")
    assert grown < 30
