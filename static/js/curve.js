/**
 * Learning curves of a run, drawn by uPlot in the page's colours and redrawn in place.
 *
 * The page's live panel says how many epochs there are; the numbers are fetched only when there are more than drawn.
 * Where a run has two phases their epochs follow each other, with a line between them.
 */

const KINDS = {
  loss: {
    series: ["train_loss", "validation_loss"],
    show: (value) => decimals(3).format(value),
    tick: (value) => decimals(2).format(value),
    range: (_chart, low, high) => [low - (high - low || 1) * 0.08, high + (high - low || 1) * 0.08],
  },
  accuracy: {
    series: ["train_accuracy", "validation_accuracy"],
    show: (value) => percent(1).format(value),
    tick: (value) => percent(0).format(value),
    range: (_chart, low, high) => [Math.max(0, Math.floor(low * 10) / 10), Math.min(1, Math.ceil(high * 10 + 0.01) / 10)],
  },
};
const MOST_POINTS_WITH_DOTS = 40;

const language = document.documentElement.lang || "en";
const decimals = (digits) => new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const percent = (digits) => new Intl.NumberFormat(language, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits });
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

class Curve {
  constructor(figure, { epochLabel, phaseLabel }) {
    this.kind = KINDS[figure.dataset.curveKind];
    this.canvas = figure.querySelector("[data-canvas]");
    this.empty = figure.querySelector("[data-curve-empty]");
    this.values = this.kind.series.map((name) => figure.querySelector(`[data-series="${name}"]`));
    this.epoch = figure.querySelector("[data-series-epoch]");
    this.epochLabel = epochLabel;
    this.phaseLabel = phaseLabel;
    this.names = [];
    this.secondPhase = -1;
    this.lastEpoch = 2;
    this.chart = null;
  }

  draw(columns) {
    const numbers = columns.epoch.map((_epoch, index) => index + 1);
    this.names = columns.epoch.map((epoch, index) => this.nameOf(columns.phase[index], epoch));
    this.secondPhase = columns.phase.indexOf(2);
    this.lastEpoch = Math.max(2, columns.total_epochs ?? 0, numbers.length);
    const data = [numbers, ...this.kind.series.map((name) => columns[name])];
    this.empty.hidden = numbers.length > 0;
    if (this.chart) {
      this.chart.setData(data);
    } else {
      this.chart = new window.uPlot(this.options(), data, this.canvas);
      new ResizeObserver(() => this.chart.setSize(this.size())).observe(this.canvas);
      document.addEventListener("themechange", () => this.chart.redraw(false));
    }
    this.tell();
  }

  nameOf(phase, epoch) {
    return phase ? `${this.phaseLabel} ${phase}, ${this.epochLabel} ${epoch}` : `${this.epochLabel} ${epoch}`;
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
    const line = (number) => ({
      stroke: () => token(`--series-${number}`),
      width: 2,
      points: { show: (chart) => chart.data[0].length <= MOST_POINTS_WITH_DOTS, size: 6, fill: () => token("--surface") },
    });
    return {
      ...this.size(),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 9, fill: (chart, index) => chart.series[index].stroke(chart, index) } },
      scales: { x: { time: false, range: () => [1, this.lastEpoch] }, y: { range: this.kind.range } },
      axes: [
        { ...axis, size: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500], values: (_chart, ticks) => ticks.map((tick) => decimals(0).format(tick)) },
        { ...axis, size: 48, values: (chart, ticks) => ticks.map(chart.data[0].length ? this.kind.tick : () => "") },
      ],
      series: [{}, line(1), line(2)],
      hooks: { setCursor: [() => this.tell()], draw: [(chart) => this.drawBorder(chart)] },
    };
  }

  /** Draws a line between the last epoch of the first phase and the first one of the second. */
  drawBorder(chart) {
    if (this.secondPhase < 0) return;
    const { left, top, width, height } = chart.bbox;
    const x = Math.min(left + width, Math.max(left, Math.round(chart.valToPos(this.secondPhase + 0.5, "x", true))));
    chart.ctx.save();
    chart.ctx.strokeStyle = token("--ink-soft");
    chart.ctx.lineWidth = window.devicePixelRatio;
    chart.ctx.setLineDash([4 * window.devicePixelRatio, 4 * window.devicePixelRatio]);
    chart.ctx.beginPath();
    chart.ctx.moveTo(x, top);
    chart.ctx.lineTo(x, top + height);
    chart.ctx.stroke();
    chart.ctx.restore();
  }

  /** Writes the values under the cursor beside the names, the newest ones when there is none. */
  tell() {
    if (!this.chart) return;
    const epochs = this.chart.data[0];
    const index = this.chart.cursor.idx ?? epochs.length - 1;
    this.values.forEach((element, number) => {
      const value = this.chart.data[number + 1][index];
      element.textContent = value == null ? "" : this.kind.show(value);
    });
    this.epoch.textContent = epochs.length ? this.names[index] : "";
  }
}

function watch(root) {
  const curves = [...root.querySelectorAll("[data-curve-kind]")].map((figure) => new Curve(figure, root.dataset));
  let fetching = false;

  async function refresh() {
    fetching = true;
    try {
      const answer = await fetch(root.dataset.curves, { headers: { Accept: "application/json" } });
      if (!answer.ok) return; // the next change of the panel asks again
      const columns = await answer.json();
      for (const curve of curves) curve.draw(columns);
      root.dataset.points = columns.epoch.length;
    } catch {
      /* the connection is lost; the page says so already, and the next change of the panel asks again */
    } finally {
      fetching = false;
    }
  }

  document.addEventListener("htmx:afterSwap", () => {
    const live = document.querySelector(root.dataset.live);
    if (!fetching && live && live.dataset.epochs !== root.dataset.points) refresh();
  });
  refresh();
}

for (const root of document.querySelectorAll("[data-curves]")) watch(root);
