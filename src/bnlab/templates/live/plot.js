// Axes on a canvas, as large as the canvas is on the page.
const TOP = 8, LEFT = 46, BOTTOM = 20; // pixels around the axes
const FONT = "12px system-ui, sans-serif";

class Plot {
  // x, y: {low, high, ticks: [[value, text], …]}; colours: by name; right: pixels kept free beside the axes
  constructor(canvas, x, y, colours, right = 8) {
    Object.assign(this, { x, y, colours, right, context: canvas.getContext("2d") });
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    const sharp = window.devicePixelRatio || 1;
    canvas.width = Math.round(this.width * sharp); // which also clears it
    canvas.height = Math.round(this.height * sharp);
    this.context.scale(sharp, sharp);
    this.context.font = FONT;
    this.grid();
  }

  left(x) {
    return LEFT + ((x - this.x.low) / (this.x.high - this.x.low)) * (this.width - LEFT - this.right);
  }

  top(y) {
    const up = (y - this.y.low) / (this.y.high - this.y.low);
    return this.height - BOTTOM - Math.min(Math.max(up, -1), 2) * (this.height - BOTTOM - TOP);
  }

  grid() {
    const { context, colours, width, height } = this;
    context.strokeStyle = colours.line;
    context.fillStyle = colours.muted;
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const [y, text] of this.y.ticks) {
      this.path([[LEFT, this.top(y)], [width - 2, this.top(y)]]);
      context.stroke();
      context.fillText(text, LEFT - 5, this.top(y));
    }
    context.textAlign = "center";
    for (const [x, text] of this.x.ticks) {
      const half = context.measureText(text).width / 2; // the last one may not stand out of the canvas
      context.fillText(text, Math.min(this.left(x), width - half), height - BOTTOM / 2 + 1);
    }
    context.beginPath(); // so that nothing is drawn over the ticks
    context.rect(LEFT, TOP - 2, width - LEFT, height - BOTTOM - TOP + 3);
    context.clip();
  }

  // Of points in pixels; one that is not finite lifts the pen.
  path(points) {
    this.context.beginPath();
    let down = false;
    for (const [left, top] of points) {
      const there = Number.isFinite(left) && Number.isFinite(top);
      if (there) this.context[down ? "lineTo" : "moveTo"](left, top);
      down = there;
    }
  }

  line(points, colour, width = 2) {
    this.path(points.map(([x, y]) => [this.left(x), this.top(y)]));
    Object.assign(this.context, { strokeStyle: colour, lineWidth: width, lineJoin: "round" });
    this.context.stroke();
  }

  // Between lines, as points [x, low, high].
  band(points, colour) {
    const there = points.filter((point) => point.every(Number.isFinite));
    const lows = there.map(([x, low]) => [this.left(x), this.top(low)]);
    this.area([...lows, ...there.reverse().map(([x, , high]) => [this.left(x), this.top(high)])], colour);
  }

  // The inside of points in pixels.
  area(points, colour, strength = 0.22) {
    this.path(points);
    Object.assign(this.context, { fillStyle: colour, globalAlpha: strength });
    this.context.fill();
    this.context.globalAlpha = 1;
  }

  // All of the axes, and what is beside them, between two heights.
  stripe(low, high, colour) {
    const [top, bottom] = [this.top(high), this.top(low)];
    this.area([[LEFT, top], [this.width, top], [this.width, bottom], [LEFT, bottom]], colour, 0.07);
  }

  // How sorted values lie now, beside the axes, on the same heights; `within` pixels at the most.
  distribution(values, colour, within) {
    const counts = histogram(values, this.y.low, this.y.high), most = Math.max(...counts, 1);
    const step = (this.y.high - this.y.low) / counts.length, edge = this.width - this.right + 6;
    const outline = counts.flatMap((count, bin) => {
      const left = edge + (count / most) * within;
      return [[left, this.top(this.y.low + bin * step)], [left, this.top(this.y.low + (bin + 1) * step)]];
    });
    this.area([[edge, this.top(this.y.low)], ...outline, [edge, this.top(this.y.high)]], colour, 0.3);
    this.path(outline);
    Object.assign(this.context, { strokeStyle: colour, lineWidth: 1.5 });
    this.context.stroke();
  }
}

function histogram(values, low, high, bins = 36) {
  const counts = Array(bins).fill(0);
  for (const value of values) {
    const bin = Math.floor(((value - low) / (high - low)) * bins);
    if (bin >= 0 && bin < bins) counts[bin]++;
  }
  return counts;
}

// Round numbers from at or below `low` to at or above `high`, some four of them.
function roundAxis(low, high) {
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const first = Math.floor(low / step), last = Math.ceil(high / step);
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(6)));
  return { low: ticks[0], high: ticks.at(-1), ticks: ticks.map((tick) => [tick, brief(tick)]) };
}

// 1.5e6 for what has no room in full, as in a net that explodes.
function brief(number) {
  const text = Math.abs(number) < 10_000 ? String(number) : Number(number.toPrecision(2)).toExponential();
  return text.replace("e+", "e").replace(/^-/, "−");
}
