// Picture and state of /next, one request a picture, as one thing: together they come, and together they break off.

const WAIT = 4000; // milliseconds until an answer begins; the server takes one at most
const LOAD = 10000; // milliseconds that the rest of it may take
const PAUSES = [300, 600, 1200, 2500, 5000]; // between attempts that fail, the last one for ever
const TICK = 500;
const FRESH = 3000; // milliseconds after which a picture is old

const sleep = (time, signal) =>
  new Promise((done) => {
    setTimeout(done, time);
    signal.addEventListener("abort", done);
  });

async function ask(query, signal) {
  const stop = new AbortController();
  const pass = () => stop.abort();
  let timer = setTimeout(pass, WAIT);
  signal.addEventListener("abort", pass);
  try {
    const answer = await fetch(`/next?${query}`, { signal: stop.signal, cache: "no-store" });
    clearTimeout(timer);
    timer = setTimeout(pass, LOAD);
    if (!answer.ok) throw new Error(await answer.text());
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const line = bytes.indexOf(10);
    const state = JSON.parse(new TextDecoder().decode(bytes.subarray(0, line)));
    const jpeg = bytes.subarray(line + 1);
    return [state, jpeg.length ? await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" })) : null];
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", pass);
  }
}

/**
 * Follow the page's pictures as long as anybody sees this tab; a hidden one asks for nothing.
 *
 * show(state, bitmap): the state, and the picture that it is of; null if that is the one that was shown before.
 * tell(kind, seconds, reason): twice a second, and after each answer: "live", "silent" (there are no frames), "old" (the
 * picture is), "lost" (no answer has come for three seconds, or none yet), how old the picture is, null while there is
 * none, and what went wrong with the last request.
 * more(): what else is asked for, "&why=1".
 */
export function follow(show, tell, more = () => "") {
  let run = null; // aborts the attempt that is under way
  let cursor = "";
  let last = null; // the last state, and when it came, by the wall clock: others stop while a machine sleeps
  let reason = "";
  let ticked = Date.now();

  const look = () => {
    const since = last ? Date.now() - last.came : 0;
    const age = last && last.state.age !== null ? last.state.age + since / 1000 : null;
    if (!last || since < 0 || since > FRESH) return tell("lost", age, reason);
    if (!last.state.signal) return tell("silent", age, "");
    tell(age !== null && 1000 * age > FRESH ? "old" : "live", age, "");
  };

  const go = async (signal) => {
    for (let failed = 0; !signal.aborted; ) {
      try {
        const [state, bitmap] = await ask(`after=${cursor}${more()}`, signal);
        if (signal.aborted) return;
        cursor = state.cursor;
        last = { state, came: Date.now() };
        failed = 0;
        reason = "";
        show(state, bitmap);
        look();
      } catch (error) {
        if (signal.aborted) return;
        reason = error instanceof TypeError || error.name === "AbortError" ? "no answer" : error.message;
        look();
        await sleep(PAUSES[Math.min(failed++, PAUSES.length - 1)], signal);
      }
    }
  };

  const restart = () => {
    run?.abort();
    run = document.hidden ? null : new AbortController();
    reason = "";
    if (run) go(run.signal);
    look();
  };

  setInterval(() => {
    const now = Date.now();
    const slept = Math.abs(now - ticked) > FRESH; // what was under way then may never end
    ticked = now;
    if (slept && !document.hidden) restart();
    else look();
  }, TICK);
  document.addEventListener("visibilitychange", restart);
  document.addEventListener("resume", restart);
  addEventListener("online", restart);
  addEventListener("pageshow", (event) => event.persisted && restart()); // out of the browser's own cache
  restart();
}
