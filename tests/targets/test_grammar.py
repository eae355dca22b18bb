import pytest

from leadline._core.errors import UsageError
from leadline.targets.grammar import parse


@pytest.mark.parametrize(
    ("target", "kind", "place", "function", "options"),
    [
        ("mlp", "design", "mlp", "", {}),
        ("mlp:depth=100,norm=batch", "design", "mlp", "", {"depth": "100", "norm": "batch"}),
        ("resnet110:norm=none", "design", "resnet110", "", {"norm": "none"}),
        ("timm:vit_tiny_patch16_224,depth=2", "timm", "vit_tiny_patch16_224", "", {"depth": "2"}),
        ("hf:deberta-v2", "hf", "deberta-v2", "", {}),
        ("hf:gpt2:n_layer=2", "hf", "gpt2", "", {"n_layer": "2"}),
        ("net.py:build", "file", "net.py", "build", {}),
        ("../a b/net.py:build,width=3", "file", "../a b/net.py", "build", {"width": "3"}),
        ("C:\\models\\net.py:build:width=3", "file", "C:\\models\\net.py", "build", {"width": "3"}),
        ("package.module:build,sizes=(1,2)", "module", "package.module", "build", {"sizes": "(1,2)"}),
    ],
)
def test_each_form_is_taken_apart(target, kind, place, function, options):
    spec = parse(target)
    assert (spec.kind, spec.place, spec.function, spec.options) == (kind, place, function, options)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "resnet111",
            r"No such target: 'resnet111' \(did you mean 'resnet110'\?\); a target is a built-in design \(mlp, ",
        ),
        ("mlpp:depth=3", r"'mlpp:depth=3' \(did you mean 'mlp'\?\)"),
        ("", "No such target: ''"),
        ("net.py", r"net\.py is a file; name the function in it .*net\.py:build\."),
        ("net.py:", r"net\.py is a file; name the function in it .*net\.py:build\."),
        ("/", r"No such target: '/' \(a folder of that name is there, but no Python file\); a target is"),
        ("hf:", r"hf: lacks the name of a model, e\.g\. hf:gpt2\."),
        ("mlp:depth", "written name=value with commas between; got 'depth'"),
        ("mlp:depth=1,depth=2", "depth is given twice"),
    ],
)
def test_what_has_no_form_is_refused_with_the_way_out(target, message):
    with pytest.raises(UsageError, match=message):
        parse(target)


def test_a_file_of_that_name_is_offered(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"did you mean 'net\.py:build'\?"):
        parse("net")
