"""All engines give the same atlas; a worker that dies is one exclusion, and never outlives its run."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from chartable import chart_small, images_computed, results, spec
from modelatlas.atlas import open_atlas
from modelatlas.errors import ConflictError, ModelAtlasError, ProbeError, StoreError
from modelatlas.run import ApartEngine, HereEngine
from modelatlas.run.engines.inside import _parts

MODELS = ("relu", "gelu", "silu")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, pictures):
    out = tmp_path_factory.mktemp("undisturbed") / "atlas"
    chart_small(out, pictures, *MODELS, batch=8)
    return out


def check_engine(engine, out, pictures, undisturbed):
    """What every engine must do: the same bytes as any other, and one exclusion for a failure."""
    events = []
    result = chart_small(out, pictures, *MODELS, "raising", engine=engine, batch=8, events=events)
    assert results(out) == results(undisturbed)
    assert images_computed(events) == dict.fromkeys(MODELS, 40)
    assert result.excluded == {spec("raising"): "ZeroDivisionError: something of the network's own"}
    (trace,) = (event.trace for event in events if event.kind == "excluded")
    assert "in fail" in trace  # the line of the network's own code, for `--verbose`
    kinds = [event.kind for event in events if event.model == spec("gelu")]
    assert kinds[:2] == ["loading", "started"]
    assert kinds[-1] == "finished"
    records = {model.name: model for model in open_atlas(out).models}
    for expected in open_atlas(undisturbed).models:
        found = records[expected.name].details
        assert {**found, "seconds": 0} == {**expected.details, "seconds": 0}


def test_the_engine_in_this_process(tmp_path, pictures, undisturbed):
    check_engine(HereEngine, tmp_path / "a", pictures, undisturbed)


def test_the_engine_with_a_worker(tmp_path, pictures, undisturbed):
    check_engine(ApartEngine, tmp_path / "a", pictures, undisturbed)


def test_models_that_take_their_process_down_are_left_out_and_the_rest_goes_on(tmp_path, pictures):
    """Exit inside the factory, a segmentation fault, and SIGKILL as from the kernel when memory runs out."""
    events = []
    result = chart_small(
        tmp_path / "a",
        pictures,
        *("leaving", "relu", "faulting", "killed", "silu"),
        images=12,
        engine=ApartEngine,
        batch=8,
        events=events,
    )
    assert result.charted == tuple(spec(name) for name in ("relu", "killed", "silu"))
    assert result.excluded == {
        spec("leaving"): "its process ended with exit status 7 (last words)",
        spec("faulting"): "its process ended by SIGSEGV",
    }
    assert [(event.model, event.batch) for event in events if event.kind == "halved"] == [(spec("killed"), 4)]
    assert {model.name: model.batch for model in open_atlas(tmp_path / "a").models}[spec("killed")] == 4


def test_a_model_that_hangs_is_left_out_and_the_rest_goes_on(tmp_path, pictures):
    events, options = [], {"engine": ApartEngine, "batch": 8, "patience": 6.0}
    result = chart_small(tmp_path / "a", pictures, "relu", "hanging", "silu", events=events, **options)
    assert result.charted == tuple(spec(name) for name in ("relu", "silu"))
    assert result.excluded == {
        spec("hanging"): "nothing was loaded or computed for 6 s, and its process was ended; "
        "--patience gives it longer"
    }
    assert not any(event.kind == "halved" for event in events)  # it is not memory that it lacks


def worker_of(parent: int) -> int | None:
    """The worker that `parent` started; other tests leave children of their own, as multiprocessing does."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = stat.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z" and b"modelatlas.run.engines.inside" in command:
            return int(stat.parent.name)
    return None


def wait_until(condition, *, seconds=120.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_neither_the_worker_outlives_its_run_nor_the_run_its_killing(tmp_path, pictures, undisturbed):
    """SIGKILL to the run: its worker ends, the lock is free. SIGKILL to the worker: the run goes on."""
    script = textwrap.dedent(
        f"""
        import sys
        sys.path[:0] = {[str(Path(__file__).parents[1])]!r}
        from pathlib import Path
        from chartable import chart_small
        from modelatlas.run import ApartEngine
        models = {(*MODELS, "slow")!r}
        chart_small(Path(sys.argv[1]), Path({str(pictures)!r}), *models, batch=8, engine=ApartEngine)
        """
    )
    out = tmp_path / "a"
    with subprocess.Popen([sys.executable, "-c", script, str(out)]) as run:
        wait_until(lambda: [*out.glob("journal/*slow*/model.json")])  # its maps take five slow passes
        worker = wait_until(lambda: worker_of(run.pid))
        os.kill(run.pid, signal.SIGKILL)
    wait_until(lambda: not _alive(worker), seconds=20)
    assert json.loads((out / "atlas.json").read_text())["state"] == "running"
    events = []

    def killing(event):
        events.append(event)
        if event.kind == "images" and [event.kind for event in events].count("images") == 1:
            os.kill(wait_until(lambda: worker_of(os.getpid())), signal.SIGKILL)

    class Events(list):
        append = staticmethod(killing)

    chart_small(out, pictures, *MODELS, "slow", batch=8, engine=ApartEngine, events=Events())
    assert images_computed(events).keys() <= {"slow"}  # the others were done
    assert "halved" in [event.kind for event in events]
    chart_small(out, pictures, *MODELS, batch=8)
    assert results(out) == results(undisturbed)


def test_a_worker_that_dies_in_the_middle_of_a_word_is_an_exclusion(tmp_path, pictures):
    class Stammering(ApartEngine):
        def _start(self):
            worker = super()._start()
            worker.kill()
            worker.communicate()
            code = "import os, sys; sys.stdin.buffer.read(1); os.write(1, b'[\"event\", {'); os._exit(3)"
            return subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
            )

    result = chart_small(tmp_path / "a", pictures, "relu", images=4, engine=Stammering)
    assert result.excluded == {spec("relu"): "its process ended with exit status 3"}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_ctrl_c_ends_all_of_it_and_says_how_to_go_on(tmp_path, pictures):
    """SIGINT to the whole group, as a terminal sends it, while a model is under way."""
    out = tmp_path / "a"
    command = [
        "chart",
        spec("slow"),
        "--probe",
        str(pictures),
        "--out",
        str(out),
        "--batch",
        "1",
        "--trust-code",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "modelatlas.cli", *command],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        wait_until(lambda: [*out.glob("journal/*/model.json")])
        worker = wait_until(lambda: worker_of(run.pid))
        os.killpg(run.pid, signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "run the same command again to go on" in said
    assert "Traceback" not in said
    wait_until(lambda: not _alive(worker), seconds=20)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    "error", [ConflictError("grid", 8, 16), ProbeError("a.png", "gone"), StoreError("cannot write")]
)
def test_errors_cross_the_pipe_whole(error):
    kind, parts = json.loads(json.dumps(_parts(error)))
    again = getattr(sys.modules["modelatlas.errors"], kind)(*parts)
    assert isinstance(again, ModelAtlasError)
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
