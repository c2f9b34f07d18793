// The stage panel's buttons: copy, insert below, show me; and the links into MLflow. What cannot be
// kept where the page stands (no kernel, no notebook, no MLflow) stays hidden, or plain text.

const MLFLOW = "mlflow-simulator"; // the name of the launcher's tile, as in pyproject.toml
const BUSY = "A run is under way: wait for its end, or press Reset first.";
const GONE = "The kernel is gone: run this cell again.";
const WIDGET_VIEW = "application/vnd.jupyter.widget-view+json";

// Where the launcher's MLflow is, if this page is Jupyter's and Jupyter knows of it; asked once.
let mlflowAt;
function findMlflow() {
  mlflowAt ??= askForMlflow().catch(() => "");
  return mlflowAt;
}

async function askForMlflow() {
  const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent || "{}");
  if (!config.baseUrl) return "";
  const base = new URL(config.baseUrl, location.href).href.replace(/\/?$/, "/");
  const answer = await fetch(`${base}server-proxy/servers-info`);
  if (!answer.ok) return "";
  const { server_processes: known } = await answer.json();
  return known.some(({ name }) => name === MLFLOW) ? `${base}${MLFLOW}/` : "";
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // no permission, or an address without TLS
  }
}

function copyBySelection(text) {
  const area = document.createElement("textarea");
  const focused = document.activeElement;
  area.value = text;
  area.style.cssText = "position:fixed;opacity:0";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return copied;
}

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}

// The notebook that holds the picture, and the number of the picture's cell; null elsewhere.
function findCell(root, model) {
  const notebook = model.widget_manager?.context?.model?.sharedModel;
  const index = Number.parseInt(root.closest(".jp-Notebook .jp-Cell")?.dataset.windowedListIndex, 10);
  if (typeof notebook?.insertCell !== "function" || Number.isNaN(index)) return null;
  const shows = (output) => Boolean(output.data?.[WIDGET_VIEW]);
  return notebook.cells[index]?.toJSON().outputs?.some(shows) ? { notebook, index } : null;
}

// Where code goes: below the cell, after what was inserted of earlier stages.
function placeBelow({ notebook, index }, number) {
  let place = index + 1;
  const inserted = () => /^# By hand, (\d)/.exec(notebook.cells[place]?.getSource() ?? "");
  while (inserted() && Number(inserted()[1]) <= number) place += 1;
  return place;
}

// Serve the buttons below `root`; return what is to be done when parts were drawn anew.
function panel(root, model, send) {
  const isRecorded = Boolean(model.get("recorded"));
  for (const button of root.querySelectorAll(".mls-shown")) button.hidden = isRecorded;

  function say(button, words) {
    const told = button.closest(".mls-actions, .mls-again, [data-panel]").querySelector(".mls-said");
    told.textContent = "";
    setTimeout(() => { told.textContent = words; }); // the same words again are said again
  }

  async function copy(button) {
    const around = button.closest(".mls-by-hand, .mls-again");
    const text = around.querySelector("pre, code");
    const copied = await copyText(text.textContent);
    if (!copied) select(text);
    say(button, copied ? "Copied." : "The browser did not allow it. It is selected: press Ctrl+C.");
  }

  function insert(button) {
    const cell = findCell(root, model);
    if (!cell) return say(button, "There is no notebook here to insert it into. Copy it instead.");
    const around = button.closest(".mls-by-hand");
    const place = placeBelow(cell, Number(around.dataset.number));
    const source = around.querySelector("pre").textContent;
    cell.notebook.insertCell(place, { cell_type: "code", source, metadata: { trusted: true } });
    return say(button, "Inserted below this cell. It has not been run.");
  }

  function showMe(button) {
    const { show, look } = button.dataset;
    if (root.dataset.mode === "lost") return say(button, GONE);
    if (["running", "paused"].includes(model.get("mode"))) return say(button, BUSY);
    send({ set: "settings", value: show });
    send({ order: "play" });
    root.querySelector(".mls-run").focus();
    return say(button, `Asked to run ${show}. ${look}`);
  }

  root.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button?.matches(".mls-copy")) copy(button);
    if (button?.matches(".mls-insert")) insert(button);
    if (button?.matches(".mls-show")) showMe(button);
  });

  async function link() {
    if (!model.get("linked")) return;
    const base = await findMlflow();
    for (const way of base ? root.querySelectorAll("a[data-mlflow]") : []) {
      way.href = base + way.dataset.mlflow;
      way.target = "_blank";
      way.rel = "noopener";
      way.title = "Opens MLflow in a new tab; its first start takes some seconds";
    }
  }

  function offer() {
    const possible = !isRecorded && findCell(root, model) !== null;
    for (const button of root.querySelectorAll(".mls-insert")) button.hidden = !possible;
  }

  return { link, offer };
}
