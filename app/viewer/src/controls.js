// The bar at the foot of the page and the keys: everything a person can ask of the page.
import { MODES } from './character.js';

const TURN = Math.PI / 24; // by a press of a key
const CLOSER = 1.1;

export class Controls {
  constructor(document, viewer) {
    this.viewer = viewer;
    this.element = (id) => document.getElementById(id);
    this.scrub = this.element('scrub');
    this.scrub.max = viewer.duration;
    this.scrub.addEventListener('input', () => viewer.seek(this.scrub.valueAsNumber));
    this.element('speed').addEventListener(
      'change',
      ({ target }) => (viewer.speed = Number(target.value)),
    );
    for (const name of ['play', 'loop', 'follow', 'reset', 'full'])
      this.element(name).addEventListener('click', () => this.actions[name]());
    for (const radio of document.querySelectorAll('[name=mode]'))
      radio.addEventListener('change', () => viewer.setMode(radio.value));
    this.element('full').hidden = !document.fullscreenEnabled;
    this.element('play').disabled = this.scrub.disabled = viewer.duration === 0;
    document.addEventListener('keydown', (event) => this.onKey(event));
    // What the mouse pressed must not take the space key from play.
    document.addEventListener('mousedown', (event) => {
      if (event.target.closest('button')) event.preventDefault();
    });
    document.addEventListener('fullscreenchange', () => this.update());
  }

  // Of the page's foot that the bar covers, in pixels.
  get height() {
    return innerHeight - this.element('controls').offsetTop;
  }

  actions = {
    play: () => this.viewer.toggle(),
    loop: () => (this.viewer.loop = !this.viewer.loop),
    follow: () => (this.viewer.follow = !this.viewer.follow),
    reset: () => this.viewer.resetView(),
    full: () =>
      document.fullscreenElement
        ? document.exitFullscreen()
        : document.documentElement.requestFullscreen(),
    mode: () => this.viewer.setMode(MODES[(MODES.indexOf(this.viewer.mode) + 1) % MODES.length]),
    start: () => this.viewer.seek(0),
    end: () => this.viewer.seek(this.viewer.duration),
    back: () => this.viewer.step(-1),
    forward: () => this.viewer.step(1),
    slower: () => this.shiftSpeed(-1),
    faster: () => this.shiftSpeed(1),
    right: () => this.viewer.orbit(TURN),
    left: () => this.viewer.orbit(-TURN),
    up: () => this.viewer.orbit(0, TURN),
    down: () => this.viewer.orbit(0, -TURN),
    closer: () => this.viewer.orbit(0, 0, CLOSER),
    further: () => this.viewer.orbit(0, 0, 1 / CLOSER),
  };

  keys = {
    ' ': 'play',
    k: 'play',
    l: 'loop',
    c: 'follow',
    r: 'reset',
    f: 'full',
    m: 'mode',
    Home: 'start',
    End: 'end',
    ArrowLeft: 'back',
    ArrowRight: 'forward',
    '<': 'slower',
    '>': 'faster',
    a: 'left',
    d: 'right',
    w: 'up',
    s: 'down',
    '+': 'closer',
    '=': 'closer',
    '-': 'further',
  };

  onKey(event) {
    const action = this.keys[event.key.length > 1 ? event.key : event.key.toLowerCase()];
    if (!action || isOwn(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.actions[action]();
  }

  shiftSpeed(by) {
    const { options } = this.element('speed');
    const chosen = [...options].findIndex(({ value }) => Number(value) === this.viewer.speed);
    this.viewer.speed = Number(
      options[Math.min(Math.max(chosen + by, 0), options.length - 1)].value,
    );
  }

  update() {
    const { viewer } = this;
    const play = this.element('play');
    play.dataset.playing = viewer.playing;
    play.ariaLabel = play.title = viewer.playing ? 'Pause (space)' : 'Play (space)';
    this.element('loop').ariaPressed = viewer.loop;
    this.element('follow').ariaPressed = viewer.follow;
    this.element('full').ariaPressed = Boolean(document.fullscreenElement);
    this.element('speed').value = viewer.speed;
    this.element(`mode-${viewer.mode}`).checked = true;
    this.updateTime();
  }

  updateTime() {
    const { time, duration } = this.viewer;
    this.scrub.value = time;
    this.scrub.style.setProperty('--played', duration ? time / duration : 0);
    this.scrub.ariaValueText = `${time.toFixed(2)} of ${duration.toFixed(2)} seconds`;
    this.element('time').textContent = `${clock(time)} / ${clock(duration)}`;
  }
}

// Whether a key means something to the element that has the focus.
function isOwn({ target, key }) {
  return target.closest('button, select') || (target.type === 'radio' && key.startsWith('Arrow'));
}

function clock(time) {
  const minutes = Math.floor(time / 60);
  return `${minutes}:${(time - 60 * minutes).toFixed(2).padStart(5, '0')}`;
}
