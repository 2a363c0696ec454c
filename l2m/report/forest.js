// A plot of effects: differences with their intervals, by verdict.

const DATA = JSON.parse(document.getElementById("data").textContent);
const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const form = document.getElementById("choices");
// prettier-ignore
const VERDICTS = ["better", "confirmed", "same sign", "larger", "smaller", "undecided", "inconclusive", "too few seeds",
  "worse", "opposite", "contradicted"];
const styleOf = strategy => DATA.styles[strategy] || ["#666666", [3, 1]];
const mark = verdict =>
  make(
    "span",
    { class: `mark ${verdict}` },
    make("span", { "aria-hidden": "true" }, DATA.symbols[verdict]),
    ` ${verdict}`,
  );

/** Where an effect lies, to the right where it is a gain: in points of a share, or in % of the opponent's error, the
 * paper's in % of the error that it prints. */
function scaled(row, effect) {
  const sign = (row.higher ?? row.is_percent) ? 1 : -1,
    factor = base => (row.is_percent ? sign : (100 * sign) / base),
    ours = factor(effect.base),
    theirs = factor(effect.paper_base);
  return {
    mean: effect.mean * ours,
    half: Math.abs((effect.half ?? 0) * ours),
    paper: effect.paper && [effect.paper[0] * theirs, Math.abs((effect.paper[1] ?? 0) * theirs)],
  };
}

function strip({ mean, half, paper }, [low, high]) {
  const percent = value => 100 * Math.min(Math.max((value - low) / (high - low), 0), 1);
  const bar = (name, low, high) =>
    make("i", { class: name, style: `left:${percent(low)}%;width:${percent(high) - percent(low)}%` });
  const dot = (name, value) => make("i", { class: name, style: `left:${percent(value)}%` });
  return make(
    "span",
    { class: "strip", "aria-hidden": "true", style: `background-position-x:${percent(0)}%` },
    paper && bar("paper-bar", paper[0] - paper[1], paper[0] + paper[1]),
    paper && dot("paper-dot", paper[0]),
    bar("bar", mean - half, mean + half),
    dot("dot", mean),
  );
}

function effect({ href, title, effect, place }, limits) {
  const seeds = `${effect.n} seed${effect.n > 1 ? "s" : ""}`;
  const drawn = strip(place, limits);
  drawn.classList.add(...effect.verdict.split(" "));
  return make(
    "a",
    { class: "effect", href, title: effect.note || null, "data-row": href.slice(1), "data-name": title },
    make(
      "span",
      {},
      make("strong", {}, title),
      make("small", {}, make("b", {}, `Δ ${effect.text}`), effect.paper_text ? "" : ` · ${seeds}`),
      effect.paper_text ? make("small", {}, `paper ${effect.paper_text} · ${seeds}`) : null,
    ),
    drawn,
  );
}

/** Effects {href, title, effect, place}, by verdict, above their axis; null where there are none. */
function panel(title, unit, effects) {
  if (!effects.length) return null;
  const reach = (sign, of) =>
    Math.max(
      0,
      ...effects.map(({ place }) => of(place).reduce((sum, value, i) => sum + (i ? value : sign * value), 0)),
    );
  const widest = 2 * reach(1, place => [Math.abs(place.mean), place.half]);
  const [low, high] = [-1, 1].map(sign => {
    const own = reach(sign, place => [place.mean, place.half]);
    const paper = reach(sign, place => place.paper ?? [0, 0]);
    return sign * Math.max(own, Math.min(paper, widest)); // the paper's interval is cut where it would dwarf ours
  });
  const pad = 0.04 * (high - low) || 1,
    limits = [low - pad, high + pad];
  const made = make("div", { class: "panel" }, make("h3", {}, title));
  for (const verdict of VERDICTS) {
    const group = effects.filter(({ effect }) => effect.verdict === verdict);
    if (group.length) made.append(mark(verdict), ...group.map(one => effect(one, limits)));
  }
  const magnitude = 10 ** Math.floor(Math.log10(high - low || 1));
  const step = magnitude * ((high - low) / magnitude > 4 ? 2 : 0.5);
  const ticks = Array.from({ length: 40 }, (_, i) => (i - 20) * step).filter(
    tick => tick >= limits[0] && tick <= limits[1],
  );
  made.append(
    make(
      "div",
      { class: "axis" },
      make(
        "div",
        {},
        ...ticks.map(tick =>
          make(
            "span",
            { style: `left:${(100 * (tick - limits[0])) / (limits[1] - limits[0])}%` },
            `${tick > 0 ? "+" : tick < 0 ? "−" : ""}${Number(Math.abs(tick).toPrecision(3))}`,
          ),
        ),
      ),
    ),
    make("small", {}, unit),
  );
  return made;
}
