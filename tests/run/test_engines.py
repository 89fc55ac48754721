"""All engines give the same atlas; a worker that dies is one exclusion, and never outlives its run."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch

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


@pytest.mark.parametrize("engine", [ApartEngine, HereEngine])
def test_a_model_that_exits_is_left_out_and_its_process_goes_on(tmp_path, pictures, engine):
    result = chart_small(tmp_path / "a", pictures, "exiting", "relu", images=2, engine=engine)
    assert result.charted == (spec("relu"),)
    assert result.excluded == {spec("exiting"): "SystemExit: enough"}


def test_a_model_that_hangs_is_left_out_and_the_rest_goes_on(tmp_path, pictures):
    events, options = [], {"engine": ApartEngine, "batch": 8, "patience": 6.0}
    result = chart_small(tmp_path / "a", pictures, "relu", "hanging", "silu", events=events, **options)
    assert result.charted == tuple(spec(name) for name in ("relu", "silu"))
    assert result.excluded == {
        spec("hanging"): "nothing was loaded or computed for 6 s, and its process was ended; "
        "--patience gives it longer"
    }
    assert not any(event.kind == "halved" for event in events)  # it is not memory that it lacks


def test_what_a_model_leaves_behind_does_not_reach_the_next_ones(tmp_path, pictures):
    """Default precision and a function of torch that it replaces; the folder that it changes to."""
    for number, intruders in enumerate([(), ("greedy", "wandering")]):
        models = ("gelu", *intruders, "silu")
        chart_small(tmp_path / str(number), pictures, *models, images=8, engine=ApartEngine)
    alone, beside = (open_atlas(tmp_path / str(number)) for number in range(2))
    for name in ("gelu", "silu"):
        for method, maps in alone.maps(spec(name)).items():
            np.testing.assert_array_equal(beside.maps(spec(name))[method], maps)


def test_a_relative_folder_stays_where_it_was(tmp_path, pictures, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = chart_small(Path("a"), pictures, "wandering", "silu", images=8, engine=ApartEngine)
    assert result.charted == (spec("wandering"), spec("silu"))


def test_who_holds_or_closes_the_pipes_does_not_hold_up_the_run(tmp_path, pictures):
    result = chart_small(tmp_path / "a", pictures, "forking", "closing", "silu", images=8, engine=ApartEngine)
    assert result.charted == (spec("silu"),)
    assert result.excluded.keys() == {spec("forking"), spec("closing")}
    assert result.excluded[spec("forking")] == "its process ended with exit status 3"
    assert result.excluded[spec("closing")].startswith("its process ended with exit status 1 (OSError")


@pytest.mark.parametrize("engine", [ApartEngine, HereEngine])
def test_a_model_that_leaves_or_speaks_no_utf8_is_left_out_with_its_reason(tmp_path, pictures, engine):
    result = chart_small(tmp_path / "a", pictures, "exiting", "unprintable", "silu", images=8, engine=engine)
    assert result.charted == (spec("silu"),)
    assert result.excluded[spec("exiting")] == "SystemExit: enough"
    assert "cannot read mod" in result.excluded[spec("unprintable")]
    assert open_atlas(tmp_path / "a").names == (spec("silu"),)


@pytest.mark.parametrize("engine", [ApartEngine, HereEngine])
def test_a_network_that_draws_draws_the_same_in_every_run(tmp_path, pictures, engine):
    for number in range(2):
        torch.rand(number)  # the caller's state is another one
        chart_small(tmp_path / str(number), pictures, "drawing", "relu", images=8, engine=engine)
    assert results(tmp_path / "0") == results(tmp_path / "1")


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
def test_a_worker_that_is_deep_in_c_code_does_not_outlive_its_run_either(tmp_path, pictures):
    out = tmp_path / "a"
    with subprocess.Popen([sys.executable, "-c", script(pictures, "holding"), str(out)]) as run:
        wait_until(lambda: [*out.glob("journal/*holding*/model.json")])
        worker = wait_until(lambda: worker_of(run.pid))
        time.sleep(1)
        os.kill(run.pid, signal.SIGKILL)
    wait_until(lambda: not _alive(worker), seconds=20)


def script(pictures, *models):
    """A program that charts into the folder that it is given."""
    return textwrap.dedent(
        f"""
        import sys
        sys.path[:0] = {[str(Path(__file__).parents[1])]!r}
        from pathlib import Path
        from chartable import chart_small
        from modelatlas.run import ApartEngine
        chart_small(Path(sys.argv[1]), Path({str(pictures)!r}), *{models!r}, batch=8, engine=ApartEngine)
        """
    )


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_neither_the_worker_outlives_its_run_nor_the_run_its_killing(tmp_path, pictures, undisturbed):
    """SIGKILL to the run: its worker ends, the lock is free. SIGKILL to the worker: the run goes on."""
    out = tmp_path / "a"
    with subprocess.Popen([sys.executable, "-c", script(pictures, *MODELS, "slow"), str(out)]) as run:
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
