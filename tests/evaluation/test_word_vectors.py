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


def test_indices_give_what_tokens_give(tmp_path):
    write_vocabulary(tmp_path)
    vectorizer = WordVectorizer.load(tmp_path)
    captions = [["walk/VERB", "left/ADV", "gallop/VERB"], ["person/NOUN", "sos/OTHER", "eos/X"]]
    index = torch.stack([vectorizer.index(tokens) for tokens in captions])
    words, one_hot = vectorizer.embed(index)
    assert words.shape == (2, 3, 300) and one_hot.shape == (2, 3, 15)
    for row, tokens in enumerate(captions):
        expected = vectorizer(tokens)
        assert torch.equal(words[row], expected[0]) and torch.equal(one_hot[row], expected[1])


def test_token_embeddings_tell_words_apart(text_encoder):
    words = ["walk", "left", "right", "forward", "backward", "whereupon", "left", "unk"]
    vectorizer = WordVectorizer.from_minilm(words)
    assert vectorizer.vocabulary == ["unk", "sos", "eos", *sorted({*words} - {"unk"})]
    vectors = vectorizer.vectors
    torch.testing.assert_close(vectors.mean(0), torch.zeros(384), atol=1e-5, rtol=0)
    torch.testing.assert_close(vectors.std(0), torch.ones(384))
    assert torch.pdist(vectors).min() > 10
    table = text_encoder.bert.get_input_embeddings().weight
    rows = {"left": "left", "unk": "[UNK]", "sos": "[CLS]", "eos": "[SEP]", "right": "right"}
    place = [vectorizer.vocabulary.index(word) for word in rows]
    raw = table[[text_encoder.tokenizer.token_to_id(piece) for piece in rows.values()]]
    # what is scaled and moved alike keeps the ratio of differences
    for a, b in (((0, 1), (2, 3)), ((3, 4), (0, 2))):
        made = (vectors[place[a[0]]] - vectors[place[a[1]]]) * (raw[b[0]] - raw[b[1]])
        expected = (vectors[place[b[0]]] - vectors[place[b[1]]]) * (raw[a[0]] - raw[a[1]])
        torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-4)
