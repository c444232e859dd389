"use strict";
// The connection to the run. It comes back by itself, as often as it is lost.
const link = (() => {
  const SILENT_MS = 6000;  // something comes at least every second
  let socket = null, wait = 500, heard = 0, told = {}, ended = "";

  // The token came in the link after #, where no browser sends it to anybody; it is kept for this tab alone.
  function token() {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (given) {
      sessionStorage.setItem("token", given);
      history.replaceState(null, "", location.pathname);
    }
    return sessionStorage.getItem("token") || "";
  }

  function open() {
    const secret = token();
    const here = socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
    here.binaryType = "arraybuffer";
    here.addEventListener("open", () => { heard = Date.now(); here.send(JSON.stringify({ token: secret })); });
    here.addEventListener("message", (event) => {
      heard = Date.now();
      if (typeof event.data !== "string") { told.picture(event.data); return; }
      const message = JSON.parse(event.data);
      if (message.bye) ended = message.bye;
      if (message.run) { wait = 500; ended = ""; }
      for (const [kind, value] of Object.entries(message)) if (told[kind]) told[kind](value, message);
    });
    here.addEventListener("close", (event) => {
      if (socket !== here) return;
      socket = null;
      if (event.code === 4401) { told.lost("This needs the link with a token that the terminal shows.", false); return; }
      told.lost(ended || "The connection is lost; trying again.", true);
      setTimeout(open, ended ? 3000 : wait);
      wait = Math.min(2 * wait, 4000);
    });
  }
  setInterval(() => { if (socket && socket.readyState === 1 && Date.now() - heard > SILENT_MS) drop(); }, 1000);
  addEventListener("hashchange", () => { if (location.hash.includes("token=")) { drop(); if (!socket) open(); } });

  function drop() {
    const gone = socket;
    if (!gone) return;
    socket = null;
    gone.close();
    told.lost("The connection is lost; trying again.", true);
    setTimeout(open, 100);
  }

  return {
    start(handlers) { told = handlers; open(); },
    send(message) { if (socket && socket.readyState === 1) socket.send(JSON.stringify(message)); },
    drop,
  };
})();
