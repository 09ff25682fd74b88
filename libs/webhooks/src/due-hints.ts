import type { OnApplicationShutdown } from '@nestjs/common';
import { HintReceiver, HintSender } from '#outbox/log/hints.js';
import type { Logger } from '#platform/logging.js';
import type { WebhooksSettings } from './settings.js';

const TOPIC = 'webhooks';

function redisOf(config: WebhooksSettings): string | undefined {
  return config.redisUrl ?? config.redisQueueUrl;
}

/**
 * Tells the senders of all workers that deliveries have become due, once that is committed. Nobody relies on it: a hint that
 * is lost costs a wait until the sender's next look at everything.
 */
export class DueHints implements OnApplicationShutdown {
  readonly #sender: HintSender | undefined;

  constructor(config: WebhooksSettings) {
    const url = redisOf(config);
    this.#sender = url === undefined ? undefined : new HintSender(url, config.databaseRuntimeUrl, TOPIC);
  }

  /** `knownTo`: the worker of this name looks by itself. */
  send(knownTo?: string): void {
    this.#sender?.send(knownTo);
  }

  onApplicationShutdown(): void {
    this.#sender?.close();
  }
}

/** Calls back with every such hint but those that the worker of this name knows; undefined without a Redis to carry them. */
export function receiveDueHints(
  config: WebhooksSettings,
  logger: Logger,
  name: string,
  onHint: () => void,
): HintReceiver | undefined {
  const url = redisOf(config);
  return url === undefined
    ? undefined
    : new HintReceiver(url, config.databaseRuntimeUrl, { onHint, logger, topic: TOPIC, name });
}
