// A cloud of points, drawn as discs. Bytes: `count` positions (three uint16 each, shares of the box from `low` to `low + size`), then
// `count` colours (three uint8 each, sRGB).

import { BufferAttribute, BufferGeometry, Points, PointsMaterial, Vector3 } from "three";

const SHARE_OF_SPACING = 4;

// What three.js has for points, drawn as discs that grow with their distance from the focus as their spacing does: across the line of
// sight by away / (2 - 1 / away), along it by away * away; a ground seen at a slant shows both, so that discs take the mean of the two.
function discs(spacing, focus, radius) {
  const material = new PointsMaterial({ size: SHARE_OF_SPACING * spacing, vertexColors: true });
  material.onBeforeCompile = (shader) => {
    shader.uniforms.focus = { value: new Vector3().fromArray(focus) };
    shader.uniforms.radius = { value: radius };
    const patch = (part, old, text) => {
      if (!shader[part].includes(old)) throw new Error(`three.js has no "${old}" in its ${part} any more`);
      shader[part] = shader[part].replace(old, text);
    };
    patch("vertexShader", "uniform float size;", "uniform float size; uniform vec3 focus; uniform float radius;");
    patch(
      "vertexShader",
      "gl_PointSize = size;",
      `float away = max(1.0, distance((modelMatrix * vec4(transformed, 1.0)).xyz, focus) / radius);
       gl_PointSize = size * away * sqrt(away / (2.0 - 1.0 / away));`,
    );
    patch(
      "fragmentShader",
      "#include <clipping_planes_fragment>",
      "if (distance(gl_PointCoord, vec2(0.5)) > 0.5) discard;",
    );
  };
  return material;
}

export function readPoints(bytes, { count, low, size, spacing }, focus, radius) {
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Uint16Array(bytes.buffer, 0, 3 * count), 3, true));
  geometry.setAttribute("color", new BufferAttribute(bytes.subarray(6 * count), 3, true));
  const points = new Points(geometry, discs(spacing, focus, radius));
  points.scale.setScalar(size);
  points.position.fromArray(low);
  points.frustumCulled = false;
  return { object: points, arrange: () => {} };
}
