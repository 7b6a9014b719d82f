"use strict";
// One net in a worker. It is told `digits` once; `start`, which makes the net anew; and `run`, so many updates. To the
// last two it answers with what is seen of the net then.

const PIXELS = 784;
const BATCH = 60;
const SAMPLED = 120; // test digits whose inputs to the nonlinearities are shown
const PERCENTILES = [0.15, 0.5, 0.85]; // as in the paper's Figure 1(b, c)
const SEED = 1;
const state = {};

const handlers = {
  digits({ bytes, labels, train }) {
    const images = unpack(bytes, PIXELS), all = Array.from(labels, Number);
    state.train = { images: images.slice(0, train), labels: all.slice(0, train) };
    state.test = { images: images.slice(train), labels: all.slice(train) };
  },

  start({ id, norm, settings }) {
    const { activation, depth, gamma, sigma } = settings;
    const net = new Net({ inputs: PIXELS, width: 100, depth, classes: 10 }, activation, norm, gamma, BATCH);
    drawWeights(net, sigma, SEED);
    const next = batches(state.train.images.length, BATCH, SEED);
    Object.assign(state, { id, net, next, rate: settings.rate, step: 0, loss: NaN });
    report(performance.now());
  },

  run({ updates }) {
    const began = performance.now(), { images, labels } = state.train;
    for (let i = 0; i < updates; i++) {
      const rows = state.next();
      state.loss = state.net.update(rows.map((r) => images[r]), rows.map((r) => labels[r]), state.rate);
    }
    state.step += updates;
    report(began);
  },
};

function report(began) {
  const { id, net, step, loss, test } = state;
  const { accuracy, samples } = net.evaluate(test.images, test.labels, SAMPLED);
  for (const sample of samples) sample.sort();
  const seen = {
    id, step, loss, accuracy, samples,
    limits: net.activation.limits,
    gradient: step ? lengthOf(net.linears[0].gradient) : NaN, // there is none before the first batch
    saturated: samples.map((sample) => saturatedShare(sample, net.activation.limits)),
    percentiles: samples.map((sample) => PERCENTILES.map((p) => sample[Math.floor(p * (sample.length - 1))])),
    milliseconds: performance.now() - began,
  };
  postMessage(seen, samples.map((sample) => sample.buffer));
}

function lengthOf(values) {
  return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
}

// A ReLU at 0 is off, so what lies on a limit counts.
function saturatedShare(values, [low, high]) {
  return values.filter((x) => x <= low || x >= high).length / values.length;
}

onmessage = ({ data }) => handlers[data.kind](data);
