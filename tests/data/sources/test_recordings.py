import tarfile
import zipfile
from functools import partial

import numpy as np
import pytest

from motionmamba.data.sources import recordings
from motionmamba.data.sources.recordings import (
    Recording,
    assign_splits,
    iter_files,
    read_recordings,
    resample,
    windows,
)


def _read(name: str, content: bytes, log=None) -> Recording:
    if log:
        with log.open("a") as file:
            file.write(name + "\n")
    frames = int(content)
    if frames < 4:
        raise ValueError(f"{name} has {frames} frames")
    return Recording(f"take_{name}", np.full((frames, 22, 3), frames, np.float32), {"n": frames})


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "takes"
    (folder / "deep").mkdir(parents=True)
    for i in range(6):
        (folder / ("deep" if i % 2 else "") / f"{i}.TXT").write_text(str(i + 2))
    (folder / "other.csv").write_text("7")
    return folder


def _archive(folder, path):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as out:
            for file in files:
                out.write(file, f"../../{file.relative_to(folder)}")
    else:
        with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w") as out:
            for file in files:
                out.add(file, f"/root/../{file.relative_to(folder)}")
            link = tarfile.TarInfo("link.txt")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            out.addfile(link)
    return path


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.xz"])
def test_archives_give_what_folders_give_and_unpack_nothing(source, tmp_path, suffix):
    archive = _archive(source, tmp_path / f"takes.{suffix}")
    before = sorted(tmp_path.parent.rglob("*"))
    found = {
        name.removeprefix("root/"): content for name, content in iter_files(archive, (".txt",))
    }
    assert found == {name: path.read_bytes() for name, path in iter_files(source, (".txt",))}
    assert len(found) == 6 and not any(name.startswith(("/", "..")) for name in found)
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_file_without_end_is_refused(source, tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "MAX_FILE", 3)
    (source / "big.txt").write_text("9999")
    with pytest.raises(ValueError, match="big.txt has more than"):
        list(iter_files(_archive(source, tmp_path / "takes.zip"), (".txt",)))


def test_no_source(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        list(iter_files(tmp_path / "none", (".txt",)))
    (tmp_path / "takes.tar").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="no readable"):
        list(iter_files(tmp_path / "takes.tar", (".txt",)))


def test_recordings_drops_and_checksums(source):
    found, dropped, inputs = read_recordings(iter_files(source, (".txt",)), _read, workers=1)
    assert [r.name for r in found] == [
        "take_2.TXT",
        "take_4.TXT",
        *(f"take_deep/{i}.TXT" for i in (3, 5)),
    ]
    assert dropped == {"0.TXT": "0.TXT has 2 frames", "deep/1.TXT": "deep/1.TXT has 3 frames"}
    assert len(inputs) == 6 and all(len(digest) == 64 for digest in inputs.values())


def test_an_interrupted_run_goes_on(source, tmp_path):
    log, work = tmp_path / "log", tmp_path / "work"
    read = partial(_read, log=log)

    def interrupted():
        yield from list(iter_files(source, (".txt",)))[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_recordings(interrupted(), read, work=work, workers=1)
    first = log.read_text().split()
    assert first
    whole = read_recordings(iter_files(source, (".txt",)), read, work=work, workers=1)
    assert sorted(log.read_text().split()) == sorted(n for n, _ in iter_files(source, (".txt",)))
    fresh = read_recordings(iter_files(source, (".txt",)), _read, workers=1)
    assert whole[1:] == fresh[1:]
    for kept, read_again in zip(whole[0], fresh[0], strict=True):
        assert (kept.name, kept.info) == (read_again.name, read_again.info)
        np.testing.assert_array_equal(kept.joints, read_again.joints)

    next(work.iterdir()).write_bytes(b"cut")  # one result was cut short: it is made again
    log.unlink()
    read_recordings(iter_files(source, (".txt",)), read, work=work, workers=1)
    assert len(log.read_text().split()) == 1
    log.unlink()
    read_recordings(iter_files(source, (".txt",)), read, work=work, settings="x", workers=1)
    assert len(log.read_text().split()) == 6


def _same_name(name, content):
    return Recording("one", np.zeros((4, 22, 3), np.float32))


def test_no_recording_is_lost_silently(source):
    found, dropped, _ = read_recordings(iter_files(source, (".txt",)), _same_name, workers=1)
    assert len(found) == 1 and len(dropped) == 5
    assert set(dropped.values()) == {"another file gave a recording one"}


def test_splits_have_their_shares_and_do_not_move():
    groups = {f"{content}_{i:03d}": content for content in ("walk", "run") for i in range(40)}
    splits = assign_splits(groups)
    for content in ("walk", "run"):
        found = [splits[name] for name in groups if groups[name] == content]
        assert (found.count("test"), found.count("val")) == (4, 2)
    assert assign_splits(dict(reversed(groups.items()))) == splits
    assert assign_splits({"kick": "kick"}) == {"kick": "train"}


def test_resampling_follows_time_and_drops_no_frames():
    times = np.arange(60) / 30
    joints = np.sin(2 * np.pi * 1.5 * times)[:, None, None] * np.ones((1, 22, 3))
    resampled = resample(joints, 30.0, 20.0)
    expected = np.sin(2 * np.pi * 1.5 * np.arange(len(resampled)) / 20)
    assert len(resampled) == 40
    np.testing.assert_allclose(resampled[:, 3, 1], expected, atol=5e-3)


@pytest.mark.parametrize("frames", [1, 16, 196, 197, 198, 500, 394])
def test_windows_cover_a_take(frames):
    found = windows(frames)
    assert found[0][0] == 0 and found[-1][1] == frames
    assert all(0 < end - start <= 197 for start, end in found)
    assert all(b <= d and c <= b for (a, b), (c, d) in zip(found, found[1:], strict=False))
