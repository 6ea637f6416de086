"use strict";
// Texts come from run folders, which may be a stranger's: they are only ever set as text, never as markup.
const make = (tag, name, text) => {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined && text !== null) made.textContent = String(text).replace(/[\p{Cc}\p{Cf}]/gu, "\ufffd");
  return made;
};
const clock = (seconds) => {
  if (seconds === null || seconds === undefined) return "-";
  const all = Math.round(seconds), h = Math.floor(all / 3600), m = Math.floor(all / 60) % 60, s = all % 60;
  const two = (n) => String(n).padStart(2, "0");
  return h ? h + ":" + two(m) + ":" + two(s) : m + ":" + two(s);
};
const short = (value) => value === null || value === undefined ? "-" : Number(value.toPrecision(3)).toString();
const size = (bytes) => {
  if (bytes === null || bytes === undefined) return "-";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let n = bytes, u = 0;
  while (n >= 1000 && u < 4) { n /= 1000; u += 1; }
  return Number(n.toPrecision(3)) + " " + units[u];
};
const pair = (name, value) => {
  const made = make("span", "", name + " ");
  made.append(make("b", "", value));
  return made;
};
const table = (names, rows, numeric) => {
  const box = make("div", "wide"), made = make("table"), head = make("tr");
  box.tabIndex = 0;
  const kind = (place) => numeric.includes(place) ? "n" : "";
  names.forEach((name, place) => head.append(make("th", kind(place), name)));
  made.append(head);
  for (const row of rows) {
    const line = make("tr");
    row.forEach((cell, place) => line.append(make("td", kind(place), cell)));
    made.append(line);
  }
  box.append(made);
  return box;
};
const folded = (card, key, title, content) => {
  let box = card.querySelector("details[data-key=" + key + "]");
  if (!content) { if (box) box.remove(); return; }
  if (!box) {
    box = make("details");
    box.dataset.key = key;
    box.append(make("summary"), make("div"));
    if (key === "failures") box.open = true;
    card.append(box);
  }
  box.firstChild.textContent = title;
  box.lastChild.replaceChildren(content);
};
const notes = (list, name) => {
  const made = make("ul", "notes");
  for (const note of list.slice().reverse()) {
    const where = [note.node && "node " + note.node, note.worker && "on " + note.worker].filter(Boolean).join(" ");
    made.append(make("li", name, (where ? where + ": " : "") + note.text));
  }
  return made;
};
const picture = (box, place, run, kind, words) => {
  let figure = box.children[place];
  if (!figure) {
    figure = make("figure");
    const image = make("img");
    image.addEventListener("error", () => { figure.hidden = true; });
    image.addEventListener("load", () => { figure.hidden = false; });
    figure.append(image, make("figcaption", "soft"));
    box.append(figure);
  }
  const address = "run/" + run.id + "/" + kind + "/" + run.shown_frame, image = figure.firstChild;
  if (image.getAttribute("src") === address) return;
  image.alt = words + " " + run.shown_frame + " of " + run.name;
  image.src = address;
  figure.lastChild.textContent = words + " " + run.shown_frame;
};
const cards = new Map();
const fresh = () => {
  const card = make("article", "run"), top = make("div", "top");
  top.append(make("h2"), make("span", "state"), make("span", "grow"), make("a", "", "report"));
  const bar = make("div", "bar");
  bar.append(document.createElement("progress"));
  card.append(top, bar, make("div", "numbers"), make("p", "message"), make("div", "pictures"));
  return card;
};
const fill = (card, run) => {
  card.className = "run " + run.state;
  const [title, state, , link] = card.querySelector(".top").children;
  title.textContent = make("i", "", run.name).textContent;
  title.title = run.folder;
  state.textContent = run.state + (run.stage && run.stage !== "rendering" ? ": " + run.stage : "");
  state.className = "state " + run.state;
  link.hidden = !run.report;
  link.href = "run/" + run.id + "/report.html";
  link.target = "_blank";
  link.rel = "noopener";
  const bar = card.querySelector("progress");
  bar.max = Math.max(1, run.frames || 1);
  bar.value = run.frames_done;
  bar.setAttribute("aria-label", run.name + ": frames done");
  const numbers = [pair("frames", run.frames_done + " of " + (run.frames === null ? "?" : run.frames)),
    pair("frames/s", short(run.per_second)), pair("folder", size(run.bytes))];
  if (run.eta_seconds !== null) numbers.splice(2, 0, pair("left", clock(run.eta_seconds)));
  if (run.failed_frames.length) numbers.push(pair("failed frames", run.failed_frames.slice(0, 12).join(", ")));
  if (run.holder) numbers.push(pair("by", run.holder));
  card.querySelector(".numbers").replaceChildren(...numbers);
  const message = card.querySelector(".message");
  message.textContent = make("i", "", run.message).textContent;
  message.hidden = !run.message;
  const box = card.querySelector(".pictures");
  box.hidden = run.shown_frame === null;
  if (run.shown_frame !== null) {
    picture(box, 0, run, "source", "source frame");
    picture(box, 1, run, "frame", "rendered frame");
  }
  folded(card, "failures", "last failures (" + run.failures.length + ")",
    run.failures.length ? notes(run.failures, "") : null);
  folded(card, "warnings", "warnings (" + run.warnings.length + ")",
    run.warnings.length ? notes(run.warnings, "soft") : null);
  const workers = run.workers.map((w) => [w.name, w.frames, w.nodes, short(w.nodes_per_second), w.failures]);
  folded(card, "workers", "workers (" + workers.length + ")",
    workers.length ? table(["worker", "frames", "nodes", "nodes/s", "failures"], workers, [1, 2, 3, 4]) : null);
};
const show = (told) => {
  const known = new Set(told.runs.map((run) => run.id));
  for (const [id, card] of cards) if (!known.has(id)) { card.remove(); cards.delete(id); }
  const place = document.getElementById("runs");
  told.runs.forEach((run, number) => {
    if (!cards.has(run.id)) cards.set(run.id, fresh());
    const card = cards.get(run.id);
    fill(card, run);
    if (place.children[number] !== card) place.insertBefore(card, place.children[number] || null);
  });
  document.getElementById("batches").replaceChildren(...told.batches.map((batch) => {
    const box = make("section", "batch");
    const by = make("p", "soft", batch.holder ? "by " + batch.holder : "nobody works on it now");
    box.append(make("h2", "", batch.name), by, table(["job", "state", "frames", "message"], batch.jobs.map((job) =>
      [job.name, job.state, job.frames_done + " of " + (job.frames === null ? "?" : job.frames), job.message]), [2]));
    return box;
  }));
  document.getElementById("errors").replaceChildren(...told.errors.map((text) => make("p", "message", text)));
  const running = told.runs.filter((run) => run.state === "running").length;
  document.title = (running ? "(" + running + ") " : "") + "Renders";
  const words = told.runs.length + (told.runs.length === 1 ? " run, " : " runs, ") + running + " running";
  const line = document.getElementById("told");
  if (line.textContent !== words) line.textContent = words;
  line.className = "soft";
};
const look = async () => {
  try {
    const answer = await fetch("status.json", { cache: "no-store" });
    if (!answer.ok) throw new Error((await answer.text()).slice(0, 200));
    show(await answer.json());
  } catch (error) {
    const line = document.getElementById("told");
    line.textContent = "No answer: " + error.message;
    line.className = "away";
  }
  setTimeout(look, document.hidden ? 10000 : 2000);
};
// The token is in a cookie now, and should not stay in the address, which is kept in the history.
if (location.search) history.replaceState(null, "", location.pathname);
look();
