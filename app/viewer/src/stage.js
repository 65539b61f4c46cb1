// The studio: renderer, lights that go where the characters go, and the floor.
import {
  DirectionalLight,
  HemisphereLight,
  NeutralToneMapping,
  PCFShadowMap,
  Scene,
  Vector3,
  WebGLRenderer,
} from 'three';
import { Floor } from './floor.js';

const KEY = new Vector3(1.6, 4.2, 2.4);
const RIM = new Vector3(-3, 3, -3.5);

export class Stage extends Scene {
  constructor(canvas, { floor, spread, plain }) {
    super();
    this.renderer = new WebGLRenderer({ canvas, antialias: !plain, alpha: true });
    this.renderer.toneMapping = NeutralToneMapping;
    this.renderer.shadowMap.enabled = !plain;
    this.renderer.shadowMap.type = PCFShadowMap;
    this.floor = new Floor(floor, 7 + 2 * spread);
    this.key = new DirectionalLight('#fff4e6', 2.6);
    this.rim = new DirectionalLight('#cfe0ff', 1.6);
    castShadow(this.key, spread + 1.6);
    this.add(new HemisphereLight('#ffffff', '#b4bccb', 1.5), this.floor);
    this.add(this.key, this.key.target, this.rim, this.rim.target);
  }

  moveTo(anchor) {
    this.floor.moveTo(anchor);
    for (const [light, offset] of [
      [this.key, KEY],
      [this.rim, RIM],
    ]) {
      light.target.position.copy(anchor);
      light.position.copy(anchor).addScaledVector(offset, 2);
    }
  }

  resize(width, height, pixelRatio) {
    this.renderer.setPixelRatio(Math.min(pixelRatio, 2));
    this.renderer.setSize(width, height, false);
  }

  render(camera) {
    this.renderer.render(this, camera);
  }
}

function castShadow(light, reach) {
  light.castShadow = true;
  light.shadow.mapSize.setScalar(1024);
  light.shadow.radius = 3;
  light.shadow.bias = -5e-4;
  light.shadow.normalBias = 0.02;
  const { camera } = light.shadow;
  camera.left = camera.bottom = -reach;
  camera.right = camera.top = reach;
  camera.near = 0.5;
  camera.far = 30 + reach;
}
