import copy
import io
import json
import re

import pytest
from rich.console import Console

from motionmamba.evaluation.comparison import (
    CONDITIONS,
    PUBLISHED,
    Artifact,
    Row,
    comparable,
    read_published,
)
from motionmamba.evaluation.report import (
    markdown,
    read_comparisons,
    read_result,
    write_result,
)
from motionmamba.evaluation.tables import METRICS, table, tables


def measured(mean, interval=0.003, replications=2):
    return {"mean": mean, "interval": interval, "values": [mean] * replications}


def row(**metrics):
    return {"R@1": measured(0.4), "FID": measured(1.0), "Diversity": measured(8.0)} | {
        name: measured(value) for name, value in metrics.items()
    }


def result(**changes):
    """A result of a run on open data; changes are merged into its parts."""
    made = {
        "version": 1,
        "name": "trial",
        "protocol": {
            "split": "test",
            "clips": 1286,
            "pairs": 1280,
            "left_out": {"longer than 199 frames": 3},
            "replications": 2,
            "seed": 7,
            "lengths": "ground truth",
            "min_frames": 40,
            "max_frames": 196,
            "pool_size": 32,
            "diversity_pairs": 300,
            "multimodality": {"texts": 100, "samples": 30, "pairs": 10},
            "scheduler": "DPMSolverMultistepScheduler",
            "num_inference_steps": 21,
            "guidance_scale": 3.5,
            "precision": "float32",
            "batch_size": 64,
        },
        "model": {
            "path": "shipped",
            "sha256": "abcdef0123456789",
            "vae": "TemporalMotionVAE",
            "denoiser": "MotionMambaDenoiser",
            "text_encoder": "MiniLM",
            "parameters": 18200000,
        },
        "evaluator": {"name": "shipped", "trained_on": "open", "sha256": "0011223344556677"},
        "dataset": {
            "name": "bandai",
            "skeleton": "humanml3d",
            "fps": 20.0,
            "sha256": "8899aabbccddeeff",
            "sources": ["namco"],
        },
        "environment": {
            "device": "cuda (a fine one)",
            "python": "3.12.9",
            "torch": "2.11.5",
            "motionmamba": "0.1.7",
            "diffusers": "0.35.3",
        },
        "rows": {"real": row(), "vae": row(), "generated": row(MModality=2.0)},
        "histogram": [{"seconds": i, "count": n} for i, n in enumerate((0, 0, 30, 60, 1))],
        "prompts": None,
        "seconds": {"total": 2501.5},
    }
    made = copy.deepcopy(made)
    for key, change in changes.items():
        made[key] = (made[key] or {}) | change if isinstance(change, dict) else change
    return made


OFFICIAL = {
    "evaluator": {"trained_on": "HumanML3D, official"},
    "dataset": {"name": "humanml3d"},
    "protocol": {"replications": 20, "pairs": 4640},
}


def published(method, table="humanml3d") -> Row:
    (found,) = [r for r in read_published() if (r.label, r.table) == (method, table)]
    return found


def printed(width, *args) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table(*args))
    return console.export_text()


# Files


def test_a_result_comes_back_as_it_was_written(tmp_path):
    write_result(result(), tmp_path / "run")
    assert read_result(tmp_path / "run" / "result.json") == result()
    assert read_result(tmp_path / "run") == result()
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["report.md", "result.json"]
    assert (tmp_path / "run" / "report.md").read_text(encoding="utf-8") == markdown(result())


def test_the_version_is_written(tmp_path):
    plain = result()
    del plain["version"]
    write_result(plain, tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["version"] == 1


@pytest.mark.parametrize("where", ["rows", "prompts"])
def test_nan_is_not_written_over_what_is_there(tmp_path, where):
    write_result(result(), tmp_path)
    before = (tmp_path / "result.json").read_bytes()
    broken = {"rows": {"real": row(FID=float("nan"))}, "prompts": {**PROMPTS, "rate": float("nan")}}
    with pytest.raises(ValueError, match="finite|float"):
        write_result(result(name="other") | {where: broken[where]}, tmp_path)
    assert (tmp_path / "result.json").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def without(part, key):
    made = result()
    del made[part][key]
    return made


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (json.dumps(result(rows={"real": row(FID=float("nan"))})), "NaN"),
        (json.dumps(result()).replace("1.0", "1e999", 1), "FID in the row real"),
        ("[1, 2]", "no result"),
        ('{"done": 3, "total": 4}', "no result"),
        (json.dumps(result(version=2)), "version 2, expected 1"),
        (json.dumps(result(name=None)), "lacks name"),
        (json.dumps(without("dataset", "sha256")), r"lacks dataset\.sha256"),
        (json.dumps(result() | {"evaluator": None}), r"lacks evaluator\.name"),
        (json.dumps(result() | {"rows": {}}), "rows"),
        (json.dumps(result() | {"rows": {"real": 3}}), "rows"),
        (json.dumps(result(rows={"guessed": row()})), "guessed"),
        (json.dumps(result(rows={"vae": {"FID": 0.3}})), "FID in the row vae"),
        (json.dumps(result(rows={"vae": {"FID": {"mean": 0.3}}})), "FID in the row vae"),
        (json.dumps(result(rows={"vae": {"FID": measured("low")}})), "FID in the row vae"),
    ],
)
def test_what_is_no_result_is_refused_in_one_sentence(tmp_path, content, message):
    path = tmp_path / "result.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as error:
        read_result(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="none.json does not exist"):
        read_result(tmp_path / "none.json")
    with pytest.raises(ValueError, match="result.json does not exist"):
        read_result(tmp_path)


