import type { Labels } from '#platform/metrics.js';
import type { Refusal } from '#platform/signatures.js';

type WebhookOutcome = 'accepted' | Refusal;

/** Anybody can name a provider, and a metric has few labels. */
const NAMED = new Set(['stripe', 'adyen']);

/** Webhooks that came to this process, by provider and what came of them. */
export class WebhookCounts {
  readonly #counts = new Map<string, { labels: Labels; count: number }>();

  add(provider: string, outcome: WebhookOutcome): void {
    const labels = { provider: NAMED.has(provider) ? provider : 'other', outcome: outcome.replace(' ', '_') };
    const key = `${labels.provider} ${labels.outcome}`;
    const counted = this.#counts.get(key) ?? { labels, count: 0 };
    counted.count += 1;
    this.#counts.set(key, counted);
  }

  reading(): [Labels, number][] {
    return [...this.#counts.values()].map(({ labels, count }) => [labels, count]);
  }
}
