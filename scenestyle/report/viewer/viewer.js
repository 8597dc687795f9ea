// A look round the scene: two clouds of points, before and after the edit, under one camera.
//
// Every <figure class="look"> holds a <canvas>, inputs that choose a cloud by its value, and one
// <script type="application/x-points" data-name="VALUE"> per cloud. Its text is base64 of `count` positions (three uint16 each,
// shares of the box from `low` to `low + size`) and then `count` colours (three uint8 each, sRGB).

import {
  BufferAttribute,
  BufferGeometry,
  ColorManagement,
  LinearSRGBColorSpace,
  PerspectiveCamera,
  Points,
  PointsMaterial,
  Quaternion,
  Scene,
  Spherical,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

// Colours are shown as they are stored.
ColorManagement.enabled = false;

const SHARE_OF_SPACING = 4;

const KEYS = {
  ArrowLeft: [-0.1, 0, 1],
  ArrowRight: [0.1, 0, 1],
  ArrowUp: [0, -0.1, 1],
  ArrowDown: [0, 0.1, 1],
  "+": [0, 0, 0.9],
  "-": [0, 0, 1 / 0.9],
};

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

function readPoints(script, focus, radius) {
  const { count, low, size, spacing } = JSON.parse(script.dataset.layout);
  const bytes = Uint8Array.from(atob(script.textContent.trim()), (letter) => letter.charCodeAt(0));
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Uint16Array(bytes.buffer, 0, 3 * count), 3, true));
  geometry.setAttribute("color", new BufferAttribute(bytes.subarray(6 * count), 3, true));
  const points = new Points(geometry, discs(spacing, focus, radius));
  points.scale.setScalar(size);
  points.position.fromArray(low);
  points.frustumCulled = false;
  return points;
}

function start(figure) {
  const canvas = figure.querySelector("canvas");
  const { position, focus, radius, up, fov } = JSON.parse(canvas.dataset.camera);
  const renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
  renderer.outputColorSpace = LinearSRGBColorSpace;
  renderer.setPixelRatio(Math.min(devicePixelRatio, 2));

  const scene = new Scene();
  const clouds = {};
  for (const script of figure.querySelectorAll("script[data-name]")) {
    clouds[script.dataset.name] = readPoints(script, focus, radius);
    scene.add(clouds[script.dataset.name]);
  }

  const distance = new Vector3().fromArray(position).distanceTo(new Vector3().fromArray(focus));
  const camera = new PerspectiveCamera(fov, 1, 0.02 * distance, 50 * distance);
  camera.up.fromArray(up);
  camera.position.fromArray(position);
  const controls = new OrbitControls(camera, canvas);
  controls.target.fromArray(focus);
  controls.minDistance = 0.3 * distance;
  controls.maxDistance = 3 * distance;
  // Whoever scrolls or swipes past wants the page to move, not the scene.
  controls.enableZoom = false;
  canvas.addEventListener("focus", () => (controls.enableZoom = true));
  canvas.addEventListener("blur", () => (controls.enableZoom = false));
  canvas.style.touchAction = "pan-y";
  controls.saveState();

  let asked = false;
  const draw = () => {
    asked = false;
    renderer.render(scene, camera);
  };
  const ask = () => {
    if (!asked) requestAnimationFrame(draw);
    asked = true;
  };
  controls.addEventListener("change", ask);

  const show = () => {
    const chosen = figure.querySelector("input:checked").value;
    for (const [name, points] of Object.entries(clouds)) points.visible = name === chosen;
    ask();
  };
  for (const input of figure.querySelectorAll("input")) input.addEventListener("change", show);
  figure.querySelector("button").addEventListener("click", () => controls.reset());

  const toPole = new Quaternion().setFromUnitVectors(camera.up, new Vector3(0, 1, 0));
  canvas.addEventListener("keydown", (event) => {
    const step = KEYS[event.key];
    if (!step) return;
    event.preventDefault();
    const offset = camera.position.clone().sub(controls.target).applyQuaternion(toPole);
    const place = new Spherical().setFromVector3(offset);
    place.theta += step[0];
    place.phi += step[1];
    place.radius *= step[2];
    offset.setFromSpherical(place.makeSafe()).applyQuaternion(toPole.clone().invert());
    camera.position.copy(controls.target).add(offset);
    controls.update();
  });

  new ResizeObserver(() => {
    const { clientWidth, clientHeight } = canvas;
    renderer.setSize(clientWidth, clientHeight, false);
    camera.aspect = clientWidth / clientHeight;
    camera.updateProjectionMatrix();
    draw();
  }).observe(canvas);
  show();
}

const hasWebGL = () => Boolean(document.createElement("canvas").getContext("webgl2"));

for (const figure of document.querySelectorAll(".look")) {
  if (!hasWebGL()) {
    figure.classList.add("unavailable");
    continue;
  }
  // A page of large pictures should not wait for a look that may never be taken.
  new IntersectionObserver((entries, observer) => {
    if (entries.some((entry) => entry.isIntersecting)) {
      observer.disconnect();
      start(figure);
    }
  }).observe(figure);
}
