/** Between the authorisation of a payment and its capture: so many payments of the merchant, so that neither waits for the other. */
const PAYMENTS_BETWEEN = 8;

/** Facts of a provider, half of them authorisations and half captures: each posts a transaction of two entries. ASCII. */
export class FactSource {
  readonly #run: string;
  /** By merchant. */
  readonly #told = new Map<object, number>();
  #occurredAt = new Date().toISOString();
  #count = 0;

  constructor(run: string) {
    this.#run = run;
  }

  next(merchant: object): string {
    const number = this.#told.get(merchant) ?? 0;
    this.#told.set(merchant, number + 1);
    // As a time of a request is: toISOString costs more than the rest.
    if (this.#count++ % 32 === 0) this.#occurredAt = new Date().toISOString();
    const payment = Math.floor(number / 2);
    if (number % 2 === 0) return this.#fact('authorised', `${payment}`);
    if (payment < PAYMENTS_BETWEEN) return this.#fact('authorised', `early-${payment}`);
    return this.#fact('captured', `${payment - PAYMENTS_BETWEEN}`);
  }

  /** A payment's authorisation and, apart, its capture. */
  pair(name: string): { cause: string; effect: string } {
    return { cause: this.#fact('authorised', name), effect: this.#fact('captured', name) };
  }

  #fact(type: 'authorised' | 'captured', payment: string): string {
    const ref = `${this.#run}-${payment}`;
    return (
      `{"provider":"bench","event_id":"${ref}-${type}","payment_ref":"${ref}","type":"${type}","amount":"2500",` +
      `"currency":"EUR","occurred_at":"${this.#occurredAt}"}`
    );
  }
}
