"use strict";
// Colours of the figures as they are written, and what stands for them on a dark ground.
const DARK = { white: "#14171c", "#1f2328": "#e6e8ec", "#6b7280": "#a3abb8", "#d9dce1": "#3a404a",
  "#c3c8cf": "#6a7280", "#0072b2": "#4aa3ea", "#56b4e9": "#a5d8f8", "#d55e00": "#f0883e", "#a84300": "#f0883e",
  "rgba(0,114,178,0.15)": "rgba(86,180,233,0.22)" };
const ROWS = 200; // of the table of trials at a time
const byId = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");

async function unpacked(id) {
  const text = atob(byId(id).textContent.trim()), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function lighter(colour) { // what is nearly black would not be seen
  const parts = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(colour)?.slice(1).map((part) => parseInt(part, 16));
  if (!parts || 0.3 * parts[0] + 0.59 * parts[1] + 0.11 * parts[2] > 90) return colour;
  return "#" + parts.map((part) => Math.round(part + 0.45 * (255 - part)).toString(16).padStart(2, "0")).join("");
}

function recoloured(value) {
  if (typeof value === "string") return DARK[value.toLowerCase()] ?? lighter(value);
  if (Array.isArray(value)) return value.length && typeof value[0] === "number" ? value : value.map(recoloured);
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, recoloured(entry)]));
  return value;
}

function laidOut(layout, width) { // panels side by side go below each other on a phone
  const made = structuredClone(layout);
  if (width >= 600) return made;
  made.margin = { ...made.margin, l: 52, r: 8 };
  made.font = { ...made.font, size: 11.5 };
  const panels = Object.keys(made).filter((key) => /^xaxis\d*$/.test(key)).map((key) => key.slice(5));
  if (panels.length > 1) {
    made.height = 190 + 300 * panels.length;
    panels.forEach((panel, i) => {
      const part = 1 / panels.length, y = (made["yaxis" + panel] ??= {});
      made["xaxis" + panel].domain = [0, 1];
      y.domain = [1 - part * (i + 1) + (i + 1 < panels.length ? 0.11 : 0.0), 1 - part * i];
      y.showticklabels = true;
    });
    made.legend = { ...made.legend, y: -0.09 };
    for (const note of made.annotations ?? [])
      if (note.panel !== undefined) Object.assign(note, { x: 0, y: 1 - note.panel / panels.length });
  }
  return made;
}

const broken = (name) => name.replace(/(.{30}\S*) /g, "$1<br>"); // a long name in a legend

function draw(id, chart) {
  const place = byId(id), layout = laidOut(chart.layout, place.clientWidth);
  const data = structuredClone(chart.data);
  if (place.clientWidth < 600) for (const trace of data) if (trace.name) trace.name = broken(trace.name);
  const figure = dark.matches ? recoloured({ data, layout }) : { data, layout };
  return Plotly.react(place, figure.data, figure.layout, {
    responsive: true, displaylogo: false, modeBarButtons: [["zoom2d", "pan2d", "resetScale2d"]] });
}

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function saveSvg(id, chart) { // as for paper: on white, whatever the page is
  const url = await Plotly.toImage({ data: structuredClone(chart.data), layout: structuredClone(chart.layout) },
    { format: "svg", width: 900, height: chart.layout.height ?? 500 });
  save(`${id}.svg`, "image/svg+xml", decodeURIComponent(url.slice(url.indexOf(",") + 1)));
}

