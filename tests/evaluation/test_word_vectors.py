import os
import pickle

import numpy as np
import pytest
import torch

from motionmamba.evaluation.word_vectors import PARTS_OF_SPEECH, VIP_CLASSES, WordVectorizer

WORDS = ["unk", "person", "walk", "left", "sos", "eos"]


def write_vocabulary(folder, words=None, index=None, data=None):
    """The three official files; rows of the vectors in another order than the words."""
    words = WORDS if words is None else words
    index = {w: len(WORDS) - 1 - i for i, w in enumerate(WORDS)} if index is None else index
    data = np.random.default_rng(0).normal(size=(len(WORDS), 300)) if data is None else data
    folder.mkdir(exist_ok=True)
    np.save(folder / "our_vab_data.npy", data)
    (folder / "our_vab_words.pkl").write_bytes(pickle.dumps(words))
    (folder / "our_vab_idx.pkl").write_bytes(pickle.dumps(index))
    return data


def classes(vectorizer, *tokens):
    return [PARTS_OF_SPEECH[i] for i in vectorizer(tokens)[1].argmax(1)]


def test_words_get_the_vectors_that_the_index_names(tmp_path):
    data = write_vocabulary(tmp_path)
    vectors, one_hot = WordVectorizer.load(tmp_path)(["walk/VERB", "person/NOUN"])
    assert vectors.shape == (2, 300) and one_hot.shape == (2, 15)
    np.testing.assert_allclose(vectors, data[[3, 4]], rtol=1e-6)
    assert one_hot.sum(1).tolist() == [1, 1]


def test_classes_override_the_part_of_speech():
    vectorizer = WordVectorizer(WORDS)
    assert classes(vectorizer, "walk/NOUN", "left/VERB") == ["Act_VIP", "Loc_VIP"]
    assert classes(vectorizer, "person/NOUN", "person/SCONJ") == ["NOUN", "OTHER"]


def test_an_unknown_word_is_unk_and_other_even_if_it_has_a_class(tmp_path):
    data = write_vocabulary(tmp_path)
    vectorizer = WordVectorizer.load(tmp_path)
    vectors, _ = vectorizer(["gallop/VERB", "run/VERB"])
    np.testing.assert_allclose(vectors, data[[5, 5]], rtol=1e-6)
    assert "run" in VIP_CLASSES
    assert classes(vectorizer, "gallop/VERB", "run/VERB") == ["OTHER", "OTHER"]


def test_the_classes_stand_in_the_original_order():
    assert len(PARTS_OF_SPEECH) == 15 and set(VIP_CLASSES.values()) == set(PARTS_OF_SPEECH[9:14])
    assert [PARTS_OF_SPEECH.index(n) for n in ("VERB", "ADV", "Loc_VIP", "OTHER")] == [0, 8, 9, 14]


class Attack:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["our_vab_words.pkl", "our_vab_idx.pkl"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, name, protocol):
    write_vocabulary(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(Attack(tmp_path / "ran"), protocol))
    with pytest.raises(ValueError, match=f"{name} .*more than plain words"):
        WordVectorizer.load(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_of_every_protocol_are_read(tmp_path, protocol):
    write_vocabulary(tmp_path)
    (tmp_path / "our_vab_words.pkl").write_bytes(pickle.dumps(WORDS, protocol))
    assert WordVectorizer.load(tmp_path).vocabulary == WORDS


@pytest.mark.parametrize("name", ["our_vab_words.pkl", "our_vab_idx.pkl", "our_vab_data.npy"])
def test_missing_and_truncated_files_are_named(tmp_path, name):
    write_vocabulary(tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-9])
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        WordVectorizer.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        WordVectorizer.load(tmp_path)


@pytest.mark.parametrize(
    "files, message",
    [
        (dict(words=["walk"]), "lacks 'unk'"),
        (dict(words=[*WORDS, "jump"]), "'jump' .* has no vector"),
        (dict(words=[["walk"]]), "has no vector"),
        (dict(words={"walk": 1}), "a dict of words"),
        (dict(index={w: 6 for w in WORDS}), "'unk' .* has no vector"),
        (dict(index={w: -1 for w in WORDS}), "'unk' .* has no vector"),
        (dict(data=np.zeros(6)), r"float64 \(6,\)"),
        (dict(data=np.array([["a"]])), r"<U1 \(1, 1\)"),
        (dict(data=np.array([WORDS], object)), "our_vab_data.npy is damaged or holds more"),
    ],
)
def test_files_at_odds_are_refused(tmp_path, files, message):
    write_vocabulary(tmp_path, **files)
    with pytest.raises(ValueError, match=message) as error:
        WordVectorizer.load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("token", ["walk", "walk/", "/VERB", ""])
def test_a_token_without_part_of_speech_is_refused(token):
    with pytest.raises(ValueError, match="not a word and its part of speech"):
        WordVectorizer(WORDS)([token])


def test_vectors_are_saved_with_the_weights():
    vectorizer = WordVectorizer(WORDS, 4)
    assert list(vectorizer.state_dict()) == ["vectors"]
    assert not torch.any(vectorizer.vectors) and not list(vectorizer.parameters())
