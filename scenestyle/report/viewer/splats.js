// Gaussians, drawn as the project's rasterizer draws them (scenestyle/nerfstudio_plugin/splat_kernels.py): projected by EWA splatting,
// widened to a pixel's size and made fainter by as much, blended back to front.
//
// Bytes, for `count` Gaussians: centres in contracted space (three uint16 each, shares of the box from `low` to `low + size`); then, in
// uint8 each: opacity; three log scales; a quaternion (w, x, y, z; int8); a colour, and with `bases` 4 what the view's direction adds to
// it by -y, z, -x. `scales`, `colours` and `harmonics` are the lowest value and the step of the rounded numbers.
//
// Sources: Kerbl et al. 2023, "3D Gaussian Splatting", arXiv:2308.04079; Yu et al. 2023, "Mip-Splatting", arXiv:2311.16493.

import {
  DataTexture,
  FloatType,
  GLSL3,
  HalfFloatType,
  InstancedBufferAttribute,
  InstancedBufferGeometry,
  BufferAttribute,
  Matrix4,
  Mesh,
  Quaternion,
  RawShaderMaterial,
  Vector2,
  Vector3,
  WebGLRenderTarget,
} from "three";
import { FullScreenQuad } from "three/addons/postprocessing/Pass.js";

const TABLE_WIDTH = 1024;

// The table holds, texel by texel: centre and opacity; three axes of the ellipsoid, each as long as its standard deviation and with
// red, green or blue beside it; and what the direction adds to the colour, by -y, z and -x.
const VERTEX_SHADER = `
precision highp float;
precision highp int;
uniform highp sampler2D table;
uniform mat4 viewMatrix, projectionMatrix;
uniform vec3 cameraPosition;
uniform vec2 pixels;
uniform float near;
in vec3 position;
in uint member;
out vec2 place;
out vec4 tint;

vec4 texel(int part) {
  int at = int(member) * TEXELS + part;
  return texelFetch(table, ivec2(at % ${TABLE_WIDTH}, at / ${TABLE_WIDTH}), 0);
}

void main() {
  gl_Position = vec4(0, 0, 2, 1);  // nowhere, unless it turns out to be seen
  vec4 middle = texel(0), x = texel(1), y = texel(2), z = texel(3);
  vec3 centre = (viewMatrix * vec4(middle.xyz, 1)).xyz;
  float depth = -centre.z;
  if (depth < near) return;

  // The projection is linearised at the centre, or near the edge of the image for what lies farther outside.
  vec2 scale = vec2(projectionMatrix[0][0], projectionMatrix[1][1]);
  vec2 slope = clamp(centre.xy / depth, -1.3 / scale, 1.3 / scale);
  mat3 axes = transpose(mat3(viewMatrix) * mat3(x.xyz, y.xyz, z.xyz));
  vec2 focal = 0.5 * pixels * scale / depth;
  vec3 across = focal.x * (axes[0] + slope.x * axes[2]), upward = focal.y * (axes[1] + slope.y * axes[2]);

  float xx = dot(across, across) + 0.3, xy = dot(across, upward), yy = dot(upward, upward) + 0.3;
  vec3 area = cross(across, upward);
  float determinant = dot(area, area) + 0.3 * (xx + yy - 0.3);
  float opacity = middle.w * sqrt(max(1e-8, dot(area, area) / determinant));
  if (opacity < 1.0 / 255.0) return;

  // A square about the unit circle becomes, by a square root of the covariance, a frame about the ellipse.
  place = position.xy * sqrt(2.0 * log(255.0 * opacity));
  vec2 offset = vec2(sqrt(xx) * place.x, (xy * place.x + sqrt(determinant) * place.y) / sqrt(xx));
  vec4 clip = projectionMatrix * vec4(centre, 1);
  gl_Position = vec4(clip.xy / clip.w + 2.0 * offset / pixels, 0, 1);

  tint = vec4(x.w, y.w, z.w, opacity);
#if TEXELS > 4
  vec3 direction = normalize(middle.xyz - cameraPosition);
  tint.rgb += -direction.y * texel(4).rgb + direction.z * texel(5).rgb - direction.x * texel(6).rgb;
#endif
  tint.rgb = max(tint.rgb, 0.0);
}`;

const FRAGMENT_SHADER = `
precision highp float;
in vec2 place;
in vec4 tint;
out vec4 colour;

void main() {
  float alpha = min(0.999, tint.a * exp(-0.5 * dot(place, place)));
  if (alpha < 1.0 / 255.0) discard;
  colour = vec4(tint.rgb * alpha, alpha);
}`;

const COPY = {
  vertexShader: "in vec3 position; void main() { gl_Position = vec4(position.xy, 0, 1); }",
  fragmentShader: `
precision highp float;
uniform sampler2D image;
out vec4 colour;
void main() { colour = clamp(texelFetch(image, ivec2(gl_FragCoord.xy), 0), 0.0, 1.0); }`,
};

// Undoes the contraction of all space beyond `radius` about the focus into a ball of twice that radius (Barron et al. 2022, "Mip-NeRF
// 360", arXiv:2111.12077, eq. 10).
function expand(place, focus, radius) {
  const away = place.length();
  if (away > 1) place.divideScalar(away * Math.max(2 - away, 1e-5));
  return place.multiplyScalar(radius).add(focus);
}

