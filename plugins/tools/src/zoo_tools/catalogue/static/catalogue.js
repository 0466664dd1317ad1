// The table of all weights: search, filters, sorting, comparison. All of its state is in the URL; its data are the rows.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const STEP = 100;
  const table = $("weights");
  const body = table.tBodies[0];
  const pills = [...document.querySelectorAll(".pills button")];
  const facets = [...document.querySelectorAll("[data-facet]")];
  const numbers = { pmin: "pmin", pmax: "pmax", gmax: "gmax", smax: "smax", bound: "bound" };
  const keys = ["m0", "m1", "m2", "params", "gflops", "size", "ms"];
  const classes = { m0: "m0", m1: "m1", m2: "m2", gflops: "flops", size: "size", ms: "ms" };
  const taskOf = Object.fromEntries(
    pills.filter((p) => p.dataset.task).map((p) => [
      p.dataset.task,
      {
        keys: p.dataset.metrics.split(" ").filter(Boolean),
        titles: p.dataset.titles.split("|"),
        sets: p.dataset.sets.split("|"),
        higher: [...p.dataset.higher].map((c) => c === "1"),
        example: p.dataset.example,
        name: p.firstChild.data.trim(),
      },
    ]),
  );

  // ── the rows ──────────────────────────────────────────────────────────────────────────────────────────────────

  const read = (cell) => (cell && cell.dataset.v !== undefined ? Number(cell.dataset.v) : null);
  const rows = [...body.rows].map((tr, index) => {
    const d = tr.dataset;
    const cells = {};
    for (const td of tr.cells) for (const name of td.classList) cells[name] = td;
    const row = {
      tr, index, id: d.i, model: d.m, tag: d.w, tasks: d.t.split(" "), family: d.f,
      can: d.c ? d.c.split(" ") : [], cannot: d.x ? d.x.split(" ") : [], plugin: cells.plugin.textContent, license: cells.licence.textContent,
      params: read(tr.cells[5]), gflops: read(cells.flops), size: read(cells.size), ms: read(cells.ms),
      m0: read(cells.m0), m1: read(cells.m1), m2: read(cells.m2), href: tr.querySelector("a").getAttribute("href"),
    };
    row.text = `${d.i} ${d.m} ${d.w} ${d.f} ${d.t} ${row.plugin} ${row.license}`.toLowerCase();
    return row;
  });
  const byId = new Map(rows.map((row) => [row.id, row]));

  // ── the state, and the URL that holds it ──────────────────────────────────────────────────────────────────────

  const empty = () => ({
    q: "", task: "", sort: "", compare: [], open: false, can: [], plugin: [], license: [],
    pmin: null, pmax: null, gmax: null, smax: null, bound: null,
  });
  let state = empty();
  let shown = STEP;

  // "Best first" is the default order of a task, and is left out of the URL.
  const withoutDefault = (sort, task) => (sort.endsWith("m0") && task && sort.startsWith("-") === taskOf[task].higher[0] ? "" : sort);

  function fromUrl() {
    const given = new URLSearchParams(location.search);
    state = empty();
    state.q = given.get("q") || "";
    state.task = taskOf[given.get("task")] ? given.get("task") : "";
    const sort = given.get("sort") || "";
    state.sort = /^-?(name|m[012]|params|gflops|size|ms)$/.test(sort) ? withoutDefault(sort, state.task) : "";
    for (const key of ["can", "plugin", "license"]) state[key] = given.getAll(key);
    for (const key of Object.keys(numbers)) {
      const value = given.get(key);
      state[key] = value !== null && value !== "" && Number.isFinite(Number(value)) ? Number(value) : null;
    }
    state.compare = given.getAll("compare").filter((id) => byId.has(id));
    state.open = given.has("open") && state.compare.length > 1;
  }

  function toUrl(replace) {
    const given = new URLSearchParams();
    if (state.q) given.set("q", state.q);
    if (state.task) given.set("task", state.task);
    for (const key of ["can", "plugin", "license", "compare"]) for (const value of state[key]) given.append(key, value);
    for (const key of Object.keys(numbers)) if (state[key] !== null) given.set(key, String(state[key]));
    if (state.sort) given.set("sort", state.sort);
    if (state.open) given.set("open", "1");
    const search = given.toString();
    if (search === location.search.slice(1)) return;
    history[replace ? "replaceState" : "pushState"](null, "", search ? `?${search}` : location.pathname);
  }

  // ── what matches, in which order ──────────────────────────────────────────────────────────────────────────────

  const below = (value, limit) => limit === null || (value !== null && value <= limit);
  const higher = (key) => (state.task ? taskOf[state.task].higher[Number(key[1])] !== false : true);

  function tests() {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const all = {
      q: (r) => words.every((word) => r.text.includes(word)),
      task: (r) => !state.task || r.tasks.includes(state.task),
      plugin: (r) => !state.plugin.length || state.plugin.includes(r.plugin),
      license: (r) => !state.license.length || state.license.includes(r.license),
      can: (r) => state.can.every((name) => r.can.includes(name)),
      size: (r) =>
        (state.pmin === null || (r.params !== null && r.params >= state.pmin * 1e6)) &&
        below(r.params, state.pmax === null ? null : state.pmax * 1e6) && below(r.gflops, state.gmax) &&
        below(r.size, state.smax),
      metric: (r) =>
        state.bound === null || !state.task ||
        (r.m0 !== null && (higher("m0") ? r.m0 >= state.bound : r.m0 <= state.bound)),
    };
    return all;
  }

  function sorted(found) {
    const down = state.sort.startsWith("-");
    const key = state.sort.replace("-", "");
    if (!key) return found;
    const sign = down ? -1 : 1;
    return found.slice().sort((a, b) => {
      if (key === "name") return sign * a.id.localeCompare(b.id, "en", { numeric: true });
      if (a[key] === null || b[key] === null) return (a[key] === null) - (b[key] === null) || a.index - b.index;
      return sign * (a[key] - b[key]) || a.index - b.index;
    });
  }

  // ── showing it ────────────────────────────────────────────────────────────────────────────────────────────────

  const make = (tag, props = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), props);
    element.append(...children);
    return element;
  };

  function dressed(row) {
    if (!row.box) {
      row.box = make("input", { type: "checkbox", className: "pick" });
      row.box.setAttribute("aria-label", `Compare ${row.id}`);
      row.box.addEventListener("change", () => pick(row, row.box.checked));
      row.tr.prepend(make("td", { className: "sel" }, row.box));
      const copy = make("td", { className: "copy" });
      for (const [label, what] of [["py", "a line of Python"], ["$", "a line of shell"]]) {
        const button = make("button", { type: "button", className: "mini", textContent: label, title: `Copy ${what}` });
        button.setAttribute("aria-label", `Copy ${what} for ${row.id}`);
        button.addEventListener("click", () => copyLine(button, label === "py" ? python(row) : shell(row)));
        copy.append(button);
      }
      row.tr.append(copy);
    }
    row.box.checked = state.compare.includes(row.id);
    row.tr.classList.toggle("picked", row.box.checked);
    return row.tr;
  }

  function render() {
    // One pass: a row that only one filter excludes still counts for the other choices of that filter.
    const all = Object.entries(tests());
    const counts = { task: new Map(), plugin: new Map(), license: new Map(), can: new Map() };
    const count = (key, values) => values.forEach((v) => counts[key].set(v, (counts[key].get(v) || 0) + 1));
    const values = { task: (r) => ["", ...r.tasks], plugin: (r) => [r.plugin], license: (r) => [r.license], can: (r) => r.can };
    const matching = [];
    for (const row of rows) {
      const failed = [];
      for (const [name, passes] of all) {
        if (!passes(row) && failed.push(name) > 1) break;
      }
      if (!failed.length) {
        matching.push(row);
        for (const key of Object.keys(counts)) count(key, values[key](row));
      } else if (failed.length === 1 && failed[0] !== "can" && counts[failed[0]]) count(failed[0], values[failed[0]](row));
    }
    const found = sorted(matching);
    body.replaceChildren(...found.slice(0, shown).map(dressed));
    $("count").textContent =
      found.length === rows.length ? `${rows.length.toLocaleString("en")} weights`
        : `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} weights`;
    $("hint").textContent = state.task ? "" : "Choose a task to sort by its metrics.";
    const more = $("more").parentElement;
    more.hidden = found.length <= shown;
    $("more").textContent = `Show ${Math.min(STEP * 2, found.length - shown)} more`;
    $("empty").hidden = found.length > 0;
    table.hidden = found.length === 0;
    for (const facet of facets) {
      for (const label of facet.querySelectorAll("label")) {
        const box = label.querySelector("input");
        const n = counts[facet.dataset.facet].get(box.value) || 0;
        label.querySelector(".n").textContent = n.toLocaleString("en");
        label.classList.toggle("none", n === 0 && !box.checked);
      }
    }
    for (const pill of pills) {
      pill.querySelector("span").textContent = (counts.task.get(pill.dataset.task) || 0).toLocaleString("en");
    }
    headings();
    showTray();
  }

  function headings() {
    const task = taskOf[state.task];
    table.classList.toggle("all", !task);
    table.dataset.show = task ? Math.max(1, Math.min(3, task.keys.length)) : 1;
    for (const th of table.tHead.querySelectorAll("[data-sort]")) {
      const key = th.dataset.sort;
      const metric = /^m\d$/.test(key);
      if (!th.querySelector("button")) {
        const title = th.textContent.trim();
        const button = make("button", { type: "button" }, make("span", { textContent: title }));
        button.addEventListener("click", () => sortBy(key));
        th.replaceChildren(button);
      }
      const button = th.querySelector("button");
      if (metric) {
        button.firstChild.textContent = task ? task.titles[Number(key[1])] || "" : "Metric";
        button.disabled = !task;
        if (task) th.title = `${task.titles[Number(key[1])] || ""} on ${task.sets[Number(key[1])] || "data of its own"}`;
      }
      const active = state.sort.replace("-", "") === key || (!state.sort && key === "m0" && Boolean(task));
      const descending = state.sort ? state.sort.startsWith("-") : higher("m0");
      if (active) th.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    }
  }

  function sortBy(key) {
    const first = key === "name" || key === "params" || key === "gflops" || key === "size" || key === "ms" ? key
      : higher(key) ? `-${key}` : key;
    const other = first.startsWith("-") ? key : `-${key}`;
    const now = state.sort || (state.task && key === "m0" ? first : "");
    update({ sort: withoutDefault(now === first ? other : first, state.task) });
  }

  // Set the forms from the state.
  function fill() {
    if ($("q").value !== state.q) $("q").value = state.q;
    for (const key of Object.keys(numbers)) {
      const text = state[key] === null ? "" : String(state[key]);
      if ($(key).value === "" || Number($(key).value) !== state[key]) $(key).value = text;
    }
    for (const pill of pills) pill.setAttribute("aria-pressed", String(pill.dataset.task === state.task));
    for (const facet of facets) {
      for (const box of facet.querySelectorAll("input")) {
        box.checked = state[facet.dataset.facet].includes(box.value);
        if (box.checked) box.parentElement.hidden = false;
      }
    }
    const task = taskOf[state.task];
    const set = $("metricset");
    set.disabled = !task || !task.keys.length;
    $("metriclabel").textContent = !task ? "Choose a task first"
      : task.keys.length ? `${task.titles[0]} at ${task.higher[0] ? "least" : "most"}` : "It has no metric";
    const options = [["", task ? `${task.titles[0] || "Name"}, best first` : "Best of each task"]];
    if (task) task.titles.forEach((title, i) => title && i && options.push([task.higher[i] ? `-m${i}` : `m${i}`, title]));
    options.push(["name", "Name"], ["params", "Parameters, fewest"], ["-params", "Parameters, most"]);
    options.push(["gflops", "GFLOPs, fewest"], ["size", "File, smallest"]);
    if (table.classList.contains("timed")) options.push(["ms", "Measured time, shortest"]);
    if (!options.some(([value]) => value === state.sort)) options.push([state.sort, named(state.sort, task)]);
    $("sort").replaceChildren(...options.map(([value, textContent]) => make("option", { value, textContent })));
    $("sort").value = state.sort;
    const active = ["can", "plugin", "license"].reduce((n, key) => n + state[key].length, 0) +
      Object.keys(numbers).filter((key) => state[key] !== null).length;
    $("active").textContent = active ? `(${active})` : "";
  }

  const columns = { name: "Name", params: "Parameters", gflops: "GFLOPs", size: "File", ms: "Measured time" };
  function named(sort, task) {
    const key = sort.replace("-", "");
    const title = columns[key] || (task ? task.titles[Number(key[1])] : "Metric");
    return `${title}, ${sort.startsWith("-") ? (key === "name" ? "backwards" : "largest first") : "smallest first"}`;
  }

  function update(change, replace = false) {
    Object.assign(state, change);
    if (!("compare" in change) && !("open" in change)) shown = STEP;
    if ("task" in change) {
      state.bound = null;
      if (/^-?m/.test(state.sort)) state.sort = "";
    }
    toUrl(replace);
    fill();
    render();
  }

  // ── comparison ────────────────────────────────────────────────────────────────────────────────────────────────

  function pick(row, on) {
    const rest = state.compare.filter((id) => id !== row.id);
    update({ compare: on ? [...rest, row.id] : rest }, true);
  }

  function showTray() {
    $("tray").hidden = state.compare.length === 0;
    document.body.classList.toggle("withtray", state.compare.length > 0);
    $("chosen").replaceChildren(...state.compare.map((id) => {
      const button = make("button", { type: "button", textContent: "×" });
      button.setAttribute("aria-label", `Leave out ${id}`);
      button.addEventListener("click", () => pick(byId.get(id), false));
      return make("li", {}, id, button);
    }));
    $("compare").disabled = state.compare.length < 2;
    $("compare").textContent = state.compare.length < 2 ? "Choose one more" : `Compare ${state.compare.length}`;
  }

  const texts = (row, name) => {
    const cell = [...row.tr.cells].find((td) => td.classList.contains(name));
    return cell ? cell.textContent : "–";
  };

  // One row per fact, with the best number marked. Metrics are compared only for the same title and data set.
  function facts(chosen) {
    const lines = [];
    lines.push({ title: "Task", cells: chosen.map((r) => texts(r, "task")) });
    const found = new Map();
    for (const row of chosen) {
      const own = taskOf[row.tasks[0]];
      for (const key of ["m0", "m1", "m2"]) {
        const cell = [...row.tr.cells].find((td) => td.classList.contains(key));
        const value = Number(cell.dataset.v ?? cell.dataset.o ?? NaN);
        if (Number.isNaN(value)) continue;
        const i = Number(key[1]);
        const title = cell.title;
        const line = found.get(title) || { title, values: new Map(), high: own ? own.higher[i] !== false : true };
        line.values.set(row.id, [value, cell.firstChild.data.trim()]);
        found.set(title, line);
      }
    }
    for (const { title, values, high } of found.values()) {
      const cells = chosen.map((r) => (values.has(r.id) ? values.get(r.id)[1] : "–"));
      lines.push({ title, cells, values: chosen.map((r) => (values.has(r.id) ? values.get(r.id)[0] : null)), high });
    }
    const of = (key, title, text) => {
      const values = chosen.map((r) => r[key]);
      if (values.some((v) => v !== null)) lines.push({ title, cells: chosen.map(text), values, high: false });
    };
    of("params", "Parameters", (r) => (r.params === null ? "–" : r.params.toLocaleString("en")));
    of("gflops", "GFLOPs", (r) => texts(r, "flops"));
    of("size", "File, MB", (r) => texts(r, "size"));
    of("ms", table.tHead.querySelector(".ms")?.title || "ms", (r) => texts(r, "ms"));
    lines.push({ title: "Licence", cells: chosen.map((r) => r.license) });
    lines.push({ title: "Plugin", cells: chosen.map((r) => r.plugin) });
    lines.push({ title: "Family", cells: chosen.map((r) => r.family) });
    const measured = (r) => r.can.length + r.cannot.length;
    if (chosen.some(measured)) {
      const works = (r) => (measured(r) ? `${r.can.length} of ${measured(r)}: ${r.can.join(", ")}` : "not measured");
      lines.push({ title: "Measured to work", cells: chosen.map(works) });
      lines.push({ title: "Does not work", cells: chosen.map((r) => r.cannot.join(", ") || "–") });
    }
    return lines;
  }

  function best(line) {
    const known = (line.values || []).filter((v) => v !== null);
    if (known.length < 2 || new Set(known).size < 2) return null;
    return line.high ? Math.max(...known) : Math.min(...known);
  }

  function openComparison() {
    const chosen = state.compare.map((id) => byId.get(id));
    chosen.forEach(dressed);
    const lines = facts(chosen);
    const head = make("tr", {}, make("td"), ...chosen.map((r) => {
      const th = make("th", { scope: "col" }, make("a", { href: r.href, textContent: r.model }), make("span", { className: "w", textContent: r.tag }));
      return th;
    }));
    const trs = lines.map((line) => {
      const top = best(line);
      const tr = make("tr", {}, make("th", { scope: "row", textContent: line.title }));
      line.cells.forEach((text, i) => {
        const wins = top !== null && line.values[i] === top;
        const td = make("td", { className: (line.values ? "n " : "") + (wins ? "best" : "") }, text);
        if (wins) td.append(make("span", { className: "sr", textContent: " best" }));
        tr.append(td);
      });
      if (new Set(line.cells).size === 1 && !line.values) tr.classList.add("same");
      return tr;
    });
    $("comparison").replaceChildren(make("thead", {}, head), make("tbody", {}, ...trs));
    if (!$("dialog").open) $("dialog").showModal();
  }

  const escape = (text) => text.replace(/[|\\]/g, "\\$&");
  function asMarkdown() {
    const chosen = state.compare.map((id) => byId.get(id));
    const lines = [["", ...chosen.map((r) => `\`${r.id}\``)], ["---", ...chosen.map(() => "---")]];
    for (const line of facts(chosen)) lines.push([line.title, ...line.cells].map(escape));
    return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n") + "\n";
  }

  // ── copying ───────────────────────────────────────────────────────────────────────────────────────────────────

  const quoted = (text) => (/^[\w./@:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  const python = (row) => `zoo.get_model(${JSON.stringify(row.model)}, weights=${JSON.stringify(row.tag)})`;
  const shell = (row) => {
    const task = taskOf[row.tasks[0]];
    return `zoo predict ${task ? task.example : "photo.jpg"} --model ${quoted(row.model)} --weights ${quoted(row.tag)}`;
  };

  async function copyLine(button, text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // The clipboard API is not available over plain HTTP; the older command works there.
      const area = make("textarea", { value: text });
      button.parentElement.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    const before = button.dataset.label || button.textContent;
    button.dataset.label = before;
    button.textContent = "✓";
    $("said").textContent = `Copied: ${text}`;
    setTimeout(() => (button.textContent = before), 1200);
  }

  // ── events ────────────────────────────────────────────────────────────────────────────────────────────────────

  let waiting = 0;
  const soon = (change) => {
    clearTimeout(waiting);
    Object.assign(state, change);
    waiting = setTimeout(() => update({}, true), 80);
  };
  $("q").addEventListener("input", () => soon({ q: $("q").value.trim() }));
  for (const key of Object.keys(numbers)) {
    $(key).addEventListener("input", () => {
      const text = $(key).value;
      soon({ [key]: text === "" || !Number.isFinite(Number(text)) ? null : Number(text) });
    });
  }
  for (const pill of pills) pill.addEventListener("click", () => update({ task: pill.dataset.task }));
  for (const facet of facets) {
    facet.addEventListener("change", () => {
      const chosen = [...facet.querySelectorAll("input:checked")].map((box) => box.value);
      update({ [facet.dataset.facet]: chosen });
    });
    facet.querySelector("[data-more]")?.addEventListener("click", (event) => {
      for (const label of facet.querySelectorAll("label")) label.hidden = false;
      event.target.remove();
    });
  }
  $("sort").addEventListener("change", () => update({ sort: $("sort").value }));
  $("form").addEventListener("submit", (event) => event.preventDefault());
  const clear = () => update({ ...empty(), task: state.task, sort: state.sort, compare: state.compare });
  $("clear").addEventListener("click", clear);
  document.querySelector("[data-clear]").addEventListener("click", () => update({ ...empty(), compare: state.compare }));
  $("more").addEventListener("click", () => {
    const from = shown;
    shown += STEP * 2;
    render();
    body.rows[from]?.querySelector("a").focus({ preventScroll: true });
  });
  $("every").addEventListener("click", () => {
    shown = Infinity;
    render();
  });
  $("forget").addEventListener("click", () => update({ compare: [] }, true));
  $("compare").addEventListener("click", () => {
    update({ open: true });
    openComparison();
  });
  $("close").addEventListener("click", () => $("dialog").close());
  $("dialog").addEventListener("close", () => state.open && update({ open: false }, true));
  $("dialog").addEventListener("click", (event) => event.target === $("dialog") && $("dialog").close());
  $("markdown").addEventListener("click", (event) => copyLine(event.target, asMarkdown()));
  addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea, dialog");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      $("q").focus();
    }
  });
  function start() {
    fromUrl();
    shown = STEP;
    fill();
    render();
    if (state.open) openComparison();
    else if ($("dialog").open) $("dialog").close();
  }
  addEventListener("popstate", start);
  if (matchMedia("(max-width: 900px)").matches) $("filters").open = false;
  table.tHead.querySelectorAll(".js-only").forEach((th) => (th.hidden = false));
  start();
})();
