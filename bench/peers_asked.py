"""What is run in each peer's environment, as its documentation recommends; see `bench.peers`.

A script defines `judge(history, sample, parts, names)`: the rows a peer learns from in their order, a sample of
them, the rows of each part (column `w` is the window); it gives by part whether there is an alert, (windows, features).
`HEAD` and `TAIL` read a replicate and leave `told.json`. Files are numpy's, as not all peers can have a reader
of Parquet.

Source: docs.evidentlyai.com, nannyml.readthedocs.io, riverml.xyz, docs.seldon.ai, read 2026-11.
"""

from dataclasses import dataclass

HEAD = """
import json, warnings
from importlib.metadata import version
warnings.filterwarnings("ignore")
import numpy as np, pandas as pd
def windows(rows, names): return [part[names].reset_index(drop=True) for _, part in rows.groupby("w")]
"""

TAIL = """
said = json.load(open("said.json"))
columns = ["w", *said["names"]]
read = lambda p: pd.DataFrame(np.load(f"{p}.npy"), columns=columns)
found = judge(read("history"), read("sample"), {p: read(p) for p in said["parts"]}, said["names"])
told = {p: np.asarray(rows).astype(bool).tolist() for p, rows in found.items()}
json.dump({"version": version(said["package"]), "told": told}, open("told.json", "w"))
"""

EVIDENTLY = """
from evidently import Report
from evidently.legacy.calculations.stattests import get_stattest
from evidently.legacy.core import ColumnType
from evidently.presets import DataDriftPreset
number = ColumnType.Numerical
def report(part, sample, names):
    found = [m for m in Report([DataDriftPreset()]).run(part, sample[names]).dict()["metrics"] if m["config"].get("column")]
    low = {m["config"]["column"]: "p_value" in m["config"]["method"] for m in found}
    by = {m["config"]["column"]: (float(m["value"]), m["config"]["threshold"]) for m in found}
    return [by[n][0] < by[n][1] if low[n] else by[n][0] >= by[n][1] for n in names]
def judge(history, sample, parts, names):
    def ask(part):
        tests = {n: get_stattest(sample[n], part[n], number, None) for n in names}
        return [bool(tests[n](sample[n], part[n], number, None).drifted) for n in names]
    first = windows(parts["null"], names)[0]
    assert ask(first) == report(first, sample, names), "the test alone says something else than the report"
    return {p: [ask(part) for part in windows(rows, names)] for p, rows in parts.items()}
"""

NANNYML = """
import nannyml as nml
def judge(history, sample, parts, names):
    size = int(history.groupby("w").size().iloc[0])
    test = nml.UnivariateDriftCalculator(column_names=names, chunk_size=size).fit(history[names])
    told = {}
    for p, rows in parts.items():
        found = test.calculate(rows[names]).filter(period="analysis").to_df()
        told[p] = np.stack([found[(n, "jensen_shannon", "alert")] for n in names], axis=1)
    return told
"""

RIVER = """
from copy import deepcopy
from river import drift
def hears(test, values):
    heard = False
    for value in values:
        test.update(value)
        heard = heard or test.drift_detected
    return heard
def judge(history, sample, parts, names):
    learnt, told = {n: drift.ADWIN() for n in names}, {}
    for n, test in learnt.items():
        hears(test, history[n].tolist())
    for p, rows in parts.items():
        tests = deepcopy(learnt)
        told[p] = [[hears(tests[n], part[n].tolist()) for n in names] for part in windows(rows, names)]
    return told
"""

ALIBI = """
from alibi_detect.cd import KSDrift
def judge(history, sample, parts, names):
    test = KSDrift(sample[names].to_numpy(), p_val=0.05)
    def ask(part):
        data = test.predict(part.to_numpy(), drift_type="batch")["data"]
        return data["p_val"] < data["threshold"]
    return {p: [ask(part) for part in windows(rows, names)] for p, rows in parts.items()}
"""

ALIBI_ONLINE = """
from alibi_detect.cd import CVMDriftOnline
def judge(history, sample, parts, names):
    past = history.groupby("w")[names].mean().to_numpy()
    test = CVMDriftOnline(past, ert=720, window_sizes=[6, 24], verbose=False)
    def ask(mean):
        data = test.predict(mean)["data"]
        return (data["test_stat"] > data["threshold"]).any(axis=0)
    told = {}
    for p, rows in parts.items():
        test.reset_state()
        for mean in past[-48:]:
            ask(mean)
        told[p] = [ask(mean) for mean in rows.groupby("w")[names].mean().to_numpy()]
    return told
"""


@dataclass(frozen=True)
class Peer:
    """A tool: its package, what is run there, what the package lacks, and for how many replicates of a stream at most."""

    package: str
    script: str
    also: tuple[str, ...] = ()
    most: int = 1_000


PEERS = {
    "Evidently, column": Peer("evidently", EVIDENTLY),
    "NannyML": Peer("nannyml", NANNYML, ("statsmodels",)),
    "river ADWIN": Peer("river", RIVER, ("pandas",)),
    "alibi-detect KS": Peer("alibi-detect", ALIBI),
    "alibi-detect online CVM, 1 per 30 d": Peer("alibi-detect", ALIBI_ONLINE, most=1),
}
