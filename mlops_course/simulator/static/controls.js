// The controls: a form whose values live in the kernel. It sends what a person chose or typed, and
// shows what the kernel made of it. Nothing here knows what a setting means.

const ANSWER_MS = 4000; // the longest that an answer to a click usually takes
const NEWS_MS = 15000; // the longest that a run is usually without news
const RUN_WORDS = { running: "Pause", paused: "Continue", asking: WAITING };
const LOST = "The kernel is gone, and what was running with it. Run this cell again.";
const SILENT =
  "The kernel has not answered for some seconds. It may be busy with another cell; " +
  "if it is gone, run this cell again.";

function option([name, words]) {
  const made = document.createElement("option");
  made.value = name;
  made.textContent = words;
  return made;
}

function optionGroup([words, options]) {
  const made = document.createElement("optgroup");
  made.label = words;
  made.append(...options.map(option));
  return made;
}

function toggle([name, words]) {
  const made = document.createElement("button");
  made.type = "button";
  made.dataset.scenario = name;
  made.textContent = words;
  return made;
}

const FORM = `
  <fieldset class="mls-settings" aria-label="Settings of the run">
    <span class="mls-toggle" role="group" aria-label="What production meets"></span>
    <label>Other incidents <select name="others"><option value="">none of these</option></select></label>
    <label>Seed <input name="seed" type="number" min="0" step="1"></label>
    <label><input name="real_days" type="checkbox"> Days as they were</label>
    <label>Weeks <input name="weeks" type="number" min="1" step="1"></label>
    <label>Alert below <input name="threshold" type="text" inputmode="decimal" size="5"></label>
    <label><input name="retrain" type="checkbox"> Retrain automatically</label>
    <label><input name="ask" type="checkbox"> Ask me at an alert</label>
  </fieldset>
  <p class="mls-refused" role="alert"></p>
  <div class="mls-buttons">
    <button type="button" data-order="play" class="mls-run">Run pipeline</button>
    <button type="button" data-order="step">Step</button>
    <button type="button" data-order="reset">Reset</button>
    <label>Pace <select name="pace"></select></label>
    <button type="button" data-order="keep">Keep to compare</button>
    <button type="button" data-order="save">Save as a page</button>
  </div>
  <div class="mls-time" hidden>
    <label>Look back <input name="at" type="range" min="0" step="1"></label>
    <output class="mls-moment"></output>
    <button type="button" data-order="latest">Latest</button>
  </div>`;

