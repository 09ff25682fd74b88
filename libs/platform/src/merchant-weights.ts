/** Merchants' shares of what they take in turn. Equal, until whoever knows their plans says otherwise. */
export class MerchantWeights {
  #of: (merchantId: bigint) => number = () => 1;

  /** Answers at once: it is asked at each turn. */
  use(of: (merchantId: bigint) => number): void {
    this.#of = of;
  }

  readonly of = (merchantId: bigint): number => this.#of(merchantId);
}
