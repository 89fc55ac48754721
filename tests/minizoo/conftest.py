import os
import subprocess

import pytest

from minizoo import paths


@pytest.fixture
def one_thread():
    """Small tensors are slower with more threads, and resuming is exact only with the same number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def renderer():
    """Give what runs the maker's commands in the renderer's environment, with work of its own; else skip."""

    def prepared(cache):
        python = paths.CACHE / "venv" / "bin" / "python"
        if not python.exists() or not (paths.UNPACKED / "done").exists():
            pytest.skip("the renderer or the furniture is not installed: `make minizoo-setup`")
        cache.mkdir()
        for name in ("downloads", "unpacked", "assets"):
            (cache / name).symlink_to(paths.CACHE / name)
        environment = os.environ | {"MINIZOO_CACHE": str(cache), "PYTHONPATH": str(paths.REPO)}
        environment.pop("COVERAGE_PROCESS_START", None)

        def run(*words):
            return subprocess.run(
                [str(python), "-m", "minizoo", *words], cwd=paths.REPO, env=environment, capture_output=True,
                text=True, timeout=500, check=False,
            )  # fmt: skip

        return run, cache

    return prepared