const cell = (value) => {
  const text = value === null || value === undefined ? "" : String(value);
  const inert = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? "'" + text : text; // no formula
  return /[",\n\r]/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
};
const csv = (rows) => rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";

function figureRows(chart) {
  const rows = [["series", "x", "y", "below", "above", "text"]];
  for (const trace of chart.data) {
    if (trace.type === "heatmap") {
      trace.z.forEach((line, i) => line.forEach((value, j) => rows.push([trace.name ?? "", `${trace.x[j]} to ${trace.x[j + 1]}`,
        `${trace.y[i]} to ${trace.y[i + 1]}`, value === null ? "" : 10 ** value, "", trace.text?.[i]?.[j] ?? ""])));
      continue;
    }
    const bars = trace.error_y ?? trace.error_x ?? {}, low = bars.arrayminus ?? bars.array;
    (trace.x ?? []).forEach((x, i) =>
      rows.push([trace.name ?? "", x, trace.y?.[i], low?.[i], bars.array?.[i], Array.isArray(trace.text) ? trace.text[i] : ""]));
  }
  return rows.map((row) => row.map((value) => (typeof value === "string" ? value.replaceAll("<br>", "; ") : value)));
}

const COMPARE = { "=": (a, b) => a === b, "!=": (a, b) => a !== b, "<": (a, b) => a < b, "<=": (a, b) => a <= b,
  ">": (a, b) => a > b, ">=": (a, b) => a >= b };

function wanted(term, columns) { // the test that one word of the filter asks for
  const parts = /^(.+?)(<=|>=|!=|=|<|>)(.*)$/.exec(term), at = parts ? columns.indexOf(parts[1]) : -1;
  if (at < 0) return (row) => row.some((value) => String(value ?? "").toLowerCase().includes(term.toLowerCase()));
  const [, , sign, text] = parts, number = Number(text), test = COMPARE[sign];
  const numeric = text !== "" && !Number.isNaN(number);
  return (row) => {
    const value = row[at];
    if (numeric && typeof value === "number") return test(value, number);
    return sign === "=" || sign === "!=" ? test(String(value ?? "").toLowerCase(), text.toLowerCase()) : false;
  };
}

function trialsTable(trials) {
  const head = byId("trials").querySelector("thead"), body = byId("trials").querySelector("tbody");
  const count = byId("trials-count"), filter = byId("trials-filter"), more = byId("trials-more");
  const columns = trials.columns, all = trials.values[0].map((_, i) => trials.values.map((column) => column[i]));
  let rows = all, sorted = -1, down = false, shown = ROWS;
  const small = (value) => typeof value === "number" && value !== 0 && Math.abs(value) < 1e-3;
  const text = (value) => value === null ? "" : small(value) ? value.toExponential(3) : String(value);

  function show() {
    body.replaceChildren(...rows.slice(0, shown).map((row) => {
      const line = document.createElement("tr");
      for (const value of row) line.insertCell().textContent = text(value);
      return line;
    }));
    count.textContent = `${rows.length.toLocaleString("en")} of ${all.length.toLocaleString("en")}`;
    more.hidden = rows.length <= shown;
  }
  function refresh() {
    const tests = filter.value.trim().split(/\s+/).filter(Boolean).map((term) => wanted(term, columns));
    rows = all.filter((row) => tests.every((test) => test(row)));
    if (sorted >= 0) rows.sort((a, b) => { // what has no value is last, either way
      const [x, y] = [a[sorted], b[sorted]];
      if (x === null || y === null) return (x === null) - (y === null);
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
      return down ? -order : order;
    });
    shown = ROWS;
    show();
  }
  const line = head.insertRow();
  columns.forEach((name, i) => {
    const heading = document.createElement("th"), button = document.createElement("button");
    heading.scope = "col";
    button.textContent = name;
    button.title = `sort by ${name}`;
    button.onclick = () => {
      [sorted, down] = [i, sorted === i && !down];
      for (const other of line.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      refresh();
    };
    heading.append(button);
    line.append(heading);
  });
  filter.oninput = refresh;
  more.onclick = () => { shown += 5 * ROWS; show(); };
  byId("trials-csv").onclick = () => save("trials.csv", "text/csv", csv([columns, ...rows]));
  refresh();
}

(async () => {
  const { charts, trials } = JSON.parse(await unpacked("data"));
  if (trials) trialsTable(trials);
  const script = document.createElement("script");
  script.textContent = await unpacked("plotly");
  document.head.append(script);
  async function all() {
    for (const [id, chart] of Object.entries(charts)) {
      await draw(id, chart);
      performance.mark("figure"); // the first of these is when the page answers
      await new Promise((next) => setTimeout(next)); // what is clicked meanwhile comes first
    }
  }
  for (const [id, chart] of Object.entries(charts)) {
    byId(`${id}-svg`).onclick = () => saveSvg(id, chart);
    byId(`${id}-csv`).onclick = () => save(`${id}.csv`, "text/csv", csv(figureRows(chart)));
  }
  await all();
  dark.addEventListener("change", all);
  let width = innerWidth;
  addEventListener("resize", () => { if ((width < 600) !== (innerWidth < 600)) all(); width = innerWidth; });
  document.documentElement.dataset.ready = "yes";
})();
