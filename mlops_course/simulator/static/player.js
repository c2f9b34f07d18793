// Plays a recorded run in a page without a kernel: it answers the picture as the kernel would, from
// the frames that were kept.

const STAGE_MS = 500;
const LEAST_MS = 60;

class Player extends Model {
  constructor({ frames, ...fixed }) {
    super({ ...fixed, selected: "", refused: "", stale: "", heard: 0, progress: "", recorded: true });
    this.frames = frames;
    this.timer = 0;
    const last = frames.length - 1;
    Object.assign(this.values, this.frame(last), { at: last });
  }

  // What is shown at a moment: the first frame, and what changed from one to the next.
  frame(moment) {
    return Object.assign({}, ...this.frames.slice(0, moment + 1));
  }

  send({ order, set, value, look }) {
    if (set === "pace") this.set("settings", { ...this.get("settings"), pace: value });
    if (order === "play") this.play(this.get("at") === this.frames.length - 1 ? 0 : this.get("at"));
    if (order === "pause") this.rest();
    if (order === "step") this.show(Math.min(this.get("at") + 1, this.frames.length - 1));
    if (order === "reset") this.show(0, "idle");
    if (look !== undefined) this.show(look ?? this.frames.length - 1);
    this.set("heard", this.get("heard") + 1);
  }

  show(moment, mode = moment === this.frames.length - 1 ? "finished" : "paused") {
    clearTimeout(this.timer);
    const parts = { ...this.frame(moment), at: moment, mode };
    if (mode === "paused" || mode === "idle") parts.status = parts.spoken = `At ${this.get("moments")[moment]}.`;
    for (const [name, part] of Object.entries(parts)) this.set(name, part);
  }

  rest() {
    this.show(this.get("at"));
  }

  play(moment) {
    if (moment === this.frames.length - 1) return this.show(moment);
    this.show(moment, "running");
    const chosen = this.get("settings").pace;
    const [, , seconds] = this.get("choices").paces.find(([name]) => name === chosen);
    const pace = Math.max(1000 * seconds, LEAST_MS);
    const isWeek = this.get("moments")[moment + 1].startsWith("week");
    const wait = isWeek ? pace : Math.min(STAGE_MS, pace);
    this.timer = setTimeout(() => this.play(moment + 1), wait);
  }
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const frame = window.frameElement; // in a notebook the page stands in a frame, as high as it needs
chooseTheme(frame?.ownerDocument.body.dataset.jpThemeLight);
if (frame) {
  const fit = () => { frame.style.height = `${document.body.offsetHeight + 40}px`; };
  new ResizeObserver(fit).observe(document.body);
}
const recording = await unpack(document.querySelector("#recording").textContent);
render({ model: new Player(recording), el: document.querySelector("#picture") });
