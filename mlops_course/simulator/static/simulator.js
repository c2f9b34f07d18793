// Puts the kernel's texts in their places and keeps what belongs to the page: which stage is
// open, which notes are unfolded. What moves is the style sheet's.

const PARTS = [
  "status", "spoken", "urgent", "stale", "story", "batches", "versions", "flights", "tiles",
  "chart", "signals", "inputs", "log", "debrief", "question", "mystery", "hindsight", "progress",
  "again",
];

const FRAME = `
  <p class="mls-task">The question, as a flight leaves its gate in New York (its push-back): <b>will it
    arrive more than 15 minutes late?</b> The answer, its label, comes hours later.</p>
  <form class="mls-controls"></form>
  <p class="mls-status" data-slot="status"></p>
  <div class="mls-spoken" role="status" data-slot="spoken"></div>
  <div class="mls-spoken" role="alert" data-slot="urgent"></div>
  <p class="mls-story" data-slot="story"></p>
  <div class="mls-stale" data-slot="stale"></div>
  <section class="mls-question" role="alertdialog" aria-label="What would you do?" tabindex="-1" data-slot="question"></section>
  <section class="mls-mystery" aria-label="The mystery" data-slot="mystery"></section>
  <section class="mls-picture" aria-label="Stages of the pipeline">
    <ol class="mls-loop"></ol>
    <div data-slot="batches"></div>
    <div data-slot="versions"></div>
  </section>
  <section class="mls-detail" aria-label="The chosen stage"></section>
  <section aria-label="Three flights" data-slot="flights"></section>
  <section class="mls-monitor" aria-label="Production Monitoring">
    <h3>Production Monitoring</h3>
    <dl class="mls-tiles" data-slot="tiles"></dl>
    <div class="mls-columns mls-wide-left">
      <div><div data-slot="chart"></div><div data-slot="signals"></div></div>
      <div data-slot="inputs"></div>
    </div>
    <div data-slot="log"></div>
    <div class="mls-debrief" data-slot="debrief"></div>
    <div class="mls-debrief" data-slot="hindsight"></div>
    <p role="status" data-slot="progress"></p>
    <div data-slot="again"></div>
  </section>`;

let made = 0;

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "mls";
  root.innerHTML = FRAME;
  el.append(root);
  const slot = (name) => root.querySelector(`[data-slot="${name}"]`);
  const detail = root.querySelector(".mls-detail");
  const number = ++made;

  // The stations of the loop, in order: each is a part of its own, so that a week sends only what
  // it changed.
  const stations = [...Object.keys(model.get("about")).map((stage) => `stage_${stage}`), "way_back"];
  for (const name of stations) {
    const station = document.createElement("li");
    station.dataset.slot = name;
    root.querySelector(".mls-loop").append(station);
  }

  for (const [stage, html] of Object.entries(model.get("about"))) {
    const panel = document.createElement("div");
    panel.id = `mls-${number}-${stage}`;
    panel.dataset.panel = stage;
    panel.innerHTML = html;
    detail.append(panel);
  }

  function showSelected() {
    const chosen = model.get("selected");
    for (const button of root.querySelectorAll(".mls-stage")) {
      button.setAttribute("aria-pressed", String(button.dataset.stage === chosen));
      button.setAttribute("aria-controls", `mls-${number}-${button.dataset.stage}`);
    }
    for (const panel of detail.children) panel.hidden = panel.dataset.panel !== chosen;
    detail.hidden = !chosen;
    stagePanel.offer();
  }

  function showFigures() {
    for (const [stage, html] of Object.entries(model.get("figures"))) {
      fill(detail.querySelector(`[data-panel="${stage}"] [data-slot]`), html);
    }
    stagePanel.link();
  }

  function tellStatus(mode, words) {
    root.dataset.mode = mode;
    slot("status").textContent = words;
    slot("spoken").textContent = words;
  }

  const form = controls(root.querySelector(".mls-controls"), model, tellStatus);
  const stagePanel = panel(root, model, form.send);

  function showMode() {
    root.dataset.mode = model.get("mode");
    form.watch.mode();
  }

  // The kernel lives: what stood there about its silence is over.
  function hear() {
    form.news();
    if (root.dataset.mode !== "silent") return;
    showMode();
    show.status();
    show.spoken();
  }

  const show = { ...form.watch, figures: showFigures, selected: showSelected, mode: showMode };
  show.heard = form.heard;
  for (const name of [...PARTS, ...stations]) {
    show[name] = () => fill(slot(name), model.get(name));
  }
  for (const [name, more] of Object.entries(answers(root, model, form.send))) {
    const place = show[name];
    show[name] = () => {
      place();
      more();
    };
  }

  root.addEventListener("click", (event) => {
    const button = event.target.closest(".mls-stage");
    if (!button) return;
    const stage = button.dataset.stage;
    model.set("selected", model.get("selected") === stage ? "" : stage);
    showSelected();
    if (!detail.hidden) detail.scrollIntoView({ block: "nearest" });
    model.save_changes();
  });

  const takeKey = keyTaker(root);
  window.addEventListener("keydown", takeKey, { capture: true });

  const isLost = () => root.closest(".jupyter-widgets-disconnected");
  const showLost = () => isLost() && form.lost();
  const lost = () => setTimeout(showLost);
  model.on("comm_live_update", lost);
  // JupyterLab marks no widget when its kernel restarts or is shut down: ask the kernel itself.
  const kernel = model.widget_manager?.kernel;
  const end = (_, status) => ENDED.has(status) && form.lost();
  kernel?.statusChanged?.connect(end);

  for (const [name, refresh] of Object.entries(show)) {
    refresh();
    model.on(`change:${name}`, refresh);
    model.on(`change:${name}`, hear);
  }
  showSelected();
  form.news();
  setTimeout(() => {
    const kept = isLost()?.closest(".jp-OutputArea-child")?.previousElementSibling;
    const same = kept?.querySelector(".mls-kept")?.dataset.status === model.get("status");
    if (same) root.remove();
    else showLost();
  });
  return () => {
    window.removeEventListener("keydown", takeKey, { capture: true });
    model.off("comm_live_update", lost);
    kernel?.statusChanged?.disconnect(end);
    for (const [name, refresh] of Object.entries(show)) {
      model.off(`change:${name}`, refresh);
      model.off(`change:${name}`, hear);
    }
    form.end();
  };
}

export default { render };
