"""What the worker does: sentences to motions, motions to bodies, players, videos and files."""

from __future__ import annotations

import copy
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from motionmamba.app.limits import COLOURS, SAMPLERS, Look, Refused, Settings
from motionmamba.app.nearness import Nearness
from motionmamba.app.results import JOINTS, PLAYER, VIDEO
from motionmamba.motion.body import Body
from motionmamba.motion.export.gltf import glb_bytes
from motionmamba.motion.export.html import viewer_html
from motionmamba.motion.files import write_whole
from motionmamba.motion.fitting import fit_body
from motionmamba.motion.motion import Motion
from motionmamba.motion.render import render_video
from motionmamba.motion.render.backends import RENDERERS, why_not
from motionmamba.pipeline import MotionMambaPipeline, usable_device

FILES = (".glb", ".bvh", ".npz")
SIZE, SIZE_OF_MANY = (640, 480), (480, 480)
_SHIRT = (74, 124, 168)  # the colour of the shipped body's
_STILL = 1e-6


class Studio:
    """The model and the body.

    A task gets `tell`, to send events with, and lays its files into the folder of its result.
    `check` is called as often as can be, and raises when the task is cancelled.
    """

    def __init__(self, options, check: Callable[[], None]):
        began = time.perf_counter()
        self._check = check
        # on every core a step would wait for whatever else runs, the page and its browser
        torch.set_num_threads(max((os.cpu_count() or 2) - 1, 1))
        self._device = usable_device(options.device)
        self._pipeline = MotionMambaPipeline.from_pretrained(options.model).to(self._device)
        self._scheduler = self._pipeline.scheduler
        self._body = Body.load(options.smpl_model)
        self._shipped = options.model is None
        self._renderer_tried = False
        self._nearness = Nearness(self._pipeline.text_encoder) if self._shipped else None
        # the first motion would pay for what is loaded at the first use
        glb_bytes(fit_body(self._generate(_WARMING, lambda *_: None)[0], self._body))
        self._loaded = time.perf_counter() - began

    def info(self) -> dict[str, Any]:
        pipeline, parts = self._pipeline, ("vae", "denoiser")
        return {
            "max_seconds": pipeline.max_seconds,
            "predicts_length": pipeline.length_predictor is not None,
            "steps": pipeline.config.num_inference_steps,
            "guidance": pipeline.config.guidance_scale,
            "shape_names": list(self._body.shape_names),
            "shipped": self._shipped,
            "body": self._body.source,
            "device": self._device,
            "threads": torch.get_num_threads(),
            "text encoder": pipeline.text_encoder.name,
            "parameters": {
                type(getattr(pipeline, part)).__name__: sum(
                    p.numel() for p in getattr(pipeline, part).parameters()
                )
                for part in parts
            },
            "load_seconds": round(self._loaded, 1),
        }

    def use_idle_time(self) -> bool:
        """Does a little of what will be needed later; says whether there was anything to do."""
        if self._nearness and not self._nearness.ready:
            self._nearness.prepare()
            return True
        if not self._renderer_tried:
            why_not(RENDERERS[0])  # which is tried in a process of its own, once
            self._renderer_tried = True
            return True
        return False

    def generate(self, tell, settings: Settings, folder: Path) -> None:
        """Events: ("denoising", (step, of)), then as `dress`."""
        motions = self._generate(settings, tell)
        np.savez(folder / JOINTS, *(motion.joints for motion in motions))
        self._show(tell, motions, settings, folder)

    def _note(self, tell, settings: Settings) -> None:
        if self._nearness:
            tell("note", self._nearness.note(settings.prompts))

    def dress(self, tell, settings: Settings, source: Path, folder: Path) -> None:
        """The motions of a result in the look of these settings.

        Events: "player", "files" and "video" when these are there, the first with the seconds that
        the motion takes, ("note", text) of a prompt unlike what the model was trained on, and
        ("rendering", (frame, of)).
        """
        with np.load(source / JOINTS) as file:
            joints = [file[name] for name in file.files]
        write_whole(folder / JOINTS, (source / JOINTS).read_bytes())
        motions = [
            Motion(joints=each, fps=self._pipeline.fps, prompt=_title(settings)) for each in joints
        ]
        self._show(tell, motions, settings, folder)

    def _generate(self, settings: Settings, tell) -> list[Motion]:
        pipeline, count = self._pipeline, settings.variations
        pipeline.scheduler = _scheduler(settings.sampler, self._scheduler)
        pipeline.progress_bar = self._counted(tell, len(settings.prompts))
        scenes = [
            pipeline(
                [prompt] * count,
                seconds=seconds,
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                generator=[
                    torch.Generator().manual_seed(settings.seed + number + 1000003 * scene)
                    for number in range(count)
                ],
            ).motions
            for scene, (prompt, seconds) in enumerate(
                zip(settings.prompts, settings.seconds, strict=True)
            )
        ]
        if len(scenes) == 1:
            return scenes[0]
        from motionmamba.app.timeline import join_scenes

        fps, title = pipeline.fps, _title(settings)
        return [
            Motion(joints=join_scenes([m.joints for m in parts]), fps=fps, prompt=title)
            for parts in zip(*scenes, strict=True)
        ]

    def _counted(self, tell, scenes: int):
        """A progress bar for the pipeline, over all scenes."""
        done = 0

        def progress_bar(timesteps):
            nonlocal done
            for timestep in timesteps:
                self._check()
                yield timestep
                done += 1
                tell("denoising", (done, scenes * len(timesteps)))

        return progress_bar

    def _show(self, tell, motions, settings: Settings, folder: Path) -> None:
        look = settings.look
        body = _painted(self._body, COLOURS[look.colour])
        dressed = []
        for motion in motions:
            self._check()
            dressed.append(fit_body(motion, body, betas=_betas(body, look)))
        glbs = [glb_bytes(each) for each in dressed]
        title = _title(settings)
        titles = (
            [title] if len(glbs) == 1 else [f"seed {settings.seed + n}" for n in range(len(glbs))]
        )
        numbers = range(settings.seed, settings.seed + len(glbs))
        names = ["motion"] if len(glbs) == 1 else [f"motion-seed-{n}" for n in numbers]
        # before the player: whatever is seen can be compared with others
        for name, glb in zip(names, glbs, strict=True):
            write_whole(folder / f"{name}.glb", glb)
        write_whole(folder / PLAYER, viewer_html(glbs, titles).encode())
        tell("player", len(motions[0].joints) / motions[0].fps)
        for name, each in zip(names, dressed, strict=True):
            self._check()
            _save(each, folder / f"{name}.bvh")
            _save(each, folder / f"{name}.npz")
        if len(glbs) > 1:
            for suffix in FILES:
                _zip(folder, suffix)
        tell("files", None)
        self._note(tell, settings)

        def progress(frame: int, total: int) -> None:
            self._check()
            if frame % 10 == 0 or frame == total:
                tell("rendering", (frame, total))

        figure = "smpl" if look.figure == "Body" else "skeleton"
        size = SIZE if len(glbs) == 1 else SIZE_OF_MANY
        render_video(dressed, folder / VIDEO, size=size, body=figure, progress=progress)
        tell("video", None)


