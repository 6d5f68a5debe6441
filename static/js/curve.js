/**
 * Learning curves, of one run or of several over each other, drawn by uPlot in the page's colours and redrawn in place.
 *
 * A figure's legend says which lines it has: each `[data-series]` names a column, and `data-run` the run whose column it
 * is. The page's live panel says how many epochs there are; the numbers are fetched only when there are more than drawn.
 * Where a run has two phases their epochs follow each other, with a line between them. Scale and smoothing are kept in
 * the address.
 */

const KINDS = {
  loss: {
    hasLogarithm: true,
    show: (value) => decimals(3).format(value),
    tick: (value) => decimals(2).format(value),
    range: (_chart, low, high) => [low - (high - low || 1) * 0.08, high + (high - low || 1) * 0.08],
  },
  accuracy: {
    show: (value) => percent(1).format(value),
    tick: (value) => percent(0).format(value),
    range: (_chart, low, high) => [Math.max(0, Math.floor(low * 10) / 10), Math.min(1, Math.ceil(high * 10 + 0.01) / 10)],
  },
  rate: {
    hasLogarithm: true,
    show: (value) => digits(3).format(value),
    tick: (value) => digits(2).format(value),
    range: (_chart, _low, high) => [0, (high || 1) * 1.08],
  },
};
const MOST_POINTS_WITH_DOTS = 40;
/** Of the first to the sixth line, so that they differ by more than colour. */
const DASHES = [[], [9, 4], [2, 3], [10, 3, 2, 3], [16, 4], [5, 3]];

const language = document.documentElement.lang || "en";
const decimals = (count) => new Intl.NumberFormat(language, { minimumFractionDigits: count, maximumFractionDigits: count });
const digits = (count) => new Intl.NumberFormat(language, { maximumSignificantDigits: count });
const percent = (count) => new Intl.NumberFormat(language, { style: "percent", minimumFractionDigits: count, maximumFractionDigits: count });
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Returns the mean of each value and those before it, the nearer the heavier; it begins anew with each phase. */
function smoothed(values, phases, weight) {
  let mean = 0;
  let share = 0;
  return values.map((value, index) => {
    if (index && phases[index] !== phases[index - 1]) mean = share = 0;
    if (value == null) return null;
    mean = weight * mean + (1 - weight) * value;
    share = weight * share + (1 - weight); // the first values have few before them
    return mean / share;
  });
}

/** Returns 1, 2 and 5 times the powers of ten between two numbers above zero. */
function logarithmicSplits(low, high) {
  const splits = [];
  if (!(low > 0)) return splits;
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const factor of [1, 2, 5]) {
      const split = Number(`${factor}e${power}`);
      if (split >= low && split <= high) splits.push(split);
    }
  }
  return splits;
}

class Curve {
  constructor(figure, root, view, signal) {
    this.kind = KINDS[figure.dataset.curveKind];
    this.view = view;
    this.texts = root.dataset;
    this.isComparison = "dashes" in root.dataset;
    this.title = figure.querySelector("strong").firstChild.textContent.trim();
    this.canvas = figure.querySelector("[data-canvas]");
    this.empty = figure.querySelector("[data-curve-empty]");
    this.epoch = figure.querySelector("[data-series-epoch]");
    this.table = figure.querySelector("[data-curve-table]");
    this.lines = [...figure.querySelectorAll("[data-series]")].map((element, index) => ({
      element,
      run: Number(element.dataset.run ?? 0),
      column: element.dataset.series,
      colour: `--series-${index + 1}`,
      dash: this.isComparison ? DASHES[index] : [],
    }));
    this.runs = null;
    this.chart = null;
    new ResizeObserver(() => this.chart?.setSize(this.size())).observe(this.canvas);
    document.addEventListener("themechange", () => this.chart?.redraw(false), { signal });
    this.table?.addEventListener("toggle", () => this.tabulate());
  }

  get isLogarithmic() {
    return this.view.isLogarithmic && Boolean(this.kind.hasLogarithm);
  }

  /** A learning rate has no noise. */
  get smoothing() {
    return this.kind === KINDS.rate ? 0 : this.view.smoothing;
  }

  /** A logarithm comes near nothing, where decimals do not tell one tick from the next. */
  get tick() {
    return this.isLogarithmic ? (value) => digits(1).format(value) : this.kind.tick;
  }

  get length() {
    return Math.max(...this.runs.map((run) => run.epoch.length));
  }

  /** Leaves open whether there is anything to draw, where that could not be found out. */
  admit() {
    if (!this.runs) this.empty.hidden = true;
  }

  draw(runs) {
    this.runs = runs;
    this.redraw();
    this.tabulate();
  }

