"use strict";
// What stands beside the scene: people, how sure they are, the state of the run, and messages.
const panel = (() => {
  const $ = (id) => document.getElementById(id);
  let run = null, moment = null, chosen = null, onPick = () => {};

  function element(name, text = "", kind = "") {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  // Only what changed is laid anew: a list that is rebuilt under a finger loses its tap.
  function fill(parent, key, make) {
    if (parent.dataset.key === key) return;
    parent.dataset.key = key;
    parent.replaceChildren(...make());
  }

  function people() {
    const there = moment ? moment.people : [];
    const key = JSON.stringify([there.map((one) => [one.id, one.colour]), chosen, moment && moment.left_out]);
    fill($("people"), key, () => {
      const made = there.map((one) => {
        const item = element("li"), button = element("button", one.id < 0 ? "somebody" : String(one.id), one.id === chosen ? "chosen" : "");
        button.style.borderColor = one.colour || "";
        button.title = "pick this person";
        button.addEventListener("click", () => onPick(one.id));
        item.append(button);
        return item;
      });
      if (!there.length) made.push(element("p", "nobody in view"));
      if (moment && moment.left_out) made.push(element("p", `${moment.left_out} more not followed`));
      return made;
    });
  }

  function bar(name, shares, text) {
    const made = element("div", "", "bar"), way = element("div", "", "way");
    for (const share of shares) {
      const part = element("i");
      part.style.width = `${100 * Math.min(Math.max(share, 0), 1)}%`;
      way.append(part);
    }
    const label = element("span", name);
    label.title = name;
    made.append(label, way, element("b", text));
    return made;
  }

  // A joint's sigma is the root of a third of its covariance's trace.
  function sigma(person) {
    if (!person.sigma) return null;
    const each = run.joints.map((_, k) => person.sigma.slice(6 * k, 6 * k + 6)).filter((one) => one[0] !== null)
      .map((one) => Math.sqrt(one.reduce((sum, v) => sum + v * v, 0) / 3)).sort((a, b) => a - b);
    return each.length ? each[each.length >> 1] : null;
  }

  function sure() {
    const who = moment && (moment.people.find((one) => one.id === chosen) || moment.people[0]);
    const made = [];
    if (who) {
      const of = who.views.map(([k, shares]) => [run.cameras[k].name, shares]);
      if (!who.method) {
        const here = (of.find(([name]) => name === who.camera) || of[0] || ["", []])[1];
        here.forEach((share, k) => made.push(bar(k ? `${k + 1}` : "answer", [share], share.toFixed(2))));
      } else for (const [name, shares] of of) made.push(bar(name, shares, (shares[0] || 0).toFixed(2)));
      const typical = sigma(who), words = [];
      if (who.method) words.push({ single: "single view", disputed: "views disagree" }[who.method] || `fused: ${who.method} of ${who.used.length}`);
      if (typical !== null) words.push(`σ ${Math.round(typical)} mm (median)`);
      if (words.length) made.push(element("p", words.join(" · ")));
      if (who.method && of.length) made.push(element("p", "bars: the hypotheses of each camera"));
    } else made.push(element("p", "–"));
    $("bars").replaceChildren(...made);
  }

  function status(told) {
    fill($("facts"), JSON.stringify(told.facts), () => told.facts.flatMap(([what, value]) => [element("dt", what), element("dd", value)]));
    $("note").hidden = !told.note;
    $("note").textContent = told.note;
    fill($("healths"), JSON.stringify(told.cameras), () => told.cameras.map((one) => {
      const item = element("li", "", one.stalled || one.note ? "ill" : "");
      const counts = [one.fps === null ? "" : `${one.fps.toFixed(1)} fps`, one.dropped ? `${one.dropped} dropped` : "",
        one.corrupt ? `${one.corrupt} corrupt` : "", one.reconnects ? `${one.reconnects} reconnects` : ""].filter(Boolean);
      item.append(element("i"), element("b", one.name), element("span", counts.join(" · ") || "ok"));
      if (one.note) item.append(element("p", one.note));
      return item;
    }));
    const rest = told.total ? `${Math.min(100, Math.round(100 * told.done / told.total))} %` : "";
    $("rest").textContent = [told.paused ? "paused" : "", rest].filter(Boolean).join(" · ");
  }

  let last = 0;
  return {
    begin(header) {
      run = header;
      $("floor").textContent = `${run.floor} · grid ${run.grid / 1000} m`;
    },
    show(told) {
      moment = told;
      $("title").textContent = told ? told.title : "";
      people();
      // Figures that change thirty times a second cannot be read.
      if (performance.now() - last > 120 || !told) { last = performance.now(); sure(); }
    },
    status,
    select(id) { chosen = id; people(); sure(); },
    picked(told) { onPick = told; },
    kind(words, dot) { $("kind").textContent = words; $("dot").className = dot; },
    banner(words) { $("banner").hidden = !words; $("banner").textContent = words; $("stage").classList.toggle("stale", Boolean(words)); },
    said(words) {
      const item = element("li", words);
      $("toasts").append(item);
      while ($("toasts").children.length > 4) $("toasts").firstChild.remove();
      setTimeout(() => item.remove(), 6000);
    },
  };
})();
