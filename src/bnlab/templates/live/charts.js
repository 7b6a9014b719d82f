// What each canvas shows: of traces {plain, bn}, each a list of what its worker reported.
const ARMS = ["plain", "bn"];
const SHARES = { low: 0, high: 1, ticks: [[0, "0"], [0.5, "50 %"], [1, "100 %"]] };
const BESIDE = 0.24; // of a canvas's width, for how inputs lie now

const along = (step) => Math.log10(1 + step); // steps in decades, with room for the state before the first
const points = (trace, of) => trace.map((seen) => [along(seen.step), of(seen)]);

function stepsAxis(last) {
  const marks = [0, 1, 10, 100, 1000, 10_000, 100_000], ends = marks.flatMap((mark) => [mark, 3 * mark]);
  const end = ends.find((mark) => mark >= Math.max(last, 100)) ?? last;
  const ticks = marks.filter((mark) => mark <= end).map((mark) => [along(mark), mark.toLocaleString("en")]);
  return { low: 0, high: along(end), ticks };
}

const CHARTS = {
  accuracy(canvas, traces, x, colours) {
    const y = { ...SHARES, ticks: [0, 0.25, 0.5, 0.75, 1].map((share) => [share, `${100 * share} %`]) };
    const plot = new Plot(canvas, x, y, colours);
    for (const arm of ARMS) plot.line(points(traces[arm], (seen) => seen.accuracy), colours[arm]);
  },

  gradient(canvas, traces, x, colours) {
    const lines = ARMS.map((arm) => points(traces[arm], (seen) => Math.log10(seen.gradient)));
    const there = lines.flat().map(([, y]) => y).filter(Number.isFinite);
    const plot = new Plot(canvas, x, decadesAxis(Math.min(-1, ...there), Math.max(0, ...there)), colours);
    lines.forEach((line, k) => plot.line(line, colours[ARMS[k]]));
  },

  inputs(canvas, traces, x, colours, layer) {
    const limits = traces.plain.at(-1)?.limits ?? [-Infinity, Infinity];
    const beside = Math.round(BESIDE * canvas.clientWidth);
    const plot = new Plot(canvas, x, inputsAxis(traces, layer, limits), colours, beside + 8);
    plot.stripe(Math.max(limits[1], plot.y.low), plot.y.high, colours.ink);
    plot.stripe(plot.y.low, limits[0], colours.ink);
    for (const arm of ARMS) {
      const colour = colours[arm], trace = traces[arm];
      plot.distribution(trace.at(-1)?.samples[layer] ?? [], colour, beside);
      plot.context.save(); // what is over steps stays within the axes
      plot.path([[LEFT, 0], [plot.width - plot.right, 0], [plot.width - plot.right, plot.height], [LEFT, plot.height]]);
      plot.context.clip();
      plot.band(trace.map(({ step, percentiles: { [layer]: [low, , high] } }) => [along(step), low, high]), colour);
      plot.line(points(trace, (seen) => seen.percentiles[layer][1]), colour);
      plot.context.restore();
    }
  },

  saturated(canvas, traces, x, colours, layer) {
    const plot = new Plot(canvas, x, SHARES, colours, Math.round(BESIDE * canvas.clientWidth) + 8);
    for (const arm of ARMS) plot.line(points(traces[arm], (seen) => seen.saturated[layer]), colours[arm]);
  },
};

// Powers of ten around what is between two decimal logarithms.
function decadesAxis(low, high) {
  const first = Math.floor(low), last = Math.ceil(high), every = Math.ceil((last - first) / 4);
  const marks = Array.from({ length: last - first + 1 }, (_, i) => first + i).filter((mark) => mark % every === 0);
  return { low: first, high: last, ticks: marks.map((mark) => [mark, power(mark)]) };
}

function power(exponent) {
  const raised = [...String(exponent)].map((sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign])).join("");
  return exponent ? `10${raised}` : "1";
}

// Wide enough for the limits of saturation, for all percentiles so far, and for most of what there is now.
function inputsAxis(traces, layer, limits) {
  const seen = ARMS.flatMap((arm) => traces[arm].flatMap(({ percentiles }) => percentiles[layer]));
  const now = ARMS.flatMap((arm) => {
    const values = traces[arm].at(-1)?.samples[layer] ?? [];
    return [0.02, 0.98].map((share) => values[Math.floor(share * (values.length - 1))]);
  });
  const all = [...seen, ...now, ...limits, -1, 1].filter(Number.isFinite);
  return roundAxis(Math.min(...all), Math.max(...all));
}
