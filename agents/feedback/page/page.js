// The page: what is shown, which keys do what, and the way of an answer to the server.

import { Marking } from "./marking.js";
import { ask, kept, newSubmission, put, Refusal, send, waiting } from "./outbox.js";
import { show } from "./text.js";
import { LANGUAGES } from "./words.js";

const PAGE = document.querySelector("meta[name=page-version]").content;
const STARTLED = 200; // ms in which a key is still meant for the item before
const LOOK_AGAIN = 4000; // ms between looks for new texts
const KEPT = Symbol("kept");
const CHOICES = ["first", "second", "tie", "both_bad"];
const KINDS = { c: "comparison", r: "rating", m: "marks" };

const $ = (id) => document.getElementById(id);
const settings = {
  get: (name) => kept.get(`textgym-feedback:${name}`),
  set: (name, value) => kept.set(`textgym-feedback:${name}`, value),
};

const state = {
  language: settings.get("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en"),
  annotator: settings.get("annotator") ?? "",
  kind: Object.values(KINDS).includes(settings.get("kind")) ? settings.get("kind") : "comparison",
  shortcuts: settings.get("shortcuts") !== "off",
  item: null,
  progress: null,
  shownAt: 0,
  busy: true,
  skipped: [],
  marking: null,
  status: null, // a word and what to fill in, so that it can be said again in another language
  notice: null,
  look: null,
};

// -- the token, which is never in an address that is sent ------------------------------------------

const session = { get: () => sessionToken, set: (token) => { sessionToken = token; try { sessionStorage.setItem("token", token); } catch { /* until the reload */ } } };
let sessionToken = null;
try { sessionToken = sessionStorage.getItem("token"); } catch { /* none */ }

function readToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return;
  session.set(token);
  history.replaceState(null, "", location.pathname);
}

// -- words -----------------------------------------------------------------------------------------

function say(word, fill = {}) {
  const text = LANGUAGES[state.language]?.[word] ?? LANGUAGES.en[word];
  return Object.entries(fill).reduce((said, [name, value]) => said.replace(`{${name}}`, () => value), text);
}

function speak() {
  document.documentElement.lang = say("tag");
  document.title = say("title");
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
  $("language").textContent = say("switch_language");
  $("language").lang = LANGUAGES[other()].tag;
  $("annotator").textContent = state.annotator || "…";
  $("annotator").setAttribute("aria-label", say("annotator", { name: state.annotator }));
  $("keys").replaceChildren(...KEYS.map(([word, ...keys]) => keyRow(word, keys)));
  drawItem();
  drawProgress();
  drawMessages();
}

const KEYS = [
  ["key_comparison", "1", "2", "3", "4"], ["key_rating", "1", "2", "3", "4", "5"], ["key_marks", "G", "B", "X", "W", "Enter"],
  ["key_select", "←", "→", "Shift + ← →"], ["key_kinds", "C", "R", "M"], ["key_other", "U", "S", "?"],
];

function keyRow(word, keys) {
  const row = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = say(word);
  const cell = document.createElement("td");
  cell.append(...keys.map(keyHint));
  row.append(name, cell);
  return row;
}

function keyHint(key) {
  const hint = document.createElement("kbd");
  hint.textContent = key;
  return hint;
}

const other = () => (state.language === "en" ? "zh" : "en");

function status(word, fill) { state.status = word && [word, fill]; drawMessages(); }
function notice(word, fill) { state.notice = word && [word, fill]; drawMessages(); }

function drawMessages() {
  $("status").textContent = state.status ? say(...state.status) : "";
  $("notice").textContent = state.notice ? say(...state.notice) : "";
  $("notice").hidden = state.notice === null;
}

function explain(error) {
  const known = error.code in LANGUAGES.en ? error.code : "other_error";
  notice(known, { code: error.code, detail: error.detail ?? "" });
}

// -- the item --------------------------------------------------------------------------------------

function drawItem() {
  const { item, kind } = state;
  for (const button of $("kinds").children) button.setAttribute("aria-pressed", button.dataset.kind === kind);
  $("item").hidden = item === null;
  $("nothing").hidden = item !== null || state.progress === null;
  drawAnswers();
  if (item === null) {
    drawNothing();
    return;
  }
  $("question").textContent = say(`ask_${kind}`);
  $("task").textContent = item.task;
  show($("prompt"), item.prompt, say("no_prompt"));
  $("texts").className = kind;
  if (kind === "marks" && state.marking?.item === item) {
    $("texts").querySelector("h3").textContent = say("text");
    state.marking.redraw();
    return;
  }
  $("texts").replaceChildren(...item.texts.map((text, i) => card(text, i)));
}

