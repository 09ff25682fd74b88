import { Controller, Get, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { BALANCE_CACHE, type BalanceCache } from '#balances/balance-cache.js';
import { schemaIsCurrent } from '#db/migrate.js';
import { Database } from '#platform/postgres.js';
import { Documented } from './documented.js';
import { Shutdown } from './shutdown.js';

/** Strangers may ask as often as they like; PostgreSQL is asked this seldom. */
const KEPT_MS = 250;

const health = z.looseObject({ status: z.literal('ok') }).meta({ id: 'Health' });

const readiness = z
  .looseObject({
    status: z.enum(['ready', 'not_ready']),
    checks: z.looseObject({
      database: z.enum(['ok', 'unreachable']),
      schema: z.enum(['current', 'outdated', 'unknown']),
      accepting: z.boolean().meta({ description: 'False once the process has been asked to stop.' }),
      balance_cache: z.enum(['ok', 'degraded', 'off']).meta({
        description:
          'Degraded: Redis is away, left alone for a while, out of memory or set to evict any key, and balances come from the database. Never makes us not ready.',
      }),
    }),
  })
  .meta({ id: 'Readiness' });

type Schema = 'current' | 'outdated' | 'unknown';

@Controller()
export class HealthController {
  #checked: Promise<Schema> | undefined;

  constructor(
    private readonly database: Database,
    private readonly shutdown: Shutdown,
    @Inject(BALANCE_CACHE) private readonly cache: BalanceCache | undefined,
  ) {}

  @Get('healthz')
  @Documented({
    price: 'open',
    summary: 'Whether the process is alive',
    access: 'public',
    response: health,
    responseExample: { status: 'ok' },
  })
  alive() {
    return { status: 'ok' };
  }

  @Get('readyz')
  @Documented({
    price: 'open',
    summary: 'Whether requests can be served: the database answers and its schema is current',
    description: 'The same shape with status 503 when not.',
    access: 'public',
    response: readiness,
    alsoStatus: [503],
    responseExample: {
      status: 'ready',
      checks: { database: 'ok', schema: 'current', accepting: true, balance_cache: 'ok' },
    },
  })
  async ready(@Res({ passthrough: true }) reply: FastifyReply) {
    const schema = await this.#check();
    const accepting = !this.shutdown.isDraining;
    const isReady = schema === 'current' && accepting;
    if (!isReady) reply.code(503);
    return {
      status: isReady ? 'ready' : 'not_ready',
      checks: {
        database: schema === 'unknown' ? 'unreachable' : 'ok',
        schema,
        accepting,
        balance_cache: this.#cacheState(),
      },
    };
  }

  #cacheState(): 'ok' | 'degraded' | 'off' {
    if (!this.cache) return 'off';
    const { breaker, connected, refusing, evictsFences } = this.cache.state();
    return connected && breaker === 'closed' && !refusing && !evictsFences ? 'ok' : 'degraded';
  }

  #check(): Promise<Schema> {
    if (!this.#checked) {
      this.#checked = schemaIsCurrent(this.database).then(
        (isCurrent) => (isCurrent ? 'current' : 'outdated'),
        () => 'unknown',
      );
      this.#checked.then(() => setTimeout(() => (this.#checked = undefined), KEPT_MS).unref());
    }
    return this.#checked;
  }
}
