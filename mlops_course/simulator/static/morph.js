// What any page of the course's widgets does: put a text in its place, touching only what differs,
// so that the focus and what was unfolded stay; and keep keys from the notebook.

// JupyterLab takes keys as orders to the notebook, unless the element that has the focus says so.
const OWN_KEYS = "data-lm-suppress-shortcuts";
const KEPT = new Set([
  "aria-pressed", "aria-controls", "open", "href", "target", "rel", OWN_KEYS,
]);
const ENDED = new Set(["restarting", "autorestarting", "terminating", "dead"]);

// Change the old element's children into the new one's, touching only what differs.
function morph(old, fresh) {
  const keyed = new Map();
  for (const child of old.children) {
    if (child.dataset.key) keyed.set(child.dataset.key, child);
  }
  let place = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const twin = keyed.get(wanted.dataset?.key);
    if (twin && twin !== place) old.insertBefore(twin, place);
    const present = twin ?? place;
    if (present && (twin || alike(present, wanted))) {
      place = present.nextSibling;
      patch(present, wanted);
    } else {
      old.insertBefore(wanted, place);
    }
  }
  while (place) {
    const rest = place.nextSibling;
    place.remove();
    place = rest;
  }
}

function alike(one, other) {
  return one.nodeName === other.nodeName && one.dataset?.key === other.dataset?.key;
}

function patch(old, wanted) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== wanted.nodeValue) old.nodeValue = wanted.nodeValue;
    return;
  }
  if (old.isEqualNode(wanted)) return;
  for (const { name } of [...old.attributes]) {
    if (!KEPT.has(name) && !wanted.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (!KEPT.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  morph(old, wanted);
}

function fill(slot, html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  morph(slot, fresh.content);
}

// A key alone is ours, and must not cut a cell; with Ctrl, Alt or Cmd it is the notebook's.
function keyTaker(root) {
  return (event) => {
    if (!root.contains(event.target)) return;
    event.target.toggleAttribute(OWN_KEYS, !(event.ctrlKey || event.altKey || event.metaKey));
  };
}
