// The page: the plot of effects and its choices, the charts of a row, the view of a run, tables that sort.

const DATA = JSON.parse(document.getElementById("data").textContent);
const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const form = document.getElementById("choices");
const EFFECTS = ["contradicted", "opposite", "worse", "smaller", "inconclusive", "undecided", "too few seeds", "larger", "same sign",
  "confirmed", "better"].reverse();
const styleOf = strategy => DATA.styles[strategy] || ["#666666", [3, 1]];
const mark = verdict => make("span", { class: `mark ${verdict}` }, make("span", { "aria-hidden": "true" }, DATA.symbols[verdict]), ` ${verdict}`);

// --- effects ---

/** Where an effect lies, to the right where learn2mix is better: in points of accuracy, or in % of the opponent's error. */
function scaled(row, effect) {
  const factor = row.is_percent ? 1 : -100 / effect.base;
  return { mean: effect.mean * factor, half: Math.abs((effect.half ?? 0) * factor),
    paper: effect.paper && [effect.paper[0] * factor, Math.abs((effect.paper[1] ?? 0) * factor)] };
}

function strip({ mean, half, paper }, [low, high]) {
  const percent = value => 100 * Math.min(Math.max((value - low) / (high - low), 0), 1);
  const bar = (name, low, high) => make("i", { class: name, style: `left:${percent(low)}%;width:${percent(high) - percent(low)}%` });
  const dot = (name, value) => make("i", { class: name, style: `left:${percent(value)}%` });
  return make("span", { class: "strip", "aria-hidden": "true", style: `background-position-x:${percent(0)}%` },
    paper && bar("paper-bar", paper[0] - paper[1], paper[0] + paper[1]), paper && dot("paper-dot", paper[0]),
    bar("bar", mean - half, mean + half), dot("dot", mean));
}

function effect({ name, row, effect, place }, limits) {
  const paper = effect.paper_text ? `paper ${effect.paper_text} · ` : "";
  const drawn = strip(place, limits);
  drawn.classList.add(...effect.verdict.split(" "));
  return make("a", { class: "effect", href: `#${name}`, title: effect.note || null, "data-row": name },
    make("span", {}, make("strong", {}, row.title), make("small", {}, make("b", {}, `Δ ${effect.text}`)),
      make("small", {}, `${paper}${effect.n} seed${effect.n > 1 ? "s" : ""}`)), drawn);
}

function panel(table, title, unit, shownRows, chosen) {
  const effects = shownRows.filter(section => section.dataset.table === table).flatMap(section => {
    const name = section.dataset.row, row = DATA.rows[name], one = row.effects[chosen.column][chosen.opponent]?.[chosen.epoch];
    return one ? [{ name, row, effect: one, place: scaled(row, one) }] : [];
  });
  if (!effects.length) return null;
  const reach = (sign, of) => Math.max(0, ...effects.map(({ place }) => of(place).reduce((sum, value, i) => sum + (i ? value : sign * value), 0)));
  const [low, high] = [-1, 1].map(sign => {  // the paper's interval is cut where it would dwarf ours
    const own = reach(sign, place => [place.mean, place.half]);
    return sign * Math.max(own, Math.min(reach(sign, place => place.paper ?? [0, 0]), 2 * reach(1, place => [Math.abs(place.mean), place.half])));
  });
  const pad = 0.04 * (high - low) || 1, limits = [low - pad, high + pad];
  const made = make("div", { class: "panel" }, make("h3", {}, title));
  for (const verdict of EFFECTS) {
    const group = effects.filter(({ effect }) => effect.verdict === verdict);
    if (group.length) made.append(mark(verdict), ...group.map(one => effect(one, limits)));
  }
  const step = 10 ** Math.floor(Math.log10(high - low || 1)) * ((high - low) / 10 ** Math.floor(Math.log10(high - low || 1)) > 4 ? 2 : 0.5);
  const ticks = Array.from({ length: 40 }, (_, i) => (i - 20) * step).filter(tick => tick >= limits[0] && tick <= limits[1]);
  made.append(make("div", { class: "axis" }, make("div", {}, ...ticks.map(tick => make("span", { style: `left:${100 * (tick - limits[0]) / (limits[1] - limits[0])}%` },
    `${tick > 0 ? "+" : tick < 0 ? "−" : ""}${Number(Math.abs(tick).toPrecision(3))}`)))), make("small", {}, unit));
  return made;
}

