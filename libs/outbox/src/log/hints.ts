import { type Span, SpanKind } from '@opentelemetry/api';
import type { Redis } from 'ioredis';
import type { Logger } from '#platform/logging.js';
import { openRedis, RECONNECT_LONGEST_MS } from '#platform/redis.js';
import { redisAttributes } from '#platform/span-names.js';
import { step } from '#platform/tracing.js';

/** Hints that come closer together are one: a relay that is busy looks by itself. */
const HINT_EVERY_MS = 10;

const TELL = 'tell relay';

/** What a hint is about: that events were committed, or that webhooks became due. */
type Topic = 'events' | 'webhooks';

function channelOf(topic: Topic, databaseUrl: string): string {
  return `counterfoil:${topic}:${new URL(databaseUrl).pathname.slice(1)}`;
}

function connect(url: string): Redis {
  return openRedis(url, {
    enableOfflineQueue: false,
    // Whoever subscribes does so with each connection, also where the first one could not.
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
  });
}

/**
 * Tells relays that something was committed. Nobody relies on it: a hint that is lost costs the relay's idle wait. (Not
 * NOTIFY: it takes a lock that makes all commits of the database wait in line.)
 */
export class HintSender {
  readonly #redis: Redis;
  readonly #channel: string;
  #timer: NodeJS.Timeout | undefined;
  #isDue = false;
  /** To whom the next one is nothing new; everybody else's is ''. */
  #knownTo = '';
  /** Redis has not got the last one. It is sent with the next connection. */
  #isLost = false;

  constructor(url: string, databaseUrl: string, topic: Topic = 'events') {
    this.#redis = connect(url);
    this.#channel = channelOf(topic, databaseUrl);
    this.#redis.on('ready', () => this.#isLost && this.send());
  }

  /**
   * Costs nothing on the way of a posting: at most one message in HINT_EVERY_MS, sent and forgotten. `knownTo`: the receiver of this name
   * knows already. `span`: whoever has it sent at once sees it in its trace.
   */
  send(knownTo = '', span?: Span): void {
    this.#knownTo = this.#isDue && this.#knownTo !== knownTo ? '' : knownTo;
    this.#isDue = true;
    if (this.#timer) return;
    this.#publish(span);
    this.#timer = setInterval(() => {
      if (this.#isDue) return this.#publish();
      clearInterval(this.#timer);
      this.#timer = undefined;
    }, HINT_EVERY_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#redis.disconnect();
  }

  #publish(span?: Span): void {
    this.#isDue = false;
    this.#isLost = this.#redis.status !== 'ready';
    if (this.#isLost) return;
    const send = () => this.#redis.publish(this.#channel, this.#knownTo);
    step(span, TELL, { kind: SpanKind.CLIENT, attributes: redisAttributes(TELL, 1) }, send).catch(() => {
      this.#isLost = true;
    });
  }
}

/**
 * Calls back for each hint, as long as Redis can be reached. After each gap it subscribes anew, and calls back once: Redis keeps
 * nothing for whoever is not subscribed.
 */
export class HintReceiver {
  readonly #redis: Redis;
  readonly #logger: Logger;
  readonly #onHint: () => void;
  #failures = 0;

  constructor(
    url: string,
    databaseUrl: string,
    options: { onHint: () => void; logger: Logger; topic?: Topic; name?: string },
  ) {
    const { onHint, logger, topic = 'events', name } = options;
    this.#redis = connect(url);
    this.#logger = logger;
    this.#onHint = onHint;
    this.#redis.on('message', (_channel, knownTo) => {
      if (knownTo === '' || knownTo !== name) onHint();
    });
    this.#redis.on('ready', () => void this.#subscribe(channelOf(topic, databaseUrl)));
  }

  /** Subscriptions that Redis refused or did not answer: until one succeeds, relays wait their idle time. */
  get failures(): number {
    return this.#failures;
  }

  close(): void {
    this.#redis.disconnect();
  }

  /** Subscribing twice is subscribing once: a connection that was lost meanwhile has subscribed by itself. */
  async #subscribe(channel: string): Promise<void> {
    try {
      await this.#redis.subscribe(channel);
      this.#onHint();
    } catch (error) {
      this.#failures += 1;
      this.#logger.warn({ err: error, failures: this.#failures }, 'hints of new events cannot be received');
      setTimeout(() => {
        if (this.#redis.status === 'ready') void this.#subscribe(channel);
      }, RECONNECT_LONGEST_MS).unref();
    }
  }
}

/** Whose events, and whose span it shows below. */
type Listener = (merchantIds: readonly bigint[], span?: Span) => void;

/**
 * Tells parts of this process that it has committed events. A hint only: other processes' commits are not told, and an event
 * that is committed may still be held back by an older transaction. Whoever listens looks into the log anyway, now and then.
 */
export class CommitHints {
  readonly #listeners = new Set<Listener>();

  /** Calls back from now on; the callback must not throw, it is on the way of every posting. */
  listen(listener: Listener): void {
    this.#listeners.add(listener);
  }

  committed(merchantIds: readonly bigint[], span?: Span): void {
    for (const listener of this.#listeners) listener(merchantIds, span);
  }
}
