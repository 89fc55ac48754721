"""torchvision's compiled deformable convolution against the one written by hand, and its relevance budget.

torchvision's wheels are built for CUDA: beside a CPU build of torch their operators do not load, for want of
a dozen functions of libraries that are not there. The CPU operator calls none of them. So a child process
gives the loader libraries in which these functions do nothing, and torchvision's own compiled code runs.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from modelatlas.attribution import attribute
from modern import Deformable, by_grid_sample
from tiny import BLOCKS, images, randomise

CHILD = """
import ctypes, json, sys
import torch
for library in sys.argv[2:]:
    ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
sys.path.insert(0, sys.argv[1])
import torchvision
from torch import nn
from torchvision.ops import deform_conv2d
from modelatlas.attribution import attribute
from modelatlas.attribution.budget import relevance_budget
from tiny import BLOCKS, images, randomise

class Compiled(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.offset, self.mask = nn.Conv2d(4, 18, 3, padding=1), nn.Conv2d(4, 9, 3, padding=1)
        self.weight, self.bias = nn.Parameter(torch.empty(4, 4, 3, 3)), nn.Parameter(torch.empty(4))
        self.gate = mask
    def forward(self, x):
        mask = None if self.gate is None else self.gate(self.mask(x))
        return deform_conv2d(x, self.offset(x), self.weight, self.bias, padding=1, mask=mask)

found = {}
for name, mask in {"none": None, "sigmoid": torch.sigmoid, "tanh": torch.tanh}.items():
    net = randomise(nn.Sequential(BLOCKS["conv"](), Compiled(mask), nn.ReLU(), BLOCKS["conv"]()).double())
    maps = attribute(net, images(), layer="3")
    budget = relevance_budget(net, images(), layer="3")
    found[name] = {"error": budget.error, "inputs": budget.inputs, "magnitude": budget.magnitude}
    found[name]["maps"] = {method: values.flatten().tolist() for method, values in maps.items()}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stubs")
    libraries = stubs(folder)
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parents[1]), *libraries]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def stubs(folder):
    """Libraries that a CPU build of torch lacks, their functions doing nothing; none beside a CUDA build."""
    if torch.version.cuda is not None:
        return []
    tools = {name: shutil.which(name) for name in ("cc", "nm")}
    if None in tools.values():
        pytest.skip(
            "needs a C compiler and nm to make torchvision's operators load beside a CPU build of torch"
        )
    import torchvision

    (binary,) = Path(torchvision.__file__).parent.glob("_C*.so")
    table = subprocess.run(
        [tools["nm"], "-D", "--undefined-only", str(binary)], capture_output=True, text=True, check=True
    ).stdout
    names = [line.split()[-1] for line in table.splitlines() if "4cuda" in line and "@" not in line]
    made = []
    for library, lines in {
        "libc10_cuda.so": [f"void *{name}(void) {{ return 0; }}" for name in names],
        "libtorch_cuda.so": ["int nothing;"],
    }.items():
        source = folder / f"{library}.c"
        source.write_text("\n".join(lines))
        options = ["-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", str(folder / library)]
        subprocess.run([tools["cc"], *options, str(source)], check=True)
        made.append(str(folder / library))
    return made


@pytest.mark.parametrize("mask", ["none", "sigmoid", "tanh"])
def test_the_compiled_operator_keeps_its_budget(compiled, mask):
    found = compiled[mask]
    assert found["error"] < 1e-14
    assert sum(found["maps"]["epsilon-lrp"]) == pytest.approx(found["inputs"], abs=1e-9 * found["magnitude"])


def test_it_gives_the_maps_of_the_one_by_hand(compiled):
    net = torch.nn.Sequential(BLOCKS["conv"](), Deformable(by_grid_sample), torch.nn.ReLU(), BLOCKS["conv"]())
    expected = attribute(randomise(net.double()), images(), layer="3")
    for method, values in compiled["sigmoid"]["maps"].items():
        found = torch.tensor(values, dtype=torch.float64).view(expected[method].shape)
        torch.testing.assert_close(found, expected[method], rtol=1e-8, atol=1e-10)
