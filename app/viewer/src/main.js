import { Character } from './character.js';
import { embeddedMotions, unpack } from './motions.js';
import { isSoftware } from './software.js';
import { Viewer } from './viewer.js';

async function main() {
  const canvas = document.getElementById('view');
  const gl = document.createElement('canvas').getContext('webgl2');
  if (!gl)
    throw new Error(
      'This page shows a motion in 3-D, which needs WebGL 2: this browser has it switched off.',
    );
  const characters = await Promise.all(
    embeddedMotions(document).map(async ({ title, glb }) =>
      Character.load(await unpack(glb), title),
    ),
  ).catch((error) => {
    throw new Error(`This motion cannot be shown: ${error.message}.`);
  });
  const viewer = new Viewer(canvas, characters, isSoftware(gl));
  if (!matchMedia('(prefers-reduced-motion: reduce)').matches) viewer.play();
  document.body.dataset.state = 'ready';
  return viewer;
}

main().then(
  (viewer) => (window.viewer = viewer),
  (error) => {
    document.body.dataset.state = 'failed';
    document.getElementById('message').textContent = error.message;
  },
);