# What is comparable


@pytest.mark.parametrize(
    ("change", "condition", "concerned", "free"),
    [
        ({"dataset": {"sha256": "other"}}, "data set", "FID", None),
        ({"evaluator": {"sha256": "other"}}, "evaluator", "Diversity", None),
        ({"protocol": {"split": "val"}}, "split", "R@1", None),
        ({"protocol": {"lengths": "predicted"}}, "kind of lengths", "FID", None),
        ({"protocol": {"min_frames": 24}}, "range of frames", "FID", None),
        ({"protocol": {"max_frames": 100}}, "range of frames", "FID", None),
        ({"protocol": {"pool_size": 64}}, "pool size", "R@3", "FID"),
        ({"protocol": {"replications": 5}}, "number of replications", "FID", None),
        ({"protocol": {"diversity_pairs": 50}}, "Diversity", "Diversity", "FID"),
        (
            {"protocol": {"multimodality": {"texts": 9, "samples": 30, "pairs": 10}}},
            "MModality",
            "MModality",
            "Diversity",
        ),
        ({"protocol": {"precision": "bfloat16"}}, "precision", "FID", None),
    ],
)
def test_each_difference_is_a_reason(change, condition, concerned, free):
    (reason,) = comparable(result(**change), result())
    assert reason.condition == condition
    assert reason.concerns(concerned)
    assert free is None or not reason.concerns(free)
    (back,) = comparable(result(), result(**change))
    assert (back.condition, back.metrics) == (reason.condition, reason.metrics)
    assert back.text != reason.text


def test_every_condition_can_differ():
    other = result(
        dataset={"sha256": "x"},
        evaluator={"sha256": "x"},
        protocol={"precision": "float16"}
        | {key: 3 for key in ("split", "lengths", "min_frames", "pool_size")}
        | {key: 3 for key in ("pairs", "replications", "diversity_pairs")}
        | {"multimodality": {"texts": 1, "samples": 1, "pairs": 1}},
    )
    reasons = comparable(other, result())
    assert {r.condition for r in reasons} == {condition.name for condition in CONDITIONS}


def test_the_number_of_pairs_concerns_fid_and_retrieval_alone():
    reasons = comparable(result(protocol={"pairs": 640}), result())
    assert "640 instead of 1,280" in reasons[0].text
    for metric, concerned in {"FID": 1, "Text to motion R@1": 1, "R@1": 0, "Diversity": 0}.items():
        assert sum(reason.concerns(metric) for reason in reasons) == concerned


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"protocol": {"num_inference_steps": 50, "guidance_scale": 1.0}, "model": {"path": "mine"}},
        {"protocol": {"seed": 5}},
        {"environment": {"device": "cpu"}},
        {"dataset": {"name": "renamed"}},  # of the same content
        {"protocol": {"multimodality": None}},
        {"model": None},
    ],
)
def test_what_is_the_models_own_or_unknown_is_no_reason(change):
    assert comparable(result(**change), result()) == []


def test_without_a_hash_names_tell():
    assert Artifact("a") == Artifact("a", "1")
    assert Artifact("a") != Artifact("b", "1")
    assert Artifact("a", "2") != Artifact("a", "1")
    assert Artifact("b", "1") == Artifact("a", "1")


