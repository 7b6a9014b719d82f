"use strict";
// The arithmetic of a net with or without Batch Normalization: no page, no library; runs in a worker and under node.
// Matrices are Float32Arrays, row by row. The numbers of a batch's rows, of a hidden layer's units and of images to
// test on are multiples of four, as the loops below take four at once: what they hold is then read and written less.

const EPSILON = 1e-5;
const MOMENTUM = 0.1; // of the running statistics: running += momentum * (batch - running)
// `slope` is of the value. Inputs at or beyond `limits` are saturated: there the slope is below 0.19 of its greatest.
const ACTIVATIONS = {
  sigmoid: { value: (x) => 1 / (1 + Math.exp(-x)), slope: (z) => z * (1 - z), limits: [-Math.log(19), Math.log(19)] },
  relu: { value: (x) => (x > 0 ? x : 0), slope: (z) => (z > 0 ? 1 : 0), limits: [0, Infinity] },
  tanh: { value: Math.tanh, slope: (z) => 1 - z * z, limits: [-Math.atanh(0.9), Math.atanh(0.9)] },
};

// out = zW + b, with W of inputs x outputs.
class Linear {
  constructor(inputs, outputs, hasBias) {
    Object.assign(this, { inputs, outputs, hasBias });
    this.weights = new Float32Array(inputs * outputs);
    this.gradient = new Float32Array(inputs * outputs);
    this.bias = new Float32Array(outputs); // stays 0 where a norm subsumes it
    this.biasGradient = new Float32Array(outputs);
  }

  forward(z, rows, out) {
    const { inputs, outputs, weights } = this;
    for (let i = 0; i < rows; i += 2) {
      out.set(this.bias, i * outputs);
      out.set(this.bias, (i + 1) * outputs);
      for (let k = 0; k < inputs; k += 4) {
        const at = i * inputs + k, next = at + inputs;
        const y0 = z[at], y1 = z[at + 1], y2 = z[at + 2], y3 = z[at + 3];
        const z0 = z[next], z1 = z[next + 1], z2 = z[next + 2], z3 = z[next + 3];
        for (let j = 0; j < outputs; j++) {
          const w = k * outputs + j, o = i * outputs + j;
          const w0 = weights[w], w1 = weights[w + outputs], w2 = weights[w + 2 * outputs], w3 = weights[w + 3 * outputs];
          out[o] += y0 * w0 + y1 * w1 + y2 * w2 + y3 * w3;
          out[o + outputs] += z0 * w0 + z1 * w1 + z2 * w2 + z3 * w3;
        }
      }
    }
  }

  // Gradients of the loss by the weights, from `delta`, that by the outputs.
  backward(z, rows, delta) {
    this.gradient.fill(0);
    this.addGradient(z, rows, delta);
    if (this.hasBias) sumRows(delta, rows, this.biasGradient);
  }

  addGradient(z, rows, delta) {
    const { inputs, outputs, gradient } = this;
    for (let i = 0; i < rows; i += 4) {
      for (let k = 0; k < inputs; k += 2) {
        const at = i * inputs + k;
        const y0 = z[at], y1 = z[at + inputs], y2 = z[at + 2 * inputs], y3 = z[at + 3 * inputs];
        const z0 = z[at + 1], z1 = z[at + inputs + 1], z2 = z[at + 2 * inputs + 1], z3 = z[at + 3 * inputs + 1];
        for (let j = 0; j < outputs; j++) {
          const d = i * outputs + j, g = k * outputs + j;
          const d0 = delta[d], d1 = delta[d + outputs], d2 = delta[d + 2 * outputs], d3 = delta[d + 3 * outputs];
          gradient[g] += y0 * d0 + y1 * d1 + y2 * d2 + y3 * d3;
          gradient[g + outputs] += z0 * d0 + z1 * d1 + z2 * d2 + z3 * d3;
        }
      }
    }
  }

  // The gradient by the inputs: delta Wᵀ.
  below(delta, rows, out) {
    const { inputs, outputs, weights } = this;
    for (let i = 0; i < rows; i += 2) {
      for (let k = 0; k < inputs; k += 4) {
        let s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
        for (let j = 0; j < outputs; j++) {
          const w = k * outputs + j, d = delta[i * outputs + j], e = delta[(i + 1) * outputs + j];
          const w0 = weights[w], w1 = weights[w + outputs], w2 = weights[w + 2 * outputs], w3 = weights[w + 3 * outputs];
          s0 += d * w0, s1 += d * w1, s2 += d * w2, s3 += d * w3;
          t0 += e * w0, t1 += e * w1, t2 += e * w2, t3 += e * w3;
        }
        out.set([s0, s1, s2, s3], i * inputs + k);
        out.set([t0, t1, t2, t3], (i + 1) * inputs + k);
      }
    }
  }

