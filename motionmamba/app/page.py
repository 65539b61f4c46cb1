"""The page: its layout and what its controls do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import gradio as gr

from motionmamba.app import about
from motionmamba.app.api import MAX_SECONDS, Programs, client_of
from motionmamba.app.limits import (
    COLOURS,
    FIGURES,
    LARGEST_SEED,
    LONGEST_PROMPT,
    MOST_GUIDANCE,
    MOST_SHAPE,
    MOST_STEPS,
    MOST_VARIATIONS,
    SAMPLERS,
    Refused,
    Settings,
    check_look,
    check_settings,
)
from motionmamba.app.results import KEPT_SECONDS, PLAYER, SUFFIXES, VIDEO, Results, downloads
from motionmamba.app.snippets import framed, plain, problem, progress, status
from motionmamba.app.worker import SORRY, Options, Worker
from motionmamba.motion.export.html import viewer_html

TITLE = "Motion Mamba"
SCENES = 4
KEPT = 12  # results of a session that can be compared
MOST_COMPARED = 4
SHAPES = ("gender", "height", "weight", "muscle", "age", "proportions")
SHAPE_LABELS = {"gender": "Gender: male to female", "age": "Age: young to old"}
NUMBERED_SHAPES = tuple(f"shape {number}" for number in range(1, 11))
EXAMPLES = {
    "Walk and run": [
        "a person walks forward",
        "someone is jogging",
        "a man walks backward",
        "a person starts walking and then runs",
    ],
    "Turn": [
        "a person walks in a circle to the left",
        "she walks and makes a u-turn",
        "he walks forward, then turns right",
    ],
    "Hands": [
        "someone waves with the left hand",
        "a person raises both arms",
        "a person takes a deep bow",
    ],
    "Jump, kick, sit": [
        "a person jumps",
        "a man kicks with the right foot",
        "she sits down on a chair",
        "a man dances",
    ],
    "Manner": [
        "an old man walks slowly",
        "an exhausted woman walks forward",
        "a person walks like a giant",
        "a proud man walks ahead",
    ],
}
_SCENE_KEYS = tuple(f"{key}{n}" for n in range(1, SCENES + 1) for key in ("scene", "seconds"))
_SCENE_SECONDS = (0.2, 60.0)  # further than any model's; what it can do is checked later
_BEGIN = "(...inputs) => motionmamba.begin(inputs)"
_EMPTY = (
    '<div class="stage empty"><p>Write what the person does and press <b>Generate</b>.<br>'
    "The motion appears here, in 3-D.</p></div>"
)


class Page:
    """Builds the page around a worker and a folder of results."""

    def __init__(self, worker: Worker, results: Results, options: Options):
        self.worker, self.results, self.options = worker, results, options
        self._in_the_making: dict[str, set[asyncio.Event]] = defaultdict(set)  # by session

    def build(self) -> gr.Blocks:
        shapes = NUMBERED_SHAPES if self.options.smpl_model else SHAPES
        # Gradio's copies of files go as the results do
        with gr.Blocks(
            title=TITLE,
            analytics_enabled=False,
            fill_width=False,
            delete_cache=(600, KEPT_SECONDS),
        ) as blocks:
            gr.HTML(
                f"<header><h1>{TITLE}</h1><p>Type a sentence, watch a person do it.</p></header>",
                elem_id="head",
            )
            with gr.Tabs():
                with gr.Tab("Create"):
                    self._create(shapes)
                with gr.Tab("About this model"):
                    with gr.Column(elem_id="about"):
                        gr.Markdown(about.model_card(self.options.model))
                        machine = gr.Markdown()
                        gr.Markdown(about.LICENCES)
                        gr.Markdown(about.API)
            Programs(self.worker, self.results).offer()
            blocks.load(
                self._arrive,
                self.history,
                [
                    machine, self.predicted, self.seconds, *self._shared, self.tabs, *self.scenes,
                    self.history, self.chosen,
                ],
                api_visibility="private",
                queue=False,
            )  # fmt: skip
        return blocks

    def _create(self, shapes: tuple[str, ...]) -> None:
        # names of results: of the one that is shown, and of those that this browser made
        self.current, self.history = gr.State(None), gr.BrowserState([], "motionmamba")
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                with gr.Tabs() as self.tabs:
                    with gr.Tab("One sentence", id="sentence"):
                        self._sentence()
                    with gr.Tab("Timeline", id="timeline"):
                        self._timeline()
                self._options(shapes)
            with gr.Column(scale=7, min_width=320):
                self._result()
        self._connect()

    def _sentence(self) -> None:
        self.prompt = gr.Textbox(
            label="Prompt",
            placeholder="a person walks in a circle",
            lines=2,
            max_lines=4,
            max_length=LONGEST_PROMPT,
            elem_id="prompt",
            autofocus=True,
        )
        with gr.Row():
            self.seconds = gr.Slider(
                1, MAX_SECONDS, 6, step=0.2, label="Length in seconds", scale=2, min_width=180,
                elem_id="seconds",
            )  # fmt: skip
            self.predicted = gr.Checkbox(
                True, label="Choose for me", info="as long as it takes", min_width=120,
                elem_id="predicted",
            )  # fmt: skip
        # who moves the slider has chosen
        self.seconds.input(None, None, self.predicted, js="() => false", queue=False)
        self.generate = gr.Button("Generate", variant="primary", elem_id="generate")
        with gr.Accordion("Examples", open=True, elem_id="examples"):
            for category, sentences in EXAMPLES.items():
                gr.Examples(
                    [[sentence] for sentence in sentences],
                    [self.prompt],
                    label=category,
                    api_visibility="private",
                )

    def _timeline(self) -> None:
        gr.Markdown(
            "What happens one after the other, as one motion. Up to a second goes into each "
            "passage from one scene to the next.",
            elem_classes="hint",
        )
        self.scenes = []
        starts = [("a person walks forward", 4), ("a person waves with the right hand", 4)]
        for number in range(SCENES):
            words, seconds = starts[number] if number < len(starts) else ("", 4)
            with gr.Row(elem_classes="scene"):
                self.scenes += [
                    gr.Textbox(
                        words,
                        label=f"Scene {number + 1}",
                        max_length=LONGEST_PROMPT,
                        scale=4,
                        min_width=160,
                    ),
                    gr.Number(seconds, label="Seconds", minimum=2, step=0.5, scale=1, min_width=80),
                ]
        self.generate_all = gr.Button(
            "Generate the timeline", variant="primary", elem_id="generate-timeline"
        )

    def _options(self, shapes: tuple[str, ...]) -> None:
        with gr.Row():
            self.seed = gr.Number(
                0, label="Seed", precision=0, minimum=0, maximum=LARGEST_SEED, min_width=120,
                elem_id="seed",
            )  # fmt: skip
            self.surprise = gr.Checkbox(
                True, label="Surprise me", info="a new seed each time", min_width=120,
                elem_id="surprise",
            )  # fmt: skip
        self.variations = gr.Slider(
            1, MOST_VARIATIONS, 1, step=1, label="Variations side by side", elem_id="variations"
        )
        with gr.Accordion("Body", open=False, elem_id="body"):
            self.figure = gr.Radio(FIGURES, value=FIGURES[0], label="Figure", elem_id="figure")
            self.colour = gr.Radio(list(COLOURS), value="Blue", label="Colour", elem_id="colour")
            self.shape = [
                gr.Slider(
                    -MOST_SHAPE, MOST_SHAPE, 0, step=0.05,
                    label=SHAPE_LABELS.get(name, name.capitalize()),
                    elem_id=f"shape-{name.replace(' ', '-')}",
                )
                for name in shapes
            ]  # fmt: skip
        with gr.Accordion("Advanced", open=False):
            self.guidance = gr.Slider(
                0, MOST_GUIDANCE, 3, step=0.5, label="Guidance",
                info="how closely to follow the words",
            )  # fmt: skip
            self.steps = gr.Slider(1, MOST_STEPS, 20, step=1, label="Steps", elem_id="steps")
            self.sampler = gr.Dropdown(
                list(SAMPLERS), value=SAMPLERS[0], label="Sampler", filterable=False
            )
        self._shape_names = shapes
        self._shared = [
            self.prompt, self.seed, self.surprise, self.variations, self.guidance, self.steps,
            self.sampler, self.figure, self.colour, *self.shape,
        ]  # fmt: skip

    def _result(self) -> None:
        with gr.Row(elem_id="news"):
            self.status = gr.HTML(status(""), elem_id="status", scale=5, min_width=160)
            self.cancel = gr.Button(
                "Cancel", variant="stop", interactive=False, size="md", scale=0, min_width=96,
                elem_id="cancel",
            )  # fmt: skip
        self.player = gr.HTML(_EMPTY, elem_id="player")
        with gr.Row(elem_id="files"):
            self.downloads = [
                gr.DownloadButton(
                    suffix[1:].upper(), interactive=False, size="md", min_width=60,
                    elem_id=f"download-{suffix[1:]}",
                )
                for suffix in SUFFIXES
            ]  # fmt: skip
        self.note = gr.Markdown(visible=False, elem_id="note")
        self.video = gr.Video(
            label="Video", show_label=False, interactive=False, loop=True, visible=False,
            elem_id="video", buttons=[],
        )  # fmt: skip
        with gr.Accordion("This session", open=False, elem_id="history"):
            self.chosen = gr.CheckboxGroup(
                [], label=f"Motions to show again, up to {MOST_COMPARED} at once", elem_id="kept"
            )
            self.compare = gr.Button("Show", size="md", elem_id="compare")

    def _connect(self) -> None:
        outputs = [
            self.status, self.player, self.note, self.video, *self.downloads, self.cancel,
            self.generate, self.generate_all, self.seconds, self.seed, self.current, self.history,
            self.chosen,
        ]  # fmt: skip
        options = dict(api_visibility="private", show_progress="hidden", concurrency_limit=None)
        one = gr.on(
            [self.generate.click, self.prompt.submit],
            self._on_generate,
            [self.history, self.predicted, self.seconds, *self._shared],
            outputs,
            js=_BEGIN,
            **options,
        )
        several = self.generate_all.click(
            self._on_timeline,
            [self.history, *self._shared, *self.scenes],
            outputs,
            js=_BEGIN,
            **options,
        )
        look = gr.on(
            [each.input for each in (self.figure, self.colour, *self.shape)],
            self._on_look,
            [self.current, self.history, self.figure, self.colour, *self.shape],
            outputs,
            js="(...inputs) => motionmamba.look(inputs, inputs[2])",
            trigger_mode="always_last",
            **options,
        )
        for made, inputs, keys in (
            (one, [self.seconds, *self._shared], self._keys()),
            (several, [*self._shared[1:], *self.scenes], (*self._keys()[2:], *_SCENE_KEYS)),
        ):
            share = f"(...values) => motionmamba.share({list(keys)}, values)"
            made.then(None, inputs, js=share, queue=False)
        for made in (one, several, look):
            made.then(
                self._on_made,
                self.current,
                [self.video, *self.downloads],
                api_visibility="private",
                queue=False,
            )
        self.cancel.click(self._on_cancel, queue=False, api_visibility="private")
        self.compare.click(
            self._on_compare,
            [self.chosen, self.history],
            [self.status, self.player, self.note, self.video, *self.downloads, self.current],
            **options,
        )

    def _keys(self):
        """Names of settings in the address, in the order of `seconds` and `_shared`."""
        return (
            "seconds", "prompt", "seed", "", "variations", "guidance", "steps", "sampler",
            "figure", "colour", *(name.replace(" ", "") for name in self._shape_names),
        )  # fmt: skip

    # what the controls do

    def _arrive(self, history, request: gr.Request):
        """What the model says of itself, settings that the address names, each if it is good and
        otherwise the model's, and what this browser has made.
        """
        info = self.worker.info
        longest = info["max_seconds"]
        names = (*self._keys(), *_SCENE_KEYS)
        given = {name: request.query_params.get(name) for name in names if name}
        blank = gr.update()

        def number(name: str, low: float, high: float, otherwise=blank):
            try:
                value = float(given[name])
            except (TypeError, ValueError):
                return otherwise
            return value if low <= value <= high else otherwise

        def choice(name: str, choices):
            return given[name] if given[name] in choices else blank

        def words(name: str, otherwise=blank):
            return given[name][:LONGEST_PROMPT] if given[name] else otherwise

        seed, seconds = number("seed", 0, LARGEST_SEED), number("seconds", 1, longest)
        predicts = info["predicts_length"]
        timeline = any(given[name] for name in _SCENE_KEYS[::2])
        none = "" if timeline else blank  # a timeline is without the scenes that the page has
        scenes = [
            (words(scene, none), number(seconds, *_SCENE_SECONDS))
            for scene, seconds in zip(_SCENE_KEYS[::2], _SCENE_KEYS[1::2], strict=True)
        ]
        kept = [name for name in _several(history) if self.results.finished(name)]
        return (
            about.this_machine(info),
            gr.update(visible=predicts, value=predicts and seconds is blank),
            gr.update(
                maximum=longest,
                value=min(self.seconds.value, longest) if seconds is blank else seconds,
            ),
            words("prompt"),
            seed,
            blank if seed is blank else False,
            number("variations", 1, MOST_VARIATIONS),
            number("guidance", 0, MOST_GUIDANCE, info["guidance"]),
            number("steps", 1, MOST_STEPS, info["steps"]),
            choice("sampler", SAMPLERS),
            choice("figure", FIGURES),
            choice("colour", COLOURS),
            *(number(name.replace(" ", ""), -MOST_SHAPE, MOST_SHAPE) for name in self._shape_names),
            gr.update(selected="timeline") if timeline else blank,
            *(part for scene in scenes for part in scene),
            kept,
            self._choices(kept),
        )

    async def _on_generate(self, request: gr.Request, history, predicted, seconds, *values):
        prompt, *others = values
        seconds = None if predicted else seconds
        async for update in self._making(history, [prompt], [seconds], others, request):
            yield update

    async def _on_timeline(self, request: gr.Request, history, *values):
        count = len(self._shared)
        _, *others = values[:count]
        rows = list(zip(values[count::2], values[count + 1 :: 2], strict=True))
        rows = [(words, seconds) for words, seconds in rows if str(words).strip()]
        if not rows:
            yield {self.status: problem("The timeline is empty; write at least one scene.")}
            return
        prompts, seconds = zip(*rows, strict=True)
        async for update in self._making(history, prompts, seconds, others, request):
            yield update

    async def _making(self, history, prompts, seconds, others, request: gr.Request):
        seed, surprise, variations, guidance, steps, sampler, figure, colour, *shape = others
        try:
            settings = check_settings(
                prompts,
                seconds,
                self.worker.info["max_seconds"],
                None if surprise else seed,
                variations,
                steps,
                guidance,
                sampler,
                check_look(figure, colour, dict(zip(self._shape_names, shape, strict=True))),
            )
        except Refused as error:
            yield {self.status: problem(error)}
            return
        folder = self.results.new(settings)
        work = self.worker.run(client_of(request), "generate", settings, folder)
        async for update in self._showing(request, work, folder, settings, _several(history)):
            yield update

    def _on_made(self, current):
        """The files once more: a browser may take the last updates of a motion in any order."""
        try:
            return self._files(self.results.find(current))
        except Refused:
            return self._files(None)

    async def _on_cancel(self, request: gr.Request):
        """What is in the making ends by itself: a browser mixes up what two events tell it."""
        for asked in self._in_the_making.get(request.session_hash, ()):
            asked.set()

    async def _on_look(self, request: gr.Request, current, history, figure, colour, *shape):
        if current is None:
            return
        try:
            look = check_look(figure, colour, dict(zip(self._shape_names, shape, strict=True)))
            source = self.results.find(current)
            settings = replace(self.results.settings(current), look=look)
        except Refused as error:
            yield {self.status: problem(error)}
            return
        folder = self.results.new(settings)
        work = self.worker.run(client_of(request), "dress", settings, source, folder)
        history = [name for name in _several(history) if name != current]
        async for update in self._showing(request, work, folder, settings, history):
            yield update

    async def _showing(
        self,
        request: gr.Request,
        work: AsyncIterator,
        folder: Path,
        settings: Settings,
        history: list[str],
    ) -> AsyncIterator[dict]:
        """Updates of the page while the worker works.

        A busy browser leaves out all but the newest, so each has what those before it had, but for
        what a visitor may change meanwhile: that comes with the motion and at the end.
        """
        shown = {
            self.status: status("Starting …"),
            self.cancel: gr.update(interactive=True),
            self.generate: gr.update(interactive=False),
            self.generate_all: gr.update(interactive=False),
        }
        now_and_then = {self.seed: settings.seed}
        yield shown | now_and_then
        began, seen = time.monotonic(), 0.0
        asked = asyncio.Event()
        self._in_the_making[request.session_hash].add(asked)
        try:
            async with aclosing(work), aclosing(_until(asked, work)) as events:
                async for kind, value in events:
                    if kind == "player":
                        seen = time.monotonic() - began
                        shown |= self._played(folder)
                        if settings.seconds == (None,):
                            now_and_then[self.seconds] = value
                        now_and_then |= self._listed([*history, folder.name][-KEPT:])
                        yield shown | now_and_then
                        continue
                    if kind == "note":
                        shown[self.note] = gr.update(value=plain(value), visible=bool(value))
                    elif kind in ("files", "video"):
                        shown |= self._files(folder)
                    else:
                        shown[self.status] = progress(kind, value)
                    yield dict(shown)
            seconds = time.monotonic() - began
            end = status(
                f"Done: seed {settings.seed}, shown after {seen:.1f} s, all in {seconds:.1f} s."
            )
            if asked.is_set():
                end = status("Cancelled.")
        except Refused as error:
            end = problem(error)
        except Exception:
            logging.exception("the page failed")
            end = problem(SORRY)
        finally:
            self._in_the_making[request.session_hash].discard(asked)
            if not self._in_the_making[request.session_hash]:
                del self._in_the_making[request.session_hash]
        yield {
            **shown,
            **now_and_then,
            self.status: end,
            self.cancel: gr.update(interactive=False),
            self.generate: gr.update(interactive=True),
            self.generate_all: gr.update(interactive=True),
        }

    def _played(self, folder: Path) -> dict:
        return {
            self.player: framed((folder / PLAYER).read_text(encoding="utf-8")),
            self.note: gr.update(visible=False),
            self.current: folder.name,
            **self._files(None),
        }

    def _listed(self, history: list[str]) -> dict:
        return {self.history: history, self.chosen: self._choices(history)}

    def _files(self, folder: Path | None) -> dict:
        """Updates of the video and the buttons: of what is there of a result, or of nothing."""
        found = downloads(folder) if folder else {}
        video = folder / VIDEO if folder and (folder / VIDEO).is_file() else None
        return {
            self.video: gr.update(value=video and str(video), visible=bool(video)),
            **{
                button: gr.update(
                    value=str(found[suffix]) if suffix in found else None,
                    interactive=suffix in found,
                )
                for button, suffix in zip(self.downloads, SUFFIXES, strict=True)
            },
        }

    def _choices(self, history: list[str]):
        choices = [(_label(self.results.settings(name)), name) for name in reversed(history)]
        return gr.update(choices=choices, value=[])

    def _on_compare(self, chosen, history):
        kept = [name for name in _several(history) if name in chosen][:MOST_COMPARED]
        if not kept:
            return {self.status: problem("Choose motions of this session to show.")}
        try:
            folders = [self.results.find(name) for name in kept]
        except Refused as error:
            return {self.status: problem(error)}
        shown = {self.status: status(""), self.note: gr.update(visible=False)}
        if len(kept) == 1:  # all of it, to go on with
            player = (folders[0] / PLAYER).read_text(encoding="utf-8")
            return {
                **shown, self.player: framed(player), self.current: kept[0],
                **self._files(folders[0]),
            }  # fmt: skip
        glbs = [sorted(folder.glob("motion*.glb"))[0].read_bytes() for folder in folders]
        labels = [_label(self.results.settings(name)) for name in kept]
        player = framed(viewer_html(glbs, labels))
        return {**shown, self.player: player, self.current: None, **self._files(None)}


async def _until(asked: asyncio.Event, events: AsyncIterator) -> AsyncIterator:
    """The events until `asked` is set, which ends what is in the making at once."""
    end = asyncio.ensure_future(asked.wait())
    coming = None
    try:
        while not asked.is_set():
            coming = asyncio.ensure_future(anext(events))
            await asyncio.wait({coming, end}, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                try:
                    yield coming.result()
                except StopAsyncIteration:
                    return
    finally:
        pending = [task for task in (coming, end) if task]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def _label(settings: Settings) -> str:
    words = ", then ".join(settings.prompts)
    return f"{words if len(words) < 60 else words[:59] + '…'} · seed {settings.seed}"


def _several(history) -> list[str]:
    """The names that a browser sends, which may be anything."""
    return [name for name in history if isinstance(name, str)] if isinstance(history, list) else []