function redraw() {
  const chosen = Object.fromEntries(new FormData(form));
  const kept = all("details.row[data-row]").filter(section => {
    const { table, version, verdict } = section.dataset;
    const keep = (!chosen.task || chosen.task === table) && (!chosen.version || chosen.version === version) && (!chosen.verdict || chosen.verdict === verdict);
    section.hidden = !keep;
    const line = find(`#verdicts tr[data-row="${section.dataset.row}"]`);
    if (line) line.hidden = !keep;
    return keep;
  });
  const panels = [
    panel("1", "Classification", "points of accuracy gained", kept, chosen),
    panel("2", "Regression and reconstruction", "error saved, in % of the other strategy's", kept, chosen),
  ].filter(Boolean);
  document.getElementById("forest").replaceChildren(...(panels.length ? panels : [make("p", {}, "No row has these runs.")]));
}

function fill() {
  const opponents = new Set(Object.values(DATA.rows).flatMap(row => Object.keys(row.effects.test_metric)));
  const order = ["classical", "stratified", "balanced", ...opponents].filter((name, i, names) => opponents.has(name) && names.indexOf(name) === i);
  form.opponent.append(...order.map(name => make("option", {}, name)));
  form.verdict.append(...new Set(all("details.row[data-row]").map(section => section.dataset.verdict)).values().map(name => make("option", {}, name)));
  form.addEventListener("input", redraw);
  form.addEventListener("submit", event => event.preventDefault());
  redraw();
}

// --- charts of a row ---

/** Buttons of which one is pressed; `choose` is called with its name. */
function choice(label, names, choose) {
  const buttons = Object.entries(names).map(([name, text], i) => make("button", { type: "button", "aria-pressed": i === 0, onclick: event => {
    buttons.forEach(button => button.setAttribute("aria-pressed", button === event.currentTarget));
    choose(name);
  } }, text));
  return make("span", { role: "group", "aria-label": label, class: "tools" }, ...buttons);
}

function curves(host, row, column) {
  const lines = Object.entries(row.curves).map(([strategy, curve]) => {
    const [colour, dash] = styleOf(strategy), paper = column === "test_metric" ? row.paper[strategy] : null;
    return { label: strategy, x: curve.epochs, y: curve[column].mean, low: curve[column].low, high: curve[column].high, colour, dash,
      points: paper && paper.map(([mean, sd], i) => [row.epochs[i], mean, sd]).filter(([epoch]) => epoch),
      shown: ["learn2mix", "classical", "stratified"].includes(strategy) };
  }).sort((a, b) => rank(a.label) - rank(b.label));
  chart(host, { label: `${row.title}: ${column === "test_metric" ? "test metric" : "worst group"} by strategy`, lines, unit: row.metric, logarithmic: !row.is_percent });
}

const rank = strategy => (Object.keys(DATA.styles).indexOf(strategy) + 100) % 100;

function groups(host, row, strategy, column) {
  const curve = row.curves[strategy], colours = shades(curve.names.length);
  const lines = curve[`group_${column}`].map((y, i) => ({ label: curve.names[i], x: curve.epochs,
    y: y.length === 1 ? curve.epochs.map(() => y[0]) : y, colour: colours[i] }));
  const stacked = column === "proportion";
  chart(host, { label: `${row.title}, ${strategy}: ${stacked ? "proportions" : "test metric"} by group`, lines, stacked,
    unit: stacked ? "share of a batch" : row.metric, logarithmic: !stacked && !row.is_percent && lines.every(line => line.y.every(value => value > 0)) });
}

function drawRow(section) {
  const box = find(".charts", section), row = DATA.rows[section.dataset.row];
  if (!box || box.childElementCount) return;
  const left = make("div"), right = make("div"), names = Object.keys(row.curves).sort((a, b) => rank(a) - rank(b));
  let column = "proportion";
  const which = make("select", { "aria-label": "Strategy whose groups are shown" }, ...names.map(name => make("option", {}, name)));
  const again = () => groups(right, row, which.value, column);
  which.addEventListener("input", again);
  box.append(
    make("div", { class: "chart" }, make("h4", {}, "Over epochs: mean over seeds; circles: the paper"),
      choice("Metric", { test_metric: "test metric", worst_group: "worst group" }, name => curves(left, row, name)), left),
    make("div", { class: "chart" }, make("h4", {}, "Groups, mean over seeds"),
      make("div", { class: "tools" }, which, choice("Of the groups", { proportion: "proportions", test_metric: "test metric" }, name => { column = name; again(); })), right));
  curves(left, row, "test_metric");
  again();
}

// --- the view of a run ---

const dialog = document.getElementById("run");

function table(head, lines) {
  const made = make("table", { class: "sortable" }, make("thead", {}, make("tr", {}, ...head.map((name, i) => make("th", { scope: "col", class: i ? "number" : null }, name)))),
    make("tbody", {}, ...lines.map(line => make("tr", {}, make("th", { scope: "row" }, line[0]), ...line.slice(1).map(text => make("td", { class: "number" }, text))))));
  sortable(made);
  return made;
}

