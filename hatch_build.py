"""Build the scan kernel (src/soundalike/library/stores/scan.c) if there is a C compiler; otherwise numpy scans."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ("-O3", "-ffp-contract=off", "-shared", "-fPIC")


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compile one file, and tag the wheel for this platform if that succeeds."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run before a wheel is built, also for an editable install."""
        source = Path(self.root) / "src" / "soundalike" / "library" / "stores" / "scan.c"
        target = source.with_name("_scan.so")
        target.unlink(missing_ok=True)
        compiler = shlex.split(os.environ.get("CC") or "cc")
        try:
            subprocess.run([*compiler, *FLAGS, str(source), "-o", str(target)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"no compiled kernel ({error}): scanning with numpy instead", file=sys.stderr)
            return
        build_data["artifacts"].append("/src/soundalike/library/stores/_scan.so")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
