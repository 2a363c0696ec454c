"use strict";
// Charts by uPlot: curves of strategies with a band at a time, and stacked proportions. Values stand in the legend.

const DARK = matchMedia("screen and (prefers-color-scheme: dark)"); // paper is white
const charts = new Map(); // by its element, what draws a chart again: in another colour scheme, or as wide as its element
const widths = new ResizeObserver(entries =>
  entries.forEach(({ target }) => {
    if (target.clientWidth && target.clientWidth !== Number(target.dataset.width)) charts.get(target)();
  }),
);

/** An element with attributes, and children that are elements or text; text is never read as HTML. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(key, value);
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}

const styled = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A colour that stands out from the page: brighter where the page is dark. */
function shown(colour) {
  if (!DARK.matches) return colour;
  const parts = [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16));
  return `rgb(${parts.map(part => Math.round(part + (255 - part) * (colour === "#000000" ? 0.85 : 0.35))).join(" ")})`;
}

/** k colours from dark blue to yellow, in the order of the groups. */
function shades(k) {
  const stops = [
    [0, 42, 102],
    [75, 83, 111],
    [124, 123, 120],
    [178, 166, 110],
    [247, 219, 74],
  ];
  return Array.from({ length: k }, (_, i) => {
    const place = (k > 1 ? i / (k - 1) : 0) * (stops.length - 1),
      low = Math.min(Math.floor(place), stops.length - 2);
    const mixed = stops[low].map((part, j) => Math.round(part + (stops[low + 1][j] - part) * (place - low)));
    return "#" + mixed.map(part => part.toString(16).padStart(2, "0")).join("");
  });
}

function format(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  return size >= 100
    ? value.toFixed(0)
    : size >= 10
      ? value.toFixed(1)
      : size >= 1 || size === 0
        ? value.toFixed(2)
        : value.toPrecision(2);
}

function area(u, xs, low, high, colour, alpha) {
  const context = u.ctx;
  context.save();
  context.beginPath();
  context.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  context.clip();
  context.beginPath();
  xs.forEach((x, i) => context.lineTo(u.valToPos(x, "x", true), u.valToPos(high[i], "y", true)));
  for (let i = xs.length - 1; i >= 0; i--) context.lineTo(u.valToPos(xs[i], "x", true), u.valToPos(low[i], "y", true));
  context.globalAlpha = alpha;
  context.fillStyle = colour;
  context.fill();
  context.restore();
}

