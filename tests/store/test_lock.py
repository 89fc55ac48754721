import subprocess
import sys
import textwrap

import pytest

from modelatlas.errors import LockedError
from modelatlas.store import worker_lock, writer_lock

HOLD = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from modelatlas.store import worker_lock, writer_lock
    with writer_lock(Path(sys.argv[1])), worker_lock(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
    """
)


def test_a_lock_is_held_against_others_and_dies_with_its_process(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match=r"another process is writing.*--out"), writer_lock(tmp_path):
            pass
        holder.kill()
    with writer_lock(tmp_path), worker_lock(tmp_path):
        pass


def test_a_lock_is_let_go_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), writer_lock(tmp_path / "new"):
        raise ZeroDivisionError
    with writer_lock(tmp_path / "new"):
        pass
