"use strict";
// Verdicts live in this page until they are downloaded; nothing is sent or stored.
const $ = (id) => document.getElementById(id);
const said = JSON.parse(document.body.dataset.said);
const pictures = [...document.querySelectorAll(".picture")];
const marks = new Map(pictures.map((it) => [it, { boxes: [], leave: [], words: [] }]));
const VERDICTS = [...document.querySelectorAll("#closer input[name=c-verdict]")].map((it) => it.value);
let current = null; // the picture and frame in the dialog
let unsaved = false;

const shown = () => pictures.filter((it) => !it.hidden);
const verdictOf = (it) => it.dataset.verdict || "";

function judge(it, verdict) {
  it.dataset.verdict = verdict;
  it.querySelector(`input[value="${verdict}"]`).checked = true;
  unsaved = true;
  tell(it);
}

function tell(it) {
  const { boxes, leave, words } = marks.get(it);
  const parts = [];
  if (boxes.length) parts.push(`${boxes.length} missed ${boxes.length === 1 ? "box" : "boxes"}`);
  if (leave.length) parts.push(`${leave.length} ${leave.length === 1 ? "box" : "boxes"} to leave`);
  if (words.length) parts.push(`${words.length} ${words.length === 1 ? "word" : "words"} that may stay`);
  if (verdictOf(it) === "missed_text" && !boxes.length) parts.push("mark where: press Enter");
  if (verdictOf(it) === "hidden_too_much" && !words.length) parts.push("say which words: press Enter");
  if (verdictOf(it) === "anatomy" && !leave.length) parts.push("mark which boxes: press Enter");
  it.querySelector(".marks").textContent = parts.join(", ");
  count();
}

function count() {
  const judged = pictures.filter(verdictOf).length;
  $("count").textContent = `${shown().length} shown, ${judged} of ${pictures.length} judged`;
}

function filter() {
  const verdict = $("f-verdict").value;
  for (const it of pictures) {
    it.hidden =
      ($("f-why").value && it.dataset.why !== $("f-why").value) ||
      ($("f-modality").value && it.dataset.modality !== $("f-modality").value) ||
      (verdict && (verdictOf(it) || "none") !== verdict);
  }
  count();
}

function step(by) {
  const all = shown();
  const at = all.indexOf(document.activeElement.closest(".picture"));
  const next = all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)];
  if (next) next.focus();
}

// What was marked for a verdict that was changed since is not what the reviewer means.
function kept(it) {
  const { boxes, leave, words } = marks.get(it);
  const verdict = verdictOf(it);
  return {
    boxes: verdict === "missed_text" ? boxes : [],
    leave: verdict === "anatomy" || verdict === "no_text" ? leave : [],
    words: verdict === "hidden_too_much" ? words : [],
  };
}

function verdicts() {
  return {
    ...said,
    verdicts: pictures.filter(verdictOf).map((it) => ({
      sop_instance_uid: it.dataset.uid,
      verdict: verdictOf(it),
      when: JSON.parse(it.dataset.when),
      ...kept(it),
    })),
  };
}

