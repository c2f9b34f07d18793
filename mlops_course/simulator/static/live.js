// Shows a simulator that runs in a program of its own, without Jupyter: its news come as a stream of
// events, and what a person asks for goes back as a request.

const TYPE_FOR_WIDTH = 1040; // so many pixels wide the page is drawn; a wider window enlarges it
const MOST_ZOOM = 2.5;

class Live extends Model {
  send(message) {
    if (message.order === "save") return download();
    const request = { method: "POST", body: JSON.stringify(message) };
    fetch("tell", request).catch(lost);
  }
}

function download() {
  const link = document.createElement("a");
  link.href = "recording";
  link.download = "";
  link.click();
}

const place = document.querySelector("#picture");
const news = new EventSource("news");
let model = null;

function lost() {
  place.classList.add("jupyter-widgets-disconnected");
  model?.tell("comm_live_update");
}

news.onmessage = ({ data }) => {
  const values = JSON.parse(data);
  if (place.classList.contains("jupyter-widgets-disconnected")) location.reload();
  if (model) {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
  } else {
    model = new Live({ ...values, selected: "" });
    render({ model, el: place });
  }
};
news.onerror = lost;

function enlarge() {
  document.body.style.zoom = Math.min(Math.max(window.innerWidth / TYPE_FOR_WIDTH, 1), MOST_ZOOM);
}

chooseTheme();
enlarge();
window.addEventListener("resize", enlarge);
