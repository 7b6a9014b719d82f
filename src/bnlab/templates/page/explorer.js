// The explorer: inputs of sigmoids over training, from the table that `bnlab.explorer` packed. Drawn anew at every change.
(() => {
  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const $ = id => document.getElementById(id);
  const ARMS = [["none", "plain", "plain"], ["batch", "bn", "with BN"]]; // in the table, as a class, in words
  const FLAT = Math.log(0.95 / 0.05), LAYERS = 3;
  const [LOW, HIGH] = data.range;
  const moment = $("moment");
  let playing = null;
  moment.max = data.steps.length - 1;

  const layer = () => +document.querySelector("[name=layer]:checked").value;
  const shown = () => ARMS.filter(([arm]) => document.querySelector(`[name=arm][value=${arm}]`).checked);
  const cell = arm => data.cells[[arm, $("rate").value, $("start").value].join("|")];
  const percent = (thousandth, digits = 0) => thousandth === null || thousandth === undefined ? "?" : `${(thousandth / 10).toFixed(digits)} %`;
  const number = x => x.toLocaleString("en");

  function density(of, at, which) {
    of.bytes ??= Uint8Array.from(atob(of.density), c => c.charCodeAt(0));
    const from = (at * LAYERS + which) * data.bins;
    return of.bytes.subarray(from, from + data.bins);
  }

  const tag = (name, attributes, text = "") =>
    `<${name} ${Object.entries(attributes).map(([key, value]) => `${key}="${value}"`).join(" ")}>${text}</${name}>`;
  const line = (x1, y1, x2, y2, kind) => tag("line", { x1, y1, x2, y2, class: kind });
  const text = (x, y, said, kind = "", anchor = "start") => tag("text", { x, y, class: kind, "text-anchor": anchor }, said);
  const path = (points, kind) => tag("path", { class: kind, d: points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("") });

  function fill(svg, height, parts) {
    const width = svg.clientWidth || svg.parentNode.clientWidth;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.innerHTML = parts(width).join("");
  }

  function hills(at) {
    const row = 124, hill = 74;
    fill($("hills"), LAYERS * row + 36, width => {
      const x = input => ((input - LOW) / (HIGH - LOW)) * width;
      const parts = [tag("rect", { class: "flat", x: 0, y: 0, width: x(-FLAT), height: LAYERS * row }), tag("rect", { class: "flat", x: x(FLAT), y: 0, width: width - x(FLAT), height: LAYERS * row })];
      for (let which = 0; which < LAYERS; which++) {
        const floor = (which + 1) * row - 6;
        const curve = Array.from({ length: 49 }, (_, i) => LOW + (i * (HIGH - LOW)) / 48).map(input => [x(input), floor - hill / (1 + Math.exp(-input))]);
        parts.push(path(curve, "sigmoid"), line(0, floor, width, floor, "axis"), text(6, floor - row + 22, `layer ${which + 1}`, "strong"));
        shown().forEach(([arm, kind, name], i) => {
          const of = cell(arm);
          const tops = [...density(of, at, which)].map((q, bin) => [((bin + 0.5) * width) / data.bins, floor - (hill * q) / 255]);
          if (!tops.length) return;
          parts.push(path([[0, floor], ...tops, [width, floor]], `area ${kind}`));
          parts.push(text(width - 6, floor - row + 22 + 16 * i, `${name}: ${percent(of.saturated[which][at])} flat`, `of-arm ${kind}`, "end"));
        });
      }
      for (const input of [-10, -5, 0, 5, 10]) parts.push(text(x(input), LAYERS * row + 14, `${input}`.replace("-", "−"), "", "middle"));
      parts.push(text(width / 2, LAYERS * row + 32, "what enters the sigmoids; dashed: the sigmoid", "", "middle"));
      return parts;
    });
  }

  const left = 34, along = (step, width) => left + ((width - left - 6) * Math.log10(step + 1)) / Math.log10(data.steps.at(-1) + 1);

  function curves(at) {
    const row = 132, top = 28, tall = 80, which = layer() - 1;
    const decades = v => v / 100;
    const charts = [
      { title: "test digits read right", low: 0, high: 1, ticks: [[0, "0"], [0.5, "50 %"], [1, "100"]], lines: of => [of.correct.map(v => v === null ? null : v / 1000)] },
      { title: `inputs of layer ${which + 1}: 5, 50, 95 of 100`, low: -8, high: 8, ticks: [[-FLAT, "flat"], [0, "0"], [FLAT, "flat"]], lines: of => of.percentiles[which].map(each => each.map(v => v === null ? null : v / 20)) },
      { title: `gradient of layer ${which + 1}'s weights`, ...span(which), lines: of => [of.gradient[which].map(v => v === null ? null : decades(v))] },
    ];
    fill($("curves"), charts.length * row + 14, width => charts.flatMap((chart, i) => {
      const floor = i * row + top + tall, clip = v => Math.max(chart.low, Math.min(chart.high, v));
      const y = v => floor - (tall * (clip(v) - chart.low)) / (chart.high - chart.low);
      const parts = [text(0, i * row + 12, chart.title, "strong")];
      for (const [v, said] of chart.ticks) parts.push(line(left, y(v), width, y(v), "axis"), text(left - 5, y(v) + 4, said, "", "end"));
      for (const [arm, kind] of shown()) {
        const lines = chart.lines(cell(arm)).map(each => each.map((v, k) => v === null ? null : [along(data.steps[k], width), y(v)]).filter(Boolean));
        if (lines.length === 3) parts.push(path([...lines[0], ...lines[2].toReversed()], `spread ${kind}`));
        const middle = lines[lines.length >> 1];
        parts.push(path(middle, `curve ${kind}`));
        if (middle[at]) parts.push(tag("circle", { class: `dot ${kind}`, cx: middle[at][0], cy: middle[at][1], r: 5 }));
      }
      const now = along(data.steps[at], width);
      parts.push(line(now, i * row + top - 4, now, floor, "cursor"));
      for (const step of [0, 10, 100, 1000, 10000]) if (step <= data.steps.at(-1)) parts.push(text(along(step, width), floor + 14, number(step), "", step > 999 && step === data.steps.at(-1) ? "end" : "middle"));
      return parts;
    }));
  }

  function span(which) {
    const all = shown().flatMap(([arm]) => cell(arm).gradient[which]).filter(v => v !== null).map(v => v / 100);
    const low = Math.max(Math.floor(Math.min(...all, 0)), -9), high = Math.ceil(Math.max(...all, -1));
    const every = Math.max(1, Math.round((high - low) / 3));
    const ticks = [];
    for (let v = high; v >= low; v -= every) ticks.push([v, `10${[...String(v)].map(c => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("")}`]);
    return { low, high, ticks };
  }

  function say(at) {
    const step = data.steps[at];
    $("step").textContent = `step ${number(step)}`;
    moment.setAttribute("aria-valuetext", `step ${number(step)}`);
    const each = shown().map(([arm, , name]) => {
      const of = cell(arm), [first, second, third] = of.saturated.map(layer => percent(layer[at]).replace(" %", ""));
      return `${arm === "none" ? "the plain net" : name} reads ${percent(of.correct[at])} of the test digits right, and of its three layers' sigmoids ${first}, ${second} and ${third} % are flat`;
    });
    $("explorer-says").textContent = each.length ? `At step ${number(step)} ${each.join("; ")}.` : "Choose a net.";
  }

  function draw() {
    const at = +moment.value;
    hills(at);
    curves(at);
    say(at);
  }

  const nearest = step => data.steps.reduce((best, each, i) => Math.abs(each - step) < Math.abs(data.steps[best] - step) ? i : best, 0);

  function tell(button) {
    const { rate, start, step, layer, says } = button.dataset;
    $("rate").value = rate;
    $("start").value = start;
    document.querySelector(`[name=layer][value="${layer}"]`).checked = true;
    moment.value = nearest(+step);
    $("story").textContent = says;
    mark(button);
    draw();
  }

  const stories = [...document.querySelectorAll(".stories button")];
  const mark = chosen => stories.forEach(each => each.setAttribute("aria-pressed", each === chosen));

  function stop() {
    clearInterval(playing);
    playing = null;
    $("play").textContent = "▶";
    $("play").setAttribute("aria-label", "Play the training");
  }

  function play() {
    if (playing) return stop();
    if (+moment.value === +moment.max) moment.value = 0;
    $("play").textContent = "❚❚";
    $("play").setAttribute("aria-label", "Pause");
    $("explorer-says").setAttribute("aria-live", "off"); // a screen reader would be told every frame
    playing = setInterval(() => {
      moment.value = +moment.value + 1;
      draw();
      if (+moment.value < +moment.max) return;
      stop();
      $("explorer-says").setAttribute("aria-live", "polite");
    }, 160);
  }

  function scrub(event) {
    if (!event.buttons) return;
    const box = $("curves").getBoundingClientRect();
    const share = (event.clientX - box.left - left) / (box.width - left - 6);
    stop();
    moment.value = nearest((data.steps.at(-1) + 1) ** share - 1);
    draw();
  }

  for (const button of stories) button.addEventListener("click", () => { stop(); tell(button); });
  moment.addEventListener("input", () => { stop(); draw(); });
  for (const each of document.querySelectorAll(".knobs select, .knobs input"))
    each.addEventListener("change", () => { if (each.tagName === "SELECT") { mark(null); $("story").textContent = ""; } draw(); });
  $("play").addEventListener("click", play);
  for (const kind of ["pointerdown", "pointermove"]) $("curves").addEventListener(kind, scrub);
  new ResizeObserver(draw).observe($("hills").parentNode);
  tell(stories[0]);
})();
