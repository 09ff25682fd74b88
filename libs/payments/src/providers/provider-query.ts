/** How a provider is asked about one of its payments. Pure. */
export interface ProviderQuery {
  /** Whether it is asked at a URL of the merchant's choice; else at its own. */
  readonly hasOwnUrl: boolean;
  /** `base`: without a slash at its end. */
  urlOf(base: string, paymentRef: string): string;
  /** An answer in the form of the provider's webhooks, so that what is asked for and what is told are the same facts. */
  messageOf(answer: string, askedAtMs: number): object | undefined;
}
