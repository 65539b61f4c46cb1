import copy
import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import leaky_relu, linear

from motionmamba.evaluation import T2MEvaluator
from motionmamba.evaluation.word_vectors import WordVectorizer

WORDS = ["unk", "a", "person", "walk", "left", "slowly", "sos", "eos"]
TINY = dict(movement_size=8, motion_size=12, text_size=10, embedding_size=6, word_size=7)
CAPTIONS = [
    "a/DET person/NOUN",
    "a/DET person/NOUN walk/VERB left/ADV slowly/ADV",
    "gallop/VERB",
    "person/NOUN walk/VERB",
]


def gru(size, inputs):
    ends = ("", "_reverse")
    weights = {
        f"gru.weight_{kind}_l0{end}": (3 * size, size) for kind in ("ih", "hh") for end in ends
    }
    biases = {f"gru.bias_{kind}_l0{end}": (3 * size,) for kind in ("ih", "hh") for end in ends}
    return (
        weights
        | biases
        | {
            "hidden": (2, 1, size),
            "input_emb.weight": (size, inputs),
            "input_emb.bias": (size,),
            "output_net.0.weight": (size, 2 * size),
            "output_net.0.bias": (size,),
            "output_net.1.weight": (size,),
            "output_net.1.bias": (size,),
            "output_net.3.weight": (512, size),
            "output_net.3.bias": (512,),
        }
    )


def official_shapes(num_features):
    return {
        "movement_encoder": {
            "main.0.weight": (512, num_features - 4, 4),
            "main.0.bias": (512,),
            "main.3.weight": (512, 512, 4),
            "main.3.bias": (512,),
            "out_net.weight": (512, 512),
            "out_net.bias": (512,),
        },
        "motion_encoder": gru(1024, 512),
        "text_encoder": gru(512, 300) | {"pos_emb.weight": (300, 15), "pos_emb.bias": (300,)},
    }


def made_up_checkpoint(num_features):
    torch.manual_seed(num_features)
    networks = {
        network: {key: 0.05 * torch.randn(shape) for key, shape in shapes.items()}
        for network, shapes in official_shapes(num_features).items()
    }
    adam = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4}]}
    return networks | {"opt_text_encoder": adam, "opt_motion_encoder": adam, "epoch": 28, "iter": 9}


def statistics(num_features):
    generator = np.random.default_rng(num_features)
    return generator.normal(size=num_features), generator.uniform(0.5, 2, num_features)


def write_official(root, name, num_features, meta):
    """The original's folders, so that everything is found from the path of the checkpoint."""
    path = root / "checkpoints" / name / "text_mot_match" / "model" / "finest.tar"
    path.parent.mkdir(parents=True)
    torch.save(made_up_checkpoint(num_features), path)
    meta = root / "checkpoints" / name / meta / "meta"
    meta.mkdir(parents=True)
    for file, values in zip(("mean", "std"), statistics(num_features), strict=True):
        np.save(meta / f"{file}.npy", values)
    glove = root / "glove"
    glove.mkdir(exist_ok=True)
    np.save(glove / "our_vab_data.npy", np.random.default_rng(0).normal(size=(len(WORDS), 300)))
    (glove / "our_vab_words.pkl").write_bytes(pickle.dumps(WORDS))
    index = {word: i for i, word in enumerate(WORDS)}
    (glove / "our_vab_idx.pkl").write_bytes(pickle.dumps(index))
    return path


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    path = write_official(tmp_path_factory.mktemp("official"), "t2m", 263, "Comp_v6_KLD01")
    yield path
    path.unlink()  # pytest keeps its folders, and this is 87 MB


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    evaluator = T2MEvaluator(num_features=20, vocabulary=WORDS, **TINY).eval()
    evaluator.words.vectors.normal_()
    evaluator.mean.normal_()
    evaluator.std.uniform_(0.5, 2)
    return evaluator


