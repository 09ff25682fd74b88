import type { DiscoveryService } from '@nestjs/core';
import type { Deadline } from './deadline.js';
import type { DutyPlan } from './duty.js';
import type { Metrics } from './metrics.js';
import type { CheckResult } from './verify.js';

/**
 * What a room brings by itself. As with Nest's own lifecycle hooks, whoever implements one of these, provider or module, is
 * found by the process that it is in: nothing else has to name it.
 */

/** Shows something to Prometheus, in each process that has it. */
export interface BringsMetrics {
  addMetrics(metrics: Metrics): void;
}

/** Has something for the worker to do again and again. */
export interface BringsDuties {
  duties(): readonly DutyPlan[];
}

/** A check that SQL cannot make. Reads only, names at most `room` offenders, and rejects where it cannot look now. */
export interface OutsideCheck {
  readonly name: string;
  run(merchantId: bigint, room: number, deadline: Deadline): Promise<CheckResult>;
}

/** Keeps something of merchants outside of PostgreSQL. */
export interface BringsOutsideChecks {
  outsideChecks(): readonly OutsideCheck[];
}

/** Everybody in this process who has the hook. They have been constructed by then; their modules may not be initialised yet. */
export function whoHas<Hooks>(discovery: DiscoveryService, hook: keyof Hooks): Hooks[] {
  const instances = discovery.getProviders().map(({ instance }) => instance as Partial<Hooks> | null | undefined);
  return [...new Set(instances)].filter(
    (instance): instance is Hooks & object => typeof instance?.[hook] === 'function',
  );
}
