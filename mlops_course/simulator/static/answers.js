// What a person answers: the question at an alert, the diagnosis of a mystery, and whether to play
// the other choices. The kernel says what stands there; this sends what was pressed.

const WAITING = "Waiting for your decision";

function answers(root, model, send) {
  const slot = (name) => root.querySelector(`[data-slot="${name}"]`);
  const panel = slot("question");
  const isRecorded = Boolean(model.get("recorded"));
  let isOpen = false;

  function showQuestion() {
    const asks = !isRecorded && model.get("question") !== "";
    panel.hidden = !asks;
    if (asks && !isOpen && root.contains(document.activeElement)) panel.focus();
    // The buttons are gone, and the focus with them: it goes back to where the run is steered.
    if (!asks && isOpen && document.activeElement === document.body) root.querySelector(".mls-run").focus();
    isOpen = asks;
  }

  function showMystery() {
    const part = slot("mystery");
    part.hidden = model.get("mystery") === "" || (isRecorded && part.querySelector("select") !== null);
    showNamed();
  }

  function showNamed() {
    const named = slot("mystery").querySelector("[name=diagnosis]");
    const button = slot("mystery").querySelector("[data-diagnose=named]");
    if (named) button.setAttribute("aria-disabled", String(named.value === ""));
  }

  function showHindsight() {
    const button = slot("hindsight").querySelector("[data-others]");
    if (!button) return;
    button.hidden = isRecorded;
    button.setAttribute("aria-disabled", String(model.get("progress").startsWith("Playing")));
  }

  root.addEventListener("change", ({ target }) => target.name === "diagnosis" && showNamed());
  root.addEventListener("click", ({ target }) => {
    const pressed = target.closest("[data-choice], [data-diagnose], [data-others]");
    if (!pressed || pressed.getAttribute("aria-disabled") === "true") return;
    const { choice, diagnose, others } = pressed.dataset;
    if (choice) send({ choose: choice });
    else if (others !== undefined) send({ order: "others" });
    else send({ diagnose: diagnose && slot("mystery").querySelector("[name=diagnosis]").value });
  });
  return { question: showQuestion, mystery: showMystery, hindsight: showHindsight, progress: showHindsight };
}
