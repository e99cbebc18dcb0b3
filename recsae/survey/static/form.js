// Shows one concept at a time with its cases. Answers are stored in the browser if it allows that, and saved as the JSON
// that key.py reads. Texts come from a catalogue: they are only ever set as text.
"use strict";
const { survey, questions } = JSON.parse(document.getElementById("data").textContent);
const CHOICES = [["yes", "Yes", "y"], ["no", "No", "n"], ["unsure", "Can’t tell", "c"]];
const STORAGE_KEY = `recsae-survey-${survey}`;
const part = (id) => document.getElementById(id);
const ids = questions.flatMap(({ cases }, concept) => cases.map((_, place) => `${concept}.${place}`));
const known = new Set(ids);
let answers = {};
let at = 0;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function notify(text, bad = false) {
  part("notice").textContent = text;
  part("notice").classList.toggle("bad", bad);
}

// Browsers may refuse to store anything for a page opened from a file.
function store() {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify({ rater: part("rater").value, answers, at }));
  } catch {
    part("saving").textContent = "Save (this browser stores nothing: save before you close the page)";
  }
}

function validAnswers(found) {
  const entries = found && typeof found.answers === "object" && found.answers ? found.answers : {};
  const allowed = CHOICES.map(([value]) => value);
  return Object.fromEntries(Object.entries(entries).filter(([id, value]) => known.has(id) && allowed.includes(value)));
}

function restore() {
  try {
    const stored = JSON.parse(localStorage.getItem(STORAGE_KEY));
    if (!stored) return;
    answers = validAnswers(stored);
    part("rater").value = String(stored.rater ?? "");
    at = Number.isInteger(stored.at) && questions[stored.at] ? stored.at : 0;
    if (Object.keys(answers).length) notify("Your earlier answers are restored.");
  } catch {
    answers = {};
  }
}

function count() {
  const done = Object.keys(answers).length;
  part("progress").value = done;
  part("told").textContent = `${done} of ${ids.length} answered`;
  part("open").disabled = done === ids.length;
}

function answer(id, value) {
  answers[id] = value;
  store();
  count();
}

function group(text, place) {
  const id = `${at}.${place}`;
  const made = element("fieldset");
  const legend = made.appendChild(element("legend"));
  legend.appendChild(element("bdi", "", text));
  const choices = made.appendChild(element("div", "choices"));
  for (const [value, label] of CHOICES) {
    const line = choices.appendChild(element("label"));
    const input = line.appendChild(element("input"));
    Object.assign(input, { type: "radio", name: id, value, checked: answers[id] === value });
    input.addEventListener("change", () => answer(id, value));
    line.append(label);
  }
  made.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const choice = CHOICES.find(([, , key]) => key === event.key.toLowerCase());
    if (!choice) return;
    event.preventDefault();
    made.querySelector(`input[value="${choice[0]}"]`).checked = true;
    answer(id, choice[0]);
    const next = made.nextElementSibling;
    (next ? focusable(next) : part(at + 1 < questions.length ? "next" : "save")).focus();
  });
  return made;
}

const focusable = (fieldset) => fieldset.querySelector("input:checked") ?? fieldset.querySelector("input");

function show(moved = true) {
  const { name, cases } = questions[at];
  part("place").textContent = `Concept ${at + 1} of ${questions.length}`;
  part("concept").textContent = name;
  part("concept").dir = "auto";
  part("cases").replaceChildren(...cases.map(group));
  part("back").disabled = at === 0;
  part("next").disabled = at + 1 === questions.length;
  count();
  if (!moved) return;
  store();
  part("concept").focus();
  part("concept").scrollIntoView({ block: "center" });
}

function go(to) {
  at = to;
  show();
}

function save() {
  const rater = part("rater").value.trim();
  if (!rater) {
    notify("Enter your name or id first: anonymous answers cannot be counted.", true);
    part("rater").focus();
    return;
  }
  const saved = { format: "recsae survey answers", version: 1, survey, rater, answers };
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(saved, null, 1)], { type: "application/json" }));
  link.download = `answers-${rater.replace(/[^\p{L}\p{N}]+/gu, "-")}.json`;
  link.click();
  const open = ids.length - Object.keys(answers).length;
  notify(`${link.download} is saved${open ? `; ${open} question${open === 1 ? " is" : "s are"} still open` : ""}. Hand in that file.`);
}

async function load(event) {
  const [file] = event.target.files;
  if (!file) return;
  try {
    const found = JSON.parse(await file.text());
    if (found.survey !== survey) throw new Error("another survey");
    answers = validAnswers(found);
    part("rater").value = String(found.rater ?? "");
    show();
    notify("The answers in the file are loaded.");
  } catch {
    notify("That file has no answers to this form.", true);
  }
}

part("rater").addEventListener("input", store);
part("back").addEventListener("click", () => go(at - 1));
part("next").addEventListener("click", () => go(at + 1));
part("open").addEventListener("click", () => {
  const [concept, place] = ids.find((id) => !(id in answers)).split(".").map(Number);
  go(concept);
  focusable(part("cases").children[place]).focus();
});
part("save").addEventListener("click", save);
part("load").addEventListener("change", load);
restore();
show(false);
