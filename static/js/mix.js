/**
 * MixUp and CutMix as training mixes: the same algebra as training/engine/mix.py, for one pair of pictures.
 *
 * Pictures are flat lists of channel values; a box is [top, left, bottom, right], the last two excluded. A browser test
 * compares every function with the engine's.
 */

/** CutMix's box: a square of area 1 - λ around a centre [row, column], cut off at the picture's borders. */
export function placeBox(weight, center, size) {
  const side = Math.trunc(size * Math.sqrt(1 - weight));
  const [top, left] = center.map((position) => position - Math.floor(side / 2));
  return [Math.max(0, top), Math.max(0, left), Math.min(size, top + side), Math.min(size, left + side)];
}

/** λ after cutting off: the share of a picture that its box leaves. */
export function ownShare([top, left, bottom, right], size) {
  return 1 - ((bottom - top) * (right - left)) / size ** 2;
}

/** MixUp: λ of each value of the one picture, 1 - λ of the other's. */
export function blend(own, partner, weight) {
  return Array.from(own, (value, index) => partner[index] + weight * (value - partner[index]));
}

/** CutMix: the one picture, with the other's pixels in the box. */
export function paste(own, partner, [top, left, bottom, right], size) {
  const channels = own.length / size ** 2;
  const mixed = Array.from(own);
  for (let row = top; row < bottom; row += 1) {
    for (let index = (row * size + left) * channels; index < (row * size + right) * channels; index += 1) {
      mixed[index] = partner[index];
    }
  }
  return mixed;
}

/** The shares of the classes after mixing. */
export function mixLabels(own, partner, weight, classCount) {
  const shares = new Array(classCount).fill(0);
  shares[own] += weight;
  shares[partner] += 1 - weight;
  return shares;
}
