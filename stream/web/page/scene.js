"use strict";
// The scene in 3D. Lengths come in millimetres and are drawn in metres; x right, y forward, z up.
const scene = (() => {
  const BONE = 0.02, GHOST = 0.009, JOINT = 0.024, HEAD = 10;
  const canvas = document.getElementById("canvas");
  const labels = document.getElementById("labels");
  const options = { ghosts: true, sigma: true, cameras: true, follow: false };
  const world = new THREE.Scene();
  const eye = new THREE.PerspectiveCamera(40, 1, 0.05, 300);
  eye.up.set(0, 0, 1);
  let renderer = null;
  try {
    renderer = new THREE.WebGLRenderer({ canvas, antialias: true });
    renderer.setPixelRatio(Math.min(devicePixelRatio || 1, 2));
  } catch { /* main.js says so */ }
  const controls = new THREE.OrbitControls(eye, canvas);
  controls.enableDamping = false;
  controls.maxPolarAngle = Math.PI * 0.95;
  controls.addEventListener("change", () => { dirty = true; });
  controls.addEventListener("start", () => { touched = true; });
  world.add(new THREE.HemisphereLight(0xffffff, 0x667788, 2.2));
  const sun = new THREE.DirectionalLight(0xffffff, 1.6);
  sun.position.set(-2, -3, 5);
  world.add(sun);

  let dirty = true, touched = false, aimed = 0;
  let run = null, now = null, chosen = null, onPick = () => {};
  let frusta = [], floor = null, reach = 0;

  // Very many of one shape in one draw call, each with its own place, colour and opacity.
  class Many {
    constructor(geometry, seeThrough) {
      this.geometry = geometry;
      this.material = seeThrough
        ? new THREE.MeshBasicMaterial({ transparent: true, depthWrite: false })
        : new THREE.MeshLambertMaterial();
      if (seeThrough) this.material.onBeforeCompile = (shader) => {
        shader.vertexShader = "attribute float alpha; varying float vAlpha;\n" +
          shader.vertexShader.replace("#include <begin_vertex>", "#include <begin_vertex>\nvAlpha = alpha;");
        shader.fragmentShader = "varying float vAlpha;\n" +
          shader.fragmentShader.replace("#include <color_fragment>", "#include <color_fragment>\ndiffuseColor.a *= vAlpha;");
      };
      this.room = 0; this.count = 0; this.mesh = null; this.items = [];
    }
    begin() { this.items.length = 0; }
    add(matrix, colour, alpha = 1) { this.items.push([matrix.clone(), colour, alpha]); }
    end() {
      if (this.items.length > this.room) {
        if (this.mesh) { world.remove(this.mesh); this.mesh.dispose(); }
        this.room = Math.max(64, 2 * this.items.length);
        const geometry = this.geometry.clone();
        geometry.setAttribute("alpha", new THREE.InstancedBufferAttribute(new Float32Array(this.room), 1));
        this.mesh = new THREE.InstancedMesh(geometry, this.material, this.room);
        this.mesh.frustumCulled = false;
        world.add(this.mesh);
      }
      if (!this.mesh) return;
      this.items.forEach(([matrix, colour, alpha], k) => {
        this.mesh.setMatrixAt(k, matrix);
        this.mesh.setColorAt(k, colour);
        this.mesh.geometry.attributes.alpha.array[k] = alpha;
      });
      this.mesh.count = this.items.length;
      this.mesh.instanceMatrix.needsUpdate = true;
      this.mesh.geometry.attributes.alpha.needsUpdate = true;
      if (this.mesh.instanceColor) this.mesh.instanceColor.needsUpdate = true;
    }
  }
  const tube = new THREE.CylinderGeometry(1, 1, 1, 12);
  const ball = new THREE.SphereGeometry(1, 20, 14);
  const bones = new Many(tube), joints = new Many(ball), ghosts = new Many(tube, true), clouds = new Many(ball, true);
  const blobs = new Many(new THREE.CircleGeometry(1, 32), true);
  const UP = new THREE.Vector3(0, 1, 0), matrix = new THREE.Matrix4(), turn = new THREE.Quaternion();
  const colours = new Map();
  const colour = (text) => colours.get(text) || colours.set(text, new THREE.Color(text)).get(text);

  const at = (flat, k) => flat[3 * k] === null ? null
    : new THREE.Vector3(flat[3 * k] / 1000, flat[3 * k + 1] / 1000, flat[3 * k + 2] / 1000);

  function bone(many, a, b, radius, paint, alpha) {
    if (!a || !b) return;
    const along = b.clone().sub(a), length = along.length();
    if (length < 1e-4) return;
    turn.setFromUnitVectors(UP, along.divideScalar(length));
    many.add(matrix.compose(a.clone().add(b).multiplyScalar(0.5), turn, new THREE.Vector3(radius, length, radius)), paint, alpha);
  }

  const paintOf = (person, joint) => colour(person.colour ||
    [run.colours.middle, run.colours.left, run.colours.right][run.sides[joint]]);

  function body(person) {
    const places = run.joints.map((_, k) => at(person.joints, k));
    for (const [a, b] of run.edges) bone(bones, places[a], places[b], BONE, paintOf(person, b), 1);
    places.forEach((place, k) => {
      if (!place) return;
      const size = k === HEAD ? 0.075 : JOINT;
      joints.add(matrix.compose(place, turn.identity(), new THREE.Vector3(size, size, size)), paintOf(person, k));
    });
    if (options.ghosts) for (const [p, flat] of person.ghosts) {
      const there = run.joints.map((_, k) => at(flat, k));
      for (const [a, b] of run.edges) bone(ghosts, there[a], there[b], GHOST, paintOf(person, b), person.method ? 0.05 + 0.35 * p : 0.12 + 0.6 * p);
    }
    if (options.sigma && person.sigma) places.forEach((place, k) => {
      const [a, b, c, d, e, f] = person.sigma.slice(6 * k, 6 * k + 6).map((v) => v / 1000);
      if (place && person.sigma[6 * k] !== null)
        clouds.add(matrix.set(a, 0, 0, place.x, b, c, 0, place.y, d, e, f, place.z, 0, 0, 0, 1), paintOf(person, k), 0.2);
    });
    if (places[0] && now.ground !== undefined) {
      matrix.makeScale(0.26, 0.26, 1).setPosition(places[0].x, places[0].y, now.ground / 1000 + 0.004);
      blobs.add(matrix, person.id === chosen ? colour("#ffffff") : colour("#000000"), person.id === chosen ? 0.35 : 0.4);
    }
  }

  function show(moment) {
    now = moment;
    for (const many of [bones, joints, ghosts, clouds, blobs]) many.begin();
    if (now) now.people.forEach(body);
    for (const many of [bones, joints, ghosts, clouds, blobs]) many.end();
    if (now && now.middle) {
      place(now.middle, now.ground);
      const one = now.people.find((person) => person.id === chosen) || now.people[0];
      const to = one && at(one.joints, 0);
      const spread = now.people.length + Math.round(2 * wide(places()));
      if (to && spread > aimed && !touched) { aimed = spread; home(); }  // nobody shall stand outside of the picture
      else if (options.follow && to) {
        const step = to.sub(controls.target).multiplyScalar(0.2);
        controls.target.add(step);
        eye.position.add(step);
        controls.update();
      }
    }
    dirty = true;
  }

  function place(middle, ground) {
    if (!floor) return;
    const cell = run.grid / 1000;
    floor.position.set(Math.round(middle[0] / 1000 / cell) * cell, Math.round(middle[1] / 1000 / cell) * cell, ground / 1000);
    floor.visible = true;
  }

  const places = () => (now ? now.people.map((person) => at(person.joints, 0)).filter(Boolean) : []);
  function middle(points) {
    const sum = new THREE.Vector3();
    points.forEach((one) => sum.addScaledVector(one, 1 / points.length));
    return sum;
  }
  const wide = (points) => Math.max(0, ...points.map((one) => one.distanceTo(middle(points))));

  // The first view: from where the window looks.
  function home() {
    touched = false;
    const yaw = run.yaw * Math.PI / 180, pitch = (frusta.length > 1 ? 22 : run.pitch) * Math.PI / 180;
    const people = places(), target = middle(people);
    if (people.length) target.z += 0.05;
    else if (frusta.length) frusta.forEach((one) => target.addScaledVector(one.aim, 1 / frusta.length));
    const narrow = Math.max(1, (frusta.length > 1 ? 1.25 : 0.9) / eye.aspect);
    const distance = Math.max(4 + 1.3 * wide(people), frusta.length > 1 ? 1.1 * reach : 0) * narrow;
    controls.target.copy(target);
    eye.position.set(Math.sin(yaw) * Math.cos(pitch), -Math.cos(yaw) * Math.cos(pitch), Math.sin(pitch)).multiplyScalar(distance).add(target);
    controls.update();
    dirty = true;
  }

  function begin(header, canvases) {
    run = header;
    for (const one of frusta) { world.remove(one.lines, one.plane); one.texture.dispose(); }
    if (floor) world.remove(floor);
    world.background = colour(run.colours.panel);
    const cells = 2 * Math.round(6000 / run.grid);
    floor = new THREE.GridHelper(cells * run.grid / 1000, cells, run.colours.grid, run.colours.grid);
    floor.rotation.x = Math.PI / 2;
    floor.material.transparent = true;
    floor.material.opacity = 0.55;
    floor.visible = false;
    world.add(floor);
    const there = run.cameras.map((camera, k) => ({ camera, k })).filter(({ camera }) => camera.at);
    const stands = there.map(({ camera }) => at(camera.at, 0));
    reach = wide(stands);
    const depth = stands.length > 1 ? Math.min(Math.max(0.2 * reach, 0.25), 1) : 0.5;
    frusta = there.map(({ camera, k }, n) => frustum(camera, k, stands[n], depth, canvases[k]));
    aimed = 0;
    show(null);
    home();
  }

  function frustum(camera, index, from, depth, picture) {
    const corners = [0, 1, 2, 3].map((k) => at(camera.corners, k).sub(from).multiplyScalar(depth).add(from));
    const points = [];
    corners.forEach((corner, k) => points.push(from, corner, corner, corners[(k + 1) % 4]));
    const lines = new THREE.LineSegments(new THREE.BufferGeometry().setFromPoints(points),
      new THREE.LineBasicMaterial({ color: run.colours.dim }));
    const texture = new THREE.CanvasTexture(picture);
    texture.colorSpace = THREE.SRGBColorSpace;
    texture.flipY = false;
    texture.generateMipmaps = false;
    texture.minFilter = texture.magFilter;
    const geometry = new THREE.BufferGeometry().setFromPoints(corners);
    geometry.setAttribute("uv", new THREE.BufferAttribute(new Float32Array([0, 0, 1, 0, 1, 1, 0, 1]), 2));
    geometry.setIndex([0, 1, 2, 0, 2, 3]);
    const plane = new THREE.Mesh(geometry, new THREE.MeshBasicMaterial({ map: texture, side: THREE.DoubleSide }));
    plane.visible = false;
    world.add(lines, plane);
    const aim = corners.reduce((sum, corner) => sum.addScaledVector(corner.clone().sub(from), 0.25), new THREE.Vector3());
    return { index, lines, plane, texture, top: corners[0].clone().add(corners[1]).multiplyScalar(0.5), aim: aim.setLength(3).add(from) };
  }

  function pictured(index, resized) {
    const one = frusta.find((frustum) => frustum.index === index);
    if (!one) return;
    if (resized) one.texture.dispose();
    one.texture.needsUpdate = true;
    one.plane.visible = options.cameras;
    one.seen = true;
    dirty = true;
  }

  function set(name, value) {
    options[name] = value;
    for (const one of frusta) { one.lines.visible = options.cameras; one.plane.visible = options.cameras && Boolean(one.seen); }
    show(now);
  }

  // Labels are text of the document: sharp, and never behind a bone.
  function write() {
    const words = [];
    if (now) for (const person of now.people) {
      const tops = run.joints.map((_, k) => at(person.joints, k)).filter(Boolean);
      if (!person.colour || !tops.length) continue;
      const top = tops.reduce((a, b) => (b.z > a.z ? b : a)).clone();
      top.z += 0.16;
      words.push([top, String(person.id), person.id === chosen ? "who chosen" : "who", person.colour]);
    }
    if (options.cameras && frusta.length > 1) for (const one of frusta) words.push([one.top, run.cameras[one.index].name, "camera", ""]);
    while (labels.children.length < words.length) labels.append(document.createElement("div"));
    [...labels.children].forEach((label, k) => {
      label.hidden = k >= words.length;
      if (label.hidden) return;
      const [where, text, kind, paint] = words[k];
      const spot = where.clone().project(eye);
      label.hidden = spot.z > 1;
      label.textContent = text;
      label.className = kind;
      label.style.background = paint;
      label.style.transform = `translate(-50%, -100%) translate(${(spot.x + 1) / 2 * canvas.clientWidth}px, ${(1 - spot.y) / 2 * canvas.clientHeight}px)`;
    });
  }

  function resize() {
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!renderer || !width || !height) return;
    renderer.setSize(width, height, false);
    eye.aspect = width / height;
    eye.updateProjectionMatrix();
    if (run && !touched) home();
    dirty = true;
  }
  new ResizeObserver(resize).observe(canvas);

  function draw() {
    requestAnimationFrame(draw);
    if (!dirty || !renderer || !run) return;
    dirty = false;
    renderer.render(world, eye);
    write();
  }
  requestAnimationFrame(draw);

  // A tap that did not turn the view picks whoever's joint is nearest, within a finger's width.
  let down = null;
  canvas.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; });
  canvas.addEventListener("pointerup", (event) => {
    if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 6 || !now) return;
    const box = canvas.getBoundingClientRect();
    let best = 32, who = null;
    for (const person of now.people) run.joints.forEach((_, k) => {
      const spot = at(person.joints, k);
      if (!spot) return;
      spot.project(eye);
      const x = (spot.x + 1) / 2 * box.width + box.left, y = (1 - spot.y) / 2 * box.height + box.top;
      const away = Math.hypot(x - event.clientX, y - event.clientY);
      if (away < best) { best = away; who = person.id; }
    });
    if (who !== null) onPick(who);
  });

  return {
    begin, show, pictured, set, home,
    select(id) { chosen = id; show(now); },
    picked(told) { onPick = told; },
    picture() { renderer.render(world, eye); return canvas.toDataURL("image/jpeg", 0.5); },
    get works() { return renderer !== null; },
    get moment() { return now; },
  };
})();