  /** Draws the lines and, where they are smoothed, faintly what was measured beneath them. */
  redraw() {
    if (!this.runs) return;
    const numbers = Array.from({ length: this.length }, (_nothing, index) => index + 1);
    const measured = this.lines.map((line) => this.runs[line.run][line.column]);
    const drawn = this.lines.map((line, index) => smoothed(measured[index], this.runs[line.run].phase, this.smoothing));
    const data = [numbers, ...measured, ...drawn].map((values) => this.padded(values));
    this.empty.hidden = measured.some((values) => values.some((value) => value != null));
    if (this.chart && this.wasLogarithmic === this.isLogarithmic) {
      this.chart.setData(data);
    } else {
      this.chart?.destroy();
      this.chart = new window.uPlot(this.options(), data, this.canvas);
      this.wasLogarithmic = this.isLogarithmic;
    }
    this.tell();
  }

  /** Returns values as long as the longest run, without those that a logarithm cannot show. */
  padded(values) {
    return Array.from({ length: this.length }, (_nothing, index) => {
      const value = values[index] ?? null;
      return this.isLogarithmic && value !== null && value <= 0 ? null : value;
    });
  }

  nameOf(index) {
    const [run] = this.runs;
    if (this.isComparison || !run.phase[index]) return `${this.texts.epochLabel} ${index + 1}`;
    return `${this.texts.phaseLabel} ${run.phase[index]}, ${this.texts.epochLabel} ${run.epoch[index]}`;
  }

  size() {
    return { width: this.canvas.clientWidth, height: Math.round(Math.min(300, Math.max(220, this.canvas.clientWidth * 0.5))) };
  }

  options() {
    const axis = {
      stroke: () => token("--ink-soft"),
      font: `12px ${token("--sans")}`,
      grid: { stroke: () => token("--line"), width: 1 },
      ticks: { stroke: () => token("--line"), width: 1, size: 4 },
    };
    const dots = { show: (chart) => chart.data[0].length <= MOST_POINTS_WITH_DOTS, size: 6, fill: () => token("--surface") };
    const solid = ({ colour, dash }) => ({ stroke: () => token(colour), width: 2, dash, points: dots });
    const faint = ({ colour }) => ({
      stroke: () => (this.smoothing ? `${token(colour)}66` : "transparent"),
      width: 1,
      points: { show: false },
    });
    const logarithm = {
      scale: { distr: 3, range: (_chart, low, high) => (low > 0 ? [low * 0.9, high * 1.1] : [0.1, 1]) } /* no values: low is null */,
      axis: { splits: (_chart, _axis, low, high) => logarithmicSplits(low, high), filter: (_chart, splits) => splits },
    };
    return {
      ...this.size(),
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false },
        sync: { key: "epochs" },
        points: { size: 9, fill: (chart, index) => chart.series[index].stroke(chart, index) },
      },
      scales: { x: { time: false, range: () => [1, this.lastEpoch] }, y: this.isLogarithmic ? logarithm.scale : { range: this.kind.range } },
      axes: [
        { ...axis, size: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500], values: (_chart, ticks) => ticks.map((tick) => decimals(0).format(tick)) },
        {
          ...axis,
          ...(this.isLogarithmic ? logarithm.axis : {}),
          size: 52,
          values: (chart, ticks) => ticks.map(chart.data[0].length ? this.tick : () => ""),
        },
      ],
      series: [{}, ...this.lines.map(faint), ...this.lines.map(solid)],
      hooks: { setCursor: [() => this.tell()], draw: [(chart) => this.drawBorders(chart)] },
    };
  }

  get lastEpoch() {
    return Math.max(2, this.length, ...this.runs.map((run) => run.total_epochs ?? 0));
  }

  /** Draws a line between the last epoch of a run's first phase and the first one of its second. */
  drawBorders(chart) {
    const ratio = window.devicePixelRatio;
    const { left, top, width, height } = chart.bbox;
    this.runs.forEach((run, number) => {
      const second = run.phase.indexOf(2);
      if (second < 0) return;
      const x = Math.min(left + width, Math.max(left, Math.round(chart.valToPos(second + 0.5, "x", true))));
      const { ctx } = chart;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = token(this.isComparison ? `--series-${number + 1}` : "--ink-soft");
      ctx.lineWidth = ratio;
      ctx.setLineDash([4 * ratio, 4 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + height);
      ctx.stroke();
      ctx.font = `${11 * ratio}px ${token("--sans")}`;
      ctx.textAlign = x > left + width * 0.75 ? "right" : "left";
      ctx.textBaseline = "top";
      const place = [x + (ctx.textAlign === "right" ? -4 : 4) * ratio, top + (2 + 13 * (this.isComparison ? number : 0)) * ratio];
      ctx.setLineDash([]);
      ctx.strokeStyle = token("--surface"); // around the letters, so that lines do not run through them
      ctx.lineWidth = 4 * ratio;
      ctx.strokeText(`${this.texts.phaseLabel} 2`, ...place);
      ctx.fillText(`${this.texts.phaseLabel} 2`, ...place);
      ctx.restore();
    });
  }

  /** Writes the values under the cursor, as they were measured, beside the names; the newest ones when there is none. */
  tell() {
    if (!this.chart) return;
    const pointed = this.chart.cursor.idx;
    for (const { element, run, column } of this.lines) {
      const values = this.runs[run][column];
      const value = values[pointed ?? values.length - 1];
      element.textContent = value == null ? "" : this.kind.show(value);
    }
    this.epoch.textContent = this.length ? this.nameOf(pointed ?? this.length - 1) : "";
  }

  /** Fills the table that is open: an epoch a row, a run a column. */
  tabulate() {
    if (!this.table?.open || !this.runs) return;
    const table = document.createElement("table");
    table.className = "table table-compact";
    table.createCaption().textContent = this.title;
    table.caption.className = "visually-hidden";
    const head = table.createTHead().insertRow();
    const add = (row, text, scope) => {
      const cell = row.appendChild(document.createElement(scope ? "th" : "td"));
      cell.className = "num";
      if (scope) cell.scope = scope;
      cell.textContent = text;
    };
    add(head, this.texts.epochTitle, "col");
    for (const { element } of this.lines) add(head, element.dataset.name, "col");
    const body = table.createTBody();
    for (let index = 0; index < this.length; index += 1) {
      const row = body.insertRow();
      add(row, index + 1, "row");
      for (const { run, column } of this.lines) {
        const value = this.runs[run][column][index];
        add(row, value == null ? "—" : this.kind.show(value));
      }
    }
    this.table.querySelector("div").replaceChildren(table);
  }
}

