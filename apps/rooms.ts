import type { Type } from '@nestjs/common';
import { BALANCES } from '#balances/room.js';
import { FEES } from '#fees/room.js';
import { LEDGER } from '#ledger/room.js';
import { LIMITS } from '#limits/room.js';
import type { Consumer } from '#outbox/consumers/consumer.js';
import { queueName } from '#outbox/consumers/queue-name.js';
import type { Reactor } from '#outbox/consumers/reactor.js';
import type { Room } from '#outbox/room.js';
import { PAYMENTS } from '#payments/room.js';
import { PAYOUTS } from '#payouts/room.js';
import type { Check } from '#platform/verify.js';
import { RECONCILIATION } from '#reconciliation/room.js';
import { SETTLEMENT } from '#settlement/room.js';
import { SUMMARIES } from '#summaries/room.js';
import { TENANCY } from '#tenancy/room.js';
import { WEBHOOKS } from '#webhooks/room.js';

/** The rooms of the service: the one list that every process is put together from. */
export const ROOMS = [
  LEDGER,
  BALANCES,
  TENANCY,
  LIMITS,
  PAYMENTS,
  FEES,
  SETTLEMENT,
  PAYOUTS,
  RECONCILIATION,
  SUMMARIES,
  WEBHOOKS,
] as const satisfies readonly Room[];

/** The modules of one kind, loaded. */
export async function modulesOf(rooms: readonly Room[], kind: 'module' | 'worker'): Promise<Type[]> {
  const modules = await Promise.all(rooms.map((room) => room[kind]?.()));
  return modules.filter((module) => module !== undefined);
}

/** What a database is checked for. */
export async function checksOf(rooms: readonly Room[]): Promise<Check[]> {
  return (await Promise.all(rooms.map((room) => room.checks?.() ?? []))).flat();
}

/** What applies the log, each in a process and with a queue of its own. */
export function consumersOf(rooms: readonly Room[]): readonly Consumer[] {
  return rooms.flatMap(({ consumers = [] }) => consumers);
}

/** What has commands executed because of events: in the worker, each with a queue of its own. */
export function reactorsOf(rooms: readonly Room[]): readonly Reactor[] {
  return rooms.flatMap(({ reactors = [] }) => reactors);
}

/** Names of BullMQ's queues: of what is applied from them, and those of the rooms' own. */
export function queuesOf(rooms: readonly Room[]): readonly string[] {
  const followers = [...consumersOf(rooms), ...reactorsOf(rooms)].map(({ name }) => queueName(name));
  return [...followers, ...rooms.flatMap(({ queues = [] }) => queues)];
}

/** Names of whoever follows the log: consumers, reactors and targets of the relay. */
export function followersOf(rooms: readonly Room[]): readonly string[] {
  const named = [...consumersOf(rooms), ...reactorsOf(rooms)].map(({ name }) => name);
  return [...named, ...rooms.flatMap(({ targets = [] }) => targets)];
}
