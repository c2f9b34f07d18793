// The console: puts the kernel's texts in their places, and sends what was pressed. Nothing here
// knows what a look or an action means.

const PARTS = ["status", "clock", "pager", "timeline", "looks", "actions", "page", "log", "ending", "debrief"];
const BUSY = new Set(["passing", "working", "resuming", "scoring"]);
const ANSWER_MS = 4000; // the longest that an answer to a click usually takes
const LOST = "The kernel is gone. Run this cell again: the shift goes on where it was.";
const SILENT =
  "The kernel has not answered for some seconds. It may be busy with another cell; if it is gone, " +
  "run this cell again: the shift goes on where it was.";

const CONSOLE = `
  <h3 class="moc-title"></h3>
  <p class="mls-task">You are on call. See what calls you, look at what was written down, act, and let
    time pass. What counts is <b>harm, in flights called wrong</b>: each answer, and each hour of work.</p>
  <p class="mls-status" data-slot="status"></p>
  <p class="mls-refused" role="alert"></p>
  <div class="mls-spoken" role="status"></div>
  <div class="mls-spoken moc-urgent" role="alert"></div>
  <dl class="mls-tiles" data-slot="clock"></dl>
  <section class="moc-pager" aria-label="Pager" data-slot="pager"></section>
  <form class="mls-controls">
    <div class="mls-buttons">
      <button type="button" class="mls-run" data-order="wait">Wait until the pager calls</button>
      <button type="button" data-order="next-day">Next day</button>
      <button type="button" data-order="stop">Stop</button>
      <button type="button" data-order="take-over" hidden>Take the shift over here</button>
      <button type="button" data-order="score" hidden>Score and debrief the shift</button>
      <button type="button" data-order="begin-again" hidden>Begin the shift anew</button>
      <span class="moc-progress"></span>
    </div>
  </form>
  <section class="mls-debrief" aria-label="The end of the shift" data-slot="ending"></section>
  <section class="mls-debrief" aria-label="What to learn from the shift" data-slot="debrief"></section>
  <section aria-label="Timeline" data-slot="timeline"></section>
  <section class="moc-look" aria-label="Look">
    <h3>Look</h3>
    <ul class="moc-things" data-slot="looks"></ul>
    <form class="mls-controls moc-choose"><label>Pages looked at <select name="page"></select></label></form>
    <div class="moc-page" data-slot="page"></div>
  </section>
  <section class="moc-act" aria-label="Act">
    <h3>Act</h3>
    <form class="mls-controls">
      <fieldset class="mls-settings" aria-label="The cause that you state">
        <label>Cause <select name="cause"></select></label>
        <label>Sure, in % <input name="sure" type="number" min="50" max="99" step="1" value="80"></label>
      </fieldset>
      <p class="mls-quiet">A cause is stated with an action. A confident wrong one costs most, up to 100
        flights; to say none counts as a guess at 50%, 25 flights.</p>
      <ul class="moc-things" data-slot="actions"></ul>
    </form>
  </section>
  <section aria-label="Log">
    <h3>Log</h3>
    <div class="mls-scroll moc-log-scroll" tabindex="0" role="region" aria-label="Log of the shift, the newest first" data-slot="log"></div>
  </section>`;

