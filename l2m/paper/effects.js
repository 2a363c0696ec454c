// The choices of the page, which the plot of effects and the rows below it follow.

const rows = all("#rows details[data-row]");

/** Draws the effects of the rows that the choices keep, and hides the other rows. */
function redraw() {
  const chosen = Object.fromEntries(new FormData(form));
  const kept = rows.filter(section => {
    const { table, version, verdict } = section.dataset;
    const keep =
      (!chosen.task || chosen.task === table) &&
      (!chosen.version || chosen.version === version) &&
      (!chosen.verdict || chosen.verdict === verdict);
    section.hidden = !keep;
    const line = find(`#verdicts tr[data-row="${section.dataset.row}"]`);
    if (line) line.hidden = !keep;
    return keep;
  });
  const effects = table =>
    kept
      .filter(section => section.dataset.table === table)
      .flatMap(section => {
        const row = DATA.rows[section.dataset.row],
          one = row.effects[chosen.column][chosen.opponent]?.[chosen.epoch];
        return one ? [{ href: `#${section.id}`, title: row.title, effect: one, place: scaled(row, one) }] : [];
      });
  const panels = [
    panel("Classification", "points of accuracy gained", effects("1")),
    panel("Regression and reconstruction", "error saved, in % of the other strategy's", effects("2")),
  ].filter(Boolean);
  const without = kept
    .map(section => DATA.rows[section.dataset.row])
    .filter(row => !row.effects[chosen.column][chosen.opponent])
    .map(row => row.title);
  document.getElementById("forest").replaceChildren(...panels);
  document.getElementById("without").textContent = without.length
    ? `No runs of learn2mix and ${chosen.opponent} on common seeds: ${without.join(", ")}.`
    : "";
}

function fill() {
  const opponents = new Set(rows.flatMap(row => Object.keys(DATA.rows[row.dataset.row].effects.test_metric)));
  const order = ["classical", "stratified", "balanced", ...opponents].filter(
    (name, i, names) => opponents.has(name) && names.indexOf(name) === i,
  );
  form.opponent.append(...order.map(name => make("option", {}, name)));
  const verdicts = new Set(rows.map(row => row.dataset.verdict));
  form.verdict.append(...[...verdicts].map(name => make("option", {}, name)));
  form.addEventListener("input", redraw);
  form.addEventListener("submit", event => event.preventDefault());
  redraw();
}
