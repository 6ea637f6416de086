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
const player = (card, run) => {
  const box = card.querySelector(".output"), key = run.plays ? run.id + "@" + run.updated : "";
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  if (!run.plays) { box.replaceChildren(); return; }
  const shown = make(run.plays === "video" ? "video" : "img"), failed = make("p", "soft", "This browser cannot play it.");
  failed.hidden = true;
  shown.addEventListener("error", () => { shown.hidden = true; failed.hidden = false; });
  if (run.plays === "video") { shown.controls = true; shown.preload = "metadata"; shown.loop = true; }
  else shown.alt = "the output " + run.name;
  shown.src = "run/" + run.id + "/output";
  box.replaceChildren(shown, failed);
};
const rows = new Map(), chosen = { state: "", name: "" };
let last = null;
const freshRow = () => {
  const row = make("details", "run"), line = make("summary"), card = make("div", "card");
  line.append(make("span", "name"), make("span", "state"), document.createElement("progress"),
    make("span", "done"), make("span", "left"));
  card.append(make("p", "message"), make("div", "numbers"), make("div", "output"), make("div", "pictures"));
  row.append(line, card);
  row.addEventListener("toggle", () => { if (last) show(last); });
  return row;
};
const fillLine = (row, item, run) => {
  const [name, state, bar, done, left] = row.firstChild.children;
  row.className = "run " + item.state;
  name.textContent = make("i", "", item.name).textContent;
  name.title = run ? run.folder : "";
  state.textContent = make("i", "", item.label).textContent;
  state.className = "state " + item.state;
  bar.max = Math.max(1, item.frames || 1);
  bar.value = item.frames_done;
  bar.setAttribute("aria-label", item.name + ": frames done");
  done.textContent = item.frames_done + " of " + (item.frames === null ? "?" : item.frames);
  const time = run && run.eta_seconds !== null ? clock(run.eta_seconds) + " left" : "";
  const words = time || (item.state === "finished" ? "" : make("i", "", item.message).textContent);
  left.textContent = words;
  left.title = words;
};
const fillCard = (card, item, run) => {
  const message = card.querySelector(".message");
  message.textContent = make("i", "", item.message).textContent;
  message.hidden = !item.message;
  const box = card.querySelector(".pictures");
  box.hidden = !run || run.shown_frame === null;
  if (!run) return;
  const numbers = [pair("frames/s", short(run.per_second)), pair("folder", size(run.bytes))];
  if (run.failed_frames.length) numbers.push(pair("failed frames", run.failed_frames.slice(0, 12).join(", ")));
  if (run.holder) numbers.push(pair("by", run.holder));
  if (run.report) {
    const link = make("a", "", "report");
    link.href = "run/" + run.id + "/report.html";
    link.target = "_blank";
    link.rel = "noopener";
    numbers.push(link);
  }
  card.querySelector(".numbers").replaceChildren(...numbers);
  player(card, run);
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
const place = (box, children) => {
  children.forEach((child, number) => {
    if (box.children[number] !== child) box.insertBefore(child, box.children[number] || null);
  });
  while (box.children.length > children.length) box.lastChild.remove();
};
const groups = new Map();
const freshGroup = () => {
  const box = make("section", "group"), head = make("div", "head");
  head.append(make("h2"), make("span", "soft"));
  box.append(head, make("div", "rows"));
  return box;
};
const fits = (item) => (!chosen.state || item.state === chosen.state)
  && (item.name + " " + item.batch).toLowerCase().includes(chosen.name);
const states = (told) => {
  const counts = new Map([["", 0]]);
  for (const group of told.groups) for (const item of group.rows) {
    counts.set("", counts.get("") + 1);
    counts.set(item.state, (counts.get(item.state) || 0) + 1);
  }
  if (!counts.has(chosen.state)) chosen.state = "";
  const words = [...counts].map(([state, count]) => (state || "all") + " " + count);
  const box = document.getElementById("states");
  if (box.dataset.words === words.join() + chosen.state) return;
  box.dataset.words = words.join() + chosen.state;
  box.replaceChildren(...[...counts.keys()].map((state, number) => {
    const button = make("button", "", words[number]);
    button.setAttribute("aria-pressed", String(state === chosen.state));
    button.addEventListener("click", () => { chosen.state = state; show(last); });
    return button;
  }));
};
const show = (told) => {
  last = told;
  states(told);
  const byId = new Map(told.runs.map((run) => [run.id, run])), known = new Set(), shown = [];
  const alone = told.groups.length === 1 && told.groups[0].rows.length === 1;
  for (const group of told.groups) {
    const items = group.rows.filter(fits), key = group.key;
    for (const item of group.rows) known.add(item.key);
    if (!items.length) continue;
    if (!groups.has(key)) groups.set(key, freshGroup());
    const box = groups.get(key), [title, about] = box.firstChild.children;
    title.textContent = make("i", "", group.name || (told.groups.length > 1 ? "other runs" : "runs")).textContent;
    const counts = Object.entries(group.counts).map(([label, count]) => count + " " + label);
    about.textContent = make("i", "", [...counts, ...(group.by ? ["by " + group.by] : [])].join(", ")).textContent;
    place(box.lastChild, items.map((item) => {
      if (!rows.has(item.key)) {
        rows.set(item.key, freshRow());
        rows.get(item.key).open = alone;
      }
      const row = rows.get(item.key), run = byId.get(item.id);
      fillLine(row, item, run);
      if (row.open) fillCard(row.lastChild, item, run);
      return row;
    }));
    shown.push(box);
  }
  for (const key of rows.keys()) if (!known.has(key)) rows.delete(key);
  place(document.getElementById("runs"), shown);
  document.getElementById("filters").hidden = !told.runs.length && !told.groups.length;
  document.getElementById("errors").replaceChildren(...told.errors.map((text) => make("p", "message", text)));
  const running = told.runs.filter((run) => run.state === "running").length;
  document.title = (running ? "(" + running + ") " : "") + "Renders";
  const words = told.runs.length + (told.runs.length === 1 ? " run, " : " runs, ") + running + " running";
  const line = document.getElementById("told");
  if (line.textContent !== words) line.textContent = words;
  line.className = "soft";
};
document.getElementById("named").addEventListener("input", (event) => {
  chosen.name = event.target.value.trim().toLowerCase();
  if (last) show(last);
});
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
