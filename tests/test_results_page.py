"""The page of results: folders of one machine are not shown on it."""

from pathlib import Path

from docs.results import section


def test_folders_of_data_and_runs_are_shown_from_the_repository(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "regions"
    folder.mkdir(parents=True)
    command = (
        "skycue benchmark --data a=/work/shared/data/a --data b=../shared/data/b --config c.yaml "
        f"--set 'methods.region captions.captions=file:{tmp_path}/runs/captions.jsonl' "
        f"--set roots.a=/work/shared/data/a/images -o {folder}"
    )
    (folder / "report.md").write_text(f"# Report\n\n    {command}\n\n### Table\n")
    assert section(folder, "Regions") == (
        "## Regions\n\n    skycue benchmark --data a=../shared/data/a --data b=../shared/data/b "
        "--config c.yaml --set 'methods.region captions.captions=file:RUNS/captions.jsonl' "
        "--set roots.a=../shared/data/a/images -o RUNS/regions\n\n#### Table\n"
    )
