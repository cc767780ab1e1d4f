// What pages are drawn with. Nothing comes from elsewhere, and labels are only ever set as text.

const PALETTE = ["#5db8f0", "#f2a65a", "#58c99a", "#d98ae0", "#f0876b", "#9aa8f5", "#d9c24a", "#6fd3d6"];
const GREY = "#7d8d9a";
const WARM = [240, 70, 20];
const COLD = [20, 110, 230];

export const $ = (id) => document.getElementById(id);

export const element = (tag, text, name) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
};

export const colour = (labels, label) =>
  labels.includes(label) ? PALETTE[labels.indexOf(label) % PALETTE.length] : GREY;

export const percent = (value) => `${(100 * value).toFixed(value > 0.9995 || value < 0.0005 ? 0 : 1)} %`;

export function showPairs(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

export function showPicture(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
}

/** Warm what speaks for the label, cold what for the next; `cells` are rows of -100 to 100, `box` parts of the picture. */
export function showWhy(canvas, { cells, box }) {
  const [rows, columns] = [cells.length, cells[0].length];
  const small = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
  const image = new ImageData(columns, rows);
  cells.flat().forEach((value, place) => image.data.set([...(value > 0 ? WARM : COLD), 1.8 * Math.abs(value)], 4 * place));
  small.getContext("2d").putImageData(image, 0, 0);
  const sides = [canvas.width, canvas.height, canvas.width, canvas.height];
  canvas.getContext("2d").drawImage(small, ...box.map((part, side) => part * sides[side]));
}

/** One bar a label; `scores` are pairs of label and score, `labels` those that have colours. */
export function showBars(list, scores, labels) {
  while (list.children.length > scores.length) list.lastChild.remove();
  scores.forEach(([label, score], place) => {
    let row = list.children[place];
    if (!row) {
      row = element("li");
      const track = element("div", undefined, "track");
      track.append(element("i"));
      row.append(element("span", "", "name"), element("span"), track);
      list.append(row);
    }
    row.children[0].textContent = label;
    row.children[1].textContent = percent(score);
    const bar = row.children[2].firstChild;
    bar.style.width = `${100 * score}%`;
    bar.style.setProperty("--colour", colour(labels, label));
  });
}

/**
 * The labels of the last `span` seconds as strips of colour; `events` are pairs of time and label, oldest first, ""
 * where there was no signal.
 */
export function showTimeline(canvas, legend, events, labels, clock, span) {
  const width = canvas.clientWidth * devicePixelRatio;
  const height = canvas.clientHeight * devicePixelRatio;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  const start = clock - span;
  while (events.length > 1 && events[1][0] <= start) events.shift();
  events.forEach(([time, label], place) => {
    if (!label) return;
    const end = place + 1 < events.length ? events[place + 1][0] : clock;
    const left = (Math.max(time, start) - start) / span;
    pen.fillStyle = colour(labels, label);
    pen.fillRect(left * width, 0, Math.max(1, ((end - start) / span - left) * width), height);
  });
  const seen = [...new Set(events.map(([, label]) => label).filter(Boolean))].slice(0, 12);
  legend.replaceChildren(
    ...seen.map((label) => {
      const item = element("li", label);
      item.style.setProperty("--colour", colour(labels, label));
      return item;
    }),
  );
}

/** Send `value` as JSON; a promise of the server's answer as [whether it did it, its words]. */
export async function post(address, value) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 10000);
  try {
    const answer = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(value),
      signal: stop.signal,
    });
    return [answer.ok, await answer.text()];
  } catch {
    return [false, "no connection: try again"];
  } finally {
    clearTimeout(timer);
  }
}
