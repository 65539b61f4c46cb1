// An endless checkered floor that fades into the page around a point, and the shadow on it.
import {
  Color,
  Group,
  LinearSRGBColorSpace,
  Mesh,
  PlaneGeometry,
  ShaderMaterial,
  ShadowMaterial,
  Vector2,
} from 'three';

const vertexShader = `
varying vec2 place;
void main() {
  vec4 world = modelMatrix * vec4(position, 1.0);
  place = world.xz;
  gl_Position = projectionMatrix * viewMatrix * world;
}`;

// The checkers are averaged over each pixel, so that they do not flicker far away.
const fragmentShader = `
uniform vec2 centre;
uniform float radius;
uniform vec3 tile;
uniform vec3 nextTile;
varying vec2 place;
void main() {
  vec2 cell = place / 0.5;
  vec2 width = max(fwidth(cell), 1e-4);
  vec2 edge = 2.0 * (abs(fract((cell - 0.5 * width) * 0.5) - 0.5)
    - abs(fract((cell + 0.5 * width) * 0.5) - 0.5)) / width;
  vec3 colour = mix(tile, nextTile, 0.5 - 0.5 * edge.x * edge.y);
  float fade = 1.0 - smoothstep(0.25, 1.0, length(place - centre) / radius);
  gl_FragColor = vec4(colour, fade * fade);
}`;

export class Floor extends Group {
  constructor(height, radius) {
    super();
    this.position.y = height;
    this.uniforms = {
      centre: { value: new Vector2() },
      radius: { value: radius },
      tile: { value: new Color() },
      nextTile: { value: new Color() },
    };
    const plane = new PlaneGeometry(1, 1).rotateX(-Math.PI / 2);
    const checkers = new Mesh(
      plane,
      new ShaderMaterial({
        vertexShader,
        fragmentShader,
        uniforms: this.uniforms,
        transparent: true,
        depthWrite: false,
      }),
    );
    this.shadow = new ShadowMaterial({ opacity: 0.34, depthWrite: false });
    const shadow = new Mesh(plane, this.shadow);
    shadow.receiveShadow = true;
    shadow.position.y = 1e-3;
    shadow.renderOrder = 1;
    checkers.scale.setScalar(2 * radius);
    shadow.scale.setScalar(2 * radius);
    this.add(checkers, shadow);
  }

  // In the colours of page.css.
  paint(style) {
    const { tile, nextTile } = this.uniforms;
    this.shadow.color.set(style.getPropertyValue('--shadow'));
    // The shader puts the tiles' on the screen as they are, so these stay sRGB.
    tile.value.setStyle(style.getPropertyValue('--tile'), LinearSRGBColorSpace);
    nextTile.value.setStyle(style.getPropertyValue('--next-tile'), LinearSRGBColorSpace);
  }

  moveTo({ x, z }) {
    this.position.x = x;
    this.position.z = z;
    this.uniforms.centre.value.set(x, z);
  }
}
