// A character's bones drawn as sticks and balls, in one colour for each side of the body.
import {
  Color,
  CylinderGeometry,
  Group,
  InstancedMesh,
  Matrix4,
  MeshStandardMaterial,
  Quaternion,
  SphereGeometry,
  Vector3,
} from 'three';

const LEFT = new Color('#2b78d0');
const RIGHT = new Color('#e2622b');
const MIDDLE = new Color('#66748a');
const HEAD = 0.05; // of the height
const UP = new Vector3(0, 1, 0);

export class Sticks extends Group {
  alone = true; // without the mesh, sticks have a head

  constructor(bones, height) {
    super();
    this.joints = bones;
    this.bones = bones.filter((bone) => bone.parent.isBone);
    this.height = height;
    this.radius = height * 0.011;
    const material = new MeshStandardMaterial({ roughness: 0.45 });
    // The bodies of SMPL call a joint by its lower bone, and so does this: a bone takes the side
    // of its far end.
    this.balls = instances(new SphereGeometry(1, 20, 14), material, this.joints);
    this.rods = instances(
      new CylinderGeometry(0.7, 1, 1, 16).translate(0, 0.5, 0),
      material,
      this.bones,
    );
    this.add(this.balls, this.rods);
  }

  update() {
    const matrix = new Matrix4();
    const [start, end, scale] = [new Vector3(), new Vector3(), new Vector3()];
    const turn = new Quaternion();
    const inverse = this.matrixWorld.clone().invert();
    const place = (bone, target) =>
      target.setFromMatrixPosition(bone.matrixWorld).applyMatrix4(inverse);
    this.joints.forEach((joint, index) => {
      place(joint, end);
      let size = this.radius * (isEnd(joint) ? 1 : 1.5);
      if (this.alone && isHead(joint)) {
        size = this.height * HEAD;
        end.addScaledVector(place(joint.parent, start).sub(end).normalize(), -size);
      }
      matrix.compose(end, turn.identity(), scale.setScalar(size));
      this.balls.setMatrixAt(index, matrix);
    });
    this.bones.forEach((bone, index) => {
      place(bone.parent, start);
      const along = place(bone, end).sub(start);
      const length = along.length();
      const thick = Math.min(this.radius, length * 0.2);
      turn.setFromUnitVectors(UP, length > 1e-6 ? along.divideScalar(length) : UP);
      this.rods.setMatrixAt(index, matrix.compose(start, turn, scale.set(thick, length, thick)));
    });
    this.balls.instanceMatrix.needsUpdate = true;
    this.rods.instanceMatrix.needsUpdate = true;
  }
}

function instances(geometry, material, bones) {
  const mesh = new InstancedMesh(geometry, material, bones.length);
  mesh.frustumCulled = false;
  mesh.castShadow = true;
  bones.forEach((bone, index) => mesh.setColorAt(index, side(bone.name)));
  return mesh;
}

function side(name) {
  if (/left|(^|[_.:])l([_.]|$)/i.test(name)) return LEFT;
  if (/right|(^|[_.:])r([_.]|$)/i.test(name)) return RIGHT;
  return MIDDLE;
}

function isEnd(joint) {
  return !joint.children.some((child) => child.isBone);
}

// SMPL's last joint is at the base of the skull.
function isHead(joint) {
  return isEnd(joint) && /head$/i.test(joint.name) && joint.parent.isBone;
}
