// The view of a run, which its address opens: #runs/mnist/learn2mix/seed0-….

const dialog = document.getElementById("run");

function table(head, lines) {
  const made = make(
    "table",
    { class: "sortable" },
    make(
      "thead",
      {},
      make("tr", {}, ...head.map((name, i) => make("th", { scope: "col", class: i ? "number" : null }, name))),
    ),
    make(
      "tbody",
      {},
      ...lines.map(line =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, line[0]),
          ...line.slice(1).map(text => make("td", { class: "number" }, text)),
        ),
      ),
    ),
  );
  sortable(made);
  return made;
}

function showRun(folder) {
  const run = DATA.runs[folder],
    row = DATA.rows[run.row],
    curve = row.curves[run.strategy],
    info = run.info;
  const facts = Object.entries({
    training: `${format(run.seconds)} s`,
    "whole run": info.seconds && `${format(info.seconds)} s`,
    device: info.device,
    threads: info.threads,
    l2m: info.version,
    commit: info.commit && info.commit.slice(0, 10),
    torch: info.torch,
    started: info.start && info.start.replace("T", " ").slice(0, 16),
    epochs: run.epochs.at(-1),
  }).filter(([, value]) => value);
  const plot = make("div");
  const others = Object.entries(DATA.runs).filter(
    ([, other]) => other.row === run.row && other.strategy === run.strategy,
  );
  dialog.replaceChildren(
    make("button", { class: "close", type: "button", onclick: () => dialog.close() }, "Close"),
    make("h2", { id: "run-title" }, `${row.title} · ${run.strategy} · seed ${run.seed}`),
    make(
      "p",
      { class: "small" },
      "Seeds: ",
      ...others.flatMap(([place, other]) => [
        other === run ? make("b", {}, String(other.seed)) : make("a", { href: `#${place}` }, String(other.seed)),
        " ",
      ]),
    ),
    make(
      "dl",
      { class: "facts" },
      ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, String(value)))),
    ),
    plot,
    make(
      "div",
      { hidden: info.command ? null : "" },
      make("h3", {}, "The command that repeats it"),
      make("pre", {}, make("code", {}, info.command ?? "")),
    ),
    make("h3", {}, "Groups at the last epoch"),
    make(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Groups" },
      table(
        ["group", "proportion", "samples", "training loss", row.metric],
        curve.names.map((name, i) => [name, ...run.groups.map(values => format(values[i]))]),
      ),
    ),
    make(
      "details",
      {},
      make("summary", {}, "Configuration"),
      make(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": "Configuration" },
        table(
          ["setting", "value"],
          [...Object.entries(curve.settings), ["seed", run.seed]].map(([name, value]) => [
            name,
            value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? "none"),
          ]),
        ),
      ),
    ),
    make(
      "p",
      { class: "small" },
      "Files: ",
      ...run.files.flatMap(file => [make("a", { href: `${DATA.root ?? ""}${folder}/${file}` }, file), " "]),
    ),
  );
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  const [colour] = styleOf(run.strategy);
  chart(plot, {
    label: "Curves of this run",
    unit: row.metric,
    logarithmic: !row.is_percent,
    lines: [
      { label: "test metric", x: run.epochs, y: run.test_metric, colour },
      { label: "worst group", x: run.epochs, y: run.worst_group, colour, dash: [4, 3] },
      { label: `mean of ${run.strategy}`, x: curve.epochs, y: curve.test_metric.mean, colour: "#8a857c", dash: [1, 3] },
    ],
  });
}

dialog.addEventListener("close", () => {
  if (DATA.runs[place()]) history.replaceState(null, "", `#${DATA.runs[place()].row}`);
});
dialog.addEventListener("click", event => {
  if (event.target === dialog) dialog.close();
});