function option([value, words]) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = words;
  return made;
}

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "mls moc";
  root.innerHTML = CONSOLE;
  el.append(root);
  const slot = (name) => root.querySelector(`[data-slot="${name}"]`);
  const button = (order) => root.querySelector(`[data-order="${order}"]`);
  const field = (name) => root.querySelector(`[name="${name}"]`);
  const progress = root.querySelector(".moc-progress");
  let waiting = 0;
  let day = model.get("day");

  root.querySelector(".moc-title").textContent = model.get("title");
  field("cause").append(...model.get("causes").map(option));

  function tell(mode, words) {
    root.dataset.mode = mode;
    slot("status").textContent = words;
    root.querySelector("[role=status]").textContent = words;
  }

  function lost() {
    clearTimeout(waiting);
    for (const one of root.querySelectorAll("button")) one.setAttribute("aria-disabled", "true");
    tell("lost", LOST);
  }

  function send(message) {
    clearTimeout(waiting);
    waiting = setTimeout(() => tell("silent", SILENT), ANSWER_MS);
    try {
      model.send(message);
    } catch {
      lost();
    }
  }

  // The kernel lives: what stood there about its silence is over.
  function hear() {
    clearTimeout(waiting);
    if (root.dataset.mode !== "silent") return;
    showMode();
    showStatus();
  }

  function showStatus() {
    fill(slot("status"), "");
    slot("status").textContent = model.get("status");
    const urgent = model.get("urgent");
    root.querySelector(".moc-urgent").textContent = urgent;
    root.querySelector("[role=status]").textContent = urgent ? "" : model.get("status");
  }

  function showRefused() {
    root.querySelector(".mls-refused").textContent = model.get("refused") || model.get("trouble");
  }

  function showMode() {
    const mode = model.get("mode");
    root.dataset.mode = mode;
    root.setAttribute("aria-busy", String(BUSY.has(mode)));
    const plays = mode === "playing";
    for (const one of root.querySelectorAll("[data-look], [data-act], [data-order]")) {
      one.setAttribute("aria-disabled", String(!plays));
    }
    button("stop").setAttribute("aria-disabled", String(mode !== "passing"));
    const ended = mode === "over" || mode === "scoring";
    offer("take-over", mode === "elsewhere");
    offer("score", ended && !model.get("debrief"), mode === "over");
    offer("begin-again", ended || mode === "broken", mode !== "scoring");
    for (const order of ["wait", "next-day", "stop"]) offer(order, !ended, null);
    root.querySelector(".moc-act").hidden = ended;
    slot("looks").hidden = ended;
    showProgress();
  }

  // Show a button or hide it; one that goes with the focus hands it to the next that is there.
  function offer(order, isThere, isFree = true) {
    const one = button(order);
    const hadFocus = !isThere && one === document.activeElement;
    one.hidden = !isThere;
    if (isFree !== null) one.setAttribute("aria-disabled", String(!isFree));
    if (hadFocus) setTimeout(() => root.querySelector("[data-order]:not([hidden])")?.focus());
  }

  function showProgress() {
    const busy = BUSY.has(model.get("mode"));
    progress.textContent = busy ? model.get("progress") || "Working …" : "";
  }

  function showPages() {
    const names = model.get("pages");
    const choose = field("page");
    choose.replaceChildren(...names.map((name, place) => option([place, name])));
    choose.value = String(model.get("at"));
    root.querySelector(".moc-choose").hidden = names.length === 0;
  }

  // A cause was stated for what was the matter then: another day, it is to be stated anew.
  function showDay() {
    if (day !== model.get("day")) field("cause").value = "";
    day = model.get("day");
  }

  function number(place, name) {
    return Number(place.querySelector(`[name="${name}"]`).value);
  }

  function act(pressed) {
    const place = pressed.closest("li");
    const message = { act: pressed.dataset.act };
    if (field("cause").value) {
      message.cause = field("cause").value;
      message.sure = Number(field("sure").value);
    }
    if (place.querySelector("[name=weeks]")) message.weeks = number(place, "weeks");
    if (place.querySelector("[name=rule]")) {
      message.rule = place.querySelector("[name=rule]").value;
      message.days = number(place, "days");
    }
    send(message);
  }

  root.addEventListener("submit", (event) => event.preventDefault());
  root.addEventListener("click", ({ target }) => {
    const pressed = target.closest("button");
    if (!pressed || pressed.getAttribute("aria-disabled") === "true") return;
    const { look, order } = pressed.dataset;
    if (look) send({ look });
    else if (order) send({ order });
    else act(pressed);
  });
  root.addEventListener("change", ({ target }) => {
    if (target.name === "page") send({ page: Number(target.value) });
  });

  const takeKey = keyTaker(root);
  window.addEventListener("keydown", takeKey, { capture: true });
  const isLost = () => root.closest(".jupyter-widgets-disconnected");
  const showLost = () => isLost() && lost();
  const looksLost = () => setTimeout(showLost);
  model.on("comm_live_update", looksLost);
  const kernel = model.widget_manager?.kernel;
  const end = (_, status) => ENDED.has(status) && lost();
  kernel?.statusChanged?.connect(end);

  const show = {
    mode: showMode,
    urgent: showStatus,
    refused: showRefused,
    trouble: showRefused,
    progress: showProgress,
    pages: showPages,
    at: showPages,
    day: showDay,
    heard: hear,
  };
  for (const name of PARTS) show[name] = () => fill(slot(name), model.get(name));
  show.status = showStatus;
  for (const name of ["actions", "ending", "debrief"]) {
    const place = show[name];
    show[name] = () => {
      place();
      showMode();
    };
  }
  for (const [name, refresh] of Object.entries(show)) {
    refresh();
    model.on(`change:${name}`, refresh);
    model.on(`change:${name}`, hear);
  }
  showMode();
  setTimeout(() => {
    const kept = isLost()?.closest(".jp-OutputArea-child")?.previousElementSibling;
    if (kept?.querySelector(".mls-kept")) root.remove();
    else showLost();
  });
  return () => {
    clearTimeout(waiting);
    window.removeEventListener("keydown", takeKey, { capture: true });
    model.off("comm_live_update", looksLost);
    kernel?.statusChanged?.disconnect(end);
    for (const [name, refresh] of Object.entries(show)) {
      model.off(`change:${name}`, refresh);
      model.off(`change:${name}`, hear);
    }
  };
}

export default { render };
