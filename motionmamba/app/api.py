"""The same for programs: functions that `gradio_client` calls, and plain HTTP below `/api`.

`/api/docs` describes the latter. What it refuses is told as JSON of `Problem`, with a status each.
"""

from __future__ import annotations

import secrets
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Literal

import gradio as gr
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field

from motionmamba.app.limits import (
    COLOURS,
    FIGURES,
    LONGEST_PROMPT,
    MOST_GUIDANCE,
    MOST_SCENES,
    MOST_STEPS,
    MOST_VARIATIONS,
    SAMPLERS,
    Refused,
    Settings,
    check_look,
    check_settings,
)
from motionmamba.app.results import Results, downloads
from motionmamba.app.worker import Worker

MAX_SECONDS = 9.8  # of most models; each says how long its motions may be
STATUSES = {"refused": 422, "busy": 429, "failed": 503, "gone": 404}


class Scene(BaseModel):
    """A part of a timeline."""

    model_config = ConfigDict(extra="forbid")
    prompt: str = Field(
        description=f"A sentence of at most {LONGEST_PROMPT} characters.",
        examples=["a person walks in a circle"],
    )
    seconds: float | None = Field(
        None,
        description=f"Length, 0.2 to {MAX_SECONDS} s with most models; what the model predicts "
        "for the sentence without one.",
    )


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    seed: int | None = Field(None, description="Of the first variation; drawn without one.")
    variations: int = Field(1, description=f"Motions, 1 to {MOST_VARIATIONS}.")
    steps: int | None = Field(None, description=f"1 to {MOST_STEPS}; the model's without one.")
    guidance: float | None = Field(
        None, description=f"0 to {MOST_GUIDANCE:g}; the model's without one."
    )
    sampler: Literal[SAMPLERS] = SAMPLERS[0]
    figure: Literal[FIGURES] = Field(FIGURES[0], description="What the video shows.")
    colour: Literal[tuple(COLOURS)] = Field("Blue", description="Of the shirt.")
    shape: dict[str, float] = Field(
        {},
        description="Of the body, each -1 to 1, by the names that `about` tells.",
        examples=[{"height": 0.5}],
    )


class Sentence(_Options, Scene):
    """What is wanted of one sentence."""


class Timeline(_Options):
    """What is wanted of scenes that follow each other as one motion."""

    scenes: list[Scene] = Field(description=f"1 to {MOST_SCENES}.")


class Made(BaseModel):
    """A result, kept for two hours at most."""

    id: str
    prompts: list[str]
    seed: int
    note: str = Field(description="What is to be said of the prompts; often nothing.")
    files: dict[str, str] = Field(description="Addresses of mp4, glb, bvh and npz, or archives.")


class Problem(BaseModel):
    """Why there is no result: a kind for programs, a sentence for people."""

    error: Literal[tuple(STATUSES)]
    message: str


