// The clock of the page: where in the motion we are, in seconds, and how fast it passes.
export class Player {
  time = 0;
  speed = 1;
  loop = true;
  playing = false;

  constructor(duration) {
    this.duration = duration;
  }

  play() {
    if (this.time >= this.duration) this.time = 0;
    this.playing = this.duration > 0;
  }

  pause() {
    this.playing = false;
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  seek(time) {
    this.time = Math.min(Math.max(time, 0), this.duration);
  }

  advance(seconds) {
    if (!this.playing) return;
    const time = this.time + seconds * this.speed;
    if (time < this.duration) this.time = time;
    else if (this.loop) this.time = time % this.duration;
    else {
      this.time = this.duration;
      this.pause();
    }
  }
}