// Fill `form`, and return how to show the settings, the mode, a refusal, and a lost kernel.
function controls(form, model, tellStatus) {
  form.innerHTML = FORM;
  const { first, others, paces, most_weeks: mostWeeks } = model.get("choices");
  const field = form.elements;
  form.querySelector(".mls-toggle").append(...first.map(toggle));
  field.others.append(...others.map(optionGroup));
  const listed = others.flatMap(([, options]) => options.map(([name]) => name));
  field.pace.append(...paces.map(option));
  const button = (order) => form.querySelector(`[data-order="${order}"]`);
  const run = form.querySelector(".mls-run");
  const isRecorded = Boolean(model.get("recorded"));
  let waiting = 0;
  let typing = null; // the field in which somebody types: what the kernel says waits until then

  function expect(milliseconds) {
    clearTimeout(waiting);
    waiting = setTimeout(() => tellStatus("silent", model.get("silent") ?? SILENT), milliseconds);
  }

  function send(message) {
    expect(ANSWER_MS);
    try {
      model.send(message);
    } catch {
      lost();
    }
  }

  function lost() {
    clearTimeout(waiting);
    form.querySelector(".mls-settings").disabled = true;
    field.pace.disabled = true;
    for (const order of form.querySelectorAll("[data-order]")) {
      order.setAttribute("aria-disabled", "true");
    }
    tellStatus("lost", model.get("lost") ?? LOST);
  }

  function show(name, value) {
    if (field[name] !== typing) field[name].value = value;
  }

  function showSettings() {
    const { scenario, weeks, seed, threshold, retrain, ask, pace } = model.get("settings");
    for (const choice of form.querySelectorAll("[data-scenario]")) {
      choice.setAttribute("aria-pressed", String(choice.dataset.scenario === scenario));
    }
    field.others.value = listed.includes(scenario) ? scenario : "";
    field.weeks.max = mostWeeks[scenario];
    show("weeks", weeks);
    field.real_days.checked = seed === null;
    field.seed.disabled = seed === null;
    if (seed !== null) show("seed", seed);
    show("threshold", threshold);
    field.retrain.checked = retrain;
    field.ask.checked = Boolean(ask);
    field.pace.value = pace;
  }

  function showMode() {
    const mode = model.get("mode");
    const asks = mode === "asking";
    const busy = mode === "running" || mode === "paused" || asks;
    form.querySelector(".mls-settings").disabled = busy || isRecorded;
    run.textContent = RUN_WORDS[mode] ?? (isRecorded ? "Play" : "Run pipeline");
    run.dataset.order = mode === "running" ? "pause" : "play";
    run.setAttribute("aria-disabled", String(asks));
    button("step").setAttribute("aria-disabled", String(mode === "running" || asks));
    button("reset").setAttribute("aria-disabled", String(mode === "idle"));
  }

  function showTime() {
    const moments = model.get("moments");
    const last = moments.length - 1;
    const at = model.get("at") < 0 ? last : model.get("at");
    form.querySelector(".mls-time").hidden = last < 1;
    field.at.max = last;
    show("at", at);
    field.at.setAttribute("aria-valuetext", moments[at] ?? "");
    form.querySelector(".mls-moment").textContent = moments[at] ?? "";
    button("latest").setAttribute("aria-disabled", String(at === last));
    button("save").setAttribute("aria-disabled", String(last < 0));
    showKept();
  }

  // One button keeps a run, and lets the kept one go.
  function showKept() {
    const kept = model.get("kept");
    const keep = button("keep");
    keep.dataset.does = kept ? "forget" : "keep";
    keep.textContent = kept ? "Stop comparing" : "Keep to compare";
    keep.title = kept ? `Kept: ${kept}` : "Shows this run's accuracy beside that of the next";
    keep.setAttribute("aria-disabled", String(!kept && model.get("moments").length === 0));
  }

  function showRefused() {
    form.querySelector(".mls-refused").textContent = model.get("refused");
    showSettings();
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("click", (event) => {
    const pressed = event.target.closest("button");
    if (!pressed || pressed.getAttribute("aria-disabled") === "true") return;
    const { order, scenario } = pressed.dataset;
    if (order === "pause") run.textContent = "Pausing …";
    if (order === "latest") send({ look: null });
    else if (order === "keep") send({ order: pressed.dataset.does });
    else send(scenario ? { set: "scenario", value: scenario } : { order });
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
    event.target.dispatchEvent(new Event("change", { bubbles: true }));
  });
  form.addEventListener("input", ({ target }) => {
    if (target === field.at) send({ look: Number(target.value) < target.max ? Number(target.value) : null });
    else typing = target;
  });
  form.addEventListener("change", (event) => {
    typing = null;
    if (event.target === field.at) return;
    const { name, value, checked } = event.target;
    if (name === "others") send({ set: "scenario", value: value || first[0][0] });
    else if (name === "real_days") send({ set: "seed", value: checked ? null : field.seed.value || "0" });
    else if (name === "retrain" || name === "ask") send({ set: name, value: checked });
    else send({ set: name, value });
  });

  button("save").hidden = isRecorded;
  button("keep").hidden = isRecorded;
  showSettings();
  showMode();
  showTime();
  model.on("msg:custom", ({ name, page }) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([page], { type: "text/html" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  return {
    lost,
    send,
    news: () => {
      clearTimeout(waiting);
      if (model.get("mode") === "running") expect(NEWS_MS);
    },
    heard: showSettings,
    end: () => clearTimeout(waiting),
    watch: {
      settings: showSettings,
      mode: showMode,
      refused: showRefused,
      moments: showTime,
      at: showTime,
      kept: showKept,
    },
  };
}
