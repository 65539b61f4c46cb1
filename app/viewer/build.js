// Bundles src/ into the files that the Python package carries: see html.py there.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const out = '../../motionmamba/assets/viewer';
process.chdir(import.meta.dirname);

// The same sum is taken by the tests of the package, which so know a stale bundle.
const hash = createHash('sha256');
const sources = readdirSync('src').map((name) => `src/${name}`);
for (const name of ['build.js', 'package-lock.json', 'package.json', ...sources].sort())
  hash.update(`${name}\n`).update(readFileSync(name));
const banner = `/* motionmamba viewer, from sources ${hash.digest('hex')} */`;

mkdirSync(out, { recursive: true });
await build({
  entryPoints: { viewer: 'src/main.js', page: 'src/page.css' },
  outdir: out,
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2022',
  legalComments: 'inline',
  banner: { js: banner },
});
copyFileSync('src/page.html', `${out}/page.html`);
writeFileSync(
  `${out}/LICENSE`,
  'viewer.js contains parts of three.js (https://threejs.org), under this licence:\n\n' +
    readFileSync('node_modules/three/LICENSE', 'utf8'),
);