function showRun(folder) {
  const run = DATA.runs[folder], row = DATA.rows[run.row], curve = row.curves[run.strategy], info = run.info;
  const facts = { "training": `${format(run.seconds)} s`, "whole run": info.seconds ? `${format(info.seconds)} s` : "–", "device": `${info.device ?? "–"}, ${info.threads ?? "–"} threads`,
    "l2m": info.version, "commit": (info.commit ?? "–").slice(0, 10), "torch": info.torch, "started": (info.start ?? "–").replace("T", " ").slice(0, 16), "epochs": run.epochs.at(-1) };
  const command = `python -m l2m.run dataset=${run.row} strategy=${run.strategy} seed=${run.seed}`;
  const plot = make("div");
  const others = Object.entries(DATA.runs).filter(([, other]) => other.row === run.row && other.strategy === run.strategy);
  dialog.replaceChildren(
    make("button", { class: "close", type: "button", onclick: () => dialog.close() }, "Close"),
    make("h2", { id: "run-title" }, `${row.title} · ${run.strategy} · seed ${run.seed}`),
    make("p", { class: "small" }, "Seeds: ", ...others.flatMap(([place, other]) => [other === run ? make("b", {}, String(other.seed)) : make("a", { href: `#${place}` }, String(other.seed)), " "])),
    make("dl", { class: "facts" }, ...Object.entries(facts).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, String(value ?? "–"))))),
    plot,
    make("h3", {}, "The command that repeats it"), make("pre", {}, make("code", {}, command)),
    make("h3", {}, "Groups at the last epoch"),
    make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Groups" },
      table(["group", "proportion", "samples", "training loss", row.metric], curve.names.map((name, i) => [name, ...run.groups.map(values => format(values[i]))]))),
    make("details", {}, make("summary", {}, "Configuration"),
      make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Configuration" },
        table(["setting", "value"], [...Object.entries(curve.settings), ["seed", run.seed]].map(([name, value]) => [name, value === null ? "none" : String(value)])))),
    make("p", { class: "small" }, "Files: ", ...run.files.flatMap(file => [make("a", { href: `${folder}/${file}` }, file), " "])));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  const [colour] = styleOf(run.strategy);
  chart(plot, { label: "Curves of this run", unit: row.metric, logarithmic: !row.is_percent, lines: [
    { label: "test metric", x: run.epochs, y: run.test_metric, colour },
    { label: "worst group", x: run.epochs, y: run.worst_group, colour, dash: [4, 3] },
    { label: `mean of ${run.strategy}`, x: curve.epochs, y: curve.test_metric.mean, colour: "#8a857c", dash: [1, 3] }] });
}

dialog.addEventListener("close", () => history.replaceState(null, "", `#${DATA.runs[place()]?.row ?? ""}`));
dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });

// --- tables, links, hints ---

function sortable(made) {
  all("thead th", made).forEach((head, column) => {
    const button = make("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending", body = made.tBodies[0];
      all("thead th", made).forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = line => line.cells[column].textContent.trim(), number = text => parseFloat(text.replace("Δ", "").replace("−", "-"));
      body.append(...[...body.rows].sort((a, b) => {
        const [one, other] = [key(a), key(b)], difference = number(one) - number(other);
        if (Number.isNaN(difference)) return Number.isNaN(number(one)) && Number.isNaN(number(other)) ? (up ? 1 : -1) * one.localeCompare(other) : Number.isNaN(number(one)) ? 1 : -1;
        return up ? difference : -difference;
      }));
    });
  });
}

const place = () => decodeURIComponent(location.hash.slice(1));

function follow() {
  if (DATA.runs[place()]) return showRun(place());
  if (dialog.open) dialog.close();
  const target = place() && document.getElementById(place());
  if (!target) return;
  for (let above = target; above; above = above.parentElement) if (above.tagName === "DETAILS") above.open = true;
  target.scrollIntoView();
}

all("details.row[data-row]").forEach(section => {
  section.addEventListener("toggle", () => section.open && drawRow(section));
  if (section.open) drawRow(section);
});
all("table.sortable").forEach(sortable);
all("a[data-run]").forEach(link => link.addEventListener("click", event => { event.preventDefault(); location.hash = link.dataset.run; }));
const hint = box => box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
const hints = new ResizeObserver(entries => entries.forEach(({ target }) => hint(target)));
all(".scroll").forEach(box => { hints.observe(box); box.addEventListener("scroll", () => hint(box)); });
addEventListener("hashchange", follow);
fill();
follow();
