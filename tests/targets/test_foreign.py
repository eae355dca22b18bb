import sys

import pytest
import torch
from torch import nn

from leadline._core.errors import UsageError
from leadline.targets import load
from leadline.targets.foreign import model_told

BUILD = "from torch import nn\ndef build():\n    return nn.Linear({}, 2)\n"


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def width(target):
    return load(str(target)).model.in_features


def test_a_file_imports_its_neighbours_and_the_path_is_as_before(tmp_path):
    folder = write(tmp_path / "a", net="from sizes import width\n" + BUILD.format("width"), sizes="width = 3\n")
    before = list(sys.path)
    assert width(f"{folder}/net.py:build") == 3
    assert sys.path == before


def test_neighbours_can_be_imported_while_the_function_runs(tmp_path):
    text = "def build():\n    from torch import nn\n    from sizes import width\n    return nn.Linear(width, 2)\n"
    folder = write(tmp_path / "a", net=text, sizes="width = 4\n")
    assert width(f"{folder}/net.py:build") == 4


def test_files_and_neighbours_of_one_name_in_two_folders_are_kept_apart(tmp_path):
    text = "from sizes import width\n" + BUILD.format("width")
    a = write(tmp_path / "a", net=text, sizes="width = 3\n")
    b = write(tmp_path / "b", net=text, sizes="width = 5\n")
    assert [width(f"{folder}/net.py:build") for folder in (a, b, a)] == [3, 5, 3]


def test_a_file_called_like_a_library_does_not_replace_it(tmp_path):
    import json

    folder = write(tmp_path / "a", json=BUILD.format(6))
    assert width(f"{folder}/json.py:build") == 6
    assert sys.modules["json"] is json


def test_an_edited_file_is_read_anew(tmp_path):
    folder = write(tmp_path / "a", net=BUILD.format(3))
    assert width(f"{folder}/net.py:build") == 3
    write(folder, net=BUILD.format(11))
    assert width(f"{folder}/net.py:build") == 11


def test_dataclasses_of_the_file_find_their_module(tmp_path):
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom torch import nn\n" + (
        "@dataclass\nclass Sizes:\n    width: int = 7\n\ndef build():\n    return nn.Linear(Sizes().width, 2)\n"
    )
    assert width(f"{write(tmp_path / 'a', net=text)}/net.py:build") == 7


def test_a_module_in_the_working_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path / "a", leadline_test_net=BUILD.format(9)))
    assert width("leadline_test_net:build") == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import torch\ndef build(:\n", r"Importing net\.py raised SyntaxError: .* \(net\.py, line 2\)\."),
        (
            "\nimport nowhere\n",
            r"Importing net\.py raised ModuleNotFoundError: No module named 'nowhere' \(net\.py, line 2\)\.",
        ),
        ("1 / 0\n", r"Importing net\.py raised ZeroDivisionError: division by zero \(net\.py, line 1\)\."),
        ("import sys\nsys.exit(3)\n", r"Importing net\.py raised SystemExit: 3 \(net\.py, line 2\)\."),
        ("raise ValueError('two\\nlines')\n", r"raised ValueError: two lines \(net\.py, line 1\)\."),
    ],
)
def test_an_error_while_importing_is_told_with_its_line(tmp_path, text, message):
    folder = write(tmp_path / "a", net=text)
    before = set(sys.modules)
    with pytest.raises(UsageError, match=message):
        load(f"{folder}/net.py:build")
    assert not {name for name in set(sys.modules) - before if "leadline_target" in name}


def test_an_error_in_an_importable_module_is_told_with_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path / "a", leadline_test_broken="\n1 / 0\n"))
    with pytest.raises(UsageError, match=r"raised ZeroDivisionError: .* \(leadline_test_broken\.py, line 2\)"):
        load("leadline_test_broken:build")


def test_a_missing_file_offers_the_nearest_beside_it(tmp_path):
    folder = write(tmp_path / "a", network="")
    with pytest.raises(UsageError, match=r"No such file: '.*/netwrk\.py'; did you mean '.*/network\.py'\?"):
        load(f"{folder}/netwrk.py:build")


def test_a_missing_folder_is_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match=r"No such file: '.*/nowhere/net\.py'\.$"):
        load(f"{tmp_path}/nowhere/net.py:build")


def test_ctrl_c_passes_through(tmp_path):
    folder = write(tmp_path / "a", net="raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load(f"{folder}/net.py:build")


class Raising(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("k"), "KeyError: 'k'"),
        (SystemExit(0), "SystemExit: 0"),
        (RuntimeError("one\ntwo."), "RuntimeError: one two"),
    ],
)
def test_what_a_model_raises_is_told_with_its_line(error, said):
    with pytest.raises(UsageError, match=rf"^The model raised {said} \(test_foreign\.py, line \d+\)\.$"), model_told():
        Raising(error)(torch.ones(1))


@pytest.mark.parametrize("of", ["module", "tensor"])
def test_what_a_hook_of_the_backward_pass_raises_is_told_with_its_line(of):
    x = torch.ones(1, 3, requires_grad=True)
    layer = nn.ReLU()
    (layer.register_full_backward_hook if of == "module" else x.register_hook)(lambda *_: 1 / 0)
    with (
        pytest.raises(UsageError, match=r"^The model raised ZeroDivisionError: .* \(test_foreign\.py, line"),
        model_told(),
    ):
        layer(x).sum().backward()


def test_a_model_without_a_forward_is_told():
    with (
        pytest.raises(UsageError, match=r'NotImplementedError: .*ModuleList\] is missing the required "forward"'),
        model_told(),
    ):
        nn.ModuleList()(torch.ones(1))


def test_what_no_model_raised_goes_through():
    with pytest.raises(ZeroDivisionError), model_told():
        _ = 1 / 0


def test_an_interrupt_in_a_model_goes_through():
    with pytest.raises(KeyboardInterrupt), model_told():
        Raising(KeyboardInterrupt())(torch.ones(1))


def test_a_folder_named_like_a_file_is_told(tmp_path):
    (tmp_path / "net.py").mkdir()
    with pytest.raises(UsageError, match=r"net\.py' is a folder; give a file in it\."):
        load(f"{tmp_path / 'net.py'}:build")