  descend(rate) {
    subtract(this.weights, rate, this.gradient);
    if (this.hasBias) subtract(this.bias, rate, this.biasGradient);
  }
}

// The same for binary images, given as lists of the pixels that are on: one in seven, so that most work falls away.
class LinearOfPixels extends Linear {
  forward(images, rows, out) {
    const { outputs, weights } = this;
    for (let i = 0; i < rows; i++) {
      out.set(this.bias, i * outputs);
      const on = images[i], left = on.length % 4;
      for (let p = 0; p < left; p++) {
        for (let j = 0; j < outputs; j++) out[i * outputs + j] += weights[on[p] * outputs + j];
      }
      for (let p = left; p < on.length; p += 4) {
        const w0 = on[p] * outputs, w1 = on[p + 1] * outputs, w2 = on[p + 2] * outputs, w3 = on[p + 3] * outputs;
        for (let j = 0; j < outputs; j++) {
          out[i * outputs + j] += weights[w0 + j] + weights[w1 + j] + weights[w2 + j] + weights[w3 + j];
        }
      }
    }
  }

  addGradient(images, rows, delta) {
    const { outputs, gradient } = this;
    for (let i = 0; i < rows; i++) {
      for (const pixel of images[i]) {
        let g = pixel * outputs;
        for (let d = i * outputs; d < (i + 1) * outputs; d++, g++) gradient[g] += delta[d];
      }
    }
  }
}

// y = gamma * (x - mean) / sqrt(var + epsilon) + beta, per unit (Ioffe & Szegedy 2015, Algorithms 1 and 2).
class BatchNorm {
  constructor(units, gamma, rows) {
    this.units = units;
    this.gamma = new Float32Array(units).fill(gamma);
    this.beta = new Float32Array(units);
    this.gammaGradient = new Float32Array(units);
    this.betaGradient = new Float32Array(units);
    this.runningMean = new Float32Array(units);
    this.runningVar = new Float32Array(units).fill(1);
    this.inverse = new Float32Array(units); // 1 / sqrt(var + epsilon), of the last batch
    this.normalised = new Float32Array(rows * units);
  }

  // In place. In training by the batch's statistics, else by the running ones.
  forward(x, rows, training) {
    const { units, gamma, beta, inverse, normalised } = this;
    for (let j = 0; j < units; j++) {
      const [mean, variance] = training ? this.ofBatch(x, rows, j) : [this.runningMean[j], this.runningVar[j]];
      inverse[j] = 1 / Math.sqrt(variance + EPSILON);
      for (let at = j; at < rows * units; at += units) {
        normalised[at] = (x[at] - mean) * inverse[j];
        x[at] = gamma[j] * normalised[at] + beta[j];
      }
    }
  }

  ofBatch(x, rows, j) {
    const { units, runningMean, runningVar } = this;
    let mean = 0, variance = 0; // biased: of the batch; the running one is unbiased (Algorithm 2, line 10)
    for (let at = j; at < rows * units; at += units) mean += x[at];
    mean /= rows;
    for (let at = j; at < rows * units; at += units) variance += (x[at] - mean) ** 2;
    variance /= rows;
    runningMean[j] += MOMENTUM * (mean - runningMean[j]);
    runningVar[j] += MOMENTUM * ((variance * rows) / (rows - 1) - runningVar[j]);
    return [mean, variance];
  }

  // In place: `delta` by y becomes that by x, through mean and variance of the batch too.
  backward(delta, rows) {
    const { units, gamma, inverse, normalised } = this;
    for (let j = 0; j < units; j++) {
      let sum = 0, sumWith = 0;
      for (let at = j; at < rows * units; at += units) {
        sum += delta[at];
        sumWith += delta[at] * normalised[at];
      }
      this.betaGradient[j] = sum;
      this.gammaGradient[j] = sumWith;
      const factor = gamma[j] * inverse[j];
      for (let at = j; at < rows * units; at += units) {
        delta[at] = factor * (delta[at] - (sum + normalised[at] * sumWith) / rows);
      }
    }
  }

  descend(rate) {
    subtract(this.gamma, rate, this.gammaGradient);
    subtract(this.beta, rate, this.betaGradient);
  }
}