/** The paper's mean ± sd at its checkpoints, an open circle. */
function circles(u, points, colour) {
  const context = u.ctx,
    ratio = devicePixelRatio;
  context.save();
  context.strokeStyle = colour;
  context.fillStyle = styled("--surface");
  context.lineWidth = 1.3 * ratio;
  context.setLineDash([]);
  for (const [epoch, mean, sd] of points) {
    const x = u.valToPos(epoch, "x", true),
      y = value => u.valToPos(value, "y", true);
    if (y(mean) < u.bbox.top || y(mean) > u.bbox.top + u.bbox.height) continue;
    context.beginPath();
    if (sd && mean - sd > 0) (context.moveTo(x, y(mean - sd)), context.lineTo(x, y(mean + sd)));
    context.stroke();
    context.beginPath();
    context.arc(x, y(mean), 4 * ratio, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
  context.restore();
}

/** Values of several curves at one place: curves end at different epochs where runs stop early. */
function join(lines) {
  const xs = [...new Set(lines.flatMap(line => line.x))].sort((a, b) => a - b);
  return [
    xs,
    ...lines.map(line => {
      const at = new Map(line.x.map((x, i) => [x, line.y[i]]));
      return xs.map(x => (at.has(x) ? at.get(x) : null));
    }),
  ];
}

/**
 * A chart in `host`. `lines` are {label, x, y, colour, dash, low, high, points, shown}; with `stacked` their y are
 * shares, drawn one above the other. The arrow keys move the cursor; a button of the legend turns a line on and off,
 * and the band of the button or line that was last pointed at is drawn.
 */
function chart(host, { label, lines, unit, logarithmic = false, stacked = false }) {
  const plot = make("div", {
    class: "plot",
    tabindex: 0,
    role: "img",
    "aria-label": `${label}. Arrow keys read values.`,
  });
  const place = make("p", { class: "at", "aria-live": "polite" }),
    legend = make("div", { class: "legend" });
  const on = lines.map(line => line.shown !== false);
  let band = lines.findIndex(line => line.low),
    u = null;
  const values = lines.map(() => make("b"));
  const data = join(lines);
  const stack = lines.map((_, i) =>
    data[0].map((_, j) => lines.slice(0, i + 1).reduce((sum, _, l) => sum + (data[l + 1][j] || 0), 0)),
  );
  const drawn = stacked ? [data[0], ...stack] : data,
    numbers = lines.flatMap(line => line.y).filter(value => value !== null);
  const logs = logarithmic && Math.min(...numbers) > 0 && Math.max(...numbers) > 5 * Math.min(...numbers);
  const fewer = (u, ticks) =>
    ticks.map(tick => (!logs || [1, 2, 5].includes(Number(tick.toExponential(4).split("e")[0])) ? tick : null));

  function read(index) {
    const last = index === null || index === undefined ? data[0].length - 1 : index;
    place.textContent = `${index === null || index === undefined ? "at the end, epoch" : "epoch"} ${data[0][last]}`;
    values.forEach((value, i) => {
      let j = last;
      while (j > 0 && data[i + 1][j] === null) j--;
      value.textContent = stacked ? `${format(100 * data[i + 1][j])} %` : format(data[i + 1][j]);
    });
  }

  function draw() {
    u && u.destroy();
    host.dataset.width = host.clientWidth;
    const axis = {
      stroke: styled("--muted"),
      grid: { stroke: styled("--rule"), width: 1 },
      ticks: { stroke: styled("--rule"), width: 1 },
      font: "11px system-ui, sans-serif",
      labelFont: "11px system-ui, sans-serif",
      labelSize: 16,
    };
    u = new uPlot(
      {
        width: Math.max(host.clientWidth, 200),
        height: 250,
        legend: { show: false },
        cursor: {
          y: false,
          drag: { x: false, y: false },
          points: { show: !stacked, size: 7 },
          focus: { prox: stacked ? -1 : 16 },
        },
        focus: { alpha: 0.35 },
        scales: {
          x: { time: false },
          y: {
            distr: logs ? 3 : 1,
            range: stacked ? [0, 1] : logs ? (u, low, high) => [low * 0.9, high * 1.1] : undefined,
          },
        },
        axes: [
          { ...axis, label: "epoch", size: 30 },
          {
            ...axis,
            label: unit,
            size: 46,
            filter: fewer,
            grid: { ...axis.grid, filter: fewer },
            values: (_, ticks) => ticks.map(tick => (tick === null ? "" : String(Number(tick.toPrecision(6))))),
          },
        ],
        series: [
          {},
          ...lines.map((line, i) => ({
            label: line.label,
            show: on[i],
            stroke: shown(line.colour),
            dash: line.dash,
            width: stacked ? 0 : line.label === "learn2mix" ? 2.4 : 1.6,
            points: { show: data[0].length === 1 },
            spanGaps: true,
          })),
        ],
        hooks: {
          setCursor: [u => read(u.cursor.idx)],
          setSeries: [
            (_, i) => {
              if (i && lines[i - 1].low && band !== i - 1) {
                band = i - 1;
                u && u.redraw(false);
              }
            },
          ],
          drawAxes: [
            u => {
              if (stacked)
                lines.forEach((line, i) =>
                  area(u, data[0], i ? stack[i - 1] : stack[0].map(() => 0), stack[i], line.colour, 1),
                );
              else if (band >= 0 && on[band])
                area(u, lines[band].x, lines[band].low, lines[band].high, shown(lines[band].colour), 0.2);
            },
          ],
          draw: [u => lines.forEach((line, i) => on[i] && line.points && circles(u, line.points, shown(line.colour)))],
        },
      },
      drawn,
      plot,
    );
    read(null);
  }

  const keys = [];
  lines.forEach((line, i) => {
    const key = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    key.innerHTML = '<line x1="0" y1="5" x2="22" y2="5" stroke-width="3"/>';
    if (line.dash && line.dash.length) key.firstChild.setAttribute("stroke-dasharray", line.dash.join(" "));
    if (stacked) key.firstChild.setAttribute("stroke-width", 9);
    keys.push(key.firstChild);
    const button = make("button", { type: "button", "aria-pressed": on[i] }, key, line.label, values[i]);
    if (stacked) button.disabled = true;
    const point = () => {
      if (line.low && on[i]) {
        band = i;
        u.redraw(false);
      }
    };
    button.addEventListener("mouseenter", point);
    button.addEventListener("focus", point);
    button.addEventListener("click", () => {
      on[i] = !on[i];
      button.setAttribute("aria-pressed", on[i]);
      if (line.toggled) line.toggled(on[i]);
      if (on[i] && line.low) band = i;
      u.setSeries(i + 1, { show: on[i] });
    });
    legend.append(button);
  });
  plot.addEventListener("keydown", event => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!step) return;
    event.preventDefault();
    const from = u.cursor.idx ?? (step > 0 ? -1 : data[0].length);
    const index = Math.min(Math.max(from + step, 0), data[0].length - 1);
    u.setCursor({ left: u.valToPos(data[0][index], "x"), top: 10 });
  });
  const redraw = () => {
    keys.forEach((key, i) => key.setAttribute("stroke", stacked ? lines[i].colour : shown(lines[i].colour)));
    draw();
  };
  host.replaceChildren(plot, place, legend);
  redraw();
  charts.set(host, redraw);
  widths.observe(host);
}

for (const [target, event] of [[DARK, "change"], [window, "beforeprint"], [window, "afterprint"]])
  target.addEventListener(event, () => charts.forEach(draw => draw()));
