// The page's parts put together, and what scripts may ask of it as `window.viewer`.
import { arrange } from './arrange.js';
import { FollowCamera } from './camera.js';
import { Controls } from './controls.js';
import { Labels } from './labels.js';
import { Player } from './player.js';
import { Stage } from './stage.js';

const LONGEST_FRAME = 0.5; // seconds; a page that was hidden goes on where it was
const PLAIN_PAUSE = 45; // milliseconds from one plain picture to the next, at least

export class Viewer {
  #player;
  #stage;
  #camera;
  #characters;
  #controls;
  #labels;
  #canvas;
  #step;
  #mode = 'mesh';
  #changed = true;
  #last = 0;
  #pause;

  // `plain` pictures are drawn less often, without shadows and with rough edges.
  constructor(canvas, characters, plain = false) {
    arrange(characters);
    this.#canvas = canvas;
    this.#characters = characters;
    this.#player = new Player(Math.max(...characters.map(({ duration }) => duration)));
    this.#step = Math.min(...characters.map(({ step }) => step || Infinity));
    this.#camera = new FollowCamera(canvas, characters);
    const { bottom: floor, spread } = this.#camera;
    this.#stage = new Stage(canvas, { floor, spread, plain });
    this.#pause = plain ? PLAIN_PAUSE : 0;
    this.#stage.add(...characters);
    if (characters.length > 1) this.#labels = new Labels(canvas.parentElement, characters);
    this.#controls = new Controls(document, this);
    new ResizeObserver(() => this.#resize()).observe(canvas);
    const paint = () => this.#paint();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', paint);
    // A page around this one may ask for a theme before there is a viewer to ask.
    new MutationObserver(paint).observe(document.documentElement, {
      attributeFilter: ['data-theme'],
    });
    this.#paint();
    this.#resize();
    this.#camera.reset(0);
    this.#refresh();
    requestAnimationFrame((now) => this.#tick(now));
  }

  get time() {
    return this.#player.time;
  }

  get duration() {
    return this.#player.duration;
  }

  get playing() {
    return this.#player.playing;
  }

  get mode() {
    return this.#mode;
  }

  get speed() {
    return this.#player.speed;
  }

  set speed(speed) {
    this.#player.speed = speed;
    this.#refresh();
  }

  get loop() {
    return this.#player.loop;
  }

  set loop(loop) {
    this.#player.loop = loop;
    this.#refresh();
  }

  get follow() {
    return this.#camera.following;
  }

  set follow(follow) {
    this.#camera.following = follow;
    this.#refresh();
  }

  // 'light', 'dark', or 'auto' for what the reader's system asks.
  get theme() {
    return document.documentElement.dataset.theme ?? 'auto';
  }

  set theme(theme) {
    document.documentElement.dataset.theme = theme;
  }

  play() {
    this.#player.play();
    this.#refresh();
  }

  pause() {
    this.#player.pause();
    this.#refresh();
  }

  toggle() {
    this.#player.toggle();
    this.#refresh();
  }

  seek(time) {
    this.#player.seek(time);
    this.#refresh();
  }

  // Pauses, a number of frames further.
  step(frames) {
    if (!this.duration) return;
    this.#player.pause();
    const frame = Math.round(this.time / this.#step);
    this.seek((frame + frames) * this.#step);
  }

  setMode(mode) {
    this.#mode = mode;
    for (const character of this.#characters) character.setMode(mode);
    this.#refresh();
  }

  resetView() {
    this.#camera.reset(this.time);
    this.#refresh();
  }

  // Turns the view by radians to the right and upwards, and brings it closer by a factor.
  orbit(right, up = 0, closer = 1) {
    const { controls } = this.#camera;
    controls.rotateLeft(right);
    controls.rotateUp(-up);
    controls.dollyIn(closer);
    this.#refresh();
  }

  #refresh() {
    this.#changed = true;
    this.#controls.update();
  }

  #paint() {
    this.#stage.floor.paint(getComputedStyle(this.#canvas));
    this.#changed = true;
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width || !height) return;
    this.#stage.resize(width, height, devicePixelRatio);
    this.#camera.resize(width, height, this.#controls.height);
    this.#draw();
  }

  #tick(now) {
    requestAnimationFrame((next) => this.#tick(next));
    if (now - this.#last < this.#pause) return;
    const seconds = Math.min((now - this.#last) / 1000, LONGEST_FRAME);
    this.#last = now;
    const wasPlaying = this.playing;
    this.#player.advance(seconds);
    if (wasPlaying) this.#controls[this.playing ? 'updateTime' : 'update']();
    const moved = this.#camera.update(this.time, seconds);
    // A still picture is not drawn again.
    if (wasPlaying || moved || this.#changed) this.#draw();
  }

  #draw() {
    this.#changed = false;
    for (const character of this.#characters) character.update(this.time);
    this.#stage.moveTo(this.#camera.anchor);
    this.#stage.render(this.#camera);
    this.#labels?.update(
      this.time,
      this.#camera,
      this.#canvas.clientWidth,
      this.#canvas.clientHeight,
    );
  }
}
