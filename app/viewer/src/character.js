// One body of a .glb file: its mesh, its bones as sticks, and its motion.
import { AnimationMixer, Box3, Group, Vector3 } from 'three';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
import { Path } from './path.js';
import { Sticks } from './sticks.js';

export const MODES = ['mesh', 'skeleton', 'both'];

const SAMPLES_PER_SECOND = 30;
const MOST_SAMPLES = 2000;
const MESH_SAMPLES = 8;
const MOST_METAL = 0.3; // there is nothing here that metal could reflect
// Metres from floor to head; a file in other units than glTF's is brought to a person's size.
const HEIGHTS = [0.1, 20];
const PERSON = 1.7;
// A floor this near to zero, in metres, is at zero, and a foot that sinks into it is seen to.
const FLOOR_SLACK = 0.15;

export class Character extends Group {
  static async load(buffer, title) {
    return new Character(await new GLTFLoader().parseAsync(buffer, ''), title);
  }

  constructor({ scene, animations }, title) {
    super();
    this.title = title;
    this.model = scene;
    this.add(scene);
    this.mixer = new AnimationMixer(scene);
    this.clip = animations[0];
    this.action = this.clip && this.mixer.clipAction(this.clip).play();
    this.duration = this.clip?.duration ?? 0;
    this.bones = [];
    this.meshes = [];
    scene.traverse((part) => {
      if (part.isBone) this.bones.push(part);
      if (part.isMesh) this.meshes.push(part);
    });
    if (!this.meshes.length && !this.bones.length) throw new Error('it holds no mesh');
    for (const mesh of this.meshes) {
      mesh.castShadow = mesh.receiveShadow = true;
      for (const material of [mesh.material].flat())
        material.metalness = Math.min(material.metalness ?? 0, MOST_METAL);
      // A skinned mesh is culled by where it rests, not by where it is.
      mesh.frustumCulled = false;
    }
    this.measure();
    this.sticks = new Sticks(this.bones, this.height);
    this.add(this.sticks);
    this.setMode('mesh');
  }

  // Seconds from one key of the motion to the next.
  get step() {
    const times = this.clip?.tracks[0]?.times;
    return times?.length > 1 ? (times.at(-1) - times[0]) / (times.length - 1) : 0;
  }

  measure() {
    this.height = this.heightAtRest();
    if (this.height < HEIGHTS[0] || this.height > HEIGHTS[1]) {
      this.model.scale.multiplyScalar(PERSON / this.height);
      this.height = PERSON;
    }
    this.box = new Box3();
    const count = Math.min(Math.ceil(this.duration * SAMPLES_PER_SECOND), MOST_SAMPLES);
    const root = this.bones.find((bone) => !bone.parent.isBone);
    const points = [];
    const place = new Vector3();
    for (let sample = 0; sample <= count; sample++) {
      this.pose(count ? (sample / count) * this.duration : 0);
      this.model.updateMatrixWorld(true);
      if (sample % Math.ceil((count + 1) / MESH_SAMPLES) === 0) this.box.union(this.boxNow());
      for (const bone of this.bones)
        this.box.expandByPoint(place.setFromMatrixPosition(bone.matrixWorld));
      if (root) points.push(new Vector3().setFromMatrixPosition(root.matrixWorld).setY(0));
      else points.push(this.box.getCenter(new Vector3()).setY(0));
    }
    this.floor = Math.abs(this.box.min.y) < FLOOR_SLACK ? 0 : this.box.min.y;
    this.path = new Path(points, this.duration);
  }

  heightAtRest() {
    const { min, max } = this.boxNow();
    return Math.max(max.y - min.y, max.x - min.x, max.z - min.z);
  }

  // The box of the mesh as it is posed, for which every vertex is skinned.
  boxNow() {
    for (const mesh of this.meshes) if (mesh.isSkinnedMesh) mesh.computeBoundingBox();
    return new Box3().setFromObject(this.model);
  }

  pose(time) {
    if (!this.action) return;
    this.action.time = Math.min(time, this.duration);
    this.mixer.update(0);
  }

  update(time) {
    this.pose(time);
    this.updateMatrixWorld(true);
    if (this.sticks.visible) this.sticks.update();
  }

  setMode(mode) {
    this.sticks.visible = mode !== 'mesh';
    this.sticks.alone = mode === 'skeleton';
    for (const mesh of this.meshes) {
      mesh.visible = mode !== 'skeleton' || !this.bones.length;
      for (const material of [mesh.material].flat()) seeThrough(material, mode === 'both');
    }
  }
}

function seeThrough(material, on) {
  material.userData.opaque ??= { transparent: material.transparent, opacity: material.opacity };
  const { transparent, opacity } = material.userData.opaque;
  material.transparent = on || transparent;
  material.opacity = on ? opacity * 0.45 : opacity;
  material.needsUpdate = true;
}