def test_published_rows_beside_a_run_with_the_official_evaluator():
    run = result(**OFFICIAL)

    def conditions(*name):
        return {reason.condition: reason for reason in comparable(published(*name), run)}

    assert conditions("Motion Mamba") == conditions("MLD") == {}
    assert conditions("T2M").keys() == {"kind of lengths"}
    assert conditions("MDM, as in most tables").keys() == {"flaw", "number of pairs"}
    assert not conditions("MDM 50-step")["number of pairs"].concerns("R@1")
    assert conditions("Motion Mamba", "humanml3d-ls").keys() == {"range of frames"}
    assert conditions("MARDM-SiT").keys() == {"evaluator"}
    assert {"data set", "evaluator"} <= conditions("MLD", "kit-ml").keys()
    assert conditions("Motion Mamba, 9 layers", "motion mamba ablations") == {}


def test_two_rows_with_one_flaw_compare():
    flawed = published("MDM, as in most tables")
    assert comparable(flawed, flawed) == []


# Published rows

TYPED = {  # read from the papers' tables, apart from the file
    ("humanml3d", "Motion Mamba"): ".502±.003 .693±.002 .792±.002 .281±.009 3.060±.058 "
    "9.871±.084 2.294±.058",
    ("humanml3d", "Real"): ".511±.003 .703±.003 .797±.002 .002±.000 2.974±.008 9.503±.065 –",
    ("humanml3d", "MLD"): ".481±.003 .673±.003 .772±.002 .473±.013 3.196±.010 9.724±.082 "
    "2.413±.079",
    ("humanml3d", "MDM, repaired evaluation"): ".418±.005 .604±.005 .707±.004 .489±.025 "
    "3.63±.023 9.45±.066 2.87±.111",
    ("humanml3d", "MotionLCM 2-step"): ".505 .705 .805 .368 2.986 9.640 2.187",
    ("humanml3d", "MARDM-SiT"): ".500 – – .114 – – 2.231",
    ("humanml3d", "MoGeFlow"): ".592±.002 – .867±.002 – 2.599±.008 – –",
    ("kit-ml", "Motion Mamba"): ".419±.006 .645±.005 .765±.006 .307±.041 3.021±.025 11.02±.098 "
    "1.678±.064",
    ("kit-ml", "SALAD"): ".463±.003 – – .208±.010 – – –",
    ("humanml3d-ls", "MLD"): ".403±.005 .584±.005 .690±.005 .952±.020 3.580±.016 9.050±.085 "
    "2.711±.104",
    ("motion mamba ablations", "Motion Mamba, SingleScan"): "– – .736±.003 1.063±.010 "
    "3.443±.026 9.180±.067 2.676±.041",
}


@pytest.mark.parametrize(("table", "method"), TYPED)
def test_published_values_are_as_given(table, method):
    values = published(method, table).values
    told = dict(zip(METRICS["Text and motion"], TYPED[table, method].split(), strict=True))
    assert {m: v.text for m, v in values.items()} == {m: v for m, v in told.items() if v != "–"}
    assert all(v.mean == float(told[m].partition("±")[0]) for m, v in values.items())


def test_published_rows_are_whole():
    rows = read_published()
    assert len(rows) == len({(r.table, r.label) for r in rows}) == 77
    for one in rows:
        assert one.kind == ("real" if one.label == "Real" else "generated")
        assert one.values and one.notes[0].split(", from ")[1]
        precision = [one.values[f"R@{k}"].mean for k in (1, 2, 3) if f"R@{k}" in one.values]
        assert precision == sorted(precision)
    flawed = {(r.table, r.label) for r in rows if r.flaw}
    assert flawed == {(t, "MDM, as in most tables") for t in ("humanml3d", "kit-ml")}
    assert "as given by MSFlow" in published("MARDM").notes[1]
    assert "by a user" in published("MDM, repaired evaluation", "kit-ml").notes[1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("source: flashmo", "source: hearsay", "hearsay"),
        ("        source: flashmo\n", "", r"source \[\]"),
        (".511±.003 .703±.003", ".511±.003", "has 6 values, expected 7"),
        (".511±.003", ".511+.003", "511"),
        (".511±.003", "nan", "nan"),
        ("kind: real", "kind: true", "kind"),
        ("        lengths: predicted", "        length: predicted", "length"),
        ("method: MLD\n", "method: TEMOS\n", "two rows of TEMOS"),
        ("tables:\n", "tables: - a\n", "no YAML"),
    ],
)
def test_a_damaged_published_file_is_refused(tmp_path, old, new, message):
    text = PUBLISHED.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "published.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_published(path)


def test_comparisons_are_results_tables_or_methods(tmp_path):
    write_result(result(), tmp_path)
    results, rows = read_comparisons([tmp_path / "result.json", "mld", "HumanML3D-LS", "MLD"])
    assert results == [result()]
    assert [r.label for r in rows] == ["MLD"] * 3 + ["Real", "MDM", "MotionDiffuse", "Motion Mamba"]
    with pytest.raises(ValueError, match="nothing is no file, no published table .humanml3d"):
        read_comparisons(["nothing"])
    with pytest.raises(ValueError, match="does not exist"):
        read_comparisons(["absent.json"])


