"""Builds the optional compiled kernels, where there is a C compiler.

`probatum.canon.evaluate` has one, `probatum.runtime.text` another; each page of C is compiled.

Without one, or where it fails, Probatum works all the same: numpy computes the same bits, slower.
`CC` names the compiler, `PROBATUM_NO_KERNEL=1` builds none.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNELS = (Path("src/probatum/canon/evaluate/kernel"), Path("src/probatum/runtime/text/kernel"))
# Rounding of float32 steps must not be fused; float64 within a bound and exact products may be.
UNFUSED = {"steps", "pool", "blocks", "layers"}
LEVELS = {0: [], 3: ["-march=x86-64-v3"], 4: ["-march=x86-64-v4"]}
FLAGS = ["-O3", "-std=gnu11", "-fPIC", "-fvisibility=hidden", "-fno-math-errno"]


class KernelHook(BuildHookInterface[Any]):
    """Called by hatchling before a wheel is made, an editable one too."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what can be built."""
        for kernel in KERNELS:
            folder = Path(self.root) / kernel
            built = build(folder, folder / "built")
            if not built:
                self.app.display_warning(f"no compiled {kernel}: numpy computes the same, slower")
            elif version == "standard":
                build_data["artifacts"].append(f"{kernel}/built/*.so")
                build_data["pure_python"] = False
                build_data["infer_tag"] = True


def build(source: Path, target: Path) -> list[Path]:
    """Compile the kernel once for each width of vectors: the libraries that came of it."""
    shutil.rmtree(target, ignore_errors=True)
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None or os.environ.get("PROBATUM_NO_KERNEL"):
        return []
    target.mkdir(parents=True)
    is_known = platform.machine() in {"x86_64", "AMD64"}
    levels = LEVELS if is_known else {0: []}
    return [
        path
        for level, flags in levels.items()
        if (path := compile_library(compiler, flags, source, target / f"kernel-{level}.so"))
    ]


def compile_library(compiler: str, flags: list[str], source: Path, target: Path) -> Path | None:
    """Compile one library; None where the compiler cannot."""
    with tempfile.TemporaryDirectory() as work:
        pages = sorted(source.glob("*.c"))
        objects = [str(Path(work) / f"{page.stem}.o") for page in pages]
        start = [*compiler.split(), *FLAGS, *flags]
        commands = [
            [*start, f"-ffp-contract={_choose_fusing(page)}", "-c", str(page), "-o", made]
            for page, made in zip(pages, objects, strict=True)
        ]
        made = Path(work) / target.name
        commands.append(
            [*compiler.split(), "-shared", "-o", str(made), *objects, "-lm", "-lpthread"]
        )
        for command in commands:
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=300)
            except (OSError, subprocess.SubprocessError):
                return None
        shutil.copyfile(made, target.with_suffix(".part"))
    # Whoever has the old one mapped keeps it.
    target.with_suffix(".part").replace(target)
    return target


def _choose_fusing(page: Path) -> str:
    return "off" if page.stem in UNFUSED else "fast"
