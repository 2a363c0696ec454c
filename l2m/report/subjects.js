// The choices of a page whose panels are data sets, or scores of one: an effect for each configuration in a panel.

/** Draws the effects of all configurations against the chosen one. */
function redraw() {
  const chosen = Object.fromEntries(new FormData(form)),
    without = [],
    shown = Object.entries(DATA.panels ?? DATA.rows).filter(([name]) => !chosen.score || chosen.score === name);
  const panels = shown.map(([name, row]) => {
    const opponents = row.effects[chosen.column ?? "test_metric"],
      strategy = chosen.opponent?.split(" ")[0];
    const opponent =
      chosen.opponent in opponents
        ? chosen.opponent
        : Object.keys(opponents).find(label => label.split(" ")[0] === strategy); // with other options there
    if (!opponent && strategy) without.push(row.title);
    const effects = Object.entries(opponents[opponent] ?? {}).map(([title, byEpoch]) => {
      const effect = byEpoch[chosen.epoch ?? 0];
      return { href: DATA.panels ? "#numbers" : `#${name}`, title, effect, place: scaled(row, effect) };
    });
    const unit = row.is_percent ? "points gained" : "error saved, in % of the other's";
    const title = opponent === chosen.opponent ? row.title : `${row.title}, against ${opponent}`;
    return panel(title, unit, effects.sort((a, b) => b.place.mean - a.place.mean));
  });
  document.getElementById("forest").replaceChildren(...panels.filter(Boolean));
  document.getElementById("without").textContent = without.length
    ? `No runs of ${chosen.opponent}: ${without.join(", ")}.`
    : "";
}

function fill() {
  const names = Object.values(DATA.panels ?? DATA.rows).flatMap(row => Object.keys(row.effects.test_metric));
  form.opponent.append(...[...new Set(names)].map(name => make("option", {}, name)));
  form.addEventListener("input", redraw);
  form.addEventListener("submit", event => event.preventDefault());
  redraw();
}
