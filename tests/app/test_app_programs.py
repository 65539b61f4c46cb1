"""The same for programs, and what nobody gets."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from motionmamba.motion.motion import Motion
from motionmamba.pipeline import EMBEDDED_MODEL

QUICK = {"prompt": "a person walks", "seconds": 1, "steps": 1, "seed": 5}


@pytest.fixture(scope="module")
def http(address):
    import httpx

    with httpx.Client(base_url=address, timeout=120) as http:
        yield http


@pytest.fixture(scope="module")
def client(address):
    from gradio_client import Client

    return Client(address, verbose=False)


def test_the_client_gets_what_was_made_and_its_files(client):
    told, files = client.predict(**QUICK, shape={"height": 0.5}, api_name="/generate")
    assert told["prompts"] == ["a person walks"] and told["seed"] == 5 and told["note"] == ""
    paths = [Path(file["path"] if isinstance(file, dict) else file) for file in files]
    assert [path.suffix for path in paths] == [".mp4", ".glb", ".bvh", ".npz"]
    assert Motion.load(paths[1]).joints.shape == (20, 22, 3)
    assert client.predict(api_name="/about")["shipped"]


def test_without_a_length_the_model_predicts_one(client):
    kick, circles = (
        client.predict(prompt, steps=1, seed=5, api_name="/generate")[1][-1]
        for prompt in ("a man kicks with the right foot", "a person walks in circles")
    )
    short, long = (
        len(Motion.load(file["path"] if isinstance(file, dict) else file).joints)
        for file in (kick, circles)
    )
    assert 40 <= short < long <= 196


def test_the_client_gets_a_timeline(client):
    scenes = [{"prompt": "a person walks", "seconds": 2}, {"prompt": "a person runs", "seconds": 2}]
    told, _ = client.predict(scenes, steps=1, seed=1, api_name="/timeline")
    assert told["prompts"] == ["a person walks", "a person runs"]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"prompt": "x" * 100_000}, "100,000 characters"),
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": "a", "seed": 1.5}, "whole number"),
        ({"prompt": "a", "steps": 10**400}, "steps"),
        ({"prompt": "a", "sampler": "../../etc/passwd"}, "choose"),
        ({"prompt": "a", "shape": [1]}, "shape"),
        ({"prompt": "a", "shape": {"wings": 1}}, "no wings"),
    ],
)
def test_the_client_is_told_what_is_wrong(client, asked, answer):
    with pytest.raises(Exception, match=answer) as error:
        client.predict(**asked, api_name="/generate")
    assert "Traceback" not in str(error.value) and "/site-packages" not in str(error.value)


def test_plain_http_makes_the_same(http, tmp_path):
    answer = http.post("/api/generate", json=QUICK)
    assert answer.status_code == 200
    made = answer.json()
    assert made["seed"] == 5 and set(made["files"]) == {"mp4", "glb", "bvh", "npz"}
    for suffix, address in made["files"].items():
        (tmp_path / f"motion.{suffix}").write_bytes(http.get(address).content)
    assert Motion.load(tmp_path / "motion.npz").joints.shape == (20, 22, 3)
    assert (tmp_path / "motion.mp4").read_bytes()[4:8] == b"ftyp"


def test_a_timeline_over_plain_http(http):
    scenes = [{"prompt": "a person walks", "seconds": 2}, {"prompt": "a person runs", "seconds": 2}]
    made = http.post("/api/timeline", json={"scenes": scenes, "steps": 1}).json()
    assert made["prompts"] == ["a person walks", "a person runs"] and made["files"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"prompt": "x" * 100_000}, "100,000 characters"),
        ({"prompt": " \n"}, "empty"),
        ({"prompt": "a", "seconds": float("nan")}, "length"),
        ({"prompt": "a", "seconds": 1e300}, "length"),
        ({"prompt": "a", "steps": 0}, "steps"),
        ({"prompt": "a", "seed": "x"}, "seed"),
        ({"prompt": "a", "figure": "../x"}, "figure"),
        ({"prompt": "a", "file": "/etc/passwd"}, "file"),
        ({}, "prompt"),
        ([], "body"),
    ],
)
def test_errors_have_a_kind_and_a_sentence(http, asked, said):
    answer = http.post(
        "/api/generate", content=json.dumps(asked), headers={"content-type": "application/json"}
    )
    told = answer.json()
    assert answer.status_code == 422 and told["error"] == "refused"
    assert said in told["message"] and told["message"].endswith(".") and len(told["message"]) < 250


def test_the_description_is_whole_and_its_page_fetches_nothing(http):
    described = http.get("/api/openapi.json").json()
    assert set(described["paths"]) == {"/generate", "/timeline", "/about", "/results/{id}/{name}"}
    assert {"422", "429", "503"} <= set(described["paths"]["/generate"]["post"]["responses"])
    assert "https://" not in http.get("/api/docs").text


def test_a_program_that_hangs_up_frees_the_worker(http, served):
    import httpx

    with pytest.raises(httpx.ReadTimeout):
        http.post("/api/generate", json=QUICK | {"seconds": 6, "steps": 100}, timeout=1)
    until = time.monotonic() + 10
    while len(served.worker.line) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(served.worker.line) == 0


def test_too_many_at_once_are_told_so(http):
    """As many as one client may have get a motion, the others a refusal, and none hangs."""
    answers = []

    def ask(number: int):
        answers.append(http.post("/api/generate", json=QUICK | {"seed": number}))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses.count(200) >= 3 and set(statuses) == {200, 429}
    busy = next(answer for answer in answers if answer.status_code == 429)
    assert busy.json()["error"] == "busy"


def test_nothing_else_is_served_or_taken(http):
    for path in (
        "/etc/passwd",
        str(Path(__file__).resolve()),
        "README.md",
        "%2e%2e/%2e%2e/etc/passwd",
    ):
        answer = http.get(f"/gradio_api/file={path}")
        assert answer.status_code in (403, 404) and "root:" not in answer.text
    made = http.post("/api/generate", json=QUICK).json()
    for path in ("settings.json", "joints.npz", "..%2f..%2fetc%2fpasswd", "%00"):
        assert http.get(f"/api/results/{made['id']}/{path}").status_code == 404
    assert http.get("/api/results/..%2f..%2fetc/passwd").status_code == 404
    assert http.post("/gradio_api/upload", files={"files": b"x"}).status_code == 403
    assert http.get("/gradio_api/file=http://127.0.0.1/").status_code == 403
    for path in ("/gradio_api/call/generate", "/api/generate"):
        assert http.post(path, content=bytes(2**21)).status_code == 413
    answer = http.post("/gradio_api/call/nothing", json={"data": []})
    assert answer.status_code == 400 and "Traceback" not in answer.text
    answer = http.get("/")
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def run(*arguments: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-c", "from motionmamba.cli import main; main()", "app", *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    )


def left_by(process: subprocess.Popen) -> list[str]:
    """Processes of its session, when they had some time to end."""
    until = time.monotonic() + 5
    while (left := _session(process.pid)) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def _session(number: int) -> list[str]:
    found = []
    for each in psutil.process_iter():
        try:
            if os.getsid(each.pid) == number and each.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(each.cmdline()))
        except (psutil.Error, OSError):  # it has ended meanwhile
            pass
    return found


def test_whoever_gets_an_answer_can_generate_at_once():
    """Nobody is answered while the model is loaded, then nobody waits for it."""
    import httpx

    address = "http://127.0.0.1:7870"
    process = run("--port", "7870")
    try:
        assert "loading the model" in process.stdout.readline()
        with pytest.raises(httpx.ConnectError):
            httpx.get(address)
        assert address in process.stdout.readline()
        assert httpx.get(address).is_success
        assert httpx.get(f"{address}/api/about").json()["shipped"]
        assert httpx.post(f"{address}/api/generate", json=QUICK, timeout=60).is_success
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert not left_by(process)


def test_a_password_is_asked_for(tmp_path):
    import httpx

    process = run("--port", "7871", "--auth", "ada:secret")
    try:
        assert "loading" in process.stdout.readline()
        assert "7871" in process.stdout.readline()
        with httpx.Client(base_url="http://127.0.0.1:7871") as http:
            assert http.get("/api/about").status_code == 401
            assert http.get("/api/about", auth=("ada", "wrong")).status_code == 401
            assert http.get("/gradio_api/info").status_code == 401
            assert http.get("/api/openapi.json", auth=("ada", "secret")).status_code == 200
            assert http.get("/config").status_code == 401
    finally:
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "there/is/no/such/folder"), "there/is/no/such/folder"),
        (("--model", "{broken}"), "denoiser"),
        (("--smpl-model", "none.npz"), "none.npz"),
        (("--device", "abacus"), "abacus"),
        (("--auth", "ada"), "user:password"),
        (("--host", "192.0.2.1"), "192.0.2.1"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(arguments, said, tmp_path):
    broken, temporary = tmp_path / "broken", tmp_path / "temporary"
    temporary.mkdir()
    if "{broken}" in arguments:
        shutil.copytree(EMBEDDED_MODEL, broken)
        os.truncate(broken / "denoiser" / "diffusion_pytorch_model.safetensors", 1_000_000)
    given = [argument.format(broken=broken) for argument in arguments]
    process = run("--port", "7872", *given, TMPDIR=str(temporary))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.startswith("error: ") and said in errors and errors.count("\n") == 1
    assert not left_by(process) and not list(temporary.glob("motionmamba-*"))


def test_a_worker_killed_at_start_is_one_sentence(tmp_path):
    process = run("--port", "7873", TMPDIR=str(tmp_path))
    assert "loading" in process.stdout.readline()
    _worker_of(process).kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.startswith("error: ") and "SIGKILL" in errors and errors.count("\n") == 1
    assert not left_by(process) and not list(tmp_path.glob("motionmamba-*"))


def _worker_of(process: subprocess.Popen) -> psutil.Process:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for child in psutil.Process(process.pid).children():
            if "spawn_main" in " ".join(child.cmdline()):
                return child
        time.sleep(0.02)
    raise AssertionError("no worker was started")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", [0.0, 0.02, 0.5, 1.5, 3.0])
def test_a_start_is_interrupted(number, after, tmp_path):
    """To all processes of a terminal, as its Ctrl+C does."""
    process = run("--port", "7874", TMPDIR=str(tmp_path))
    assert "loading" in process.stdout.readline()
    time.sleep(after)
    began = time.monotonic()
    os.killpg(process.pid, number)
    try:
        _, errors = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # else it holds the port of the others
        raise
    assert time.monotonic() - began < 5
    assert process.returncode == 130 and "Traceback" not in errors
    assert not left_by(process) and not list(tmp_path.glob("motionmamba-*"))
