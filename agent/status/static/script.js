// Keeps the page alive: the server renders, this puts in place what changed.
(() => {
  "use strict";
  const SILENT_MS = 5000, AGAIN_MS = 3000;
  const banner = document.getElementById("banner");
  const parts = () => [...document.querySelectorAll("[data-live]")];
  let stream = null, heard = Date.now(), held = {}, fetching = false, stale = false;

  // Makes `old` like `now` and leaves alone what is the same: focus, open details and selections stay.
  function morph(old, now) {
    if (old.nodeType !== 1) { if (old.nodeValue !== now.nodeValue) old.nodeValue = now.nodeValue; return; }
    for (const { name } of [...old.attributes])
      if (!now.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
    for (const { name, value } of now.attributes)
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const ids = new Set([...now.children].map(child => child.id).filter(Boolean));
    for (const child of [...old.children]) if (child.id && !ids.has(child.id)) child.remove();
    let at = old.firstChild;
    for (const next of [...now.childNodes]) {
      const same = next.id ? [...old.children].find(child => child.id === next.id)
        : at && !at.id && at.nodeName === next.nodeName ? at : null;
      if (!same || same.nodeName !== next.nodeName) { old.insertBefore(next, at); continue; }
      if (same === at) at = at.nextSibling; else old.insertBefore(same, at);
      morph(same, next);
    }
    while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
  }

  function put(part, html) {
    const now = part.cloneNode(false);
    now.innerHTML = html;
    if (now.innerHTML !== part.innerHTML) morph(part, now);
  }

  // What is selected waits until it no longer is.
  function show(regions) {
    Object.assign(held, regions);
    const chosen = getSelection();
    for (const [id, html] of Object.entries(held)) {
      const part = document.getElementById(id);
      if (part && !chosen.isCollapsed && chosen.containsNode(part, true)) continue;
      delete held[id];
      if (part) put(part, html);
    }
  }

  // The page has other parts now. The stream is opened anew behind it, so that nothing in between is missed.
  async function renew() {
    stale = true;
    if (fetching) return;
    fetching = true;
    while (stale) {
      stale = false;
      try {
        const answer = await fetch(location.href);
        const now = new DOMParser().parseFromString(await answer.text(), "text/html");
        const main = now.getElementById("main");
        if (!main) return location.reload(); // the way to log in
        held = {};
        morph(document.getElementById("main"), main);
        document.title = now.title;
        document.body.dataset.livePath = now.body.dataset.livePath;
        if (stream) open();
      } catch { /* the stream tells that the connection is lost, and all when it is there again */ }
      await new Promise(done => setTimeout(done, AGAIN_MS / 3));
    }
    fetching = false;
  }

  function lost(why = "Connection lost") {
    const as_of = document.getElementById("as-of").textContent;
    const said = `${why}: this is as of ${as_of}`;
    if (banner.textContent !== said) banner.textContent = said;
    banner.hidden = false;
    document.body.classList.add("lost");
  }

  // A stream that was refused does not tell why: what it was answered does.
  async function refused() {
    const asked = new AbortController();
    try {
      const answer = await fetch(document.body.dataset.livePath, { signal: asked.signal });
      if (answer.redirected) return location.reload(); // the way to log in
      heard = Date.now();
      lost(answer.status === 503 ? (await answer.text()).trim() : undefined);
    } catch { lost(); } finally { asked.abort(); }
  }

  function found() {
    heard = Date.now();
    banner.hidden = true;
    document.body.classList.remove("lost");
  }

  function open() {
    close();
    if (!document.body.dataset.livePath) return; // nothing of it lives, such as of a question
    const own = stream = new EventSource(document.body.dataset.livePath);
    own.onmessage = event => { found(); show(JSON.parse(event.data)); };
    own.addEventListener("all", event => {
      found();
      const regions = JSON.parse(event.data);
      if (parts().some(part => !(part.id in regions)) || parts().length !== Object.keys(regions).length) renew();
      else show(regions);
    });
    own.onerror = () => {
      if (own.readyState !== EventSource.CLOSED) return lost();
      refused();
      setTimeout(() => own === stream && open(), AGAIN_MS);
    };
  }

  function close() { if (stream) stream.close(); stream = null; }

  // A page that nobody sees costs the device nothing.
  function turn() { if (document.hidden) close(); else { heard = Date.now(); open(); } }

  document.addEventListener("visibilitychange", turn);
  addEventListener("pagehide", close);
  addEventListener("pageshow", event => { if (event.persisted) turn(); });
  addEventListener("offline", () => lost());
  setInterval(() => { if (stream && Date.now() - heard > SILENT_MS) { lost(); open(); heard = Date.now(); } }, 1000);

  const here = new URL(location.href); // a notice is shown once
  if (here.searchParams.has("done")) {
    for (const word of ["done", "of"]) here.searchParams.delete(word);
    history.replaceState(null, "", here);
  }
  turn();
})();
