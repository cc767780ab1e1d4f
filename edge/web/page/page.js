import { $, element, percent, post, showBars, showPairs, showPicture, showTimeline, showWhy } from "./draw.js";
import { follow } from "./follow.js";

const SPAN = 300; // seconds of the timeline
const CALM = 300; // milliseconds between two changes of the figures

let card = { labels: [], unknown: "unknown" };
let events = []; // [seconds of the server's clock, label], oldest first
let written = 0;
let hung = false; // a call into the camera's driver does not return

function showCard() {
  document.body.classList.toggle("collect", !card.classifies);
  $("why").hidden = !card.why;
  $("source").textContent = card.source;
  if (card.label && !$("name").value) $("name").value = card.label;
  $("labels").replaceChildren(...card.labels.map((value) => Object.assign(document.createElement("option"), { value })));
  showPairs($("card"), card.model);
  $("bars").replaceChildren();
}

function show(state, bitmap) {
  if (state.card) {
    card = state.card;
    events = [];
    showCard();
  }
  events.push(...state.events);
  hung = state.hung;
  if (bitmap) {
    showPicture($("picture"), bitmap);
    if (state.why) showWhy($("picture"), state.why);
    $("versus").textContent = state.why ? `warm: for ${state.why.label}; cold: for ${state.why.rival}` : "";
  }
  $("drift").textContent = state.drift ?? "";
  if (state.label !== undefined) {
    $("label").textContent = state.label;
    $("label").classList.toggle("unknown", state.label === card.unknown);
    $("score").textContent = state.score === null ? "" : percent(state.score);
    showBars($("bars"), state.scores, card.labels);
  }
  if (!state.card && performance.now() - written < CALM) return;
  written = performance.now();
  if (state.label !== undefined) showTimeline($("timeline"), $("legend"), events, card.labels, state.clock, SPAN);
  showPairs($("figures"), state.figures);
  $("counts").replaceChildren(...Object.entries(state.saved).map(([label, count]) => element("li", `${label}: ${count}`)));
}

const PILLS = { live: "live", silent: "no signal", old: "old picture", lost: "no connection" };
const length = (seconds) => (seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`);

function tell(kind, age, reason) {
  const text = kind === "lost" && !reason ? "connecting" : PILLS[kind];
  if ($("signal").textContent !== text) $("signal").textContent = text; // it is read aloud at each change
  $("signal").className = `pill ${kind === "live" ? "live" : "lost"}`;
  document.body.classList.toggle("lost", kind !== "live");
  const old = age === null ? "No picture yet." : `This picture is ${length(age)} old.`;
  const why = hung ? "The camera's driver hangs: start the program again." : reason && reason !== "no answer" ? reason : "";
  $("note").textContent = kind === "live" ? "" : `${old} ${why}`;
}

$("save").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  const button = $("save").querySelector("button");
  button.disabled = true;
  $("saved").textContent = "";
  const [good, text] = await post("/save", { label: $("name").value });
  $("saved").textContent = text;
  $("saved").classList.toggle("bad", !good);
  button.disabled = false;
});

$("span").textContent = SPAN / 60;
$("oldest").textContent = `${SPAN / 60} min ago`;
follow(show, tell, () => ($("curious").checked ? "&why=1" : ""));
