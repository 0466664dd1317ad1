// Plots of metrics against cost, drawn by Observable Plot; the choices are in the URL.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const { tasks, setups, points } = JSON.parse($("points").textContent);
  const make = (tag, props = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), props);
    element.append(...children);
    return element;
  };
  const named = (s) =>
    `${s.machine || s.device || "unknown device"}${s.threads ? `, ${s.threads} threads` : ""}, batch ${s.batch ?? 1}, ` +
    `${s.engine || "eager"}, ${s.precision || "float32"}`;
  const costs = [
    { key: "params", title: "parameters", unit: "Parameters", of: (p) => p.params },
    { key: "gflops", title: "GFLOPs", unit: "GFLOPs", of: (p) => p.gflops },
    { key: "size", title: "size of the file", unit: "MB", of: (p) => p.size },
    ...setups.map((s, i) => ({ key: `ms${i}`, title: `ms: ${named(s)}`, unit: "ms", of: (p) => p.ms[i] ?? null })),
  ];
  // Metrics of a task, once for each data set; a data set with a single entry is left out.
  const metricsOf = (task) =>
    task.metrics.flatMap((m) => {
      const counts = new Map();
      for (const p of points) {
        if (!p.tasks.includes(task.name)) continue;
        for (const data of Object.keys(p.metrics[m.key] || {})) counts.set(data, (counts.get(data) || 0) + 1);
      }
      return [...counts].filter(([, n]) => n > 1).sort((a, b) => b[1] - a[1])
        .map(([data]) => ({ ...m, data, id: `${m.key}/${data}` }));
    });
  const usable = tasks.filter((task) => metricsOf(task).length);
  const given = new URLSearchParams(location.search);
  const fill = (select, options, wanted) => {
    select.replaceChildren(...options.map(([value, textContent]) => make("option", { value, textContent })));
    if (options.some(([value]) => value === wanted)) select.value = wanted;
  };
  if (!usable.length) {
    $("caption").textContent = "Too few measurements to compare.";
    return;
  }
  fill($("task"), usable.map((t) => [t.name, t.title]), given.get("task"));
  if (given.get("colour") === "family") $("colour").value = "family";
  if (given.get("log") === "0") $("log").checked = false;
  let cost;
  function choices(first) {
    const task = usable.find((t) => t.name === $("task").value);
    fill($("metric"), metricsOf(task).map((m) => [m.id, `${m.title}, ${m.data}`]), first ? given.get("metric") : $("metric").value);
    const known = costs.filter((c) => points.filter((p) => p.tasks.includes(task.name) && c.of(p) > 0).length > 1);
    fill($("cost"), known.map((c) => [c.key, c.title]), first ? given.get("cost") : $("cost").value);
  }

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const number = (v) =>
    v >= 1e9 ? `${+(v / 1e9).toPrecision(3)} B` : v >= 1e6 ? `${+(v / 1e6).toPrecision(3)} M`
      : v >= 1e4 ? `${+(v / 1e3).toPrecision(3)} K` : `${+v.toPrecision(3)}`;

  // The Pareto front: weights that no cheaper weights equal.
  function front(data, high) {
    const order = data.slice().sort((a, b) => a.x - b.x || (high ? b.y - a.y : a.y - b.y));
    const kept = [];
    for (const d of order) {
      const last = kept.at(-1);
      if (!last || (high ? d.y > last.y : d.y < last.y)) kept.push(d);
    }
    return kept;
  }

  function draw() {
    const task = usable.find((t) => t.name === $("task").value);
    const metric = metricsOf(task).find((m) => m.id === $("metric").value);
    cost = costs.find((c) => c.key === $("cost").value);
    const by = $("colour").value;
    const data = points
      .filter((p) => p.tasks.includes(task.name))
      .map((p) => ({ ...p, x: cost.of(p), y: p.metrics[metric.key]?.[metric.data] ?? null }))
      .filter((p) => p.x > 0 && p.y !== null);
    const line = front(data, metric.higher_is_better);
    const counts = new Map();
    for (const d of data) counts.set(d[by], (counts.get(d[by]) || 0) + 1);
    const groups = [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name);
    const colours = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => css(`--series-${n}`));
    const group = (d) => (groups.indexOf(d[by]) < colours.length ? d[by] : "others");
    const domain = groups.slice(0, colours.length);
    const narrow = $("plot").clientWidth < 600;
    const width = Math.max(320, $("plot").clientWidth);
    const title = (d) => `${d.name}\n${metric.title} ${d.y}\n${cost.unit} ${number(d.x)}\n${d.plugin}, ${d.family}`;
    const svg = Plot.plot({
      className: "zooplot",
      width,
      height: Math.round(Math.min(560, Math.max(340, width * 0.5))),
      marginLeft: 52, marginBottom: 44, marginTop: 28, marginRight: 20,
      style: { fontSize: "13px", background: "transparent" },
      x: { type: $("log").checked ? "log" : "linear", label: `${cost.unit} →`, tickFormat: number, ticks: narrow ? 4 : 8, nice: true },
      y: { label: `${metric.higher_is_better ? "↑" : "↓"} ${metric.title}, ${metric.data}`, reverse: !metric.higher_is_better, grid: true, nice: true },
      color: { domain: [...domain, "others"], range: [...colours.slice(0, domain.length), css("--muted")] },
      marks: [
        Plot.line(line, { x: "x", y: "y", stroke: css("--text"), strokeWidth: 1.5, strokeOpacity: 0.55, curve: "step-after" }),
        Plot.dot(data, {
          x: "x", y: "y", r: 4.5, fill: group, fillOpacity: 0.85, stroke: css("--bg"), strokeWidth: 1, className: "points",
          href: (d) => d.page,
        }),
        Plot.text(line, { x: "x", y: "y", text: narrow ? () => "" : (d) => d.name.split(".")[0], dx: -5, dy: -8, fontSize: 11, fill: css("--text"), stroke: css("--bg"), strokeWidth: 4, textAnchor: "end" }),
        Plot.tip(data, Plot.pointer({ x: "x", y: "y", title, fill: css("--panel"), stroke: css("--border"), maxRadius: 30, fontSize: 13 })),
      ],
    });
    for (const style of svg.querySelectorAll("style")) style.remove(); // replaced by rules in catalogue.css
    svg.setAttribute("aria-hidden", "true"); // described by the label below and the table
    $("plot").setAttribute("role", "group");
    $("plot").setAttribute("aria-label", `${metric.title} on ${metric.data} against ${cost.title}: ${data.length} weights, ${line.length} on the line`);
    for (const a of svg.querySelectorAll("a")) a.setAttribute("tabindex", "-1"); // keyboard users have the links in the table below
    svg.addEventListener("click", (event) => {
      // With a mouse, a click near a point opens it; a tap first shows the tip.
      const near = svg.value && matchMedia("(hover: hover)").matches && !event.target.closest("a");
      if (near) location.assign(svg.value.page);
    });
    $("plot").replaceChildren(svg);
    thin(svg);
    const legend = make("ul", { className: "legend" });
    for (const [i, name] of domain.entries()) legend.append(make("li", {}, make("i", { className: `series-${i + 1}` }), `${name} (${counts.get(name)})`));
    if (groups.length > domain.length) legend.append(make("li", {}, make("i", { className: "series-0" }), `${groups.length - domain.length} others`));
    $("caption").replaceChildren(legend);
    $("seen").textContent = `${line.length} of ${data.length} weights.`;
    const head = make("thead", {}, make("tr", {}, ...["Weights", metric.title, cost.unit, "Plugin"].map((text, i) =>
      make("th", { scope: "col", textContent: text, className: i === 1 || i === 2 ? "n" : "" }))));
    const body = make("tbody", {}, ...line.map((d) => make("tr", {},
      make("th", { scope: "row" }, make("a", { href: d.page, textContent: d.name })),
      make("td", { className: "n", textContent: String(d.y) }), make("td", { className: "n", textContent: number(d.x) }),
      make("td", { textContent: d.plugin }))));
    $("front").replaceChildren(head, body);
    const search = new URLSearchParams({ task: task.name, metric: metric.id, cost: cost.key });
    if (by !== "plugin") search.set("colour", by);
    if (!$("log").checked) search.set("log", "0");
    history.replaceState(null, "", `?${search}`);
  }

  // Overlapping names on the line are left out; the tip and the table show them.
  function thin(svg) {
    const taken = [];
    for (const label of svg.querySelectorAll("g[aria-label=text] text")) {
      const box = label.getBoundingClientRect();
      const free = taken.every((t) => box.left > t.right + 4 || box.right < t.left - 4 || box.top > t.bottom + 1 || box.bottom < t.top - 1);
      if (free && box.left > svg.getBoundingClientRect().left + 40) taken.push(box);
      else label.remove();
    }
  }

  choices(true);
  for (const id of ["metric", "cost", "colour", "log"]) $(id).addEventListener("change", draw);
  $("task").addEventListener("change", () => {
    choices(false);
    draw();
  });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  let width = 0;
  new ResizeObserver(() => {
    if (Math.abs($("plot").clientWidth - width) < 2) return;
    width = $("plot").clientWidth;
    draw();
  }).observe($("plot"));
  addEventListener("themechange", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
