"""`leadline data`, and data sets by name in `leadline check`, called in this process."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.data.files import drawn, records, write_mnist

from leadline.cli import main

FACTORY = """
from torch import nn

class Flat(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.fc = nn.utils.skip_init(nn.Linear, size, 10)
        nn.init.constant_(self.fc.weight, 0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x):
        assert x.ndim == 2, "rows only"
        return self.fc(x)

def flat(size: int = 784):
    return Flat(size)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEADLINE_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def mnist(folder: Path) -> None:
    write_mnist(folder / "MNIST" / "raw", *drawn(80, (28, 28), 10))


@pytest.fixture
def cifar100(folder: Path) -> None:
    images, fine = drawn(70, (3, 32, 32), 100)
    (folder / "cifar-100-binary").mkdir()
    fine[0] = 99
    (folder / "cifar-100-binary" / "train.bin").write_bytes(records(images, fine // 5, fine))


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(FACTORY, encoding="utf-8")
    return path


def inputs_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(["check", *arguments, "--json", "-"]) in (0, 1), capsys.readouterr().err
    return json.loads(capsys.readouterr().out)["profile"]


@pytest.mark.usefixtures("mnist")
def test_the_list_has_every_data_set_and_where_it_is(folder: Path, capsys):
    assert main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines[1:7]}
    assert list(rows) == ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "gaussian-images"]
    assert "raw" in rows["mnist"] and "1×28×28" in rows["mnist"]
    assert "not found" in rows["fashion-mnist"] and "needs no files" in rows["digits"]
    assert "leadline data fetch NAME" in " ".join(lines[7:])
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data"], "Missing command"),
        (["data", "fetch"], "NAME"),
        (["data", "fetch", "minst"], "did you mean 'mnist'?"),
        (["data", "fetch", "digits"], "digits needs no files"),
        (["check", "mlp", "--data", "mnist"], "put train-images-idx3-ubyte.gz"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_2(words, message, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and len(err.splitlines()) == 1


@pytest.mark.usefixtures("mnist")
def test_a_design_is_built_for_the_images(capsys):
    profile = inputs_of(["mlp:depth=2,width=8", "--data", "mnist", "--batch", "16"], capsys)
    assert profile["notes"][0] == "Checked: mlp:depth=2,width=8 on 16 images of mnist, 1×28×28, seed 0."


@pytest.mark.usefixtures("cifar100")
def test_a_design_has_as_many_outputs_as_the_data_have_classes():
    from leadline.targets import load

    target = load("mlp:depth=2,width=8", data="cifar100", batch=70)
    assert target.model(target.inputs).shape == (70, 100)
    assert target.targets is not None and int(target.targets.max()) == 99
    assert target.build(1, depth=3)(target.inputs).shape == (70, 100)


@pytest.mark.usefixtures("mnist")
def test_the_images_are_standardised_and_come_with_the_pool_they_are_of():
    from leadline.data import load as images
    from leadline.targets import load

    target = load("mlp:depth=2,width=8", data="mnist", batch=80)
    expected = images("mnist", standardise=True).inputs
    assert np.allclose(np.sort(target.inputs.numpy(), axis=None), np.sort(expected.numpy(), axis=None))
    assert target.pool is not None and target.pool[0].shape == (80, 1, 28, 28)


@pytest.mark.usefixtures("mnist")
def test_a_module_that_takes_rows_gets_flat_images(net: Path):
    from leadline.targets import load

    target = load(f"{net}:flat", data="mnist", batch=5)
    assert target.inputs.shape == (5, 784)
    assert target.pool is not None and target.pool[0].shape == (80, 784)


@pytest.mark.usefixtures("mnist")
def test_a_module_of_another_size_is_told_both_sizes(net: Path, capsys):
    assert main(["check", f"{net}:flat,size=64", "--data", "mnist"]) == 2
    err = capsys.readouterr().err
    assert "takes neither images of 1×28×28 nor rows of 784" in err
    assert "its first layer, fc, is Linear(in_features=64, out_features=10, bias=True)" in err


@pytest.mark.usefixtures("mnist")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--input-shape", "3,8,8"], "Images of mnist have shape 1×28×28; the input shape 3×8×8 needs data=gaussian."),
        (["--batch", "81"], "must have 1 to 80 samples; got 81"),
    ],
)
def test_what_the_data_do_not_have_is_refused(options, message, capsys):
    assert main(["check", "mlp", "--data", "mnist", *options]) == 2
    assert message in capsys.readouterr().err
