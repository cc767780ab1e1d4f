import { $, colour, element, percent, post, showBars, showPairs, showPicture } from "./draw.js";
import { follow } from "./follow.js";

const PAUSE = 250; // milliseconds between two frames while a button is held

let card = { unknown: "unknown" };
let names = [];
let drawn = -1; // the changes that the grid shows
let held = ""; // the label whose button is held

function say(good, text) {
  $("told").textContent = text;
  $("told").classList.toggle("bad", !good);
}

async function take(label) {
  for (let anew = true; held === label; anew = false) {
    const [good, text] = await post("/take", { label, held: !anew });
    say(good, `${label}: ${text}`);
    if (!good) break;
    await new Promise((done) => setTimeout(done, PAUSE));
  }
}

function hold(label) {
  if (held) return;
  held = label;
  mark();
  take(label);
}

function release() {
  held = "";
  mark();
}

const mark = () => [...$("buttons").children].forEach((row) => row.firstChild.classList.toggle("held", row.label === held));

function makeButton(label) {
  const row = element("li");
  const button = element("button");
  row.label = label;
  button.type = "button";
  button.append(element("strong", label), element("span"), element("small"));
  button.addEventListener("pointerdown", (pressed) => {
    if (pressed.button === 0) hold(label);
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave", "blur"]) button.addEventListener(end, release);
  button.addEventListener("contextmenu", (asked) => asked.preventDefault()); // a long press on a phone
  button.addEventListener("keydown", (pressed) => {
    if ((pressed.key === " " || pressed.key === "Enter") && !pressed.repeat) hold(label);
  });
  button.addEventListener("keyup", release);
  row.append(button);
  return row;
}

function showButtons(lesson) {
  const wanted = lesson.map(({ label }) => label);
  if (wanted.join("\n") !== names.join("\n")) {
    names = wanted;
    const rows = new Map([...$("buttons").children].map((row) => [row.label, row]));
    $("buttons").replaceChildren(...names.map((label) => rows.get(label) ?? makeButton(label)));
    mark();
  }
  lesson.forEach(({ frames, kept, right, of, interval }, place) => {
    const button = $("buttons").children[place].firstChild;
    button.style.setProperty("--colour", colour(names, names[place]));
    button.children[1].textContent = `${frames}${kept ? ` + ${kept} kept` : ""}`;
    button.children[2].textContent = of === 1 ? "take more to see how it does" : of
      ? `${right} of ${of} right when left out, ${percent(interval[0])} to ${percent(interval[1])}`
      : frames || kept ? "" : "no frame yet";
  });
}

async function showGrid(changes) {
  drawn = changes;
  try {
    const answer = await fetch("/frames", { cache: "no-store" });
    if (!answer.ok) throw new Error();
    const frames = await answer.json();
    const shown = new Map([...$("grid").children].map((item) => [item.number, item]));
    $("grid").replaceChildren(...frames.map(([number, label]) => shown.get(number) ?? makeFrame(number, label)));
    [...$("grid").children].forEach((item) => item.firstChild.style.setProperty("--colour", colour(names, item.label)));
  } catch {
    drawn = -1; // the next state asks again
  }
}

function makeFrame(number, label) {
  const item = Object.assign(element("li"), { number, label });
  const button = element("button");
  button.type = "button";
  button.setAttribute("aria-label", `throw out this frame of ${label}`);
  button.append(Object.assign(element("img"), { src: `/frames/${number}.jpg`, alt: "", loading: "lazy" }));
  button.append(element("span", label));
  button.addEventListener("click", async () => {
    button.disabled = true;
    const [good, text] = await post("/throw", { frame: number });
    say(good, `${label}: ${text}`);
    button.disabled = false;
  });
  item.append(button);
  return item;
}

function show(state, bitmap) {
  if (state.card) {
    card = state.card;
    drawn = -1;
    $("source").textContent = card.source;
    showPairs($("card"), card.model);
  }
  if (bitmap) showPicture($("picture"), bitmap);
  showButtons(state.lesson);
  if (state.changes !== drawn) showGrid(state.changes);
  $("finish").disabled = state.saved_all;
  if (state.label === undefined) return;
  const why = { unlike: "like nothing that was taught", between: "between labels" }[state.why];
  $("label").textContent = state.label === null ? "…" : state.why ? `${card.unknown}: ${why}` : state.label;
  $("label").classList.toggle("unknown", Boolean(state.why));
  $("score").textContent = state.score === null ? "" : percent(state.score);
  $("hint").hidden = state.label !== null;
  showBars($("bars"), state.scores, names);
}

function tell(kind, age, reason) {
  const text = { live: "live", silent: "no signal", old: "old picture", lost: reason ? "no connection" : "connecting" }[kind];
  if ($("signal").textContent !== text) $("signal").textContent = text;
  $("signal").className = `pill ${kind === "live" ? "live" : "lost"}`;
  document.body.classList.toggle("lost", kind !== "live");
  $("note").textContent = kind === "live" ? "" : age === null ? "No picture yet." : `This picture is ${Math.round(age)} s old.`;
}

$("add").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  const [good, text] = await post("/label", { label: $("name").value });
  say(good, text);
  if (good) $("name").value = "";
});

$("finish").addEventListener("click", async () => {
  const [good, text] = await post("/finish", {});
  $("saved").textContent = text;
  $("saved").classList.toggle("bad", !good);
});

addEventListener("pointerup", release);
document.addEventListener("visibilitychange", release);
follow(show, tell);
