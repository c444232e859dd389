"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const embedded = $("take").textContent.trim();
  let status = {}, may = false, canvases = [], chosen = null;

  function pick(id) {
    chosen = chosen === id ? null : id;
    scene.select(chosen);
    panel.select(chosen);
  }
  scene.picked(pick);
  panel.picked(pick);

  function begin(run) {
    panel.banner(scene.works ? "" : "This browser shows no 3D (WebGL); another one does.");
    panel.begin(run);
    canvases = run.cameras.map((camera) => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = camera.size || [16, 9];
      return canvas;
    });
    $("strip").replaceChildren(...run.cameras.map((camera, k) => {
      const figure = document.createElement("figure"), caption = document.createElement("figcaption");
      caption.textContent = camera.name;
      figure.append(canvases[k], caption);
      figure.hidden = true;
      return figure;
    }));
    scene.begin(run, canvases);
    for (const id of ["buttons", "run", "health"]) $(id).hidden = !run.live;
    panel.kind(run.live ? "live" : run.name || "take", "live");
    if (run.take) film.begin(run.take, askChunk, showMoment);
  }

  function show(moment) {
    scene.show(moment);
    panel.show(moment);
  }

  // Live, the newest moment is drawn when the screen is; then the server is told that more may come.
  let newest = null, seen = 0;
  function drawn() {
    requestAnimationFrame(drawn);
    if (newest) { show(newest); newest = null; }
    if (seen && status.facts) { link.send({ do: "seen", count: seen }); seen = 0; }
  }
  if (!embedded) requestAnimationFrame(drawn);

  async function picture(index, bytes) {
    const canvas = canvases[index];
    if (!canvas) return;
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
    const resized = canvas.width !== bitmap.width || canvas.height !== bitmap.height;
    if (resized) [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    canvas.parentNode.hidden = !$("pictures").checked;
    scene.pictured(index, resized);
  }

  // A film asks for the pictures of one moment after the other, and never for two at once.
  let waiting = false, wanted = null;
  function askPictures(index) {
    wanted = index;
    if (waiting || !$("pictures").checked) return;
    waiting = true;
    link.send({ do: "pictures", index });
  }
  function askChunk(number) { if (embedded) giveChunk(number); else link.send({ do: "chunk", number }); }
  function showMoment(moment, index) {
    show(moment);
    if (embedded) giveTaken(index); else askPictures(index);
  }

  function obey() {
    for (const id of ["record", "pause", "words"]) $(id).disabled = !may;
    $("mark").querySelector("button").disabled = !may;
    $("why").hidden = may;
    $("why").textContent = "This page only watches. Open the link with a token, which the terminal shows, to press buttons.";
    for (const id of ["export", "format"]) $(id).hidden = !may || !$("format").options.length;
  }

  function told(now) {
    status = now;
    panel.status(now);
    $("record").classList.toggle("now", now.recording);
    $("record").querySelector("span").textContent = now.recording ? "recording" : "record";
    $("pause").classList.toggle("now", now.paused);
    $("pause").textContent = now.paused ? "go on" : "pause";
  }

  const record = () => link.send({ do: "record", on: !status.recording });
  const pause = () => link.send({ do: "pause", on: !status.paused });
  function mark() {
    link.send({ do: "event", text: $("words").value });
    $("words").value = "";
    $("words").blur();
  }
  $("record").addEventListener("click", record);
  $("pause").addEventListener("click", pause);
  $("mark").addEventListener("submit", (event) => { event.preventDefault(); mark(); });
  $("home").addEventListener("click", scene.home);
  for (const id of ["ghosts", "sigma", "cameras", "follow"]) $(id).addEventListener("change", () => scene.set(id, $(id).checked));
  const wants = () => link.send({ do: "want", ghosts: $("ghosts").checked, pictures: $("pictures").checked });
  $("ghosts").addEventListener("change", wants);
  $("pictures").addEventListener("change", () => {
    wants();
    canvases.forEach((canvas) => { canvas.parentNode.hidden = !$("pictures").checked; });
    if (film.open) film.again();
  });
  $("export").addEventListener("click", () => {
    $("export").disabled = true;
    link.send({ do: "export", to: $("format").value, ...film.span });
  });

  addEventListener("keydown", (event) => {
    if (event.target.matches("input:not([type=checkbox]):not([type=range]), select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.repeat && !event.key.startsWith("Arrow")) return;
    const acts = { r: record, " ": pause, e: mark };
    const act = event.key === "0" ? scene.home : film.open ? null : may && acts[event.key];
    if (act) act(); else if (!film.open || !film.key(event.key)) return;
    event.preventDefault();
  });

  // A page that holds its take needs nobody.
  let taken = null;
  function giveChunk(number) {
    const size = taken.run.take.chunk;
    setTimeout(() => film.chunk(number, taken.moments.slice(number * size, (number + 1) * size)));
  }
  function giveTaken(index) {
    const found = taken.pictures[taken.shown[index]] || [];
    found.forEach(([camera, coded]) => picture(camera, Uint8Array.from(atob(coded), (c) => c.charCodeAt(0))));
  }
  async function unpack() {
    const bytes = Uint8Array.from(atob(embedded), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    taken = JSON.parse(await new Response(stream).text());
    begin(taken.run);
  }

  obey();
  if (embedded) {
    unpack().catch((error) => panel.banner(`This page cannot be shown here: ${error.message}`));
    return;
  }
  link.start({
    run(run) { newest = null; seen = 0; begin(run); wants(); waiting = false; },
    may(value) { may = value; obey(); },
    moment(moment) { newest = moment; seen += 1; },
    status: told,
    said: panel.said,
    ready(now) { if (film.open) film.grown(now); },
    chunk(number, message) { film.chunk(number, message.moments); },
    pictured(index) { waiting = false; if (wanted !== null && wanted !== index) askPictures(wanted); },
    formats(names) {
      $("format").replaceChildren(...names.map((name) => new Option(name, name)));
      obey();
    },
    file(address, message) {
      $("export").disabled = false;
      const anchor = document.createElement("a");
      anchor.href = address;
      anchor.download = message.name;
      anchor.click();
    },
    failed(words) { $("export").disabled = false; panel.said(words); },
    picture(data) {
      const head = new DataView(data);
      picture(head.getUint32(0, true), new Uint8Array(data, 8)).finally(() => { seen += 1; });
    },
    lost(words, again) {
      panel.kind(again ? "not connected" : "not let in", "off");
      panel.banner(words);
    },
  });
})();
