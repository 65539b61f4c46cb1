"""What a result says it depends on."""

from packed_set import TINY, VOCABULARY, write_set

from motionmamba.evaluation import T2MEvaluator
from motionmamba.evaluation.protocol import Evaluation, Protocol
from motionmamba.evaluation.run import describe_run


def test_a_data_set_is_known_by_its_content_not_by_where_it_was_unpacked(tmp_path):
    dataset = write_set(tmp_path / "set", tests=40)
    evaluator = T2MEvaluator(263, VOCABULARY, trained_on="nothing", **TINY)
    evaluation = Evaluation(dataset, evaluator, Protocol(), {})

    def sha256(**changed):
        dataset.info["files"] |= {name.replace("_", "."): value for name, value in changed.items()}
        return describe_run(evaluation, {}, "random", {})["dataset"]["sha256"]

    assert {"inputs.json", "clips.json"} <= dataset.info["files"].keys()
    before = sha256()
    assert sha256(inputs_json="other") == before
    assert sha256(clips_json="other") != before