# Tables


def marked(shown):
    """(row, metric) of the values that are marked as best."""
    return {
        (line[0].text, name.split()[0])
        for one in shown
        for line in one.rows
        for name, cell in zip(one.header, line, strict=True)
        if cell.best
    }


def variant(name, **metrics):
    return result(name=name, rows={"generated": row(**metrics)})


def test_the_best_of_comparable_generated_rows_is_marked():
    runs = [
        result(),
        variant("b", **{"R@1": 0.5, "FID": 1.0, "Diversity": 7.0}),
        variant("c", **{"R@1": 0.3, "FID": 0.9, "Diversity": 8.1}),
    ]
    best = marked(tables(runs))
    # recordings have Diversity 8, as the first run
    expected = {("b: generated", "R@1"), ("c: generated", "FID"), ("trial: generated", "Diversity")}
    assert best == expected


def test_equal_values_are_both_best_and_one_run_has_no_best():
    assert marked(tables([result()])) == set()
    ties = marked(tables([result(), variant("b")]))
    assert ties >= {("trial: generated", "FID"), ("b: generated", "FID")}


def test_a_row_that_is_not_comparable_is_never_best():
    fewer = variant("fewer", FID=0.1, **{"R@1": 0.9})
    fewer["protocol"]["pairs"] = 640
    (shown,) = tables([result(), variant("b", FID=0.5), fewer])
    assert ("b: generated", "FID") in marked([shown])
    assert ("fewer: generated ¹", "R@1") in marked([shown])
    assert shown.notes == [
        "FID not comparable with trial: the number of pairs is 640 instead of 1,280 "
        "(fewer pairs raise FID)"
    ]
    labels = [line[0].text for line in shown.rows]
    assert [label.endswith("¹") for label in labels] == ["fewer" in label for label in labels]


def test_precision_concerns_generated_rows_alone():
    low = result(name="low", protocol={"precision": "float16"})
    (shown,) = tables([result(), low])
    assert [line[0].text for line in shown.rows if "¹" in line[0].text] == ["low: generated ¹"]
    assert "precision is float16 instead of float32" in shown.notes[0]


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": {"sha256": "other", "name": "cmu"}},
        {"evaluator": {"sha256": "other"}},
        {"protocol": {"split": "val"}},
    ],
)
def test_other_data_evaluators_and_splits_get_tables_of_their_own(change):
    other = result(name="other", **change)
    ours, theirs = tables([result(), other])
    assert not any("other" in line[0].text for line in ours.rows)
    assert all("other" in line[0].text for line in theirs.rows)
    assert "cannot be compared with trial" in theirs.lead and "not comparable" in theirs.title
    assert marked([ours, theirs]) == set()


def test_published_rows_beside_open_data_are_said_not_to_compare():
    shown = tables([result()], [published("MLD"), published("Motion Mamba")])
    assert shown[-1].lead == (
        "These rows cannot be compared with trial. The data set is humanml3d instead of bandai "
        "(8899aabb). The evaluator is HumanML3D, official instead of open (00112233)."
    )
    assert [line[0].text for line in shown[-1].rows] == ["MLD ¹", "Motion Mamba ¹ ²"]
    assert marked(shown) == set()


def test_a_flaw_is_told_wherever_the_row_stands():
    flawed = published("MDM, as in most tables")
    for run in (result(), result(**OFFICIAL)):
        shown = tables([run], [flawed])
        assert any("padded token list" in note for one in shown for note in one.notes)


def test_values_are_printed_as_in_publications():
    rows = {
        "real": {
            "R@1": measured(0.5016, 0.0031),
            "R@2": measured(0.25, 0.0, replications=1),
            "FID": measured(10.056, 0.0949),
            "MM-Dist": measured(3.06, 0.058),
            "Jerk": measured(153.26, 0.31),
        }
    }
    cells = [cell.text for one in tables([result() | {"rows": rows}]) for cell in one.rows[0]]
    assert cells == ["recordings", ".502±.003", ".250", "10.06±.09", "3.060±.058"] + [
        "recordings",
        "153.3±.3",
    ]