function download() {
  const link = document.createElement("a");
  const file = new Blob([JSON.stringify(verdicts(), null, 1)], { type: "application/json" });
  link.href = URL.createObjectURL(file);
  link.download = `verdicts-${said.run_id}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
  unsaved = false;
}

// Looking closer.
function open(it, button) {
  current = { it, frame: Number(button.dataset.frame) };
  const when = Object.entries(JSON.parse(it.dataset.when)).map(([name, value]) => `${name} ${value}`);
  $("c-title").textContent = `${it.querySelector("h2").textContent.trim()}, frame ${current.frame + 1}`;
  for (const place of document.querySelectorAll(".c-when")) place.textContent = when.join(", ");
  $("c-image").src = button.querySelector("img").src;
  $("c-boxes").setAttribute("viewBox", `0 0 ${it.dataset.columns} ${it.dataset.rows}`);
  $("w-text").value = marks.get(it).words.join("\n");
  ask();
  paint();
  $("closer").showModal();
}

// Only what belongs to the verdict is asked for: words where words are meant, boxes where boxes are.
function ask() {
  const verdict = verdictOf(current.it) || "fine";
  for (const choice of document.querySelectorAll("#closer input[name=c-verdict]")) {
    choice.checked = choice.value === verdictOf(current.it);
  }
  for (const part of document.querySelectorAll("#closer [data-for]")) {
    part.hidden = !part.dataset.for.split(" ").includes(verdict) && !(verdict === "fine" && part.dataset.for === "missed_text");
  }
}

const SIDES = ["x", "y", "width", "height"];
const boxOf = (rect, frame) => ({
  frame,
  ...Object.fromEntries(SIDES.map((name) => [name, Number(rect.getAttribute(name))])),
});
const isSame = (a, b) => a.frame === b.frame && SIDES.every((name) => a[name] === b[name]);

function listHidden(rects) {
  const { it, frame } = current;
  const { leave } = marks.get(it);
  $("l-list").replaceChildren(
    ...rects.map((rect) => {
      const box = boxOf(rect, frame);
      const item = document.createElement("li");
      const label = document.createElement("label");
      const tick = document.createElement("input");
      tick.type = "checkbox";
      tick.checked = leave.some((other) => isSame(other, box));
      tick.addEventListener("change", () => {
        marks.get(it).leave = leave.filter((other) => !isSame(other, box)).concat(tick.checked ? [box] : []);
        unsaved = true;
        paint();
        tell(it);
      });
      label.append(tick, ` ${box.x}, ${box.y}, ${box.width} × ${box.height}`);
      item.append(label);
      return item;
    }),
  );
}

function rectangle(box, kind) {
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  rect.setAttribute("class", kind);
  for (const name of ["x", "y", "width", "height"]) rect.setAttribute(name, box[name]);
  return rect;
}

function paint(drawing) {
  const { it, frame } = current;
  const known = it.querySelector(`.frame[data-frame="${frame}"] svg`);
  const missed = marks.get(it).boxes.filter((box) => box.frame === frame);
  const leave = marks.get(it).leave.filter((box) => box.frame === frame);
  listHidden([...known.querySelectorAll(".hidden")]);
  $("c-boxes").replaceChildren(
    ...[...known.children].filter((rect) => !rect.classList.contains("missed")).map((rect) => rect.cloneNode(true)),
    ...missed.map((box) => rectangle(box, "missed")),
    ...leave.map((box) => rectangle(box, "leave")),
    ...(drawing ? [rectangle(drawing, "missed")] : []),
  );
  $("b-list").replaceChildren(
    ...marks.get(it).boxes.map((box, number) => {
      const item = document.createElement("li");
      const remove = document.createElement("button");
      item.textContent = `frame ${box.frame + 1}: ${box.x}, ${box.y}, ${box.width} × ${box.height}`;
      remove.type = "button";
      remove.textContent = "remove";
      remove.addEventListener("click", () => {
        marks.get(it).boxes.splice(number, 1);
        changed();
      });
      item.append(remove);
      return item;
    }),
  );
}

function changed() {
  const { it } = current;
  for (const button of it.querySelectorAll(".frame")) {
    const boxes = marks.get(it).boxes.filter((box) => box.frame === Number(button.dataset.frame));
    const drawn = button.querySelector("svg");
    drawn.querySelectorAll(".missed").forEach((rect) => rect.remove());
    drawn.append(...boxes.map((box) => rectangle(box, "missed")));
  }
  unsaved = true;
  paint();
  tell(it);
}

function add(box) {
  const { it, frame } = current;
  const [columns, rows] = [Number(it.dataset.columns), Number(it.dataset.rows)];
  const [x, y] = [Math.max(0, Math.floor(box.x)), Math.max(0, Math.floor(box.y))];
  const width = Math.min(columns, Math.ceil(box.x + box.width)) - x;
  const height = Math.min(rows, Math.ceil(box.y + box.height)) - y;
  if (!(width > 0 && height > 0)) return;
  marks.get(it).boxes.push({ frame, x, y, width, height });
  judge(it, "missed_text");
  ask();
  changed();
}

function place(event) {
  const area = $("c-boxes").getBoundingClientRect();
  const { it } = current;
  return {
    x: ((event.clientX - area.left) / area.width) * Number(it.dataset.columns),
    y: ((event.clientY - area.top) / area.height) * Number(it.dataset.rows),
  };
}

let from = null;
const spanned = (a, b) => ({
  x: Math.min(a.x, b.x),
  y: Math.min(a.y, b.y),
  width: Math.abs(a.x - b.x),
  height: Math.abs(a.y - b.y),
});
const canvas = document.querySelector(".canvas");
canvas.addEventListener("pointerdown", (event) => {
  from = place(event);
  canvas.setPointerCapture(event.pointerId);
  event.preventDefault();
});
canvas.addEventListener("pointermove", (event) => from && paint(spanned(from, place(event))));
canvas.addEventListener("pointerup", (event) => {
  if (!from) return;
  const box = spanned(from, place(event));
  from = null;
  if (box.width >= 2 && box.height >= 2) add(box);
  else paint();
});

$("b-add").addEventListener("click", () => {
  const names = ["x", "y", "width", "height"];
  const box = Object.fromEntries(names.map((name) => [name, $(`b-${name}`).valueAsNumber]));
  if (names.every((name) => Number.isFinite(box[name]))) add(box);
});
$("closer").addEventListener("change", (event) => {
  if (event.target.name !== "c-verdict") return;
  judge(current.it, event.target.value);
  ask();
});
$("w-text").addEventListener("input", () => {
  const { it } = current;
  marks.get(it).words = $("w-text").value.split("\n").map((word) => word.trim()).filter(Boolean);
  unsaved = true;
  tell(it);
});
$("closer").addEventListener("close", () => current.it.focus());

for (const it of pictures) {
  it.addEventListener("change", (event) => event.target.type === "radio" && judge(it, event.target.value));
  for (const button of it.querySelectorAll(".frame")) button.addEventListener("click", () => open(it, button));
}
for (const id of ["f-why", "f-modality", "f-verdict"]) $(id).addEventListener("change", filter);
$("download").addEventListener("click", download);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("closer").open) return;
  if (event.target.matches("select, textarea, input:not([type=radio])")) return;
  const it = event.target.closest(".picture");
  const choice = VERDICTS[Number(event.key) - 1];
  if (event.key === "ArrowRight") step(1);
  else if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "o" || event.key === "O") document.body.classList.toggle("no-outlines");
  else if (it && choice) judge(it, choice);
  else if (it === event.target && event.key === "Enter") open(it, it.querySelector(".frame"));
  else return;
  event.preventDefault();
});
window.addEventListener("beforeunload", (event) => unsaved && event.preventDefault());
count();
