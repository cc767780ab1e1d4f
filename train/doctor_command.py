"""The doctor on the command line: features, findings, `doctor.csv` to edit, `doctor.html` to look at."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from train.dataset import Dataset
from train.doctor import Case, Finding, diagnose, examine
from train.doctor_table import write_table
from train.options import Options
from train.page import thumbnails, write_page
from train.prepare import Prepared, prepare
from train.progress import say, waiting

TABLE, PAGE = "doctor.csv", "doctor.html"
SHOWN = 6  # pictures of a finding
PAGE_SIDE = 160  # pixels of a picture on the page


def consult(options: Options, data: Dataset) -> int:
    """Say what is wrong with the photos, and write it down; the exit status."""
    ready = prepare(options, data)
    clock = time.perf_counter()
    with waiting("looking"):
        case = case_of(ready, data)
        findings = diagnose(case)
    write_table(options.out / TABLE, data.root, findings)
    template = Path(__file__).parent / "page" / "doctor.html.jinja"
    write_page(options.out / PAGE, template, root=data.root, pictures=len(case.pictures), **shown(findings, data))
    for finding in findings:
        say(f"{finding.name}: {finding.sentence} {finding.advice}")
    if not findings:
        say("nothing was found")
    say(f"{len(case.pictures)} pictures, {time.perf_counter() - clock:.1f} s; see {options.out / PAGE}")
    say(f"next: edit {options.out / TABLE}, then: --doctor --apply {options.out / TABLE}")
    return 0


def case_of(ready: Prepared, data: Dataset) -> Case:
    """What the doctor looks at, out of the features that are there."""
    sources = [each for each in (ready.train, ready.validation, ready.test) if len(each.labels)]
    features = np.concatenate([each.view(0) for each in sources])
    return examine(data, ready.spec, features, features[:, ready.train.features.parts[-1]])


def shown(findings: list[Finding], data: Dataset) -> dict[str, Any]:
    """What a page shows of the findings: them, the names of their pictures, and the first few pictures."""
    rows = [row for finding in findings for row in finding.rows[:SHOWN]]
    paths = {path for row in rows for path in (row.path, row.other) if path}
    names = {path: str(path.relative_to(data.root)) for path in paths}
    return {"findings": findings, "most": SHOWN, "names": names, "thumbnails": thumbnails(paths, PAGE_SIDE)}