function readTable(bytes, { count, low, size, scales, colours, harmonics, bases }, focus, radius) {
  const places = new Uint16Array(bytes.buffer, 0, 3 * count);
  let begin = 6 * count;
  const next = (width) => bytes.subarray(begin, (begin += width * count));
  const [opacities, logScales, quats, tints, rest] = [1, 3, 4, 3, 3 * (bases - 1)].map(next);
  const texels = 3 + bases;
  const table = new Float32Array(4 * TABLE_WIDTH * Math.ceil((count * texels) / TABLE_WIDTH));
  const centres = new Float32Array(3 * count);
  const [middle, turn, rotation] = [new Vector3(), new Quaternion(), new Matrix4()];
  const corner = new Vector3().fromArray(low);
  const signed = (byte) => (byte << 24) >> 24;
  for (let i = 0; i < count; i++) {
    const at = 4 * texels * i;
    expand(middle.fromArray(places, 3 * i).multiplyScalar(size / 65535).add(corner), focus, radius);
    middle.toArray(table, at);
    middle.toArray(centres, 3 * i);
    table[at + 3] = opacities[i] / 255;
    turn.set(...[1, 2, 3, 0].map((part) => signed(quats[4 * i + part]))).normalize();
    rotation.makeRotationFromQuaternion(turn);
    for (let axis = 0; axis < 3; axis++) {
      const std = Math.exp(scales[0] + scales[1] * logScales[3 * i + axis]);
      for (let row = 0; row < 3; row++) table[at + 4 * axis + 4 + row] = std * rotation.elements[4 * axis + row];
      table[at + 4 * axis + 7] = colours[0] + colours[1] * tints[3 * i + axis];
    }
    for (let k = 0; k < 3 * (bases - 1); k++) {
      table[at + 16 + 4 * Math.floor(k / 3) + (k % 3)] = harmonics[0] + harmonics[1] * rest[3 * (bases - 1) * i + k];
    }
  }
  return { table, centres, texels };
}

// Orders centres back to front along a direction: by the bits of their depths, which order as the numbers do where these are positive,
// 16 at a time. A few milliseconds for a hundred thousand.
function backToFront(centres) {
  const count = centres.length / 3;
  const depths = new Float32Array(count);
  const bits = new Uint32Array(depths.buffer);
  const halfway = new Uint32Array(count);
  const places = new Uint32Array(65536);

  function pass(from, to, shift) {
    places.fill(0);
    for (let i = 0; i < count; i++) places[(bits[from[i]] >>> shift) & 65535]++;
    let sum = 0;
    for (let digit = 65535; digit >= 0; digit--) [places[digit], sum] = [sum, sum + places[digit]];
    for (let i = 0; i < count; i++) to[places[(bits[from[i]] >>> shift) & 65535]++] = from[i];
  }

  return (members, { x, y, z }) => {
    let least = Infinity;
    for (let i = 0; i < count; i++) {
      depths[i] = x * centres[3 * i] + y * centres[3 * i + 1] + z * centres[3 * i + 2];
      least = Math.min(least, depths[i]);
    }
    for (let i = 0; i < count; i++) depths[i] -= least;
    pass(members, halfway, 0);
    pass(halfway, members, 16);
  };
}

export function readSplats(bytes, layout, focus, radius) {
  const { table, centres, texels } = readTable(bytes, layout, new Vector3().fromArray(focus), radius);
  const texture = new DataTexture(table, TABLE_WIDTH, table.length / 4 / TABLE_WIDTH, undefined, FloatType);
  texture.needsUpdate = true;

  const geometry = new InstancedBufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array([-1, -1, 0, 1, -1, 0, -1, 1, 0, 1, 1, 0]), 3));
  geometry.setIndex([0, 1, 2, 2, 1, 3]);
  const members = new InstancedBufferAttribute(Uint32Array.from({ length: layout.count }, (_, i) => i), 1);
  geometry.setAttribute("member", members);
  geometry.instanceCount = layout.count;

  const material = new RawShaderMaterial({
    glslVersion: GLSL3,
    vertexShader: VERTEX_SHADER,
    fragmentShader: FRAGMENT_SHADER,
    defines: { TEXELS: texels },
    uniforms: { table: { value: texture }, pixels: { value: new Vector2() }, near: { value: 0 } },
    transparent: true,
    premultipliedAlpha: true,
    depthTest: false,
    depthWrite: false,
  });
  const mesh = new Mesh(geometry, material);
  mesh.frustumCulled = false;

  const sort = backToFront(centres);
  const [direction, last] = [new Vector3(), new Vector3()];
  // The order depends on where the camera looks, not on where it stands.
  const arrange = (camera, pixels) => {
    material.uniforms.pixels.value.copy(pixels);
    material.uniforms.near.value = camera.near;
    if (camera.getWorldDirection(direction).equals(last)) return;
    sort(members.array, last.copy(direction));
    members.needsUpdate = true;
  };
  return { object: mesh, arrange };
}

// Blends in floats: many faint layers would add up eight bits' rounding errors, and a colour brighter than white shines through what
// lies before it.
export function floatPainter(renderer) {
  const target = new WebGLRenderTarget(1, 1, { type: HalfFloatType, depthBuffer: false });
  const copy = new RawShaderMaterial({ glslVersion: GLSL3, uniforms: { image: { value: target.texture } }, ...COPY });
  const quad = new FullScreenQuad(copy);
  return (scene, camera, pixels) => {
    target.setSize(pixels.x, pixels.y);
    renderer.setRenderTarget(target);
    renderer.render(scene, camera);
    renderer.setRenderTarget(null);
    quad.render(renderer);
  };
}
