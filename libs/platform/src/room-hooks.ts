import type { DiscoveryService } from '@nestjs/core';
import type { DutyPlan } from './duty.js';
import type { Metrics } from './metrics.js';

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

/** Everybody in this process who has the hook. They have been constructed by then; their modules may not be initialised yet. */
export function whoHas<Hooks>(discovery: DiscoveryService, hook: keyof Hooks): Hooks[] {
  const instances = discovery.getProviders().map(({ instance }) => instance as Partial<Hooks> | null | undefined);
  return [...new Set(instances)].filter(
    (instance): instance is Hooks & object => typeof instance?.[hook] === 'function',
  );
}