class Programs:
    """Makes motions for programs, with a worker and a folder of results."""

    def __init__(self, worker: Worker, results: Results):
        self.worker, self.results = worker, results

    async def make(self, asked: Sentence | Timeline, request) -> tuple[Path, Settings, str]:
        """Folder and settings of a result, and what is to be said of its prompts.

        Raises Refused for whatever goes wrong. Stops when the program has hung up.
        """
        scenes = asked.scenes if isinstance(asked, Timeline) else [asked]
        settings = check_settings(
            [scene.prompt for scene in scenes],
            [scene.seconds for scene in scenes],
            self.worker.info["max_seconds"],
            asked.seed,
            asked.variations,
            asked.steps,
            asked.guidance,
            asked.sampler,
            check_look(asked.figure, asked.colour, asked.shape),
        )
        folder, note = self.results.new(settings), ""
        work = self.worker.run(client_of(request), "generate", settings, folder)
        async with aclosing(work) as events:
            async for kind, value in events:
                note = value if kind == "note" else note
                if isinstance(request, Request) and await request.is_disconnected():
                    break
        return folder, settings, note

    # for gradio_client, which tells nothing of itself but the types of these parameters

    def offer(self) -> None:
        """Adds the functions to the page that is being built."""
        for function in (self._generate, self._timeline, self._about):
            gr.api(function, api_name=function.__name__[1:], concurrency_limit=None)

    async def _generate(
        self,
        prompt: str,
        seconds: float | None = None,
        seed: int | None = None,
        variations: int = 1,
        steps: int | None = None,
        guidance: float | None = None,
        sampler: Literal[SAMPLERS] = SAMPLERS[0],
        figure: Literal[FIGURES] = FIGURES[0],
        colour: Literal[tuple(COLOURS)] = "Blue",
        shape: dict | None = None,
        request: gr.Request = None,
    ) -> tuple[dict, list]:
        """Motions of a sentence: what was made, and its files (mp4, glb, bvh, npz)."""
        scenes = [Scene.model_construct(prompt=prompt, seconds=seconds)]
        options = (seed, variations, steps, guidance, sampler, figure, colour, shape)
        return await self._made(scenes, options, request)

    async def _timeline(
        self,
        scenes: list[dict],
        seed: int | None = None,
        variations: int = 1,
        steps: int | None = None,
        guidance: float | None = None,
        sampler: Literal[SAMPLERS] = SAMPLERS[0],
        figure: Literal[FIGURES] = FIGURES[0],
        colour: Literal[tuple(COLOURS)] = "Blue",
        shape: dict | None = None,
        request: gr.Request = None,
    ) -> tuple[dict, list]:
        """One motion of several scenes, each {"prompt": ..., "seconds": ...}."""
        scenes = [Scene.model_construct(**_scene(each)) for each in _several(scenes)]
        options = (seed, variations, steps, guidance, sampler, figure, colour, shape)
        return await self._made(scenes, options, request)

    async def _about(self) -> dict:
        """What the model and the body are, and what they run on."""
        return self.worker.info

    async def _made(self, scenes, options, request) -> tuple[dict, list]:
        names = list(_Options.model_fields)
        asked = Timeline.model_construct(scenes=scenes, **dict(zip(names, options, strict=True)))
        try:
            folder, settings, note = await self.make(asked, request)
        except Refused as error:
            raise gr.Error(str(error), title=error.kind, print_exception=False) from None
        files = [
            {"path": str(path), "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}
            for path in downloads(folder).values()
        ]
        return _told(folder, settings, note), files

    # plain HTTP

    def routes(self, login: tuple[str, str] | None) -> FastAPI:
        """The application that is mounted at `/api`, behind HTTP Basic where there is a login."""
        api = FastAPIOffline(
            title="Motion Mamba",
            description="A sentence in, a person who moves out.",
            redoc_url=None,
            dependencies=[Depends(_guard(login))] if login else [],
            responses={status: {"model": Problem} for status in (404, 422, 429, 503)},
        )

        @api.post("/generate")
        async def generate(asked: Sentence, request: Request) -> Made:
            """Motions of a sentence. Answers when the video is there too: some seconds."""
            return self._answer(await self.make(asked, request))

        @api.post("/timeline")
        async def timeline(asked: Timeline, request: Request) -> Made:
            """One motion of several scenes."""
            return self._answer(await self.make(asked, request))

        @api.get("/about")
        async def about() -> dict[str, Any]:
            """What the model and the body are, and what they run on."""
            return self.worker.info

        @api.get("/results/{id}/{name}", response_class=FileResponse)
        async def file(id: str, name: str) -> FileResponse:
            """A file of a result."""
            for path in downloads(self.results.find(id)).values():
                if path.name == name:
                    return FileResponse(path, filename=name)
            raise HTTPException(404)

        @api.exception_handler(Refused)
        async def refused(_, error: Refused) -> JSONResponse:
            return _problem(error.kind, str(error))

        @api.exception_handler(RequestValidationError)
        async def invalid(_, error: RequestValidationError) -> JSONResponse:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"][1:]) or "body"
            return _problem("refused", f"{place[:60]}: {first['msg']}.")

        @api.exception_handler(404)
        async def missing(*_) -> JSONResponse:
            return _problem("gone", "There is no such thing here; see /api/docs.")

        return api

    def _answer(self, made: tuple[Path, Settings, str]) -> Made:
        folder, settings, note = made
        address = f"/api/results/{folder.name}"
        files = {suffix[1:]: f"{address}/{path.name}" for suffix, path in downloads(folder).items()}
        return Made(**_told(folder, settings, note), files=files)


def client_of(request) -> str:
    """Who asks; behind a proxy, whom that names."""
    return request.client.host if request and request.client else "unknown"


def _told(folder: Path, settings: Settings, note: str) -> dict[str, Any]:
    prompts = list(settings.prompts)
    return {"id": folder.name, "prompts": prompts, "seed": settings.seed, "note": note}


def _several(scenes: Any) -> list:
    if not isinstance(scenes, list):
        raise gr.Error("The scenes are no list.", title="refused", print_exception=False)
    return scenes


def _scene(given: Any) -> dict[str, Any]:
    given = given if isinstance(given, dict) else {}
    return {"prompt": given.get("prompt"), "seconds": given.get("seconds")}


def _problem(kind: str, message: str) -> JSONResponse:
    return JSONResponse({"error": kind, "message": message}, STATUSES[kind])


def _guard(login: tuple[str, str]):
    def check(given: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> None:
        pairs = zip((given.username, given.password), login, strict=True)
        if not all([secrets.compare_digest(a.encode(), b.encode()) for a, b in pairs]):
            raise HTTPException(401, headers={"WWW-Authenticate": "Basic"})

    return check
