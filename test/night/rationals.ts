/** Exact fractions; the denominator is above zero. Nothing is shortened: nothing here grows. */
export interface Fraction {
  readonly top: bigint;
  readonly bottom: bigint;
}

export const whole = (top: bigint): Fraction => ({ top, bottom: 1n });

export function fraction(top: bigint, bottom: bigint): Fraction {
  if (bottom === 0n) throw new RangeError('a fraction of nothing');
  return bottom < 0n ? { top: -top, bottom: -bottom } : { top, bottom };
}

export const times = (left: Fraction, right: Fraction): Fraction =>
  fraction(left.top * right.top, left.bottom * right.bottom);

/** Of two whole numbers that it lies between the nearer one; of two that are as near the even one. */
export function halfEven({ top, bottom }: Fraction): bigint {
  const below = (top - (((top % bottom) + bottom) % bottom)) / bottom;
  // How far it is from the one below, doubled, against one.
  const far = 2n * (top - below * bottom) - bottom;
  if (far === 0n) return below % 2n === 0n ? below : below + 1n;
  return far < 0n ? below : below + 1n;
}

export const least = (left: bigint, right: bigint): bigint => (left < right ? left : right);
export const most = (left: bigint, right: bigint): bigint => (left > right ? left : right);
