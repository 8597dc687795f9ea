// A look round the scene, before and after the edit, under one camera.
//
// Every <figure class="look"> holds a <canvas>, inputs that choose a cloud by its value, and one
// <script type="application/x-KIND" data-name="VALUE"> per cloud, with its content in base64. Points and splats are read and drawn by
// the files of these names.

import { ColorManagement, LinearSRGBColorSpace, PerspectiveCamera, Quaternion, Scene, Spherical, Vector2, Vector3, WebGLRenderer } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { readPoints } from "./points.js";
import { floatPainter, readSplats } from "./splats.js";

// Colours are shown as they are stored.
ColorManagement.enabled = false;

const READERS = { "application/x-points": readPoints, "application/x-splats": readSplats };

const KEYS = {
  ArrowLeft: [-0.1, 0, 1],
  ArrowRight: [0.1, 0, 1],
  ArrowUp: [0, -0.1, 1],
  ArrowDown: [0, 0.1, 1],
  "+": [0, 0, 0.9],
  "-": [0, 0, 1 / 0.9],
};

function readCloud(script, focus, radius) {
  const bytes = Uint8Array.from(atob(script.textContent.trim()), (letter) => letter.charCodeAt(0));
  return READERS[script.type](bytes, JSON.parse(script.dataset.layout), focus, radius);
}

function start(figure) {
  const canvas = figure.querySelector("canvas");
  const { position, target, focus, radius, up, fov } = JSON.parse(canvas.dataset.camera);
  const scripts = [...figure.querySelectorAll("script[data-name]")];
  const areSplats = scripts[0].type === "application/x-splats"; // which have no edges to be smoothed
  const renderer = new WebGLRenderer({ canvas, antialias: !areSplats, alpha: true });
  renderer.outputColorSpace = LinearSRGBColorSpace;
  renderer.setPixelRatio(Math.min(devicePixelRatio, 2));

  const scene = new Scene();
  const clouds = {};
  for (const script of scripts) {
    clouds[script.dataset.name] = readCloud(script, focus, radius);
    scene.add(clouds[script.dataset.name].object);
  }

  const distance = new Vector3().fromArray(position).distanceTo(new Vector3().fromArray(target));
  const camera = new PerspectiveCamera(fov, 1, 0.02 * distance, 50 * distance);
  camera.up.fromArray(up);
  camera.position.fromArray(position);
  const controls = new OrbitControls(camera, canvas);
  controls.target.fromArray(target);
  controls.minDistance = 0.3 * distance;
  controls.maxDistance = 3 * distance;
  // Whoever scrolls or swipes past wants the page to move, not the scene.
  controls.enableZoom = false;
  canvas.addEventListener("focus", () => (controls.enableZoom = true));
  canvas.addEventListener("blur", () => (controls.enableZoom = false));
  canvas.style.touchAction = "pan-y";
  controls.update();
  controls.saveState();

  const paint = areSplats ? floatPainter(renderer) : () => renderer.render(scene, camera);
  const pixels = new Vector2();
  let asked = false;
  const draw = () => {
    asked = false;
    renderer.getDrawingBufferSize(pixels);
    for (const { object, arrange } of Object.values(clouds)) if (object.visible) arrange(camera, pixels);
    paint(scene, camera, pixels);
  };
  const ask = () => {
    if (!asked) requestAnimationFrame(draw);
    asked = true;
  };
  controls.addEventListener("change", ask);

  const show = () => {
    const chosen = figure.querySelector("input:checked").value;
    for (const [name, { object }] of Object.entries(clouds)) object.visible = name === chosen;
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