def test_metrics_stand_in_order_and_unknown_ones_last():
    given = row(MModality=1.0, Jerk=1.0, Grace=1.0, **{"R@3": 0.1, "Motion to text R@1": 0.1})
    shown = tables([result() | {"rows": {"generated": dict(reversed(given.items()))}}])
    assert [name for one in shown for name in one.header if name] == [
        "R@1 ↑",
        "R@3 ↑",
        "FID ↓",
        "Diversity →",
        "MModality ↑",
        "Motion to text R@1 ↑",
        "Jerk (m/s³) →",
        "Grace",
    ]


def test_runs_of_one_name_are_numbered():
    (shown,) = tables([result(), result()])
    assert [line[0].text for line in shown.rows][::3] == [
        "trial: recordings",
        "trial (2): recordings",
    ]


def test_nothing_is_cut_off_in_a_terminal_of_80_columns():
    every = {m: 0.5 for group in METRICS.values() for m in group}
    full = result(rows={"real": row(**every), "vae": row(**every), "generated": row(**every)})
    narrow, wide = printed(80, [full]), printed(240, [full])
    for text in (narrow, wide):
        assert "…" not in text and "VAE reconstruction" in text
        assert text.count(".500") == text.count("±.003") == 3 * len(every)
    assert ".500 ±.003" in wide and ".500 ±.003" not in narrow


# The report

PROMPTS = {
    "done": 7,
    "total": 10,
    "rate": 0.7,
    "wrong_side": 1,
    "sided": 5,
    "wrong_side_rate": 0.2,
    "seconds": 6.0,
    "seeds": 5,
    "prompts": [
        {
            "prompt": "swings the left | arm",
            "checks": ["left hand up"],
            "done": 3,
            "total": 5,
            "wrong_side": 1,
            "misses": {"left hand up": 2},
        },
        {
            "prompt": "sits",
            "checks": ["sits"],
            "done": 4,
            "total": 5,
            "wrong_side": None,
            "misses": {"sits": 1},
        },
    ],
}


@pytest.mark.parametrize(
    "fact",
    [
        "# trial",
        "1,280 pairs",
        "test split of bandai",
        "from seed 7",
        "evaluator of our own, trained on open",
        "| recordings",
        "| VAE reconstruction",
        "| generated",
        "7 of 10 (70%)",
        "1 of 5 (20%)",
        r"| swings the left \| arm | 3/5 | 1          | left hand up ×2 |",
        "| sits                   | 4/5 |            | sits ×1         |",
        "2 to  3 s      30  ████████████████████\n",
        "bandai (8899aabb), humanml3d, 20 fps",
        "namco",
        "1,286",
        "longer than 199 frames ×3",
        "ground truth",
        "40 to 196",
        "of 300 pairs",
        "of 100 texts × 30 samples, 10 pairs",
        "shipped (00112233)",
        "shipped (abcdef01)",
        "MotionMambaDenoiser",
        "TemporalMotionVAE",
        "MiniLM",
        "18,200,000",
        "DPMSolverMultistepScheduler",
        "| 21",
        "| 3.5",
        "float32",
        "cuda (a fine one)",
        "python 3.12.9, torch 2.11.5, motionmamba 0.1.7, diffusers 0.35.3",
        "total 2,501.5",
        "default: comes with the package",
        "open: prepared with",
        "95 % interval",
        "over 2 replications",
    ],
)
def test_the_report_has_the_fact(fact):
    assert fact in markdown(result(prompts=PROMPTS))


def test_the_report_tells_what_is_gated():
    official = markdown(result(**OFFICIAL))
    assert "official evaluator of HumanML3D" in official and "taken on trust" in official
    assert official.count("gated: ") == 2
    own = result(evaluator={"name": "runs/mine"}, model={"path": "runs/x"})
    assert "trained with train" in markdown(own) and "own checkpoint" in markdown(own)


def test_the_report_of_recordings_alone_and_of_one_replication():
    alone = result(model=None, protocol={"replications": 1, "multimodality": None})
    alone |= {"rows": {"real": row()}, "histogram": [], "prompts": None}
    text = markdown(alone)
    assert "no intervals" in text and "not measured" in text
    assert "| denoiser" not in text and "## Lengths" not in text


def test_every_table_of_the_report_has_as_many_cells_in_each_line():
    other = result(name="a|b_c*", protocol={"split": "val"})
    text = markdown(result(prompts=PROMPTS), [result(), other], [published("MDM 50-step")])
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.M)
    assert len(blocks) == 6
    for block in blocks:
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1
    assert r"a\|b\_c\*" in text


def test_the_protocols_of_runs_stand_side_by_side():
    other = result(name="other", protocol={"num_inference_steps": 50})
    (line,) = re.findall(r"^\| steps .*$", markdown(result(), [other]), re.M)
    assert line.split() == ["|", "steps", "|", "21", "|", "50", "|"]
