// The charts of a row: curves of strategies, and groups of one of them.

/** Buttons of which one is pressed; `choose` is called with its name. */
function choice(label, names, choose) {
  const buttons = Object.entries(names).map(([name, text], i) =>
    make(
      "button",
      {
        type: "button",
        "aria-pressed": i === 0,
        onclick: event => {
          buttons.forEach(button => button.setAttribute("aria-pressed", button === event.currentTarget));
          choose(name);
        },
      },
      text,
    ),
  );
  return make("span", { role: "group", "aria-label": label, class: "tools" }, ...buttons);
}

/** A metric of each strategy over epochs; which are shown is kept from one metric to the other. */
function curves(host, row, column) {
  const names = Object.keys(row.curves).sort((a, b) => rank(a) - rank(b)),
    free = Object.keys(DATA.styles).filter(name => !names.includes(name)); // whose styles settings without one take
  row.on ??= new Set(row.shown ?? names.slice(0, 6));
  const lines = names.map((strategy, i) => {
    const curve = row.curves[strategy],
      [colour, dash] = styleOf(strategy in DATA.styles ? strategy : free[i]),
      paper = column === "test_metric" ? row.paper?.[strategy] : null;
    return {
      label: strategy,
      x: curve.epochs,
      y: curve[column].mean,
      low: curve[column].low,
      high: curve[column].high,
      colour,
      dash,
      points: paper && paper.map(([mean, sd], i) => [row.epochs[i], mean, sd]).filter(([epoch]) => epoch),
      shown: row.on.has(strategy),
      toggled: on => (on ? row.on.add(strategy) : row.on.delete(strategy)),
    };
  });
  chart(host, {
    label: `${row.title}: ${column === "test_metric" ? "test metric" : "worst group"} by strategy`,
    lines,
    unit: row.metric,
    logarithmic: !row.is_percent,
  });
}

/** The order of strategies: learn2mix, settings that have no style, the others. */
function rank(strategy) {
  const place = Object.keys(DATA.styles).indexOf(strategy);
  return place < 0 ? 0.5 : place;
}

/** The proportions of a strategy's groups, stacked, or the test metric of each. */
function groups(host, row, strategy, column) {
  const curve = row.curves[strategy],
    colours = shades(curve.names.length);
  const lines = curve[`group_${column}`].map((y, i) => ({
    label: curve.names[i],
    x: curve.group_epochs,
    y: y.length === 1 ? curve.group_epochs.map(() => y[0]) : y,
    colour: colours[i],
  }));
  const stacked = column === "proportion";
  chart(host, {
    label: `${row.title}, ${strategy}: ${stacked ? "proportions" : "test metric"} by group`,
    lines,
    stacked,
    unit: stacked ? "share of a batch" : row.metric,
    logarithmic: !stacked && !row.is_percent,
  });
}

/** Draws the charts of a row when it is opened for the first time. */
function drawRow(section) {
  const box = find(".charts", section),
    row = DATA.rows[section.dataset.row];
  if (!box || box.childElementCount) return;
  const left = make("div"),
    right = make("div"),
    names = Object.keys(row.curves).sort((a, b) => rank(a) - rank(b));
  let column = "proportion";
  const which = make(
    "select",
    { "aria-label": "Strategy whose groups are shown" },
    ...names.map(name => make("option", {}, name)),
  );
  const again = () => groups(right, row, which.value, column);
  which.addEventListener("input", again);
  box.append(
    make(
      "div",
      { class: "chart" },
      make("h4", {}, `Over epochs: mean over seeds${row.paper ? "; circles: the paper" : ""}`),
      choice("Metric", { test_metric: "test metric", worst_group: "worst group" }, name => curves(left, row, name)),
      left,
    ),
    make(
      "div",
      { class: "chart" },
      make("h4", {}, "Groups, mean over seeds"),
      make(
        "div",
        { class: "tools" },
        which,
        choice("Of the groups", { proportion: "proportions", test_metric: "test metric" }, name => {
          column = name;
          again();
        }),
      ),
      right,
    ),
  );
  curves(left, row, "test_metric");
  again();
}