function card(text, i) {
  const article = document.createElement("article");
  const heading = document.createElement("h3");
  heading.textContent = say(state.kind === "comparison" ? ["first_text", "second_text"][i] : "text");
  const content = document.createElement("div");
  content.className = "text";
  content.dir = "auto";
  content.dataset.text = text.id;
  if (state.kind === "marks" && text.text !== "") {
    state.marking = new Marking(content, text.text, say);
    state.marking.item = state.item;
  } else {
    show(content, text.text, say("empty_text"));
  }
  article.append(heading, content);
  return article;
}

function drawNothing() {
  const empty = state.progress?.texts === 0;
  $("nothing-title").textContent = say(empty ? "empty" : "finished");
  const hint = empty ? "empty_hint" : state.kind === "comparison" && !state.progress?.own ? "no_pairs_hint" : "finished_hint";
  $("nothing-hint").textContent = say(hint);
  $("nothing-command").hidden = !empty;
}

function drawProgress() {
  $("progress").hidden = state.progress === null;
  if (state.progress === null) return;
  const counts = Object.fromEntries(Object.entries(state.progress).map(([name, n]) => [name, n.toLocaleString(say("tag"))]));
  $("counts").textContent = say("counts", counts);
  $("covered").max = Math.max(1, state.progress.texts);
  $("covered").value = state.progress.covered;
}

// kind -> [word, key, what it does]
const ANSWERS = {
  comparison: CHOICES.map((choice, i) => [choice, `${i + 1}`, () => answer({ choice })]),
  rating: [1, 2, 3, 4, 5].map((rating) => [`rating_${rating}`, `${rating}`, () => answer({ rating })]),
  marks: [
    ["good", "G", () => state.marking?.label("good")],
    ["bad", "B", () => state.marking?.label("bad")],
    ["clear", "X", () => state.marking?.label(null)],
    ["units", "W", () => state.marking?.toggleUnits()],
    ["done", "Enter", () => answer({ spans: state.marking?.spans() ?? [] })],
  ],
};

function drawAnswers() {
  const group = $("answers");
  group.hidden = state.item === null;
  if (group.dataset.drawn === `${state.kind} ${state.language}`) return; // the same buttons keep their focus
  group.dataset.drawn = `${state.kind} ${state.language}`;
  group.className = state.kind;
  group.replaceChildren(...ANSWERS[state.kind].map(([word, key, act]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.answer = word;
    button.setAttribute("aria-keyshortcuts", key);
    const name = document.createElement("span");
    name.textContent = say(word);
    const hint = keyHint(key);
    hint.setAttribute("aria-hidden", "true");
    button.append(hint, name);
    button.onclick = () => ready() && act();
    return button;
  }));
}

const ready = () => !state.busy && state.item !== null && performance.now() - state.shownAt > STARTLED;

function busy(now) {
  state.busy = now;
  $("main").setAttribute("aria-busy", now);
  document.body.classList.toggle("busy", now);
}

function present(item) {
  state.item = item;
  state.marking = null;
  state.shownAt = performance.now();
  drawItem();
  drawProgress();
  scrollTo(0, 0);
  if (state.kind === "marks" && item) state.marking?.container.focus({ preventScroll: true });
  else if (!$("answers").contains(document.activeElement)) $("main").focus({ preventScroll: true });
  busy(false);
}

// -- the way to the server and back ----------------------------------------------------------------

/** Show what comes next, and look again for as long as there is nothing. */
async function next() {
  clearTimeout(state.look);
  const mine = (state.asked = {}); // only the latest request's answer is shown
  busy(true);
  try {
    const query = new URLSearchParams({ annotator: state.annotator, kind: state.kind });
    for (const ids of state.skipped.slice(-30)) query.append("skip", ids);
    const said = await ask(`/api/next?${query}`, session.get());
    if (state.asked !== mine) return;
    state.progress = said.progress;
    notice(null);
    present(said.item);
    if (said.item === null) state.look = setTimeout(next, LOOK_AGAIN);
  } catch (error) {
    if (state.asked !== mine) return;
    if (error instanceof Refusal) {
      explain(error);
    } else {
      notice("loading_failed");
      state.look = setTimeout(next, 1000);
    }
  }
}

