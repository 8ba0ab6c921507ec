"""Configurations: what fills them and what is refused."""

from pathlib import Path

import pytest
from pydantic import Field

from skycue import config
from skycue.config import Config, load_config
from skycue.errors import ConfigError


class Train(Config):
    """Settings nested in another configuration."""

    lr: float = Field(0.002, gt=0)
    steps: int = 10


class Run(Config):
    """A configuration with one nested inside."""

    train: Train = Train()
    extra_train: Train | None = None
    shots: tuple[int, ...] = (1, 4)
    stages: tuple[Train, ...] = ()
    name: str = "run"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_defaults_hold() -> None:
    assert load_config(Run, None) == Run()


def test_an_empty_file_leaves_the_defaults(tmp_path: Path) -> None:
    assert load_config(Run, write(tmp_path, "# nothing\n")) == Run()


def test_a_file_fills_nested_keys_and_leaves_the_others(tmp_path: Path) -> None:
    run = load_config(Run, write(tmp_path, "train:\n  lr: 0.1\nshots: [2, 8]\n"))
    assert run == Run(train=Train(lr=0.1), shots=(2, 8))


def test_overrides_win_over_the_file_and_later_ones_over_earlier_ones(tmp_path: Path) -> None:
    path = write(tmp_path, "train:\n  lr: 0.1\n  steps: 3\n")
    run = load_config(Run, path, ["train.lr=1e-3", "train.lr=0.5", "name=b=c", "shots=[16]"])
    assert run == Run(train=Train(lr=0.5, steps=3), name="b=c", shots=(16,))


def test_an_entry_of_a_list_is_named_by_its_number(tmp_path: Path) -> None:
    path = write(tmp_path, "stages: [{lr: 0.1}, {lr: 0.2, steps: 3}]\nshots: [1, 2]\n")
    run = load_config(Run, path, ["stages.1.lr=0.3", "shots.0=8"])
    assert run.stages == (Train(lr=0.1), Train(lr=0.3, steps=3))
    assert run.shots == (8, 2)


def test_scientific_notation_without_a_point_is_a_number() -> None:
    assert load_config(Run, None, ["train.lr=1e-3"]).train.lr == 0.001


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Run().name = "other"  # type: ignore[misc]


def test_its_json_gives_the_same_configuration_back() -> None:
    run = Run(train=Train(lr=0.3), shots=())
    assert Run.model_validate_json(run.model_dump_json()) == run


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("train:\n  stesp: 3\n", [], r"unknown key 'train.stesp'; did you mean 'steps'\?$"),
        ("extra_train:\n  l_r: 3\n", [], r"unknown key 'extra_train.l_r'; did you mean 'lr'\?$"),
        ("zzz: 1\n", [], "unknown key 'zzz'; allowed: extra_train, name, shots, stages, train$"),
        ("", ["train.stesp=3"], "unknown key 'train.stesp'; did you mean 'steps'"),
        ("train:\n  lr: fast\n", [], "'train.lr' is 'fast': input should be a valid number"),
        ("train:\n  lr: -1\n", [], "'train.lr' is -1: input should be greater than 0"),
        ("train:\n  lr: .nan\n", [], "'train.lr' is nan: input should be"),
        ("a: 1\nb: 2\n", [], "unknown key 'a'.*; unknown key 'b'"),
        ("name: 1\nname: 2\n", [], "key 'name' stands twice in the mapping at line 1"),
        ("- 1\n", [], "holds a list; a configuration is a mapping"),
        ("a: [\n", [], "run.yaml is not YAML: .*line 2"),
        ("", ["train.lr"], "override 'train.lr' is not of the form key=value"),
        ("", ["=3"], "override '=3' is not of the form key=value"),
        ("", ["name=["], r"the value of override 'name=\[' is not YAML"),
        ("name: b\n", ["name.x=3"], "override 'name.x=3': 'name' is 'b' and holds no keys"),
        (
            "stages: [{}]\n",
            ["stages.1.lr=3"],
            "'stages' is a list of 1; its entries are named 0, 1",
        ),
        ("stages: [{}]\n", ["stages.lr=3"], "'stages' is a list of 1; its entries are named 0, 1"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    tmp_path: Path, text: str, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(Run, write(tmp_path, text), overrides)
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*absent.yaml: No such file"):
        load_config(Run, tmp_path / "absent.yaml")


def test_a_shipped_configuration_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "shipped_configs", lambda: {"mine": write(tmp_path, "name: m")})
    assert load_config(Run, Path("mine")).name == "m"
    with pytest.raises(ConfigError, match="no configuration 'yours': give a YAML file, or one of"):
        load_config(Run, Path("yours"))


def test_a_file_is_taken_before_a_shipped_configuration_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "name: here").rename("mine")
    monkeypatch.setattr(config, "shipped_configs", lambda: {"mine": tmp_path / "other.yaml"})
    assert load_config(Run, Path("mine")).name == "here"


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_config(Run, path)


def test_python_objects_in_yaml_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "name: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="not YAML: could not determine a constructor"):
        load_config(Run, path)