/** What the reader chose: how the charts are drawn. It stays in the address, and in links that show the page otherwise. */
class View {
  constructor(controls, onChange) {
    const asked = new URLSearchParams(window.location.search);
    this.logarithm = controls.querySelector("[data-curve-logarithm]");
    this.slider = controls.querySelector("[data-curve-smoothing]");
    this.shown = controls.querySelector("[data-curve-smoothing-shown]");
    this.logarithm.checked = asked.get("scale") === "log";
    this.slider.value = Number(asked.get("smoothing")) || 0;
    this.show();
    for (const control of [this.logarithm, this.slider]) {
      control.addEventListener("input", () => {
        this.show();
        this.keep();
        onChange();
      });
    }
  }

  get isLogarithmic() {
    return this.logarithm.checked;
  }

  get smoothing() {
    return Number(this.slider.value);
  }

  show() {
    this.shown.textContent = decimals(2).format(this.smoothing);
  }

  keep() {
    window.history.replaceState(window.history.state, "", this.shownBy(window.location.href));
    for (const link of document.querySelectorAll("a[data-keeps-view]")) link.href = this.shownBy(link.href);
  }

  /** Returns an address with what was chosen. */
  shownBy(href) {
    const address = new URL(href);
    const set = (name, value) => (value ? address.searchParams.set(name, value) : address.searchParams.delete(name));
    set("scale", this.isLogarithmic ? "log" : "");
    set("smoothing", this.smoothing ? String(this.smoothing) : "");
    return address;
  }
}

/** Draws the curves of a part of the page, and again whenever its live panel has more epochs, until that part is gone. */
function watch(root) {
  const gone = new AbortController();
  let curves = [];
  const view = new View(root.parentElement, () => curves.forEach((curve) => curve.redraw()));
  curves = [...root.querySelectorAll("[data-curve-kind]")].map((figure) => new Curve(figure, root, view, gone.signal));
  const problem = root.parentElement.querySelector("[data-curves-problem]");
  let isFetching = false;
  let hasMovedOn = false;

  function isBehind() {
    const live = document.querySelector(root.dataset.live);
    return Boolean(live) && live.dataset.epochs !== root.dataset.points;
  }

  /** Returns the columns of the curves, or null where they cannot be had. */
  async function ask() {
    try {
      const answer = await fetch(root.dataset.curves, { headers: { Accept: "application/json" }, signal: gone.signal });
      return answer.ok ? await answer.json() : null;
    } catch {
      return null; // no connection, or no JSON: the page of the login, say
    }
  }

  async function refresh() {
    isFetching = true;
    hasMovedOn = false;
    const columns = await ask();
    isFetching = false;
    if (gone.signal.aborted) return;
    problem.hidden = columns !== null; // shown until it is asked again: by the panel's next change, or by the reader
    if (!columns) {
      for (const curve of curves) curve.admit();
      return;
    }
    const runs = columns.runs ?? [columns];
    for (const curve of curves) curve.draw(runs);
    root.dataset.points = runs.reduce((sum, run) => sum + run.epoch.length, 0);
    if (hasMovedOn && isBehind()) refresh();
  }

  function follow() {
    if (!root.isConnected) gone.abort();
    else if (isFetching) hasMovedOn = true;
    else if (isBehind()) refresh();
  }

  document.addEventListener("htmx:afterSwap", follow, { signal: gone.signal });
  problem.querySelector("button").addEventListener("click", () => isFetching || refresh());
  refresh();
}

const watched = new WeakSet();

function watchNew() {
  for (const root of document.querySelectorAll("[data-curves]")) {
    if (watched.has(root)) continue;
    watched.add(root);
    watch(root);
  }
}

watchNew();
document.addEventListener("htmx:load", watchNew);
