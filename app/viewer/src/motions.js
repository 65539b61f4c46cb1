// The motions that the page carries: JSON of [{title, glb}], glb being a gzipped file in base64.
export function embeddedMotions(document) {
  return JSON.parse(document.getElementById('motions').textContent);
}

export async function unpack(base64) {
  const packed = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}
