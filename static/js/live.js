// Keeps the moving parts of a page fresh. The socket says which topic changed and nothing more; the part
// is then fetched again through the ordinary page, so permissions and facts have one home.
(() => {
  const GAP_MS = 500; // at most two fetches a second for each part
  const MAX_WAIT_MS = 30000;
  const due = new Map(); // part's id -> its timer
  let failures = 0;

  const parts = () => [...document.querySelectorAll("[data-topic]")];
  const topicsOf = (part) => part.dataset.topic.split(" ");
  const topics = () => [...new Set(parts().flatMap(topicsOf))];

  // Somebody is choosing rows or writing in this part: it waits until they are done.
  const busy = (part) =>
    part.querySelector("tbody input[type=checkbox]:checked") !== null ||
    part.querySelector("input:not([type=checkbox]):focus, select:focus, textarea:focus") !== null;

  const refresh = (id) => {
    due.delete(id);
    const part = document.getElementById(id);
    if (!part) return;
    if (document.hidden || busy(part)) return schedule(id);
    htmx.trigger(part, "look");
  };
  const schedule = (id) => {
    if (!due.has(id)) due.set(id, setTimeout(refresh, GAP_MS, id));
  };
  const changed = (topic) => {
    for (const part of parts()) if (topicsOf(part).includes(topic)) schedule(part.id);
  };
  const tell = (state) => {
    document.documentElement.dataset.live = state;
  };

  const connect = () => {
    const query = topics()
      .map((topic) => `topic=${topic}`)
      .join("&");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/live/?${query}`);
    socket.addEventListener("open", () => {
      failures = 0;
      tell("on");
    });
    socket.addEventListener("message", (event) => changed(JSON.parse(event.data).changed));
    socket.addEventListener("close", () => {
      tell("off");
      // Spread out: a restart of the server must not bring every open page back at one moment.
      const wait = Math.min(MAX_WAIT_MS, 500 * 2 ** failures++) * (0.5 + Math.random());
      setTimeout(connect, wait);
    });
  };

  // Whoever goes by keyboard stays on the link or button they were on, when its part is fetched again.
  let kept = "";
  const nameOf = (one) =>
    [one.localName, one.id, one.getAttribute("href"), one.form?.getAttribute("action"), one.name, one.value].join(" ");
  document.addEventListener("htmx:beforeSwap", (event) => {
    const at = document.activeElement;
    kept = event.detail.target.contains(at) ? nameOf(at) : "";
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (!kept || document.activeElement !== document.body) return;
    const ones = [...document.querySelectorAll("[data-topic] :is(a, button, input, select, summary)")];
    ones.find((one) => nameOf(one) === kept)?.focus({ preventScroll: true });
  });

  document.addEventListener("DOMContentLoaded", () => {
    if (parts().length > 0) connect();
  });
})();