@torch.no_grad()
def direct_gru(weights, x, size):
    """Both final states of a GRU over x (L, C), by its equations."""
    finals = []
    for side, (end, steps) in enumerate((("", x), ("_reverse", x.flip(0)))):
        h = weights["hidden"][side, 0]
        w = {
            k: weights[f"gru.{k}_l0{end}"] for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        for step in steps:
            i = linear(step, w["weight_ih"], w["bias_ih"]).split(size)
            s = linear(h, w["weight_hh"], w["bias_hh"]).split(size)
            reset, update = torch.sigmoid(i[0] + s[0]), torch.sigmoid(i[1] + s[1])
            h = (1 - update) * torch.tanh(i[2] + reset * s[2]) + update * h
        finals.append(h)
    x = linear(torch.cat(finals), weights["output_net.0.weight"], weights["output_net.0.bias"])
    x = (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()
    x = leaky_relu(x * weights["output_net.1.weight"] + weights["output_net.1.bias"], 0.2)
    return linear(x, weights["output_net.3.weight"], weights["output_net.3.bias"])


@torch.no_grad()
def direct_motion(checkpoint, features, mean, std):
    """One motion (T, F) as the original sees it: normalised, without contacts, padded to 196."""
    x = ((features - mean) / std).float()[:, :-4]
    weights, tokens = checkpoint["movement_encoder"], len(x) // 4
    x = torch.cat([x, torch.zeros(196 - len(x), x.shape[1])]).T[None]
    for layer in ("main.0", "main.3"):
        x = torch.conv1d(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"], 2, 1)
        x = leaky_relu(x, 0.2)
    x = linear(x[0].T, weights["out_net.weight"], weights["out_net.bias"])[:tokens]
    weights = checkpoint["motion_encoder"]
    return direct_gru(
        weights, linear(x, weights["input_emb.weight"], weights["input_emb.bias"]), 1024
    )


@pytest.mark.parametrize(
    "name, num_features, meta", [("t2m", 263, "Comp_v6_KLD01"), ("kit", 251, "Comp_v6_KLD005")]
)
@torch.no_grad()
def test_an_official_checkpoint_gives_what_its_equations_give(tmp_path, name, num_features, meta):
    path = write_official(tmp_path, name, num_features, meta)
    evaluator = T2MEvaluator.from_t2m_checkpoint(path)
    path.unlink()  # pytest keeps its folders, and this is 87 MB
    checkpoint = made_up_checkpoint(num_features)
    features = torch.randn(2, 60, num_features, generator=torch.Generator().manual_seed(1))
    mean, std = map(torch.from_numpy, statistics(num_features))
    found = evaluator.encode_motion(features, torch.tensor([24, 60]))
    assert found.shape == (2, 512) and not evaluator.training
    for row, motion in zip(found, (features[0, :24], features[1]), strict=True):
        expected = direct_motion(checkpoint, motion, mean, std)
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-5)

    weights = checkpoint["text_encoder"]
    words, classes = evaluator.words("sos/OTHER a/DET person/NOUN eos/OTHER".split())
    x = words + linear(classes, weights["pos_emb.weight"], weights["pos_emb.bias"])
    x = linear(x, weights["input_emb.weight"], weights["input_emb.bias"])
    found = evaluator.encode_text(CAPTIONS)
    assert found.shape == (4, 512)
    torch.testing.assert_close(found[0], direct_gru(weights, x, 512), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_features, movement", [(263, 1_842_688), (251, 1_818_112)])
def test_networks_have_the_official_weights(num_features, movement):
    with torch.device("meta"):
        evaluator = T2MEvaluator(num_features)
    sizes = {"movement_encoder": movement, "motion_encoder": 15_747_584, "text_encoder": 4_100_288}
    for network, shapes in official_shapes(num_features).items():
        module = getattr(evaluator, network)
        assert {k: tuple(v.shape) for k, v in module.state_dict().items()} == shapes
        assert sum(p.numel() for p in module.parameters()) == sizes[network]


@torch.no_grad()
def test_motions_do_not_depend_on_their_batch_order_or_padding(tiny):
    features = torch.randn(4, 120, 20)
    lengths = torch.tensor([40, 120, 4, 83])
    together = tiny.encode_motion(features, lengths)
    for i, length in enumerate(lengths.tolist()):
        alone = tiny.encode_motion(features[i : i + 1, :length], lengths[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)
    order = torch.tensor([2, 0, 3, 1])
    permuted = tiny.encode_motion(features[order], lengths[order])
    torch.testing.assert_close(permuted, together[order], rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3

    features[0, 40:], features[3, 83:] = torch.nan, torch.inf
    padded = torch.cat([features, torch.full((4, 100, 20), 7.0)], 1)
    torch.testing.assert_close(tiny.encode_motion(padded, lengths), together, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_motions_are_cut_to_multiples_of_four_frames(tiny):
    features = torch.randn(1, 83, 20).expand(4, -1, -1)
    cut, *others, shorter = tiny.encode_motion(features, torch.tensor([80, 81, 83, 76]))
    for other in others:
        torch.testing.assert_close(other, cut)
    assert (shorter - cut).abs().max() > 1e-4


@torch.no_grad()
def test_motions_are_normalised_with_the_evaluators_statistics_and_contacts_are_dropped(tiny):
    features, lengths = torch.randn(1, 40, 20), torch.tensor([40])
    plain = tiny.encode_motion(features * tiny.std + tiny.mean, lengths)
    contacts = features.clone()
    contacts[..., -4:] += 5
    torch.testing.assert_close(
        tiny.encode_motion(contacts * tiny.std + tiny.mean, lengths), plain, rtol=1e-4, atol=1e-5
    )
    tiny.mean.zero_(), tiny.std.fill_(1)
    torch.testing.assert_close(tiny.encode_motion(features, lengths), plain, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_captions_do_not_depend_on_their_batch_or_order(tiny):
    together = tiny.encode_text(CAPTIONS)
    for row, caption in zip(together, CAPTIONS, strict=True):
        torch.testing.assert_close(row, tiny.encode_text([caption])[0], rtol=1e-4, atol=1e-5)
    assert torch.pdist(together).min() > 1e-3


@torch.no_grad()
def test_captions_are_cut_to_twenty_words(tiny):
    long = ["walk/VERB", "left/ADV"] * 10
    full, longer, shorter = tiny.encode_text(
        [" ".join(w) for w in (long, [*long, "slowly/ADV"], long[:19])]
    )
    torch.testing.assert_close(full, longer)
    assert (full - shorter).abs().max() > 1e-4


@torch.no_grad()
def test_saving_keeps_words_and_statistics(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    assert {f.name for f in tmp_path.iterdir()} == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
    }
    loaded = T2MEvaluator.from_pretrained(tmp_path)
    features, lengths = torch.randn(2, 30, 20), torch.tensor([30, 12])
    torch.testing.assert_close(loaded.encode_text(CAPTIONS), tiny.encode_text(CAPTIONS))
    torch.testing.assert_close(
        loaded.encode_motion(features, lengths), tiny.encode_motion(features, lengths)
    )


def changed(evaluator):
    """One evaluator for each thing that can be another."""
    for change in ("mean", "std", "words.vectors", "motion_encoder.hidden"):
        other = copy.deepcopy(evaluator)
        other.state_dict()[change].view(-1)[-1] += 0.01
        yield other
    swapped = [*WORDS[:-2], "eos", "sos"]
    other = T2MEvaluator(num_features=20, vocabulary=swapped, **TINY)
    other.load_state_dict(evaluator.state_dict())
    yield other


def test_the_hash_tells_evaluators_apart_and_survives_saving(tiny, tmp_path):
    hashes = {other.sha256 for other in (tiny, copy.deepcopy(tiny), *changed(tiny))}
    assert len(hashes) == 6 and all(len(h) == 64 for h in hashes)
    for _ in range(2):
        tiny.save_pretrained(tmp_path)
        loaded = T2MEvaluator.from_pretrained(tmp_path)
        assert loaded.sha256 == tiny.sha256
        tiny = loaded


@torch.no_grad()
def test_a_half_precision_file_gives_what_its_evaluator_is(tiny, tmp_path):
    before = copy.deepcopy(tiny)
    tiny.save_half(tmp_path)
    stored = load_file(tmp_path / "diffusion_pytorch_model.safetensors")
    assert {k for k, v in stored.items() if v.dtype == torch.float32} == {"mean", "std"}
    assert {v.dtype for v in stored.values()} == {torch.float16, torch.float32}
    loaded = T2MEvaluator.from_pretrained(tmp_path)
    assert {v.dtype for v in loaded.state_dict().values()} == {torch.float32}
    assert loaded.sha256 == tiny.sha256 != before.sha256 and not loaded.training
    assert torch.equal(loaded.mean, before.mean) and torch.equal(loaded.std, before.std)
    features, lengths = torch.randn(2, 30, 20), torch.tensor([30, 12])
    assert torch.equal(loaded.encode_text(CAPTIONS), tiny.encode_text(CAPTIONS))
    assert torch.equal(
        loaded.encode_motion(features, lengths), tiny.encode_motion(features, lengths)
    )
    torch.testing.assert_close(
        loaded.encode_text(CAPTIONS), before.encode_text(CAPTIONS), rtol=0.01, atol=0.01
    )


def test_a_loaded_evaluator_can_be_trained_on(tiny, tmp_path):
    tiny.save_half(tmp_path)
    loaded = T2MEvaluator.from_pretrained(tmp_path).train()
    loaded.encode_text(CAPTIONS).square().sum().backward()
    assert all(p.grad is not None for p in loaded.text_encoder.parameters())


def no_evaluator(folder, message):
    with pytest.raises(ValueError, match=message) as error:
        T2MEvaluator.from_pretrained(folder)
    assert "\n" not in str(error.value)


def test_folders_that_hold_no_evaluator_are_refused(tiny, tmp_path, monkeypatch):
    no_evaluator(tmp_path / "nowhere", "nowhere holds no evaluator")
    monkeypatch.setattr("motionmamba.evaluation.t2m.SHIPPED", tmp_path / "shipped")
    no_evaluator(None, "shipped holds no evaluator")
    tiny.save_pretrained(tmp_path / "shipped")
    assert T2MEvaluator.from_pretrained().sha256 == tiny.sha256

    weights = tmp_path / "shipped" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    for part in (whole[:-9], whole[:50], b"", pickle.dumps(Attack(tmp_path / "ran"))):
        weights.write_bytes(part)
        no_evaluator(tmp_path / "shipped", "is damaged, copy it again")
    assert not (tmp_path / "ran").exists()
    save_file({"mean": torch.zeros(20)}, weights)
    no_evaluator(tmp_path / "shipped", "is missing, expected .* copy all of")
    weights.unlink()
    no_evaluator(tmp_path / "shipped", "holds no evaluator")


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(_class_name="MotionVAE"), "holds a MotionVAE, expected a T2MEvaluator"),
        (dict(motion_size=13), r"motion_encoder.* is \(.*\), expected \("),
        (dict(motion_size=10**12), "motion_encoder.*expected|describes no evaluator"),
        (dict(motion_size="big"), "describes no evaluator"),
        (dict(motion_size=-1), "describes no evaluator"),
        (dict(vocabulary=["walk"]), "describes no evaluator: .* lacks 'unk'"),
        (dict(vocabulary=[["unk"]]), "describes no evaluator"),
        (dict(vocabulary=3), "describes no evaluator"),
        (dict(wings=2), "describes no evaluator"),
        (dict(num_features=263), "expected"),
    ],
)
def test_configs_of_something_else_are_refused(tiny, tmp_path, change, message):
    tiny.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    no_evaluator(tmp_path, message)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000, "\udcff"])
def test_damaged_configs_are_refused(tiny, tmp_path, text):
    tiny.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    no_evaluator(tmp_path, "is damaged|expected a T2MEvaluator")


def test_without_words_only_motions_are_embedded(tmp_path):
    evaluator = T2MEvaluator(num_features=20, **TINY)
    evaluator.save_pretrained(tmp_path)
    evaluator = T2MEvaluator.from_pretrained(tmp_path)
    assert evaluator.encode_motion(torch.randn(1, 8, 20), torch.tensor([8])).shape == (1, 6)
    with pytest.raises(ValueError, match="no word vectors"):
        evaluator.encode_text(CAPTIONS)


@pytest.mark.parametrize(
    "shape, lengths, message",
    [
        ((2, 40, 19), [40, 40], r"features are \(2, 40, 19\), expected \(B, T, 20\)"),
        ((40, 20), [40], r"features are \(40, 20\)"),
        ((0, 40, 20), [], r"features are \(0, 40, 20\)"),
        ((2, 40, 20), [40], "one for each of the 2 motions"),
        ((2, 40, 20), [40, 3], "from 3 to 40 frames, expected 4 to 40"),
        ((2, 40, 20), [41, 40], "expected 4 to 40"),
        ((1, 300, 20), [200], "expected 4 to 196"),
    ],
)
def test_wrong_motions_are_refused(tiny, shape, lengths, message):
    with pytest.raises(ValueError, match=message):
        tiny.encode_motion(torch.zeros(shape), torch.tensor(lengths, dtype=torch.long))


def test_a_motion_with_nan_is_named(tiny):
    features = torch.zeros(3, 8, 20)
    features[1, 7, 2] = torch.nan
    with pytest.raises(ValueError, match="motion 1 of the batch"):
        tiny.encode_motion(features, torch.tensor([8, 8, 8]))


@pytest.mark.parametrize(
    "captions, message",
    [
        ([], "no captions"),
        (["walk"], "token 'walk'"),
        (["walk/VERB", " "], "caption 1 has no words"),
    ],
)
def test_wrong_captions_are_refused(tiny, captions, message):
    with pytest.raises(ValueError, match=message):
        tiny.encode_text(captions)


def refused(path, message, **given):
    with pytest.raises(ValueError, match=message) as error:
        T2MEvaluator.from_t2m_checkpoint(path, **given)
    assert "\n" not in str(error.value)


class Attack:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return exec, (f"open({str(self.target)!r}, 'w')",)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_checkpoint_with_code_is_refused_and_not_run(tmp_path, legacy):
    path, target = tmp_path / "finest.tar", tmp_path / "ran"
    checkpoint = {"movement_encoder": {}, "epoch": Attack(target)}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=not legacy)
    refused(path, "damaged, or holds code")
    path.write_bytes(pickle.dumps(Attack(target), protocol=2))
    refused(path, "damaged, or holds code")
    assert not target.exists()


@pytest.mark.parametrize("legacy", [True, False])
def test_files_that_are_no_checkpoint_are_refused(tmp_path, legacy):
    path = tmp_path / "finest.tar"
    refused(path, "is missing")
    networks = {"movement_encoder": {"weight": torch.zeros(3000)}, "motion_encoder": {}}
    torch.save(networks, path, _use_new_zipfile_serialization=not legacy)
    refused(path, "has no text_encoder")
    whole = path.read_bytes()
    for part in (whole[:-200], whole[:100], b"", b"text"):
        path.write_bytes(part)
        refused(path, "damaged, or holds code")


def test_other_networks_are_refused(tmp_path):
    path = tmp_path / "finest.tar"
    tiny_networks = {
        network: {key: torch.zeros(2) for key in shapes}
        for network, shapes in official_shapes(263).items()
    }
    torch.save(tiny_networks, path)
    refused(path, r"is \(2,\), expected", statistics=statistics(263))
    tiny_networks["motion_encoder"].clear()
    torch.save(tiny_networks, path)
    refused(path, "motion_encoder.*is missing, expected", statistics=statistics(263))


def test_statistics_and_words_have_to_fit(official, tmp_path, monkeypatch):
    mean, std = statistics(263)
    refused(official, r"mean is \(251,\), expected \(263,\)", statistics=statistics(251))
    refused(official, "not all above zero", statistics=(mean, std * (np.arange(263) > 0)))
    refused(official, r"words.vectors is \(8, 7\)", words=WordVectorizer(WORDS, 7))
    moved = tmp_path / "finest.tar"
    moved.hardlink_to(official)
    refused(moved, "pass the evaluator's own as statistics")
    monkeypatch.chdir(tmp_path)
    evaluator = T2MEvaluator.from_t2m_checkpoint("finest.tar", statistics=(mean, std))
    moved.unlink()
    assert evaluator.words is None
    torch.testing.assert_close(evaluator.std, torch.from_numpy(std).float())


@pytest.mark.parametrize("frames", [4, 40, 188, 192, 196])
@torch.no_grad()
def test_a_movement_of_padding_is_as_good_as_padding_to_the_longest(tiny, frames):
    features = torch.randn(2, frames, 20)
    longest = torch.nn.functional.pad(features[..., :-4], (0, 0, 0, 196 - frames))
    expected = tiny.movement_encoder(longest)[:, : frames // 4]
    made = tiny.encode_movements(features)[:, : frames // 4]
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-6)