_WARMING = Settings(prompts=("a person walks",), seconds=(1.0,), seed=0, steps=1)


def _save(motion, path: Path) -> None:
    from motionmamba.motion.formats import save_motion

    save_motion(motion, path)


def _zip(folder: Path, suffix: str) -> None:
    with zipfile.ZipFile(folder / f"motions{suffix}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.glob(f"motion-*{suffix}")):
            archive.write(path, path.name)


def _title(settings: Settings) -> str:
    return ", then ".join(settings.prompts)


def _painted(body: Body, shirt: tuple[int, int, int]) -> Body:
    """A copy of the body in a shirt of that colour; a body without clothes is all of it."""
    painted = copy.copy(body)
    clothes = (body.colors == _SHIRT).all(1)
    if not clothes.any():
        clothes[:] = shirt != _SHIRT
    painted.colors = np.where(clothes[:, None], np.array(shirt, np.uint8), body.colors)
    return painted


def _betas(body: Body, look: Look) -> np.ndarray | None:
    """A whole shape where one was asked for, or none, so that it is fitted to the motion."""
    if not any(abs(value) > _STILL for value in look.shape.values()):
        return None
    for name in look.shape:
        if name not in body.shape_names:
            raise Refused(f"This body has no {name}; it has {', '.join(body.shape_names)}.")
    return body.betas(**{name: value * _reach(name) for name, value in look.shape.items()})


def _reach(name: str) -> float:
    """The beta at the end of a slider."""
    return 5.0 if name in ("weight", "muscle") else 2.0


def _scheduler(name: str, shipped):
    """Another sampler on the noise that the model was trained with."""
    if name == SAMPLERS[0]:
        return shipped
    import diffusers

    kind = {
        "UniPC": diffusers.UniPCMultistepScheduler,
        "DDIM": diffusers.DDIMScheduler,
        "Euler": diffusers.EulerDiscreteScheduler,
    }[name]
    return kind.from_config(shipped.config)
