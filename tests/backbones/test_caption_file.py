"""Tests of captions files as text sources and of writing them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from skycue.backbones.caption_file import CaptionFile, Written, write_captions
from skycue.backbones.text_source import TextSettings
from skycue.data.captions import CaptionRecord, Setting, append_captions, read_captions
from skycue.errors import CaptionError, ImageReadError
from skycue.files import sha256_of

MODEL: dict[str, Setting] = {"source": "hf", "model": "blip", "num_beams": 4}


def write(path: Path, captions: dict[str, str], settings: dict[str, Setting]) -> Path:
    """Write a captions file."""
    append_captions(
        path,
        [
            CaptionRecord(image=image, captions=(text, "a second one"), settings=settings)
            for image, text in captions.items()
        ],
    )
    return path


class Counting:
    """A source that numbers its captions, and can be made to fail."""

    def __init__(self, settings: dict[str, Setting] = MODEL, dies_after: int = 10**6) -> None:
        self.settings = TextSettings(kind="hf", maker=settings)
        self.seen: list[Path] = []
        self.dies_after = dies_after

    def caption(self, paths: Sequence[Path]) -> list[str]:
        if len(self.seen) + len(paths) > self.dies_after:
            raise KeyboardInterrupt
        self.seen += paths
        return [f"caption of {path.stem}" for path in paths]


@pytest.fixture
def images(scene_folder: Path) -> list[Path]:
    return sorted(scene_folder.rglob("*.png"))


def test_captions_are_found_by_the_path_relative_to_the_file(tmp_path: Path) -> None:
    captions = {"images/lake/1.jpg": "water", "images/forest/1.jpg": "trees"}
    file = CaptionFile(write(tmp_path / "captions.jsonl", captions, MODEL))
    images = [tmp_path / "images" / "forest" / "1.jpg", tmp_path / "images" / "lake" / "1.jpg"]
    assert file.caption(images) == ["trees", "water"]


def test_an_image_of_the_same_name_in_another_dataset_has_no_caption(tmp_path: Path) -> None:
    file = CaptionFile(write(tmp_path / "a" / "captions.jsonl", {"lake/1.jpg": "water"}, MODEL))
    other = tmp_path / "b" / "lake" / "1.jpg"
    with pytest.raises(CaptionError, match=r"no caption for 1 of 2 images, the first .*b/lake"):
        file.caption([tmp_path / "a" / "lake" / "1.jpg", other])


def test_a_file_apart_from_its_dataset_is_read_with_its_root(tmp_path: Path) -> None:
    path = write(tmp_path / "apart" / "captions.jsonl", {"lake/1.jpg": "water"}, MODEL)
    image = tmp_path / "data" / "lake" / "1.jpg"
    assert CaptionFile(path, root=tmp_path / "data").caption([image]) == ["water"]
    with pytest.raises(CaptionError, match="no caption"):
        CaptionFile(path).caption([image])


def test_a_link_to_the_dataset_leads_to_the_same_captions(tmp_path: Path) -> None:
    path = write(tmp_path / "data" / "captions.jsonl", {"lake/1.jpg": "water"}, MODEL)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert CaptionFile(path).caption([tmp_path / "link" / "lake" / "1.jpg"]) == ["water"]


def test_several_files_of_one_maker_are_one_source(tmp_path: Path) -> None:
    one = write(tmp_path / "a" / "captions.jsonl", {"1.jpg": "water"}, MODEL)
    two = write(tmp_path / "b" / "captions.jsonl", {"1.jpg": "trees"}, MODEL)
    source = CaptionFile(one, two)
    assert source.caption([tmp_path / "b" / "1.jpg", tmp_path / "a" / "1.jpg"]) == [
        "trees",
        "water",
    ]
    three = write(tmp_path / "c" / "captions.jsonl", {"1.jpg": "sand"}, {**MODEL, "num_beams": 1})
    with pytest.raises(CaptionError, match="made with different settings"):
        CaptionFile(one, three)


def test_a_file_is_the_source_that_wrote_it(tmp_path: Path) -> None:
    path = write(tmp_path / "captions.jsonl", {"1.jpg": "water"}, MODEL)
    settings = CaptionFile(path).settings
    assert (settings.kind, settings.maker, settings.oracle) == ("hf", MODEL, False)
    assert settings.captions_sha256 == sha256_of(path)
    assert settings.same_maker(Counting().settings)


def test_a_file_of_other_software_is_a_source_too(tmp_path: Path) -> None:
    path = write(tmp_path / "captions.jsonl", {"1.jpg": "water"}, {"source": "our captioner 2"})
    assert CaptionFile(path).settings.kind == "other"


def test_captions_of_unknown_origin_are_read_as_an_oracle_only(tmp_path: Path) -> None:
    path = write(tmp_path / "captions.jsonl", {"1.jpg": "a lake", "2.jpg": "a forest"}, {})
    with pytest.raises(CaptionError, match=r"does not say what wrote 2 of its 2 .* Use oracle:"):
        CaptionFile(path)
    source = CaptionFile(path, oracle=True)
    assert source.caption([tmp_path / "2.jpg"]) == ["a forest"]
    assert source.settings.oracle


def test_one_line_without_settings_makes_the_file_unknown(tmp_path: Path) -> None:
    path = write(tmp_path / "captions.jsonl", {"1.jpg": "water"}, MODEL)
    write(path, {"2.jpg": "a lake"}, {})
    with pytest.raises(CaptionError, match=r"wrote 1 of its 2 captions, the first of 2\.jpg"):
        CaptionFile(path)


def test_captions_by_software_are_no_oracle(tmp_path: Path) -> None:
    path = write(tmp_path / "captions.jsonl", {"1.jpg": "water"}, MODEL)
    with pytest.raises(CaptionError, match="it is no oracle"):
        CaptionFile(path, oracle=True)


def test_mixed_settings_are_refused_with_what_differs(tmp_path: Path) -> None:
    path = write(tmp_path / "captions.jsonl", {"1.jpg": "water"}, MODEL)
    write(path, {"2.jpg": "trees"}, {**MODEL, "num_beams": 1})
    with pytest.raises(CaptionError, match=r"2\.jpg differs in num_beams 4 and now 1"):
        CaptionFile(path)


def test_what_is_written_is_read_back_as_the_same_source(
    images: list[Path], tmp_path: Path
) -> None:
    source = Counting()
    output = tmp_path / "out" / "captions.jsonl"
    assert write_captions(source, images, output) == Written(n_new=24, n_kept=0)
    file = CaptionFile(output)
    assert file.caption(images) == [f"caption of {path.stem}" for path in images]
    assert file.settings.same_maker(source.settings)


def test_a_killed_run_goes_on_and_ends_with_the_same_file(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skycue.backbones.caption_file.SAVED_AT_ONCE", 4)
    whole = tmp_path / "whole.jsonl"
    write_captions(Counting(), images, whole)
    output = tmp_path / "captions.jsonl"
    with pytest.raises(KeyboardInterrupt):
        write_captions(Counting(dies_after=13), images, output)
    assert len(read_captions(output)) == 12
    torn = output.read_bytes()[:-9]
    output.write_bytes(torn)
    source = Counting()
    assert write_captions(source, images, output) == Written(n_new=13, n_kept=11)
    assert source.seen == images[11:]
    assert output.read_bytes() == whole.read_bytes()


def test_going_on_with_other_settings_is_refused(images: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "captions.jsonl"
    write_captions(Counting(), images[:2], output)
    with pytest.raises(CaptionError, match="other settings: num_beams 4 and now 1"):
        write_captions(Counting({**MODEL, "num_beams": 1}), images, output)
    with pytest.raises(CaptionError, match=r"settings: source 'hf' and now 'bank'. Choose"):
        write_captions(Counting({"source": "bank", "top_k": 4}), images, output)


def test_unreadable_images_are_all_named_before_any_work(
    images: list[Path], tmp_path: Path
) -> None:
    images[3].write_bytes(b"no image")
    images[7].write_bytes(b"")
    source = Counting()
    with pytest.raises(ImageReadError, match=r"2 of 24 images .*_3\.png.*; .*_7\.png"):
        write_captions(source, images, tmp_path / "captions.jsonl")
    assert source.seen == []


def test_an_image_given_twice_is_captioned_once(images: list[Path], tmp_path: Path) -> None:
    source = Counting()
    write_captions(source, [images[0], images[0]], tmp_path / "captions.jsonl")
    assert source.seen == [images[0]]