// Hidden layers z = g(Wz + b), or g(BN(Wz)), and a linear output; trained by SGD on the mean cross-entropy of a batch.
class Net {
  // shape: {inputs, width, depth, classes}; norm: whether with BN; rows: examples of a batch, and the most at once
  constructor(shape, activation, norm, gamma, rows) {
    const { width, depth, classes } = shape;
    this.rows = rows;
    this.classes = classes;
    this.activation = ACTIVATIONS[activation];
    this.linears = [new LinearOfPixels(shape.inputs, width, !norm)];
    while (this.linears.length < depth) this.linears.push(new Linear(width, width, !norm));
    this.linears.push(new Linear(width, classes, true));
    const hidden = Array.from({ length: depth });
    this.norms = hidden.map(() => (norm ? new BatchNorm(width, gamma, rows) : null));
    this.inputs = hidden.map(() => new Float32Array(rows * width)); // of the nonlinearities
    this.values = hidden.map(() => new Float32Array(rows * width));
    this.deltas = hidden.map(() => new Float32Array(rows * width));
    this.logits = new Float32Array(rows * classes);
  }

  forward(images, rows, training) {
    const { value } = this.activation;
    let z = images;
    this.inputs.forEach((x, k) => {
      this.linears[k].forward(z, rows, x);
      if (this.norms[k]) this.norms[k].forward(x, rows, training);
      z = this.values[k];
      for (let at = 0; at < rows * this.linears[k].outputs; at++) z[at] = value(x[at]);
    });
    this.linears.at(-1).forward(z, rows, this.logits);
  }

  backward(images, rows) {
    const { slope } = this.activation;
    let delta = this.logits; // which `crossEntropy` has made the gradient by them
    for (let k = this.inputs.length; k > 0; k--) {
      const z = this.values[k - 1], below = this.deltas[k - 1];
      this.linears[k].backward(z, rows, delta);
      this.linears[k].below(delta, rows, below);
      for (let at = 0; at < rows * this.linears[k].inputs; at++) below[at] *= slope(z[at]);
      if (this.norms[k - 1]) this.norms[k - 1].backward(below, rows);
      delta = below;
    }
    this.linears[0].backward(images, rows, delta);
  }

  // One step of SGD; the loss before it.
  update(images, labels, rate) {
    this.forward(images, images.length, true);
    const loss = crossEntropy(this.logits, labels, this.classes);
    this.backward(images, images.length);
    for (const part of [...this.linears, ...this.norms]) part?.descend(rate);
    return loss;
  }

  // As it is tested, on any number of images: the share it gets right, the loss, and what enters each
  // nonlinearity for the first `sampled` of the images, units of an image side by side.
  evaluate(images, labels, sampled = 0) {
    const samples = this.inputs.map((x) => new Float32Array((sampled * x.length) / this.rows));
    let right = 0, loss = 0;
    for (let first = 0; first < images.length; first += this.rows) {
      const some = images.slice(first, first + this.rows), theirs = labels.slice(first, first + this.rows);
      this.forward(some, some.length, false);
      samples.forEach((sample, k) => {
        const width = this.linears[k].outputs, count = Math.min(some.length, sampled - first) * width;
        if (count > 0) sample.set(this.inputs[k].subarray(0, count), first * width);
      });
      right += countRight(this.logits, theirs, this.classes);
      loss += crossEntropy(this.logits, theirs, this.classes) * some.length;
    }
    return { accuracy: right / images.length, loss: loss / images.length, samples };
  }
}

// The mean over the rows; the logits become the gradient by them: (softmax - one-hot) / rows.
function crossEntropy(logits, labels, classes) {
  let loss = 0;
  labels.forEach((label, i) => {
    const row = logits.subarray(i * classes, (i + 1) * classes);
    const largest = Math.max(...row), own = row[label] - largest; // so that nothing overflows
    let sum = 0;
    for (let c = 0; c < classes; c++) sum += Math.exp(row[c] - largest);
    loss += Math.log(sum) - own;
    for (let c = 0; c < classes; c++) {
      row[c] = (Math.exp(row[c] - largest) / sum - (c === label ? 1 : 0)) / labels.length;
    }
  });
  return loss / labels.length;
}

function countRight(logits, labels, classes) {
  return labels.filter((label, i) => {
    const row = logits.subarray(i * classes, (i + 1) * classes);
    return row.indexOf(Math.max(...row)) === label;
  }).length;
}

function sumRows(matrix, rows, out) {
  out.fill(0);
  for (let at = 0; at < rows * out.length; at++) out[at % out.length] += matrix[at];
}

function subtract(values, rate, gradient) {
  for (let at = 0; at < values.length; at++) values[at] -= rate * gradient[at];
}
