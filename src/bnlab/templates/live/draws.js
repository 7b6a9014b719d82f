"use strict";
// What a seed stands for (weights and batches, the same for both nets), and the digits, unpacked.

// Numbers in [0, 1), the same on every machine (mulberry32).
function uniforms(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Box & Muller's; each layer has a seed of its own, so that nets of any depth begin with the same first layers.
function drawWeights(net, sigma, seed) {
  net.linears.forEach(({ weights, outputs }, k) => {
    const next = uniforms(seed * 1000 + (outputs === net.classes ? 999 : k));
    for (let at = 0; at < weights.length; at++) {
      weights[at] = sigma * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
    }
  });
}

// Indices of the examples of one batch after another: permutation after permutation, none left out, no batch short.
function batches(examples, size, seed) {
  const next = uniforms(seed);
  const order = Uint16Array.from({ length: examples }, (_, i) => i);
  let at = examples;
  const one = () => {
    if (at === examples) {
      for (let i = examples - 1; i > 0; i--) {
        const j = Math.floor(next() * (i + 1));
        [order[i], order[j]] = [order[j], order[i]];
      }
      at = 0;
    }
    return order[at++];
  };
  return () => Array.from({ length: size }, one);
}

// Images as lists of the pixels that are on, from one bit a pixel, the highest of a byte first.
function unpack(bytes, pixels) {
  const each = pixels / 8;
  return Array.from({ length: bytes.length / each }, (_, image) => {
    const on = [];
    for (let p = 0; p < pixels; p++) {
      if (bytes[image * each + (p >> 3)] & (0x80 >> (p & 7))) on.push(p);
    }
    return Uint16Array.from(on);
  });
}
