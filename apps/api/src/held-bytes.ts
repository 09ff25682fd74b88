/** Callers without a merchant share one allowance. */
const NOBODY = 0n;

/** Bytes that are in memory for somebody's sake, in all and by merchant, within limits. */
export class HeldBytes {
  readonly #ofMerchant = new Map<bigint, number>();
  #bytes = 0;

  constructor(private readonly limits: { bytes: number; merchantBytes: number }) {}

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether so many more are within the limits. For whoever has none yet they always are. */
  fits(merchantId: bigint = NOBODY, bytes: number): boolean {
    const ofMerchant = this.#ofMerchant.get(merchantId) ?? 0;
    const isWithin = this.#bytes + bytes <= this.limits.bytes && ofMerchant + bytes <= this.limits.merchantBytes;
    return isWithin || ofMerchant === 0;
  }

  /** Call back what it answers, once, when they are there no more. */
  hold(merchantId: bigint = NOBODY, bytes: number): () => void {
    this.#count(merchantId, bytes);
    return () => this.#count(merchantId, -bytes);
  }

  #count(merchantId: bigint, bytes: number): void {
    this.#bytes += bytes;
    const left = (this.#ofMerchant.get(merchantId) ?? 0) + bytes;
    if (left === 0) this.#ofMerchant.delete(merchantId);
    else this.#ofMerchant.set(merchantId, left);
  }
}
