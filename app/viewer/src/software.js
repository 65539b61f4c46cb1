// Whether pictures are drawn by the processor, which has other work to do: then they are plainer.
const NAMES = /swiftshader|llvmpipe|softpipe|software|basic render/i;

export function isSoftware(gl) {
  const names = gl.getExtension('WEBGL_debug_renderer_info');
  return NAMES.test(gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
}
