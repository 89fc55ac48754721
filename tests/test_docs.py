"""What README and the pages say, held against the program: links, commands and their options, Python code."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image

from modelatlas.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def command_lines() -> list[tuple[str, str]]:
    """Every `modelatlas ...` line of the shell blocks, continuation lines joined."""
    found = []
    for page in PAGES:
        for block in [*blocks(page, "sh"), *blocks(page, "console"), *blocks(page, "bash")]:
            for line in block.replace("\\\n", " ").splitlines():
                words = line.removeprefix("$ ").split(" #")[0].strip()
                if words.startswith("modelatlas "):
                    found.append((page.name, words))
    return found


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_commands_and_options_exist(page: str, line: str) -> None:
    node, words = typer.main.get_command(app), shlex.split(line)[1:]
    while words and hasattr(node, "commands"):
        assert words[0] in node.commands, f"{page}: {line}"
        node = node.commands[words.pop(0)]
    known = {option for param in node.params for option in (*param.opts, *param.secondary_opts)} | {"--help"}
    used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used <= known, f"{page}: {line}"


def test_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = blocks(ROOT / "README.md", "python")
    # Only the weights differ from what a reader runs: they cannot be downloaded everywhere.
    code = code.replace("timm:resnet18", "timm:resnet18?random=0").replace(
        "timm:mobilenetv3_small_100", "timm:mobilenetv3_small_100?random=0"
    )
    folder = tmp_path / "path/to/your/images"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((256, 256)).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {
        "my_network": lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU()),
        "images": torch.rand(2, 3, 16, 16),
    }
    exec(compile(code, "README.md", "exec"), names)  # the page's own code
    assert set(names["maps"]) == {"saliency", "gradient-x-input", "epsilon-lrp"}
    assert "timm:mobilenetv3_small_100" in capsys.readouterr().out
