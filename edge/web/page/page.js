"use strict";
// One stream of pictures, one of states. Nothing here comes from elsewhere, and labels are only ever set as text.

const PALETTE = ["#5db8f0", "#f2a65a", "#58c99a", "#d98ae0", "#f0876b", "#9aa8f5", "#d9c24a", "#6fd3d6"];
const GREY = "#7d8d9a";
const SPAN = 300; // seconds of the timeline
const $ = (id) => document.getElementById(id);
const element = (tag, text, name) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
};

let labels = [];
let unknown = "unknown";
let events = []; // [seconds of the server's clock, label], oldest first
let clock = 0; // the server's, in seconds
let heard = 0; // when the last state came, by this page's clock

const colour = (label) => (labels.includes(label) ? PALETTE[labels.indexOf(label) % PALETTE.length] : GREY);
const percent = (value) => `${(100 * value).toFixed(value > 0.9995 || value < 0.0005 ? 0 : 1)} %`;

function fill(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

function showCard(card) {
  labels = card.labels;
  unknown = card.unknown;
  events = card.events;
  document.body.classList.toggle("collect", !card.classifies);
  $("source").textContent = card.source;
  if (card.label) $("name").value = card.label;
  $("labels").replaceChildren(...labels.map((label) => Object.assign(document.createElement("option"), { value: label })));
  fill($("card"), card.model);
  $("bars").replaceChildren();
}

function showBars(scores) {
  const bars = $("bars");
  while (bars.children.length > scores.length) bars.lastChild.remove();
  scores.forEach(([label, score], place) => {
    let row = bars.children[place];
    if (!row) {
      row = element("li");
      const track = element("div", undefined, "track");
      track.append(element("i"));
      row.append(element("span", "", "name"), element("span"), track);
      bars.append(row);
    }
    row.children[0].textContent = label;
    row.children[1].textContent = percent(score);
    const bar = row.children[2].firstChild;
    bar.style.width = `${100 * score}%`;
    bar.style.setProperty("--colour", colour(label));
  });
}

function showTimeline() {
  const canvas = $("timeline");
  const width = canvas.clientWidth * devicePixelRatio;
  const height = canvas.clientHeight * devicePixelRatio;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  const start = clock - SPAN;
  while (events.length > 1 && events[1][0] <= start) events.shift();
  events.forEach(([time, label], place) => {
    const end = place + 1 < events.length ? events[place + 1][0] : clock;
    const left = (Math.max(time, start) - start) / SPAN;
    pen.fillStyle = colour(label);
    pen.fillRect(left * width, 0, Math.max(1, ((end - start) / SPAN - left) * width), height);
  });
  const seen = [...new Set(events.map(([, label]) => label).filter(Boolean))].slice(0, 12);
  $("legend").replaceChildren(
    ...seen.map((label) => {
      const item = element("li", label);
      item.style.setProperty("--colour", colour(label));
      return item;
    }),
  );
  $("span").textContent = SPAN / 60;
  $("oldest").textContent = `${SPAN / 60} min ago`;
}

function showState(state) {
  heard = performance.now();
  clock = state.clock;
  if (state.label !== undefined) {
    $("label").textContent = state.label;
    $("label").classList.toggle("unknown", state.label === unknown);
    $("score").textContent = percent(state.score);
    showBars(state.scores);
    showTimeline();
  }
  fill($("figures"), state.figures);
  $("counts").replaceChildren(...Object.entries(state.saved).map(([label, count]) => element("li", `${label}: ${count}`)));
  showSignal(state.signal ? "live" : "lost", state.signal ? "live" : "no signal");
}

function showSignal(kind, text) {
  $("signal").className = `pill ${kind}`;
  $("signal").textContent = text;
  $("picture").classList.toggle("lost", kind === "lost");
}

function listen() {
  const stream = new EventSource("/events");
  stream.addEventListener("card", (message) => {
    showCard(JSON.parse(message.data));
    $("picture").src = `/stream.mjpg?${Date.now()}`; // it broke off with the other stream
  });
  stream.addEventListener("change", (message) => events.push(JSON.parse(message.data)));
  stream.addEventListener("state", (message) => showState(JSON.parse(message.data)));
  stream.onerror = () => showSignal("lost", "no connection");
}

setInterval(() => {
  if (heard && performance.now() - heard > 4000) showSignal("lost", "no connection");
}, 1000);

$("save").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  const button = $("save").querySelector("button");
  button.disabled = true;
  let text = "no connection";
  let good = false;
  try {
    const answer = await fetch("/save", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ label: $("name").value }),
    });
    good = answer.ok;
    text = await answer.text();
  } catch {
    // said below
  }
  $("saved").textContent = text;
  $("saved").classList.toggle("bad", !good);
  button.disabled = false;
});

// After the page is loaded: a stream of pictures that is part of the loading would never let it end.
window.addEventListener("load", listen);
