// The page's side of a widget where there is no Jupyter: named values, and who wants to hear of them.

class Model {
  constructor(values) {
    this.values = values;
    this.listeners = new Map();
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    if (this.values[name] === value) return;
    this.values[name] = value;
    this.tell(`change:${name}`);
  }

  tell(event) {
    for (const listener of this.listeners.get(event) ?? []) listener();
  }

  on(event, listener) {
    if (!this.listeners.has(event)) this.listeners.set(event, new Set());
    this.listeners.get(event).add(listener);
  }

  off(event, listener) {
    this.listeners.get(event)?.delete(listener);
  }

  save_changes() {}
}

// Choose the theme of a page of its own: as the one around it, or as the browser prefers.
function chooseTheme(around) {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.jpThemeLight = around ?? String(!isDark);
}
