"use strict";
// The time line of a take: what is shown comes in chunks of moments, from a server or out of the page itself.
const film = (() => {
  const KEPT = 60;
  const $ = (id) => document.getElementById(id);
  const chunks = new Map(), asked = new Set();
  let take = null, index = 0, playing = false, clock = 0, before = 0, from = 0, till = 0, shown = -1;
  let ask = () => {}, show = () => {};

  const chunkOf = (k) => Math.floor(k / take.chunk);
  function moment(k) {
    const chunk = chunks.get(chunkOf(k));
    return chunk && chunk[k % take.chunk];
  }
  function need(k) {
    for (const number of [chunkOf(k), chunkOf(k) + 1]) {
      if (number * take.chunk >= take.count || chunks.has(number) || asked.has(number)) continue;
      asked.add(number);
      ask(number);
    }
  }
  const seconds = (k) => { const one = moment(k); return one ? one.t - take.start : null; };
  const words = (s) => (s === null ? "–" : `${Math.floor(s / 60)}:${(s % 60).toFixed(2).padStart(5, "0")}`);

  function go(k, keep) {
    index = Math.min(Math.max(k, 0), Math.max(take.count - 1, 0));
    const s = seconds(index);
    if (!keep && s !== null) clock = s;
    $("seek").value = index;
    need(index);
    draw();
  }

  function draw() {
    const one = take && moment(index);
    if (!one) return;
    $("time").textContent = `${words(one.t - take.start)} · ${index + 1} of ${take.count}${take.done ? "" : " …"}`;
    if (shown !== index) { shown = index; show(one, index); }
    span();
  }

  function span() {
    const whole = Math.max(take.count - 1, 1), last = till || take.count - 1;
    $("chosen").style.left = `${100 * from / whole}%`;
    $("chosen").style.width = `${100 * Math.max(last - from, 0) / whole}%`;
    $("chosen").hidden = !from && !till;
    $("span").textContent = from || till ? `moments ${from + 1} to ${last + 1}` : "the whole take";
  }

  // What was noted stands over the time line; a tap goes there.
  function events() {
    const key = JSON.stringify([take.events, take.count]);
    if ($("events").dataset.key === key) return;
    $("events").dataset.key = key;
    $("events").replaceChildren(...(take.events || []).map(([at, text]) => {
      const mark = document.createElement("button");
      mark.style.left = `${100 * at / Math.max(take.count - 1, 1)}%`;
      mark.title = text;
      mark.setAttribute("aria-label", text);
      mark.addEventListener("click", () => { play(false); go(at); });
      return mark;
    }));
  }

  function turn(now) {
    requestAnimationFrame(turn);
    const passed = Math.min((now - before) / 1000, 0.25);
    before = now;
    if (!playing || !take) return;
    need(index);
    const next = seconds(index + 1);
    if (index + 1 >= take.count) { if (take.done) play(false); return; }
    if (next === null) return;  // not here yet: the clock waits
    clock += passed * Number($("speed").value);
    let k = index;
    for (let s = next; s !== null && s <= clock && k + 1 < take.count; s = seconds(k + 1)) k += 1;
    if (next - clock > 5) clock = next;  // a gap of the take is not sat through
    if (k !== index) go(k, true);
  }
  requestAnimationFrame(turn);

  function play(on) {
    if (on && index + 1 >= take.count) go(0);
    playing = on;
    const s = seconds(index);
    if (s !== null) clock = s;
    $("play").textContent = on ? "pause" : "play";
  }

  function wire() {
    $("play").addEventListener("click", () => play(!playing));
    $("back").addEventListener("click", () => { play(false); go(index - 1); });
    $("on").addEventListener("click", () => { play(false); go(index + 1); });
    $("seek").addEventListener("input", () => go(Number($("seek").value)));
    $("from").addEventListener("click", () => { from = index; if (till && till < from) till = 0; span(); });
    $("till").addEventListener("click", () => { till = index; if (from > till) from = 0; span(); });
  }
  wire();

  return {
    begin(told, asking, showing) {
      take = told; ask = asking; show = showing; shown = -1;
      asked.clear();
      $("film").hidden = false;
      this.grown(told);
      go(index);
    },
    grown(told) {
      Object.assign(take, told);
      asked.clear();  // what was not ready may be now
      $("seek").max = Math.max(take.count - 1, 0);
      // The last chunk may have come before it was full.
      chunks.forEach((chunk, number) => { if (chunk.length < Math.min(take.chunk, take.count - number * take.chunk)) chunks.delete(number); });
      need(index);
      events();
      draw();
    },
    chunk(number, moments) {
      asked.delete(number);
      chunks.set(number, moments);
      if (chunks.size > KEPT) for (const old of chunks.keys()) if (Math.abs(old - chunkOf(index)) > 4) { chunks.delete(old); break; }
      if (seconds(index) !== null && shown !== index) clock = seconds(index);
      draw();
    },
    key(key) {
      const act = { " ": () => play(!playing), ArrowLeft: () => { play(false); go(index - 1); }, ArrowRight: () => { play(false); go(index + 1); },
        Home: () => go(0), End: () => go(take.count - 1), "[": () => $("from").click(), "]": () => $("till").click() }[key];
      if (act) act();
      return Boolean(act);
    },
    again() { shown = -1; draw(); },
    get span() {
      return { first: from, last: till || take.count - 1 };
    },
    get index() { return index; },
    get open() { return take !== null; },
    get take() { return take; },
  };
})();
