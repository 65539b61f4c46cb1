// A camera that orbits the characters and, when asked to, goes along with them.
import { PerspectiveCamera, Spherical, Vector3 } from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';

const VIEW = new Spherical(1, 1.36, 0.5); // a little from above, three quarters from the front
const SEVERAL = { theta: 0.22, phi: 1.3 }; // who stand in a row hide each other from the side
const MARGIN = 0.66; // of their height, to either side of their middle
const CATCH_UP = 6; // per second

export class FollowCamera extends PerspectiveCamera {
  following = true;
  free = 1; // of the picture's height, over the bar that covers its foot

  constructor(canvas, characters) {
    super(30, 1, 0.05, 300);
    this.characters = characters;
    this.top = Math.max(...characters.map(({ box }) => box.max.y));
    this.bottom = Math.min(...characters.map(({ floor }) => floor));
    this.spread = this.measureSpread();
    this.anchor = this.centre(0);
    this.controls = new OrbitControls(this, canvas);
    this.controls.enableDamping = true;
    this.controls.maxPolarAngle = Math.PI / 2 - 0.01;
    this.controls.minDistance = 0.5;
    this.controls.maxDistance = 60;
  }

  // The middle of all characters at a time, on the floor.
  centre(time) {
    const sum = new Vector3();
    const place = new Vector3();
    for (const { path, position } of this.characters) sum.add(path.at(time, place)).add(position);
    return sum.divideScalar(this.characters.length);
  }

  // How far from their middle a character gets, in metres.
  measureSpread() {
    const duration = Math.max(...this.characters.map((character) => character.duration));
    const place = new Vector3();
    let furthest = 0;
    for (let time = 0; time <= duration; time += 0.25) {
      const centre = this.centre(time);
      for (const { path, position } of this.characters)
        furthest = Math.max(furthest, path.at(time, place).add(position).distanceTo(centre));
    }
    return furthest;
  }

  // The distance from which all characters are seen.
  get distance() {
    const slope = Math.tan((this.fov * Math.PI) / 360);
    const tall = (this.top - this.bottom) * MARGIN;
    return Math.max(
      tall / (slope * this.free),
      (this.spread * 1.12 + tall * 0.6) / (slope * this.aspect),
    );
  }

  reset(time) {
    this.anchor = this.centre(time);
    this.controls.target.copy(this.anchor).setY(this.bottom + (this.top - this.bottom) / 2);
    const view = VIEW.clone();
    view.radius = this.distance;
    if (this.characters.length > 1) Object.assign(view, SEVERAL);
    this.position.setFromSpherical(view).add(this.controls.target);
    this.controls.update();
  }

  resize(width, height, covered) {
    const before = this.distance;
    this.aspect = width / height;
    this.free = Math.max(1 - covered / height, 0.3);
    this.setViewOffset(width, height, 0, ((1 - this.free) * height) / 2, width, height);
    const offset = this.position.clone().sub(this.controls.target);
    this.position.copy(this.controls.target).addScaledVector(offset, this.distance / before);
  }

  // Returns whether the picture changes.
  update(time, seconds) {
    const step = this.centre(time).sub(this.anchor);
    if (this.following) {
      step.multiplyScalar(1 - Math.exp(-CATCH_UP * seconds));
      this.anchor.add(step);
      this.controls.target.add(step);
      this.position.add(step);
    }
    const turned = this.controls.update();
    return turned || (this.following && step.length() > 1e-4);
  }
}
