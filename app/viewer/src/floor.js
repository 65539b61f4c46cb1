// An endless checkered floor that fades into the page around a point, and the shadow on it.
import { Group, Mesh, PlaneGeometry, ShaderMaterial, ShadowMaterial, Vector2 } from 'three';

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
varying vec2 place;
void main() {
  vec2 cell = place / 0.5;
  vec2 width = max(fwidth(cell), 1e-4);
  vec2 edge = 2.0 * (abs(fract((cell - 0.5 * width) * 0.5) - 0.5)
    - abs(fract((cell + 0.5 * width) * 0.5) - 0.5)) / width;
  vec3 colour = mix(vec3(0.80, 0.83, 0.87), vec3(0.90, 0.92, 0.945), 0.5 - 0.5 * edge.x * edge.y);
  float fade = 1.0 - smoothstep(0.25, 1.0, length(place - centre) / radius);
  gl_FragColor = vec4(colour, fade * fade);
}`;

export class Floor extends Group {
  constructor(height, radius) {
    super();
    this.position.y = height;
    this.uniforms = { centre: { value: new Vector2() }, radius: { value: radius } };
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
    const shadow = new Mesh(
      plane,
      new ShadowMaterial({ color: '#1b2a41', opacity: 0.34, depthWrite: false }),
    );
    shadow.receiveShadow = true;
    shadow.position.y = 1e-3;
    shadow.renderOrder = 1;
    checkers.scale.setScalar(2 * radius);
    shadow.scale.setScalar(2 * radius);
    this.add(checkers, shadow);
  }

  moveTo({ x, z }) {
    this.position.x = x;
    this.position.z = z;
    this.uniforms.centre.value.set(x, z);
  }
}