async function answer(given) {
  const texts = state.item.texts.map((text) => text.id);
  const seconds = Math.round(performance.now() - state.shownAt) / 1000;
  const body = { submission: newSubmission(), annotator: state.annotator, kind: state.kind, texts, page: PAGE, seconds, ...given };
  if ((await deliver(put("/api/judgements", body), "saved")) !== KEPT) next();
}

/** Send what is in the outbox: what the server said, null where it was refused, KEPT where it waits for a new link. */
async function deliver(name, then) {
  busy(true);
  status("saving");
  try {
    const said = await send(name, session.get, () => notice("retrying"));
    notice(null);
    status(then);
    return said;
  } catch (error) {
    status(null);
    explain(error);
    if (kept.get(name) !== null) return KEPT;
    await new Promise((resolve) => setTimeout(resolve, 2500)); // time to read why
    return null;
  }
}

async function undo() {
  if (state.busy && state.item !== null) return;
  const said = await deliver(put("/api/undo", { submission: newSubmission(), annotator: state.annotator, page: PAGE }), "undone");
  if (said === KEPT) return;
  if (said === null) {
    next();
    return;
  }
  if (said.item === null) {
    status("nothing_to_undo");
    busy(false);
    return;
  }
  clearTimeout(state.look);
  await next(); // for the progress
  clearTimeout(state.look);
  choose(said.item.kind);
  present(said.item);
}

function skip() {
  if (!ready()) return;
  state.skipped.push(state.item.texts.map((text) => text.id).join("-"));
  status("skipped");
  next();
}

function choose(kind) {
  state.kind = kind;
  settings.set("kind", kind);
}

function turnTo(kind) {
  if (kind === state.kind || (state.busy && state.item !== null)) return;
  choose(kind);
  state.item = null;
  status(null);
  next();
}

// -- who, keys, dialogs ----------------------------------------------------------------------------

function askName() {
  $("name").value = state.annotator;
  $("name-dialog").showModal();
}

$("name-dialog").addEventListener("close", () => {
  const name = $("name").value.trim();
  if (name !== "" && name !== state.annotator) {
    state.annotator = name;
    state.item = null;
    settings.set("annotator", name);
    speak();
    next();
  } else if (state.annotator === "") {
    askName();
  }
});
$("name-dialog").querySelector("form").addEventListener("submit", (event) => {
  if ($("name").value.trim() === "") event.preventDefault();
});

$("annotator").onclick = askName;
$("help").onclick = () => $("help-dialog").showModal();
$("language").onclick = () => {
  state.language = other();
  settings.set("language", state.language);
  speak();
};
$("undo").onclick = undo;
$("skip").onclick = skip;
$("shortcuts").checked = state.shortcuts;
$("shortcuts").onchange = (event) => {
  state.shortcuts = event.target.checked;
  settings.set("shortcuts", state.shortcuts ? "on" : "off");
};
for (const button of $("kinds").children) button.onclick = () => turnTo(button.dataset.kind);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (document.activeElement === state.marking?.container && state.marking?.key(event)) {
    event.preventDefault();
    return;
  }
  const onButton = document.activeElement?.tagName === "BUTTON" && (event.key === "Enter" || event.key === " ");
  if (!state.shortcuts || event.repeat || onButton) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const found = ANSWERS[state.kind].find(([, name]) => name.toLowerCase() === key.toLowerCase());
  if (found) ready() && found[2]();
  else if (key in KINDS) turnTo(KINDS[key]);
  else if (key === "u") undo();
  else if (key === "s") skip();
  else if (key === "?") $("help").click();
  else return;
  event.preventDefault();
});

addEventListener("hashchange", () => { readToken(); begin(); });

/** Send what was not sent, then show what comes next. */
async function begin() {
  for (const name of waiting()) {
    try {
      await send(name, session.get, () => notice("retrying"));
      status("saved");
    } catch (error) {
      explain(error);
      if (error.status === 401) return;
    }
  }
  if (state.annotator === "") askName();
  else next();
}

readToken();
speak();
begin();
